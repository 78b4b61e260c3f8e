"""`rvdtool research dataset …`: make data sets of RAW video."""

import typing
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from rvdtool.cli import console
from rvdtool.errors import UsageError

if typing.TYPE_CHECKING:
    from rvdtool.research.dataset.recipe import Recipe

app = typer.Typer(
    name="dataset", help="Make data sets of RAW video in RVD's folder layout.", no_args_is_help=True
)


class Rendering(Enum):
    """LibRaw's settings."""

    default = "default"
    steady = "steady"


class FlowKind(Enum):
    """Source of optical flow."""

    dis = "dis"
    npy = "npy"


Sources = Annotated[
    list[Path],
    typer.Option(
        "--sources",
        "-s",
        help="Folder to search for the recipes' files; repeatable.",
        show_default=False,
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Sequences processed at a time.")]


@app.command()
def simulate(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the data set.")],
    sources: Sources,
    recipes: Annotated[
        list[Path] | None,
        typer.Argument(help="Recipe files; each becomes a video.", show_default=False),
    ] = None,
    standard_set: Annotated[
        bool,
        typer.Option("--rvd-sim", help="Make the project's own set, RVD-Sim."),
    ] = False,
    part: Annotated[
        list[str] | None,
        typer.Option(help="Make only this part of RVD-Sim; repeatable.", show_default=False),
    ] = None,
    flow: Annotated[
        bool, typer.Option("--flow", help="Also write the simulated motion's flow.")
    ] = False,
    jobs: Jobs = 2,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make existing videos of the same name again.")
    ] = False,
) -> None:
    """Simulate RAW video from stills and clips by recipes. Finished videos are kept.

    Example: rvdtool research dataset simulate recipe.json --sources photos/ -o RVD/
    """
    from rvdtool.research.dataset.produce import ProduceOptions, disk_need, produce
    from rvdtool.research.dataset.recipe import read_recipe
    from rvdtool.research.dataset.rvd_sim import PARTS, draw_part
    from rvdtool.research.dataset.scene import SourceFolders

    if bool(recipes) == standard_set:
        raise UsageError("give either recipe files or --rvd-sim")
    if part and not standard_set:
        raise UsageError("--part needs --rvd-sim; leave it out with recipe files")
    unknown = sorted(set(part or ()) - set(PARTS))
    if unknown:
        raise UsageError(f"--part {unknown[0]}: RVD-Sim has {', '.join(PARTS)}")
    parts: dict[Path, list[Recipe]] = {}
    if standard_set:
        parts = {output / name: list(draw_part(name)) for name in part or PARTS}
    else:
        parts = {output: [read_recipe(path) for path in recipes or []]}
    everything = [recipe for made in parts.values() for recipe in made]
    console.note(
        f"{len(everything)} videos, {sum(recipe.frames for recipe in everything)} frames, "
        f"about {disk_need(everything, flow) / 1e9:.1f} GB"
    )
    options = ProduceOptions(flow=flow, overwrite=overwrite, workers=jobs)
    with console.progress("Simulating", sum(recipe.frames for recipe in everything)) as advance:
        for folder, made in parts.items():
            for recipe in produce(made, SourceFolders(tuple(sources)), folder, options):
                advance(recipe.frames)
    for folder, made in parts.items():
        console.print_line(f"{folder}: {len(made)} videos")


@app.command()
def build(
    sequences: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of RAW frames (DNG, CinemaDNG) and .mlv files; each becomes a video."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the data set.")],
    render: Annotated[
        Rendering,
        typer.Option(
            help="default: LibRaw's defaults, as in the paper; steady: without "
            "auto-brightness per frame."
        ),
    ] = Rendering.default,
    drop: Annotated[int, typer.Option(min=0, help="Frames to skip at the start.")] = 0,
    keep: Annotated[
        int, typer.Option(min=0, help="Frames to keep of each sequence; 0 keeps all.")
    ] = 120,
    test_share: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share of the videos that goes to test/.")
    ] = 0.15,
    flow: Annotated[
        FlowKind | None,
        typer.Option(
            help="Also write optical flow to the next frame: computed by DIS, or copied from "
            "--flow-folder.",
            show_default=False,
        ),
    ] = None,
    flow_folder: Annotated[
        Path | None,
        typer.Option(
            help="Folder of VIDEO/FRAME_flow.npy, with frames numbered from 000000, as in the set."
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Frames rendered at a time.")
    ] = 2,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make existing videos of the same name again.")
    ] = False,
) -> None:
    """Build a data set from RAW sequences. Finished frames are kept.

    Example: rvdtool research dataset build clips/* -o RVD/ --drop 5 --keep 120
    """
    from rvdtool.research.dataset.build import BuildOptions, plan
    from rvdtool.research.dataset.build import build as build_set

    options = BuildOptions(
        drop=drop,
        keep=keep or None,
        render=render.value,
        flow=None if flow is None else flow.value,
        flow_folder=flow_folder,
        test_share=test_share,
        overwrite=overwrite,
        workers=jobs,
    )
    plans = plan(sequences, options)
    total = sum(len(one.frames) for one in plans)
    need = sum(one.bytes_needed for one in plans)
    console.note(f"{len(plans)} videos, {total} frames, about {need / 1e9:.1f} GB")
    with console.progress("Building", total) as advance:
        for _, frames in build_set(plans, output, options):
            advance(frames)
    for part in ("train", "test"):
        count = sum(one.part == part for one in plans)
        if count:
            console.print_line(f"{output / part}: {count} videos")
    console.note("the tags in tags.json are proposals: check and correct them")


@app.command()
def recipes(
    files: Annotated[list[Path], typer.Argument(help="Photographs, RAW stills and clips to film.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the recipe files.")],
    count: Annotated[int, typer.Option(min=1, help="Recipes to draw.")] = 10,
    frames: Annotated[int, typer.Option(min=1, help="Frames of each.")] = 24,
    size: Annotated[str, typer.Option(help="Frame size, as WIDTHxHEIGHT.")] = "448x320",
    seed: Annotated[int, typer.Option(min=0, help="A different seed draws different recipes.")] = 0,
    camera: Annotated[
        Path | None,
        typer.Option(
            help="RAW file of a camera whose colours and levels to use instead of drawn ones."
        ),
    ] = None,
) -> None:
    """Draw recipes for `simulate` from your own stills and clips.

    Example: rvdtool research dataset recipes photos/*.jpg --camera first.dng -o recipes/
    """
    from rvdtool.files import write_beside
    from rvdtool.raw.read import read_raw
    from rvdtool.research.dataset.own import OwnOptions, own_recipes, sensor_of
    from rvdtool.research.dataset.rvd import make_folder

    sensor = None if camera is None else sensor_of(read_raw(camera))
    drawn = own_recipes(files, OwnOptions(count, frames, _size(size), seed, sensor))
    make_folder(output)
    for recipe in drawn:
        with write_beside(output / f"{recipe.name}.json") as file:
            file.write(recipe.model_dump_json(indent=1).encode() + b"\n")
    console.print_line(f"{output}: {len(drawn)} recipes")


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise UsageError(f"--size {text}: give width and height, such as 640x448")
    return int(width), int(height)
