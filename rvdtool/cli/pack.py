"""`rvdtool pack`: a video and a RAW frame become a bundle."""

import typing
from pathlib import Path
from typing import Annotated

import typer

from rvdtool.cli import console
from rvdtool.cli.levels import Bits, Black, Phase, White, parse_levels
from rvdtool.errors import UsageError

if typing.TYPE_CHECKING:
    from fractions import Fraction


def pack(
    video: Annotated[
        Path, typer.Argument(help="Video file, or a folder of PNG frames.", show_default=False)
    ],
    raw: Annotated[
        Path,
        typer.Argument(
            help="RAW of the video's first frame: DNG, camera RAW, or a 16-bit mosaic as TIFF/PNG.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The bundle; by default beside VIDEO, as .rvd."),
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="Frames per second of a PNG folder: 25 or 30000/1001.")
    ] = None,
    assume: Annotated[
        str | None,
        typer.Option(
            help="Read the video's colour like this, whatever its stream says: "
            "matrix=…,range=…,transfer=…,primaries=… (any of them)."
        ),
    ] = None,
    black: Black = None,
    white: White = None,
    phase: Phase = None,
    bits: Bits = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the bundle.")] = False,
) -> None:
    """Put a video and its one RAW frame into a bundle.

    Example: rvdtool pack clip.mp4 first.dng -o clip.rvd
    """
    from rvdtool.bundle.store import open_bundle
    from rvdtool.capture.pack import pack as pack_bundle
    from rvdtool.video.decode import Assume

    inputs = [*(video.iterdir() if video.is_dir() else [video]), raw]
    total = sum(path.stat().st_size for path in inputs if path.is_file())
    with console.progress("Packing", total, "bytes") as advance:
        path = pack_bundle(
            video,
            raw,
            output,
            levels=parse_levels(black, white, phase, bits),
            assume=Assume() if assume is None else Assume.parse(assume),
            rate=_rate(rate),
            overwrite=overwrite,
            advance=advance,
        )
    manifest = open_bundle(path).manifest
    score = manifest.references[0].match_score
    console.print_line(
        f"{path}: {manifest.video.frame_count} frames of "
        f"{manifest.video.width}×{manifest.video.height}, RAW matches frame 0 by {score:.3f}"
    )


def _rate(text: str | None) -> "Fraction | None":
    from fractions import Fraction

    try:
        return None if text is None else Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"--rate {text}: give frames per second, as 25 or 30000/1001") from error
