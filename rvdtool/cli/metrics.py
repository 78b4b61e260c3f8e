"""`rvdtool metrics`: measures how close reconstructed RAW frames are to the true ones."""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rvdtool.cli import console
from rvdtool.cli.levels import Bits, Black, Phase, White, parse_levels
from rvdtool.cli.scores import (
    PROTOCOLS,
    cells,
    comparison_as_json,
    print_edits,
    print_ranking,
    ranking_as_json,
    summary,
)
from rvdtool.errors import UsageError
from rvdtool.files import require_new, write_beside

if TYPE_CHECKING:
    from rvdtool.evaluate.compare import Comparison
    from rvdtool.evaluate.edits import EditScores
    from rvdtool.raw.read import MosaicLevels


def metrics(
    predicted: Annotated[
        Path,
        typer.Argument(
            help="Folder of reconstructed frames. With --against: leave it out.",
            show_default=False,
        ),
    ],
    true: Annotated[
        Path | None,
        typer.Argument(help="Folder of true frames, or .mlv recording.", show_default=False),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=FOLDER of reconstructed frames, twice or more: compare them with each "
            "other.",
            show_default=False,
        ),
    ] = None,
    per_frame: Annotated[
        bool, typer.Option("--per-frame", help="List every frame, not only the mean.")
    ] = False,
    include_first: Annotated[
        bool,
        typer.Option(
            "--include-first",
            help="Also count the first frame. By default it isn't counted, as in the paper: it "
            "was given, not reconstructed.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    edits: Annotated[
        bool,
        typer.Option(
            "--edits",
            help="Develop the frames, apply the same edits to both (exposure, white balance, "
            "contrast, saturation, film), and measure how they differ then: in colour, over "
            "time, and how visible it is (JOD; needs rvdtool[jod]).",
        ),
    ] = False,
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

    With --against, several reconstructions are compared with each other: which is better, by how
    much, and how certain that is.

    Example: rvdtool metrics raws/ ground_truth/ --sheet sheet.png

    Example: rvdtool metrics ground_truth/ --against new=raws/ --against old=raws_before/
    """
    from rvdtool.evaluate.compare import compare, match_frames

    if video and not (sheet or report):
        raise UsageError("--video needs --sheet or --report, where the video is shown")
    if sheet and against:
        raise UsageError("--sheet shows one reconstruction; leave out --against, or use --report")
    methods, truth = _methods(predicted, true, against or [])
    for folder in methods.values():
        _refuse_bundles(folder, truth)
    for path in (csv_file, sheet):
        if path:
            require_new(path, overwrite)
    if report:
        from rvdtool.report.page import require_report

        require_report(report, overwrite)
    levels = parse_levels(black, white, phase, bits)
    matchings = {name: match_frames(folder, truth) for name, folder in methods.items()}
    total = sum(len(matching.pairs) for matching in matchings.values())
    with console.progress("scoring", total) as advance:
        comparisons = {
            name: compare(matching, levels=levels, include_first=include_first, advance=advance)
            for name, matching in matchings.items()
        }
    comparison = next(iter(comparisons.values()))
    edited = _edited(comparisons, levels) if edits else {}
    if against and as_json:
        console.print_json(ranking_as_json(comparisons, methods, truth, edited))
    elif against:
        print_ranking(comparisons, per_frame)
    elif as_json:
        console.print_json(comparison_as_json(comparison, predicted, truth, edited.get("Result")))
    else:
        _print_tables(comparison, per_frame)
    if not as_json:
        print_edits(edited)
    if csv_file:
        _write_csv(comparisons if against else {"": comparison}, csv_file, overwrite)
    if sheet:
        from rvdtool.evaluate.sheet import contact_sheet
        from rvdtool.video.png import write_png

        picture = contact_sheet(comparison.frames, levels=levels, video=video)
        write_png(picture, sheet, overwrite=overwrite)
    if report:
        from rvdtool.report.truth import write_metrics_report

        given = ", ".join(methods) if against else predicted.name
        with console.progress("report", len(comparison.frames)) as advance:
            write_metrics_report(
                comparisons,
                report,
                title=f"{given} against {truth.name}",
                levels=levels,
                video=video,
                overwrite=overwrite,
                advance=advance,
            )


def _edited(
    comparisons: Mapping[str, "Comparison"], levels: "MosaicLevels | None"
) -> dict[str, dict[str, "EditScores"]]:
    from rvdtool.evaluate.edits import EDITS, score_edits
    from rvdtool.evaluate.jod import Visibility, is_installed

    visibility = Visibility() if is_installed() else None
    if visibility is None:
        console.note("JOD isn't measured, as cvvdp isn't installed: pip install 'rvdtool[jod]'")
    passes = 1 if visibility is None else 1 + len(EDITS)
    counted = sum(frame.counted for it in comparisons.values() for frame in it.frames)
    with console.progress("editing", passes * counted) as advance:
        return {
            name: score_edits(comparison, levels=levels, visibility=visibility, advance=advance)
            for name, comparison in comparisons.items()
        }


def _methods(
    predicted: Path, true: Path | None, against: list[str]
) -> tuple[dict[str, Path], Path]:
    """The folders to score, by name, and the folder of the true frames."""
    if not against:
        if true is None:
            raise UsageError(
                "two folders are compared: give the reconstructed frames, then the true ones; or "
                "the true ones, and --against NAME=FOLDER for each reconstruction"
            )
        return {"Result": predicted}, true
    if true is not None:
        raise UsageError(
            f"{true}: with --against, the only argument is the folder of true frames; write "
            "--against before each NAME=FOLDER"
        )
    methods: dict[str, Path] = {}
    for entry in against:
        name, _, folder = entry.partition("=")
        if not name or not folder:
            raise UsageError(f"--against {entry}: has to be NAME=FOLDER")
        if name in methods or name in ("Input", "Truth"):
            raise UsageError(f"--against {entry}: {name} names something else; choose another name")
        methods[name] = Path(folder)
    if len(methods) < 2:
        raise UsageError("--against needs two reconstructions or more; give it again")
    return methods, predicted


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


def _write_csv(comparisons: Mapping[str, "Comparison"], path: Path, overwrite: bool) -> None:
    """Write a row per frame. For several reconstructions, each row begins with a name."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    several = len(comparisons) > 1
    columns = ["frame", "predicted", "true", "counted", *PROTOCOLS]
    writer.writerow(["name", *columns] if several else columns)
    for method, comparison in comparisons.items():
        for index, frame in enumerate(comparison.frames):
            names = (frame.pair.predicted.name, frame.pair.true.name)
            row = [index, *names, int(frame.counted), *asdict(frame.scores).values()]
            writer.writerow([method, *row] if several else row)
    with write_beside(path, overwrite=overwrite) as file:
        file.write(table.getvalue().encode())


def _print_tables(comparison: "Comparison", per_frame: bool) -> None:
    from rich.box import SIMPLE
    from rich.table import Column, Table

    output = console.stdout()
    if per_frame:
        name = Column("true frame", overflow="fold")
        table = Table("frame", name, *PROTOCOLS, box=SIMPLE, pad_edge=False)
        for index, frame in enumerate(comparison.frames):
            number = f"{index}" if frame.counted else f"({index})"
            table.add_row(number, frame.pair.true.name, *cells(frame.scores))
        output.print(table)
    table = Table("figure", "mean", "measured on", box=SIMPLE, pad_edge=False)
    for (figure, protocol), cell in zip(PROTOCOLS.items(), cells(comparison.mean), strict=True):
        table.add_row(figure, cell, protocol)
    output.print(table)
    console.print_line(summary(comparison))
