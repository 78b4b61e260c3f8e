"""What the user should know though nothing is wrong: what was assumed, chosen or left out.

Who finds it says it in one line, to a function that the caller gives; the command line prints it.
"""

from collections.abc import Callable

Say = Callable[[str], None]
"""Takes one line for the user: what was assumed or left out, and the option that changes it."""


def keep_quiet(message: str) -> None:
    """Say nothing: for callers who don't want to know."""
