"""Training networks on folders in RVD's layout (needs rvdtool[research])."""
