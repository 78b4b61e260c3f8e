"""`rvdtool pack`: makes a bundle from a video and RAW frames."""

import os
import typing
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from rvdtool.cli import console
from rvdtool.cli.levels import Bits, Black, Phase, White, parse_levels
from rvdtool.cli.pack_list import pack_list
from rvdtool.cli.rates import parse_rate
from rvdtool.errors import UsageError

_RAW_ONLY = frozenset(
    f".{suffix}"
    for suffix in (
        *("dng", "mlv", "3fr", "arw", "cr2", "cr3", "crw", "dcr", "erf", "iiq", "kdc", "mef"),
        *("mrw", "nef", "nrw", "orf", "pef", "raf", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)
"""Suffixes of RAW files, which are certainly not videos."""

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rvdtool.capture.verdict import Verdict


def pack(
    context: typer.Context,
    video: Annotated[
        Path | None,
        typer.Argument(
            help="Video file, or a folder of PNG, JPEG or TIFF frames.", show_default=False
        ),
    ] = None,
    raw: Annotated[
        Path | None,
        typer.Argument(
            help="RAW of one of the video's first frames: DNG, camera RAW, .mlv, CinemaDNG "
            "folder, or a 16-bit mosaic as TIFF, PNG or FITS. The matching frame is "
            "detected automatically.",
            show_default=False,
        ),
    ] = None,
    raws: Annotated[
        list[str] | None,
        typer.Option(
            "--raw",
            help="RAW of a given frame, counted from 0: 120=second.dng, or by its time: "
            "4.5s=second.dng. Repeatable. For many files: '*=stills/*.dng' if their names end in "
            "the frame's number ('*s=': in its time in seconds).",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Bundle to write, or a folder for it; by default beside VIDEO, with the "
            "suffix .rvd.",
        ),
    ] = None,
    exposures: Annotated[
        Path | None,
        typer.Option(
            help="CSV of each frame's exposure, with a column frame or pts and any of "
            "exposure_time, iso, gain, wb_red, wb_green, wb_blue."
        ),
    ] = None,
    search: Annotated[
        int,
        typer.Option(
            min=1, help="Number of frames, from the first, to search for the RAW's match."
        ),
    ] = 30,
    preview: Annotated[
        Path | None,
        typer.Option(help="Write a PNG of video frame, aligned RAW and their difference."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Accept a RAW that doesn't match the video.")
    ] = False,
    rate: Annotated[
        str | None, typer.Option(help="Frames per second of a picture folder: 25 or 30000/1001.")
    ] = None,
    stream: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Video stream to use if there are several, by ffprobe's number; by default "
            "the one flagged as default, or the largest.",
        ),
    ] = None,
    as_listed: Annotated[
        bool,
        typer.Option(
            "--as-listed",
            help="Use a folder's pictures in the order of their names, even if numbers are "
            "missing or the names follow several patterns.",
        ),
    ] = False,
    assume: Annotated[
        str | None,
        typer.Option(
            help="Read the video like this, whatever its stream says: any of "
            "matrix=…,range=…,transfer=…,primaries=…,progressive."
        ),
    ] = None,
    black: Black = None,
    white: White = None,
    phase: Phase = None,
    bits: Bits = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing bundle.")
    ] = False,
    clips: Annotated[
        Path | None,
        typer.Option(
            "--list",
            help="Pack many clips: a CSV with the columns video, raw and options (as on the "
            "command line; raw or options may be left out).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Put a video and one or more of its RAW frames into a bundle.

    Example: rvdtool pack clip.mp4 first.dng -o clip.rvd
    """
    from rvdtool.bundle.store import open_bundle
    from rvdtool.capture.pack import pack as pack_bundle
    from rvdtool.capture.stills import Still, parse_stills
    from rvdtool.video.decode import Assume

    if clips is not None:
        _require_alone(context)
        pack_list(clips)
        return
    if video is None:
        raise UsageError("no video given: rvdtool pack VIDEO RAW; see rvdtool pack --help")
    _refuse_swapped(video, raw)
    stills = [*([] if raw is None else [Still(raw)]), *parse_stills(raws or ())]
    if not stills:
        raise UsageError(
            "no RAW frame given; name one after the video, or with --raw FRAME=FILE "
            "(counted from 0)"
        )
    inputs = [*(video.iterdir() if video.is_dir() else [video]), *(s.path for s in stills)]
    total = sum(path.stat().st_size for path in inputs if path.is_file())
    verdicts: list[Verdict] = []
    with _progress(total) as (looked, advance):
        path = pack_bundle(
            video,
            stills,
            None if output is None else _target(output, video),
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
            looked=looked,
            judged=verdicts.append,
            say=console.note,
        )
    manifest = open_bundle(path).manifest
    console.print_line(
        f"{path}: {manifest.video.frame_count} frames of "
        f"{manifest.video.width}×{manifest.video.height}, {_matches(verdicts)}"
    )


def _require_alone(context: typer.Context) -> None:
    """Refuse arguments and options given in addition to --list.

    Raises:
        UsageError: there are such.
    """
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name != "clips" and source is not None and source.name == "COMMANDLINE":
            raise UsageError(
                f"--list: leave out {parameter.opts[0]}; videos, RAWs and options go into the table"
            )


def _refuse_swapped(video: Path, raw: Path | None) -> None:
    if not _is_raw(video):
        return
    named = "VIDEO" if raw is None or _is_raw(raw) else raw
    raise UsageError(f"{video}: is RAW, but the video comes first: rvdtool pack {named} {video}")


def _is_raw(path: Path) -> bool:
    """Whether a file is RAW by its name, or a folder contains such files."""
    if not path.is_dir():
        return path.suffix.lower() in _RAW_ONLY
    return any(file.suffix.lower() in _RAW_ONLY for file in path.iterdir())


def _target(output: str, video: Path) -> Path:
    """Path of the bundle. An output that ends in a slash is a folder, which may not exist yet."""
    from rvdtool.capture.pack import bundle_name

    is_folder = output.endswith(("/", os.sep))
    return Path(output) / bundle_name(video) if is_folder else Path(output)


@contextmanager
def _progress(total: int) -> "Iterator[tuple[Callable[[int], None], Callable[[int], None]]]":
    """Show two progress bars in turn: one for compared frames, then one for copied bytes."""
    with ExitStack() as bars:
        looked = bars.enter_context(console.progress("Matching", None))
        copied: list[Callable[[int], None]] = []

        def advance(count: int) -> None:
            if not copied:
                bars.close()
                copied.append(bars.enter_context(console.progress("Packing", total, "bytes")))
            copied[0](count)

        yield looked, advance


def _matches(verdicts: "Sequence[Verdict]") -> str:
    if len(verdicts) == 1:
        return f"RAW matches frame {verdicts[0].index}: {verdicts[0]}"
    first, last = verdicts[0], verdicts[-1]
    scores = [verdict.score for verdict in verdicts]
    doubtful = [verdict for verdict in verdicts if verdict.word != "good"]
    lines = [f"  frame {verdict.index}, {verdict.name}: {verdict}" for verdict in doubtful]
    head = (
        f"{len(verdicts)} RAWs match frames {first.index} to {last.index} by {min(scores):.3f} to "
        f"{max(scores):.3f}: {len(verdicts) - len(doubtful)} good, {len(doubtful)} doubtful"
    )
    return "\n".join([head, *lines])
