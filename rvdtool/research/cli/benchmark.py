"""`rvdtool research benchmark`: compare methods."""

import typing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from rvdtool.cli import console
from rvdtool.errors import UsageError

if typing.TYPE_CHECKING:
    from rvdtool.research.benchmark.measure import VideoResult
    from rvdtool.research.benchmark.run import BenchmarkPlan

DEFAULT_METHODS = "copy-warp,inverse-isp,fusion"
DEFAULT_RATE_METHODS = "fusion,fagdn-calibrated-small"


def benchmark(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder in RVD's layout (data.json, RAW/, sRGB/).", show_default=False),
    ],
    methods: Annotated[
        str | None,
        typer.Option(
            help="Separated by commas: copy-warp, inverse-isp, fusion, inf, or a trained "
            "model's name or folder. +tuned after a CAM model fine-tunes it to every "
            f"frame. By default {DEFAULT_METHODS}; with --rate {DEFAULT_RATE_METHODS}.",
            show_default=False,
        ),
    ] = None,
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
            help="Only every N-th frame, for methods that treat frames separately (inf, CAM), and "
            "for the edits of --rate.",
        ),
    ] = 1,
    rate: Annotated[
        bool,
        typer.Option(
            "--rate",
            help="Compare bundles of 1, 2, 4 and 8 RAWs with codecs of the RAW itself (HEVC, JPEG "
            "XL, lossless): rate, PSNR, edits, and cost.",
        ),
    ] = False,
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

    Example: rvdtool research benchmark RVD-Sim/test --rate --every 20 -o rates/
    """
    from rvdtool.research.benchmark.run import BenchmarkPlan, count_tasks, run

    if rate and low_resolution:
        raise UsageError("--rate is measured at full size; leave out --low-resolution")
    names = methods or (DEFAULT_RATE_METHODS if rate else DEFAULT_METHODS)
    with TemporaryDirectory() as scratch:
        plan = BenchmarkPlan(
            root=folder,
            results=output or Path(scratch),
            methods=tuple(name.strip() for name in names.split(",")),
            frames=frames,
            every=every,
            low_resolution=low_resolution,
            jobs=jobs,
            device=device,
        )
        if rate:
            from rvdtool.research.benchmark.rate import rate_plan

            plan = rate_plan(plan)
        if output:
            from rvdtool.research.benchmark.figures import require_matplotlib

            require_matplotlib()
        with console.progress("Scoring videos", count_tasks(plan), "videos") as advance:
            results = run(plan, advance)
        report = _report_rates if rate else _report
        report(plan, results, output, as_json)


def _report(
    plan: "BenchmarkPlan", results: "list[VideoResult]", output: Path | None, as_json: bool
) -> None:
    from rvdtool.research.benchmark.methods import find_method
    from rvdtool.research.benchmark.report import as_json as to_json
    from rvdtool.research.benchmark.report import markdown, write_report

    found = [find_method(name) for name in plan.methods]
    switches = {method.name: method.switches for method in found}
    if output:
        write_report(plan, results, switches)
    if as_json:
        console.print_json(to_json(results))
    else:
        console.print_line(markdown(results, switches))


def _report_rates(
    plan: "BenchmarkPlan", results: "list[VideoResult]", output: Path | None, as_json: bool
) -> None:
    from rvdtool.research.benchmark.rate import Rates
    from rvdtool.research.benchmark.rate_report import (
        rate_json,
        rate_markdown,
        write_rate_report,
    )

    rates = Rates(results)
    if output:
        write_rate_report(rates, output)
    if as_json:
        console.print_json(rate_json(rates))
    else:
        console.print_line(rate_markdown(rates))
