"""`rvdtool pack`: a video and a RAW frame become a bundle."""

import typing
from pathlib import Path
from typing import Annotated

import typer

from rvdtool.cli import console
from rvdtool.errors import UsageError

if typing.TYPE_CHECKING:
    from fractions import Fraction

    from rvdtool.raw.read import MosaicLevels


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
    black: Annotated[
        str | None,
        typer.Option(help="Of a TIFF/PNG mosaic: black level, one or four (cell, row by row)."),
    ] = None,
    white: Annotated[
        int | None, typer.Option(help="Of a TIFF/PNG mosaic: the value that is saturated.")
    ] = None,
    phase: Annotated[
        str | None, typer.Option(help="Of a TIFF/PNG mosaic: RGGB, BGGR, GRBG or GBRG.")
    ] = None,
    bits: Annotated[
        int | None, typer.Option(help="Of a TIFF/PNG mosaic: bits of a value, 1 to 16.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the bundle.")] = False,
) -> None:
    """Put a video and its one RAW frame into a bundle.

    Example: rvdtool pack clip.mp4 first.dng -o clip.rvd
    """
    from rvdtool.bundle.store import open_bundle
    from rvdtool.capture.pack import pack as pack_bundle
    from rvdtool.video.decode import Assume

    # PNG folders are small enough to go without a total
    total = video.stat().st_size if video.is_file() else None
    with console.progress("Packing", total, "bytes") as advance:
        path = pack_bundle(
            video,
            raw,
            output,
            levels=_levels(black, white, phase, bits),
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


def _levels(
    black: str | None, white: int | None, phase: str | None, bits: int | None
) -> "MosaicLevels | None":
    """What the user says about a plain mosaic: all of it or nothing."""
    if black is None and white is None and phase is None and bits is None:
        return None
    if black is None or white is None or phase is None or bits is None:
        raise UsageError(
            "a TIFF/PNG mosaic needs all of --black, --white, --phase and --bits; "
            "for example: --black 64 --white 1023 --phase RGGB --bits 10"
        )
    from rvdtool.raw.frame import CfaPhase
    from rvdtool.raw.read import MosaicLevels

    try:
        numbers = [float(number) for number in black.split(",")]
        first, second, third, fourth = numbers * 4 if len(numbers) == 1 else numbers
    except ValueError as error:
        raise UsageError(f"--black {black}: give one number or four, as in 64,64,63,64") from error
    if phase.upper() not in CfaPhase.__members__:
        raise UsageError(f"--phase {phase}: give one of {', '.join(CfaPhase.__members__)}")
    return MosaicLevels((first, second, third, fourth), white, CfaPhase(phase.upper()), bits)


def _rate(text: str | None) -> "Fraction | None":
    from fractions import Fraction

    try:
        return None if text is None else Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"--rate {text}: give frames per second, as 25 or 30000/1001") from error
