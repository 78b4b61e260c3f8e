"""`rvdtool metrics`: how close reconstructed RAW frames are to the true ones."""

import csv
import io
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rvdtool.cli import console
from rvdtool.cli.levels import Bits, Black, Phase, White, parse_levels
from rvdtool.errors import OutputError, UsageError
from rvdtool.files import write_beside

if TYPE_CHECKING:
    from rvdtool.evaluate.compare import Comparison
    from rvdtool.evaluate.metrics import Scores

PROTOCOLS = {
    "psnr": "mosaic, (DN − black) / (white − black), peak 1",
    "ssim": "planes, (DN − black) / (white − black), range 1",
    "psnr_paper": "mosaic, DN / (2^bits − 1), peak 1",
    "ssim_paper": "mosaic, DN / (2^bits − 1), range 2",
}
"""Every figure's unit and range, which the command states beside it."""


def metrics(
    predicted: Annotated[
        Path, typer.Argument(help="Folder of reconstructed frames.", show_default=False)
    ],
    true: Annotated[
        Path, typer.Argument(help="Folder of true frames, or .mlv recording.", show_default=False)
    ],
    per_frame: Annotated[
        bool, typer.Option("--per-frame", help="List every frame, not only the mean.")
    ] = False,
    include_first: Annotated[
        bool,
        typer.Option(
            "--include-first",
            help="Count the first frame, too. By default it isn't counted, as in the paper: "
            "it was given, not reconstructed.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write a row per frame to this file.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet with error maps to this PNG.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write a page with curves, tables and a viewer of the frames to this HTML file."
        ),
    ] = None,
    video: Annotated[
        Path | None, typer.Option(help="Video of these frames, to show on the sheet or page.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    black: Black = None,
    white: White = None,
    phase: Phase = None,
    bits: Bits = None,
) -> None:
    """Score reconstructed RAW frames: PSNR and SSIM against the true ones.

    Example: rvdtool metrics raws/ ground_truth/ --sheet sheet.png
    """
    from rvdtool.evaluate.compare import compare, match_frames

    if video and not (sheet or report):
        raise UsageError("--video needs --sheet or --report, where the video is shown")
    _refuse_bundles(predicted, true)
    _require_writable([path for path in (csv_file, sheet) if path], overwrite)
    if report:
        from rvdtool.report.page import require_report

        require_report(report, overwrite)
    levels = parse_levels(black, white, phase, bits)
    matching = match_frames(predicted, true)
    with console.progress("scoring", len(matching.pairs)) as advance:
        comparison = compare(matching, levels=levels, include_first=include_first, advance=advance)
    if as_json:
        console.print_json(_as_json(comparison, predicted, true))
    else:
        _print_tables(comparison, per_frame)
    if csv_file:
        _write_csv(comparison, csv_file, overwrite)
    if sheet:
        from rvdtool.evaluate.sheet import contact_sheet
        from rvdtool.video.png import write_png

        picture = contact_sheet(comparison.frames, levels=levels, video=video)
        write_png(picture, sheet, overwrite=overwrite)
    if report:
        from rvdtool.report.truth import write_metrics_report

        with console.progress("report", len(matching.pairs)) as advance:
            write_metrics_report(
                comparison,
                report,
                title=f"{predicted.name} against {true.name}",
                levels=levels,
                video=video,
                overwrite=overwrite,
                advance=advance,
            )


def _refuse_bundles(predicted: Path, true: Path) -> None:
    if predicted.suffix == ".rvd" and not predicted.is_dir():
        raise UsageError(
            f"{predicted}: is a bundle; reconstruct its frames first (rvdtool derender {predicted} "
            "-o FOLDER), then give that folder"
        )
    if true.suffix == ".rvd" and not true.is_dir():
        raise UsageError(
            f"{true}: is a bundle, which has the true RAW of its reference frames only; give a "
            "folder with the true RAW of every frame"
        )


def _require_writable(paths: list[Path], overwrite: bool) -> None:
    """Fail before the work, not after it."""
    for path in paths:
        if path.exists() and not overwrite:
            raise OutputError(f"{path}: already exists; choose another name, or use --overwrite")
        if not path.parent.is_dir():
            raise OutputError(f"{path}: {path.parent} isn't a folder; create it first")


def _write_csv(comparison: "Comparison", path: Path, overwrite: bool) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["frame", "predicted", "true", "counted", *PROTOCOLS])
    for index, frame in enumerate(comparison.frames):
        names = (frame.pair.predicted.name, frame.pair.true.name)
        writer.writerow([index, *names, int(frame.counted), *asdict(frame.scores).values()])
    with write_beside(path, overwrite=overwrite) as file:
        file.write(table.getvalue().encode())


def _as_json(comparison: "Comparison", predicted: Path, true: Path) -> dict[str, Any]:
    """JSON has no infinity: the PSNR of identical frames is null."""
    return {
        "predicted": str(predicted),
        "true": str(true),
        "matched_by": comparison.matched_by,
        "protocols": PROTOCOLS,
        "counted": sum(frame.counted for frame in comparison.frames),
        "identical": comparison.identical,
        "mean": _finite(comparison.mean),
        "frames": [
            {
                "frame": index,
                "predicted": frame.pair.predicted.name,
                "true": frame.pair.true.name,
                "counted": frame.counted,
                **_finite(frame.scores),
            }
            for index, frame in enumerate(comparison.frames)
        ],
    }


def _finite(scores: "Scores") -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in asdict(scores).items()}


def _print_tables(comparison: "Comparison", per_frame: bool) -> None:
    from rich.box import SIMPLE
    from rich.table import Column, Table

    output = console.stdout()
    if per_frame:
        name = Column("true frame", overflow="fold")
        table = Table("frame", name, *PROTOCOLS, box=SIMPLE, pad_edge=False)
        for index, frame in enumerate(comparison.frames):
            number = f"{index}" if frame.counted else f"({index})"
            table.add_row(number, frame.pair.true.name, *_cells(frame.scores))
        output.print(table)
    table = Table("figure", "mean", "measured on", box=SIMPLE, pad_edge=False)
    for (figure, protocol), cell in zip(PROTOCOLS.items(), _cells(comparison.mean), strict=True):
        table.add_row(figure, cell, protocol)
    output.print(table)
    console.print_line(_summary(comparison))


def _cells(scores: "Scores") -> list[str]:
    return [
        f"{value:.2f} dB" if name.startswith("psnr") else f"{value:.4f}"
        for name, value in asdict(scores).items()
    ]


def _summary(comparison: "Comparison") -> str:
    """One line about the frames that the mean covers."""
    counted = sum(frame.counted for frame in comparison.frames)
    left_out = "" if counted == len(comparison.frames) else "; the first was given, not counted"
    identical = (
        f"; {comparison.identical} equal to the truth, left out of the mean PSNR"
        if comparison.identical
        else ""
    )
    total = len(comparison.frames)
    return f"{counted} of {total} frames, matched by {comparison.matched_by}{left_out}{identical}"
