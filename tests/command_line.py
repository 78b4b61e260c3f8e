"""Running the command line within the test's process, and what its errors look like."""

import re
from typing import Any

from rvdtool.cli import main


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def require_one_line(printed: Any, told: str) -> None:
    assert printed.out == ""
    # A run starts with its estimate, and the first one on a machine compiles.
    error = re.sub(r"^(first run on .*\n)?(\d+ frames: about .*\n)?", "", printed.err)
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert told in error
