"""`rvdtool pack`: a video and a RAW frame become a bundle."""

import typing
from pathlib import Path
from typing import Annotated

import typer

from rvdtool.cli import console
from rvdtool.cli.levels import Bits, Black, Phase, White, parse_levels
from rvdtool.cli.rates import parse_rate
from rvdtool.errors import UsageError

if typing.TYPE_CHECKING:
    from collections.abc import Sequence

    from rvdtool.bundle.manifest import Reference


def pack(
    video: Annotated[
        Path,
        typer.Argument(
            help="Video file, or a folder of PNG, JPEG or TIFF frames.", show_default=False
        ),
    ],
    raw: Annotated[
        Path | None,
        typer.Argument(
            help="RAW of one of the video's first frames: DNG, camera RAW, .mlv, CinemaDNG folder, "
            "or a 16-bit mosaic as TIFF, PNG or FITS. Which frame is found out.",
            show_default=False,
        ),
    ] = None,
    raws: Annotated[
        list[str] | None,
        typer.Option(
            "--raw",
            help="RAW of a given frame: 120=second.dng, or 4.5s=second.dng; again for each. "
            "Many at once: '*=stills/*.dng', whose names end in the frame's number ('*s=' in "
            "seconds).",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The bundle; by default beside VIDEO, as .rvd."),
    ] = None,
    exposures: Annotated[
        Path | None,
        typer.Option(
            help="CSV with each frame's exposure: frame or pts, and exposure_time, iso, gain, "
            "wb_red, wb_green, wb_blue (any of them)."
        ),
    ] = None,
    search: Annotated[
        int, typer.Option(min=1, help="First frames among which RAW's own is looked for.")
    ] = 30,
    preview: Annotated[
        Path | None,
        typer.Option(help="PNG to write: frame, aligned RAW and difference, side by side."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Take a RAW that doesn't match the video.")
    ] = False,
    rate: Annotated[
        str | None, typer.Option(help="Frames per second of a picture folder: 25 or 30000/1001.")
    ] = None,
    stream: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Which of several video streams, by ffprobe's number; by default the one flagged "
            "as default, or the largest.",
        ),
    ] = None,
    as_listed: Annotated[
        bool,
        typer.Option(
            "--as-listed",
            help="Take a folder's pictures in the order of their names, even if numbers are "
            "missing or names follow several patterns.",
        ),
    ] = False,
    assume: Annotated[
        str | None,
        typer.Option(
            help="Read the video like this, whatever its stream says: "
            "matrix=…,range=…,transfer=…,primaries=…,progressive (any of them)."
        ),
    ] = None,
    black: Black = None,
    white: White = None,
    phase: Phase = None,
    bits: Bits = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the bundle.")] = False,
) -> None:
    """Put a video and one RAW frame of it, or several, into a bundle.

    Example: rvdtool pack clip.mp4 first.dng -o clip.rvd
    """
    from rvdtool.bundle.store import open_bundle
    from rvdtool.capture.pack import pack as pack_bundle
    from rvdtool.capture.stills import Still, parse_stills
    from rvdtool.video.decode import Assume

    stills = [*([] if raw is None else [Still(raw)]), *parse_stills(raws or ())]
    if not stills:
        raise UsageError("no RAW frame: name one after the video, or with --raw FRAME=FILE")
    inputs = [*(video.iterdir() if video.is_dir() else [video]), *(s.path for s in stills)]
    total = sum(path.stat().st_size for path in inputs if path.is_file())
    with console.progress("Packing", total, "bytes") as advance:
        path = pack_bundle(
            video,
            stills,
            output,
            levels=parse_levels(black, white, phase, bits),
            assume=Assume() if assume is None else Assume.parse(assume),
            rate=parse_rate(rate),
            stream=stream,
            as_listed=as_listed,
            exposures=exposures,
            search=search,
            preview=preview,
            force=force,
            overwrite=overwrite,
            advance=advance,
            say=console.note,
        )
    manifest = open_bundle(path).manifest
    console.print_line(
        f"{path}: {manifest.video.frame_count} frames of "
        f"{manifest.video.width}×{manifest.video.height}, {_matches(manifest.references)}"
    )


def _matches(references: "Sequence[Reference]") -> str:
    first, last = references[0].frame_index, references[-1].frame_index
    scores = [reference.match_score for reference in references]
    if first == last:
        return f"RAW matches frame {first} by {scores[0]:.3f}"
    return (
        f"{len(references)} RAWs match frames {first} to {last} by "
        f"{min(scores):.3f} to {max(scores):.3f}"
    )
