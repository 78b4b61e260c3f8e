"""`rvdtool benchmark`: the training-free methods side by side."""

from pathlib import Path
from typing import Annotated

import typer

from rvdtool.cli import console


def benchmark(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder in RVD's layout (data.json, RAW/, sRGB/).", show_default=False),
    ],
    frames: Annotated[
        int | None, typer.Option(min=2, help="Frames of each video at most; all by default.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Videos at a time.")] = 2,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every frame's figures as JSON.")
    ] = False,
) -> None:
    """Score the training-free methods and their parts on videos with true RAW.

    Example: rvdtool benchmark RVD-Sim/test
    """
    from rvdtool.benchmark.methods import METHODS
    from rvdtool.benchmark.run import by_tag, run
    from rvdtool.dataset.rvd import open_rvd

    with console.progress("Scoring videos", len(open_rvd(folder).videos), "videos") as advance:
        results = run(folder, frames=frames, jobs=jobs, advance=advance)
    means = by_tag(results)
    if as_json:
        videos = {one.name: {"tags": one.tags, "psnr": one.psnr} for one in results}
        console.print_json({"unit": "dB, DN / (2^bits - 1)", "means": means, "videos": videos})
        return
    console.print_line("Mean PSNR in dB on DN / (2^bits − 1), frames 2 to the last:\n")
    _table(["method", *means], [[m, *(f"{means[tag][m]:.2f}" for tag in means)] for m in METHODS])
    console.print_line("\nPer video; drift: the last ten frames against the first ten:\n")
    header = ["video", *METHODS, "drift of the last"]
    rows = [
        [one.name, *(f"{one.mean(m):.2f}" for m in METHODS), f"{one.drift(METHODS[-1]):+.2f}"]
        for one in results
    ]
    _table(header, rows)


def _table(header: list[str], rows: list[list[str]]) -> None:
    """Print as Markdown, so that it can be pasted."""
    console.print_line(f"| {' | '.join(header)} |")
    console.print_line(f"|{'---|' * len(header)}")
    for row in rows:
        console.print_line(f"| {' | '.join(row)} |")
