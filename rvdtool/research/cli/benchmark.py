"""`rvdtool research benchmark`: compare methods."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from rvdtool.cli import console

DEFAULT_METHODS = "copy-warp,inverse-isp,fusion"


def benchmark(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder in RVD's layout (data.json, RAW/, sRGB/).", show_default=False),
    ],
    methods: Annotated[
        str,
        typer.Option(
            help="Separated by commas: copy-warp, inverse-isp, fusion, inf, or a trained "
            "model's name or folder. +tuned after a CAM model fine-tunes it to every "
            "frame."
        ),
    ] = DEFAULT_METHODS,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for tables, figures and the results of each frame; existing results "
            "are resumed.",
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(min=2, help="Use at most this many frames of each video; all by default."),
    ] = None,
    every: Annotated[
        int,
        typer.Option(
            min=1,
            help="Only every N-th frame, for methods that treat frames separately (inf, CAM).",
        ),
    ] = 1,
    low_resolution: Annotated[
        bool, typer.Option("--low-resolution", help="Also score everything at half size (Table 2).")
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Videos processed at a time.")
    ] = 2,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where networks run: cpu, cuda or mps. By default the fastest available."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every frame's figures as JSON.")
    ] = False,
) -> None:
    """Score methods on videos with true RAW: the paper's tables 1 to 3 and figures 7 and 8.

    Example: rvdtool research benchmark RVD-Sim/test --methods fusion,inf --every 20 -o results/
    """
    from rvdtool.research.benchmark.methods import find_method
    from rvdtool.research.benchmark.report import as_json as to_json
    from rvdtool.research.benchmark.report import markdown, write_report
    from rvdtool.research.benchmark.run import Plan, count_tasks, run

    names = tuple(name.strip() for name in methods.split(","))
    with TemporaryDirectory() as scratch:
        plan = Plan(
            root=folder,
            results=output or Path(scratch),
            methods=names,
            frames=frames,
            every=every,
            low_resolution=low_resolution,
            jobs=jobs,
            device=device,
        )
        if output:
            from rvdtool.research.benchmark.figures import require_matplotlib

            require_matplotlib()
        with console.progress("Scoring videos", count_tasks(plan), "videos") as advance:
            results = run(plan, advance)
        found = [find_method(name) for name in names]
        switches = {method.name: method.switches for method in found}
        if output:
            write_report(plan, results, switches)
    if as_json:
        console.print_json(to_json(results))
    else:
        console.print_line(markdown(results, switches))
