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
            help="paper: the published network as its paper trains it; published-code: as its "
            "authors' code does; cam: CAM; fagdn: ours; fagdn-small: ours, a fifth as large.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder for logs, state and model; a run that is there is gone on with.",
            show_default=False,
        ),
    ],
    validation: Annotated[
        Path | None,
        typer.Option(help="Folder in RVD's layout to score on now and then, chained."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Updates of the weights; the preset's by default.")
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(min=0, help="… as passes over the data: one crop per pair of frames."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0, help="Stop after this long (validation not counted); the same command goes on."
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Crops per step and process; the preset's by default.")
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(min=2, help="Side of the crops in photosites; the preset's by default."),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave a part out (ablation), repeatable. fagdn: full_resolution, warping, "
            "confidence_map, anchored, calibrated, chained; paper: warping, confidence_map, gla, "
            "auxiliary_loss; cam: meta.",
            show_default=False,
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="Add a part that is off by default, repeatable. fagdn: gla.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="A model (its name or folder) from whose weights a new run starts: to go on with "
            "other data.",
            show_default=False,
        ),
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(help="fagdn: where to keep what it computes first; evidence/ in the output."),
    ] = None,
    validate_every: Annotated[
        int | None, typer.Option(min=1, help="Steps; 1000 by default.", show_default=False)
    ] = None,
    validation_frames: Annotated[
        int | None, typer.Option(min=2, help="Frames of each validation video; all by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order, crops, dropout.")] = 0,
    precision: Annotated[str, typer.Option(help="32-true or bf16-mixed.")] = "32-true",
    accelerator: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto.")] = "auto",
    devices: Annotated[
        str, typer.Option(help="Devices (processes, on a CPU) per machine, or auto.")
    ] = "auto",
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    workers: Annotated[
        int, typer.Option(min=1, help="Threads that read frames, in each process.")
    ] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Train a network, or go on where an earlier session stopped; the output is then a model.

    Example: rvdtool research train RVD/train --preset paper --validation RVD/validation -o run/
    """
    from rvdtool.network.checkpoint import load_model
    from rvdtool.research.dataset.rvd import open_rvd
    from rvdtool.research.training import loop
    from rvdtool.research.training.presets import Overrides, make_recipe

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
    recipe = make_recipe(
        preset,
        [open_rvd(folder) for folder in folders],
        open_rvd(validation) if validation else None,
        evidence or output / "evidence",
        overrides,
        fabric.world_size,
    )
    preparations = recipe.count_preparations(fabric.world_size)
    if preparations:
        with console.progress("Looking at videos", preparations, "videos") as advance:
            recipe.prepare(fabric.global_rank, fabric.world_size, advance)
        fabric.barrier()
    with console.progress("Training", recipe.settings.steps, "steps") as advance:
        result = loop.train(
            fabric,
            recipe,
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
        f"{output}: {recipe.kind}, {result.step} steps in {result.hours:.2f} h"
        + (f"; validation {figures}" if figures else "")
    )
    if not result.finished:
        left = recipe.settings.steps - result.step
        console.note(f"{left} steps are left; repeat the command to go on")
