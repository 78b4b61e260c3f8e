"""Networks of other papers, for comparison."""
