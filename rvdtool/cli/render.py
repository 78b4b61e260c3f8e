"""`rvdtool render`: develops RAW frames into a video or linear pictures."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rvdtool.cli import console
from rvdtool.cli.rates import parse_rate
from rvdtool.errors import UsageError

if TYPE_CHECKING:
    from rvdtool.delivery.develop import Developed


def render(
    frames: Annotated[Path, typer.Argument(help="Folder of DNGs of one clip.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="A video (.mp4, .mov, .mkv), or a folder for linear OpenEXR pictures (ACES AP0).",
            show_default=False,
        ),
    ],
    codec: Annotated[
        Literal["h264", "prores", "dnxhr"] | None,
        typer.Option(
            help="h264: 8 bits; prores: ProRes 422 HQ; dnxhr: DNxHR HQX, both 10 bits. By default "
            "prores in .mov, else h264.",
            show_default=False,
        ),
    ] = None,
    curve: Annotated[
        Literal["rec709", "srgb", "log"],
        typer.Option(help="rec709 or srgb: for viewing; log: ACEScct, for grading."),
    ] = "rec709",
    white_balance: Annotated[
        str,
        typer.Option(
            help="as-shot, a colour temperature (5600), or a grey point of the first frame as X,Y."
        ),
    ] = "as-shot",
    exposure: Annotated[float, typer.Option(help="Exposure change in stops (−1 is darker).")] = 0.0,
    rate: Annotated[
        str | None,
        typer.Option(
            help="Frames per second; by default the DNGs' own, else 24.", show_default=False
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Develop a sequence of DNGs into a video, with constant exposure and white balance.

    Example: rvdtool render raws/ -o clip.mov --curve log
    """
    from rvdtool.delivery.develop import DevelopOptions, develop_sequence, require_place
    from rvdtool.raw.sequence import list_sequence

    options = DevelopOptions(
        white_balance=_parse_balance(white_balance),
        exposure=exposure,
        curve=curve,
        codec=codec,
        rate=parse_rate(rate),
    )
    require_place(output, options)
    files = list_sequence(frames)
    with console.progress("Developing", len(files)) as advance:
        done = develop_sequence(files, output, options, overwrite=overwrite, advance=advance)
    if as_json:
        console.print_json(
            {
                "output": str(output),
                "frames": done.frames,
                "width": done.size[0],
                "height": done.size[1],
                "codec": done.codec,
                "curve": curve if done.codec else None,
                "rate": str(done.rate),
                "neutral": done.neutral,
                "stops": done.stops,
            }
        )
        return
    console.print_line(_summary(output, done, curve))
    if done.codec and not done.said_rate:
        console.note(f"{frames}: no frame rate in the DNGs, so 24 is assumed; --rate sets it")


def _parse_balance(text: str) -> Literal["as-shot"] | float | tuple[int, int]:
    if text == "as-shot":
        return "as-shot"
    if point := re.fullmatch(r"(\d{1,6}),(\d{1,6})", text):
        return int(point[1]), int(point[2])
    if kelvin := re.fullmatch(r"(\d{1,6}) ?K?", text):
        return float(kelvin[1])
    raise UsageError(
        f"--white-balance {text}: has to be as-shot, a colour temperature in kelvin (5600), or a "
        "grey point of the first frame (640,360)"
    )


def _summary(output: Path, done: "Developed", curve: str) -> str:
    size = f"{done.size[0]}×{done.size[1]}"
    balance = " ".join(f"{value:.3f}" for value in done.neutral)
    what = (
        f"{done.codec}, {curve}, {float(done.rate):.5g} frames per second, no sound"
        if done.codec
        else "OpenEXR, linear, ACES AP0"
    )
    return (
        f"{output}: {done.frames} frames of {size}, {what}; {done.stops:+.2f} stops, camera "
        f"neutral {balance}"
    )
