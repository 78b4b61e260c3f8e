"""Read camera names from RAW files that aren't TIFFs: Canon's CR3 and Fujifilm's RAF."""

from io import BytesIO
from pathlib import Path

import tifffile

from rvdtool.raw.header import DAMAGE

_RAF = b"FUJIFILMCCD-RAW "
_RAF_MODEL = slice(28, 60)
_CR3 = b"ftypcrx "
_CR3_TIFF = b"CMT1"
"""The CR3 box that contains IFD0 as a TIFF file (github.com/lclevy/canon_cr3)."""

_START = 65_536
"""Bytes to read: a CR3's header box comes first and has about 30,000 bytes."""


def raw_kind(path: Path) -> str | None:
    """`a Canon CR3` or `a Fujifilm RAF`, by the file's first bytes; None if it is neither."""
    start = _read_start(path)
    if start.startswith(_RAF):
        return "a Fujifilm RAF"
    return "a Canon CR3" if start[4:12] == _CR3 else None


def camera_name(path: Path) -> tuple[str, str]:
    """Make and model from a CR3 or RAF; empty if it is neither or has none."""
    start = _read_start(path)
    if start.startswith(_RAF):
        model = start[_RAF_MODEL].split(b"\0")[0].decode("ascii", "replace").strip()
        return ("FUJIFILM", model) if model else ("", "")
    if start[4:12] != _CR3 or _CR3_TIFF not in start:
        return "", ""
    try:
        with tifffile.TiffFile(BytesIO(start[start.index(_CR3_TIFF) + 4 :])) as tiff:
            tags = tiff.pages.first.tags
            texts = (str(tags[name].value) for name in ("Make", "Model"))
            make, model = (text.split("\0", 1)[0].strip() for text in texts)
    except DAMAGE:
        return "", ""
    return make, model


def _read_start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_START)
