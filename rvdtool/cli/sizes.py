"""Parse numbers of bytes on the command line."""

import re

from rvdtool.errors import UsageError

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_bytes(option: str, text: str | None) -> int | None:
    """Parse `200MB`, `1.5 GB` or a number of bytes.

    Args:
        option: the option's name, for the message.
        text: its value; None if it wasn't given.

    Raises:
        UsageError: it isn't one.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?) ?([KMGT]?B)?", text.strip().upper())
    if match is None:
        raise UsageError(f"{option} {text}: give bytes with a unit: 200MB or 1.5GB")
    return int(float(match[1]) * _UNITS[match[2] or "B"])
