"""Parse frame rates on the command line."""

import typing

from rvdtool.errors import UsageError

if typing.TYPE_CHECKING:
    from fractions import Fraction


SHORT = {
    "23.976": "24000/1001",
    "23.98": "24000/1001",
    "29.97": "30000/1001",
    "47.952": "48000/1001",
    "59.94": "60000/1001",
    "119.88": "120000/1001",
}
"""Usual short forms of the NTSC frame rates."""


def parse_rate(text: str | None) -> "Fraction | None":
    """Parse a frame rate: `25`, `30000/1001`, or `29.97` as short for the latter.

    Raises:
        UsageError: it isn't a number above 0.
    """
    from fractions import Fraction

    try:
        rate = None if text is None else Fraction(SHORT.get(text, text))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate is not None and rate <= 0:
        raise UsageError(f"--rate {text}: give frames per second, such as 25 or 30000/1001")
    return rate
