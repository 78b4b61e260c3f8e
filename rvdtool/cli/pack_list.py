"""`rvdtool pack --list`: packs many clips from a table."""

import csv
import shlex
from pathlib import Path

from rvdtool.cli import console
from rvdtool.cli.several import sum_up
from rvdtool.errors import InputError, UsageError, brief
from rvdtool.files import describe, require_file

_COLUMNS = ("video", "raw", "options")
MOST_CLIPS = 10_000
"""Largest number of clips in a table: reading millions of rows would take seconds for nothing."""


def pack_list(table: Path) -> None:
    """Pack every clip of a table. If one fails, continue with the others.

    Args:
        table: a CSV with the column `video` and at least one of `raw` and `options`: RAW files and
            options as on the command line of `rvdtool pack`.

    Raises:
        InputError: the file isn't such a table.
        SeveralError: any clip failed; raised after the last one.
    """
    from rvdtool.cli import main

    rows = _read(table)
    failed: list[str] = []
    for number, (video, arguments) in enumerate(rows, 1):
        console.note(f"{number} of {len(rows)}: {video}")
        code = main(["pack", video, *arguments])
        if code == console.INTERRUPTED:
            raise console.InterruptedRunError(f"{table}: stopped at {video}")
        if code:
            failed.append(video)
    sum_up(failed, len(rows))


def _read(path: Path) -> list[tuple[str, list[str]]]:
    """Read the rows: each one's video, and the arguments that follow it."""
    try:
        with require_file(path, "a CSV of clips").open(encoding="utf-8-sig", newline="") as file:
            semicolons = ";" in file.readline()
            file.seek(0)
            table = csv.DictReader(file, strict=True, delimiter=";" if semicolons else ",")
            names = table.fieldnames or ()
            if "video" not in names or not 2 <= len(names) == len(set(names) & set(_COLUMNS)):
                raise InputError(
                    f"{path}: its header is {','.join(names)[:100]!r}; give video, and raw or "
                    "options or both"
                )
            rows: list[tuple[str, list[str]]] = []
            for row in table:
                where = f"{path}, line {table.line_num}"
                if len(rows) == MOST_CLIPS:
                    raise InputError(f"{where}: {MOST_CLIPS:,} clips are the most; divide it")
                if None in row or None in row.values() or not row["video"]:
                    raise InputError(
                        f"{where}: needs a video, and one value for each column of the header "
                        "(it may be empty)"
                    )
                raw = row.get("raw")
                rows.append((row["video"], [*([raw] if raw else []), *_split(where, row)]))
    except OSError as error:
        raise InputError(f"{path}: can't be read: {describe(error)}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV file ({brief(error)})") from error
    if not rows:
        raise InputError(f"{path}: lists no clips")
    return rows


def _split(where: str, row: dict[str, str]) -> list[str]:
    try:
        options = shlex.split(row.get("options", ""))
    except ValueError as error:
        raise InputError(f"{where}: options: {error}") from error
    if "--list" in options:
        raise UsageError(f"{where}: --list can't be used inside a list")
    return options
