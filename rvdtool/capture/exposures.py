"""Exposures from a CSV file: the camera's settings for each frame.

    frame,exposure_time,iso,gain,wb_red,wb_green,wb_blue
    0,1/50,200,1,2.1,1,1.6
    1,1/50,200,1.02,2.1,1,1.6

Each frame of the video needs a row. Rows may be in any order and are identified by `frame` (0, 1,
2, …) or by `pts` (the frame's timestamp in the video's time base, as ffprobe prints it). At least
one other column is needed: `exposure_time` in seconds (0.02 or 1/50), `iso`, `gain` (any further
factor on the RAW values), or `wb_red`, `wb_green` and `wb_blue` together (the factors by which the
camera's processing multiplied the colours).

Columns may also be separated by semicolons, as spreadsheets do in locales with decimal commas; then
0,02 is read as 0.02.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

from rvdtool.bundle.fields import LARGEST_FACTOR
from rvdtool.bundle.manifest import Exposures
from rvdtool.errors import InputError, brief
from rvdtool.files import describe, require_file
from rvdtool.video.frame import VideoInfo

_COLUMNS = ("exposure_time", "iso", "gain", "wb_red", "wb_green", "wb_blue")
_WHITE_BALANCE = _COLUMNS[3:]
_KEYS = ("frame", "pts")


def read_exposures(path: Path, info: VideoInfo) -> Exposures:
    """Read and check a CSV file of exposures.

    Args:
        path: path of the file: UTF-8 with a header line.
        info: properties of the video that it belongs to.

    Raises:
        InputError: the file is missing or not such a CSV; a frame is missing, repeated or not in
            the video; or a value isn't a number above 0. The message names the line.
    """
    try:
        with require_file(path, "a CSV of exposures").open(
            encoding="utf-8-sig", newline=""
        ) as file:
            semicolons = ";" in file.readline()
            file.seek(0)
            table = csv.DictReader(file, strict=True, delimiter=";" if semicolons else ",")
            key, columns = _header(path, table.fieldnames or ())
            frames = _frames(key, info)
            rows: dict[int, dict[str, float]] = {}
            for row in table:
                where = f"{path}, line {table.line_num}"
                if None in row or None in row.values():
                    raise InputError(
                        f"{where}: needs one value for each column of the header (write "
                        "decimals with a point, or separate columns by semicolons)"
                    )
                index = _frame(where, key, row[key], frames)
                if index in rows:
                    raise InputError(f"{where}: frame {index} is listed twice")
                rows[index] = {name: _value(where, name, row[name], semicolons) for name in columns}
    except OSError as error:
        raise InputError(f"{path}: can't be read: {describe(error)}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV file ({brief(error)})") from error
    missing = next((i for i in range(info.frame_count) if i not in rows), None)
    if missing is not None:
        raise InputError(
            f"{path}: has no row for frame {missing}; each of the video's {info.frame_count} "
            "frames needs one"
        )
    return _entry([rows[index] for index in range(info.frame_count)], columns)


def _header(path: Path, names: Sequence[str]) -> tuple[str, list[str]]:
    """The column that identifies the frames, and the other columns."""
    given = [name for name in names if name in _COLUMNS]
    keys = [name for name in names if name in _KEYS]
    unknown = [name for name in names if name not in (*_COLUMNS, *_KEYS)]
    if unknown or len(keys) != 1 or not given or len(set(names)) < len(names):
        raise InputError(
            f"{path}: its header is {','.join(names)[:100]!r}; give either frame or pts, once, and "
            f"any of {', '.join(_COLUMNS)}"
        )
    if 0 < len(set(given) & set(_WHITE_BALANCE)) < len(_WHITE_BALANCE):
        raise InputError(f"{path}: give all of {', '.join(_WHITE_BALANCE)}, or none")
    return keys[0], given


def _frames(key: str, info: VideoInfo) -> dict[int, int]:
    """Map from each allowed value of the key column to the frame's index."""
    numbers = range(info.frame_count) if key == "frame" else info.timestamps
    return {number: index for index, number in enumerate(numbers)}


def _frame(where: str, key: str, text: str, frames: dict[int, int]) -> int:
    try:
        return frames[int(text)]
    except (ValueError, KeyError) as error:
        raise InputError(
            f"{where}: no frame has {key} {brief(text)!r}; the video's values range from "
            f"{min(frames)} to {max(frames)}"
        ) from error


def _value(where: str, name: str, text: str, decimal_commas: bool) -> float:
    # In an ISO such as 1,600 the comma isn't a decimal one.
    commas = decimal_commas and name != "iso"
    try:
        above, _, below = (text.replace(",", ".") if commas else text).partition("/")
        value = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"{where}: {name} {brief(text)!r} is not a number such as 0.02 or 1/50"
        ) from error
    if not 1 / LARGEST_FACTOR <= value <= LARGEST_FACTOR:
        raise InputError(
            f"{where}: {name} {brief(text)!r} must be above 0 and plausible for a camera"
        )
    return value


def _entry(rows: list[dict[str, float]], columns: list[str]) -> Exposures:
    def column(name: str) -> tuple[float, ...] | None:
        return tuple(row[name] for row in rows) if name in columns else None

    balance = None
    if "wb_red" in columns:
        balance = tuple((row["wb_red"], row["wb_green"], row["wb_blue"]) for row in rows)
    return Exposures(
        time=column("exposure_time"),
        iso=column("iso"),
        gain=column("gain"),
        white_balance=balance,
    )
