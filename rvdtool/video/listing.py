"""List the pictures of a folder as a sequence, ordered by their numbers."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from rvdtool.errors import VideoError

KINDS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""File types of pictures, and their suffixes."""

_NUMBERS = re.compile(r"(\d+)")
_OR_AS_LISTED = "use --as-listed to take all of them in this order"


def natural_key(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort key: numbers compare as numbers, text ignores case, ties go by the exact name."""
    parts = re.findall(r"(\d+)|(\D+)", path.name)
    return [(int(n), "") if n else (-1, text.casefold()) for n, text in parts], path.name


def list_pictures(folder: Path, *, as_listed: bool) -> list[Path]:
    """The pictures in a folder in natural order. Hidden files and other file types are ignored.

    Args:
        folder: an existing folder.
        as_listed: accept gaps in the numbers and names of different patterns.

    Raises:
        VideoError: no pictures, several file types, or (unless `as_listed`) not one sequence.
    """
    found = [p for p in folder.iterdir() if not p.name.startswith(".")]
    pictures = sorted((p for p in found if p.suffix.lower() in KINDS), key=natural_key)
    if not pictures:
        raise VideoError(
            f"{folder}: no PNG, JPEG or TIFF in this folder; give a video file or a folder of "
            "pictures"
        )
    one = pictures[0]
    for other in pictures:
        if KINDS[other.suffix.lower()] != KINDS[one.suffix.lower()]:
            raise VideoError(
                f"{folder}: {one.name} and {other.name} are pictures of different kinds; move "
                "those that aren't frames elsewhere"
            )
    if not as_listed:
        _require_one_sequence(folder, pictures)
    return pictures


def _require_one_sequence(folder: Path, pictures: Sequence[Path]) -> None:
    """Require names that differ in exactly one number, which increases by 1.

    Raises:
        VideoError: the names aren't such a sequence.
    """
    if len(pictures) == 1:
        return
    names = [_NUMBERS.split(path.stem) for path in pictures]  # text, number, text, number, …, text
    for path, name in zip(pictures, names, strict=True):
        if [t.casefold() for t in name[::2]] != [t.casefold() for t in names[0][::2]]:
            raise VideoError(
                f"{folder}: {pictures[0].name} and {path.name} are named by different "
                f"patterns; move those that aren't frames elsewhere, or {_OR_AS_LISTED}"
            )
    numbers = [[int(number) for number in name[1::2]] for name in names]
    changing = [k for k, values in enumerate(zip(*numbers, strict=True)) if len(set(values)) > 1]
    if len(changing) != 1:
        raise VideoError(
            f"{folder}: the names {pictures[0].name} … {pictures[-1].name} don't differ "
            f"in exactly one number; rename them, or {_OR_AS_LISTED}"
        )
    for (early, late), (before, after) in zip(
        pairwise([values[changing[0]] for values in numbers]), pairwise(pictures), strict=True
    ):
        if late != early + 1:
            raise VideoError(
                f"{folder}: "
                f"{'two frames with the same number' if late == early else 'a gap'}: "
                f"{after.name} follows {before.name}; add what is missing, or {_OR_AS_LISTED}"
            )
