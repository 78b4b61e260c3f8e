"""Parse ranges of frames: `--frames FIRST:LAST`."""

import re

from rvdtool.errors import UsageError


def parse_frames(text: str | None, count: int) -> range | None:
    """Parse `100:200` (frames 100 to 200, both included), `100:`, `:200` or `100`.

    Args:
        text: value of the option; None gives None.
        count: number of frames of the video.

    Raises:
        UsageError: the syntax is wrong, or the video doesn't have these frames.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{0,12})(:?)(\d{0,12})", text)
    if match is None or not (match[1] or match[3]):
        raise UsageError(
            f"--frames {text}: give the first and the last frame, counted from 0: 100:200, 100: "
            "or :200"
        )
    first = int(match[1] or 0)
    last = int(match[3] or count - 1) if match[2] else first
    if not first <= last < count:
        raise UsageError(
            f"--frames {text}: the video has frames 0 to {count - 1}; the first one can't come "
            "after the last one"
        )
    return range(first, last + 1)
