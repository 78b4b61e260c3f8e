"""Folders of RAW frames: file names, order and timestamps."""

import csv
import io
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from rvdtool.errors import InputError, RawError
from rvdtool.files import write_beside

FRAME_SUFFIXES = frozenset({".dng", ".tif", ".tiff"})

_NUMBER = re.compile(r"(\d+)$")


def frame_name(stem: str, index: int) -> str:
    """File name of a clip's frame, as DaVinci Resolve needs it: `NAME_000000.dng`."""
    return f"{stem}_{index:06d}.dng"


def timestamps_name(stem: str) -> str:
    """File name of the clip's timestamp table."""
    return f"{stem}_timestamps.csv"


def list_sequence(folder: Path) -> list[Path]:
    """The RAW frames (DNG, TIFF) of the clip in a folder, ordered by their number.

    Other file types and subfolders are ignored.

    Raises:
        InputError: the folder doesn't exist.
        RawError: no frames, frames of several clips or file types, a name without a number, or a
            number that occurs twice.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder (a folder of RAW frames was expected)")
    files = [p for p in folder.iterdir() if p.suffix.lower() in FRAME_SUFFIXES and p.is_file()]
    frames = [path for path in files if not path.name.startswith(".")]  # ._NAME.dng: macOS
    if not frames:
        raise RawError(f"{folder}: no RAW frames in it ({', '.join(sorted(FRAME_SUFFIXES))})")
    numbered: dict[int, Path] = {}
    clips: dict[tuple[str, str], Path] = {}
    for path in sorted(frames):
        match = _NUMBER.search(path.stem)
        if match is None:
            raise RawError(f"{path}: its name doesn't end in a number, so its place is unknown")
        clips.setdefault((path.stem[: match.start()], path.suffix.lower()), path)
        other = numbered.setdefault(int(match[1]), path)
        if len(clips) > 1:
            one, two = list(clips.values())[:2]
            raise RawError(
                f"{folder}: {one.name} and {two.name} belong to different clips; "
                "one folder holds one clip"
            )
        if other is not path:
            raise RawError(f"{folder}: {other.name} and {path.name} have the same number")
    return [numbered[number] for number in sorted(numbered)]


def write_timestamps(
    folder: Path,
    stem: str,
    pts_seconds: Sequence[Fraction],
    *,
    rate: Fraction | None = None,
    first: int = 0,
    overwrite: bool = False,
) -> Path:
    """Write `NAME_timestamps.csv`, with the exact presentation time of each frame of a clip.

    Columns: frame, file, seconds (decimal, rounded to a nanosecond), exact (the same as a
    fraction), rate (the nominal rate in the DNGs, as a fraction; empty if unknown). The first time
    is that of frame `first`.

    Raises:
        OutputError: the file exists (without `overwrite`) or can't be written.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("frame", "file", "seconds", "exact", "rate"))
    for index, seconds in enumerate(pts_seconds, first):
        name = frame_name(stem, index)
        writer.writerow((index, name, _decimal(seconds), seconds, "" if rate is None else rate))
    path = folder / timestamps_name(stem)
    with write_beside(path, overwrite=overwrite) as file:
        file.write(table.getvalue().encode())
    return path


def _decimal(seconds: Fraction) -> str:
    """Format seconds to the nanosecond with integers, since floats would round long times."""
    nanoseconds = round(seconds * 1_000_000_000)
    whole, rest = divmod(abs(nanoseconds), 1_000_000_000)
    return f"{'-' if nanoseconds < 0 else ''}{whole}.{rest:09d}"
