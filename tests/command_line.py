"""Running the command line within the test's process, and what its errors look like."""

import re
from typing import Any

from rvdtool.cli import main


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def require_one_line(printed: Any, told: str) -> None:
    assert printed.out == ""
    told_first = re.match(r"\d+ frames: about .*\n", printed.err)  # with which a run starts
    error = printed.err[told_first.end() :] if told_first else printed.err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert told in error
