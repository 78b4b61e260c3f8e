"""Running the command line within the test's process, and what its errors look like."""

from typing import Any

from rvdtool.cli import main


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def require_one_line(printed: Any, told: str) -> None:
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert told in printed.err
