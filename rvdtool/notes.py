"""Notes to the user about what was assumed, chosen or left out.

Functions pass each note as one line of text to a callback; the command line prints it.
"""

from collections.abc import Callable

Say = Callable[[str], None]
"""A callback for notes. A note says what was assumed or left out, and which option changes it."""


def keep_quiet(message: str) -> None:
    """Ignore a note; for callers who don't need them."""
