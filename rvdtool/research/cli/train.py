"""`rvdtool research train`: train a network on folders in RVD's layout."""

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rvdtool.cli import console


def train(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Folders in RVD's layout (data.json, RAW/, sRGB/).", show_default=False
        ),
    ],
    preset: Annotated[
        str,
        typer.Option(
            help="paper: FAGDN, trained as in its paper; fagdn-code: FAGDN, trained as in its "
            "authors' code; cam: CAM; fagdn-calibrated: rvdtool's own network; "
            "fagdn-calibrated-small: the same with a fifth of the weights.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder for logs, state and model; an existing run is resumed.",
            show_default=False,
        ),
    ],
    validation: Annotated[
        Path | None,
        typer.Option(
            help="Folder in RVD's layout to validate on, de-rendered from the first frame on."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Updates of the weights; by default the preset's.")
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            min=0, help="Passes over the data (one crop per pair of frames), instead of --steps."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0, help="Stop after this long, not counting validation; the same command continues."
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Crops per step and process; by default the preset's.")
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(min=2, help="Side of the crops in photosites; by default the preset's."),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave a part out (ablation); repeatable. fagdn-calibrated: full_resolution, "
            "warping, confidence_map, anchored, calibrated, chained; paper: warping, "
            "confidence_map, gla, auxiliary_loss; cam: meta.",
            show_default=False,
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="Add a part that is off by default; repeatable. fagdn-calibrated: gla.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="Model (name or folder) whose weights a new run starts from, to train it on "
            "other data.",
            show_default=False,
        ),
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(
            help="fagdn-calibrated: folder for the network's precomputed inputs; by default "
            "evidence/ in the output folder."
        ),
    ] = None,
    validate_every: Annotated[
        int | None,
        typer.Option(min=1, help="Steps between validations; 1000 by default.", show_default=False),
    ] = None,
    validation_frames: Annotated[
        int | None,
        typer.Option(
            min=2, help="Use at most this many frames of each validation video; all by default."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of weights, order, crops and dropout.")
    ] = 0,
    precision: Annotated[str, typer.Option(help="32-true or bf16-mixed.")] = "32-true",
    accelerator: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto.")] = "auto",
    devices: Annotated[
        str, typer.Option(help="Devices (on a CPU: processes) per machine, or auto.")
    ] = "auto",
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Threads that read frames, per process.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Train a network, or continue an earlier run. The output folder is a model.

    Example: rvdtool research train RVD/train --preset paper --validation RVD/validation -o run/
    """
    from rvdtool.network.checkpoint import load_model
    from rvdtool.research.dataset.rvd import open_rvd
    from rvdtool.research.training import loop
    from rvdtool.research.training.presets import Overrides, make_task

    count = int(devices) if devices.isdecimal() else devices
    fabric = loop.make_fabric(
        precision=precision, accelerator=accelerator, devices=count, nodes=nodes
    )
    overrides = Overrides(
        steps=steps,
        epochs=epochs,
        batch=batch,
        crop=crop,
        rate=rate,
        seed=seed,
        validate_every=validate_every,
        without=tuple(without or ()),
        also=tuple(also or ()),
        validation_frames=validation_frames,
        workers=workers,
    )
    task = make_task(
        preset,
        [open_rvd(folder) for folder in folders],
        open_rvd(validation) if validation else None,
        evidence or output / "evidence",
        overrides,
        fabric.world_size,
    )
    preparations = task.count_preparations(fabric.world_size)
    if preparations:
        with console.progress("Looking at videos", preparations, "videos") as advance:
            task.prepare(fabric.global_rank, fabric.world_size, advance)
        fabric.barrier()
    with console.progress("Training", task.settings.steps, "steps") as advance:
        result = loop.train(
            fabric,
            task,
            output,
            command=shlex.join(["rvdtool", *sys.argv[1:]]),
            start=load_model(start) if start else None,
            minutes=minutes,
            advance=advance if fabric.is_global_zero else lambda _: None,
            tell=console.note if fabric.is_global_zero else lambda _: None,
        )
    if not fabric.is_global_zero:
        return
    if as_json:
        console.print_json(asdict(result) | {"model": str(output)})
        return
    figures = ", ".join(f"{name} {value:.2f} dB" for name, value in result.validation.items())
    console.print_line(
        f"{output}: {task.kind}, {result.step} steps in {result.hours:.2f} h"
        + (f"; validation {figures}" if figures else "")
    )
    if not result.finished:
        left = task.settings.steps - result.step
        console.note(f"{left} steps are left; repeat the command to continue")
