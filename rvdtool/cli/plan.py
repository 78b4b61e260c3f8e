"""`rvdtool plan`: at which frames further RAWs help most."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rvdtool.cli import console
from rvdtool.cli.sizes import parse_bytes
from rvdtool.errors import UsageError

if TYPE_CHECKING:
    from rvdtool.delivery.plan import Plan


def plan(
    clip: Annotated[
        Path, typer.Argument(help="A bundle (.rvd), or a video alone.", show_default=False)
    ],
    count: Annotated[
        int | None,
        typer.Option(min=1, help="Number of further RAWs; by default 3.", show_default=False),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Space for further RAWs, such as 200MB or 1.5GB. Each is assumed to be as large "
            "as the bundle's first RAW.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Mean expected PSNR, such as 42dB, to be reached by as few RAWs as possible.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the plans for 0, 1, 2, … RAWs as JSON.")
    ] = False,
) -> None:
    """Choose the frames at which further RAWs help most.

    A bundle is reconstructed once, without a network and without writing anything. For a video
    alone, a RAW of frame 0 is assumed, and expected PSNRs are relative to it.

    Example: rvdtool plan clip.rvd --count 3
    """
    from rvdtool.bundle.store import open_bundle
    from rvdtool.delivery.plan import look, look_at_video, raw_size
    from rvdtool.reconstruct.compiled import cores
    from rvdtool.reconstruct.threads import use_threads
    from rvdtool.video.decode import probe, read_frames
    from rvdtool.video.source import open_source

    if sum(option is not None for option in (count, budget, target)) > 1:
        raise UsageError("--count, --budget and --target can't be combined; give one of them")
    most, wanted = parse_bytes("--budget", budget), _parse_decibels(target)
    is_bundle = clip.suffix.lower() == ".rvd"
    if not is_bundle and (budget or target):
        raise UsageError(
            f"{clip}: without a RAW, neither bytes nor PSNRs are known; give --count instead of "
            "--budget or --target, or pack the video with its first RAW"
        )
    each = None
    if is_bundle:
        bundle = open_bundle(clip)
        each = raw_size(bundle)
        use_threads(cores())
        console.note_compiling()
        with console.progress("Reconstructing", bundle.video_info.frame_count) as advance:
            outlook = look(bundle, advance)
    else:
        source = open_source(clip, say=console.note)
        info = probe(source, say=console.note)
        with console.progress("Reading", info.frame_count) as advance:
            outlook = look_at_video(read_frames(source, info), advance)
        console.note(f"{clip}: a RAW of frame 0 is assumed, and expected PSNRs are relative to it")
    if outlook.every > 1:
        console.note(f"long clip: only one frame in {outlook.every} is considered for a RAW")
    if most is not None and each is not None:
        count = most // each
    plans = list(_up_to(outlook.plans(), 3 if count is None else count, wanted))
    if as_json:
        console.print_json([_as_json(one, plans[0], each) for one in plans])
        return
    for one in plans:
        further = len(one.frames)
        if further & (further - 1) == 0 or one is plans[-1]:  # 0, 1, 2, 4, 8, …
            console.print_line(_in_words(one, plans[0], each))
    if wanted is not None and plans[-1].mean < wanted:
        console.note(f"{wanted:g} dB isn't expected with any number of RAWs")


def _up_to(plans: "Iterable[Plan]", count: int, wanted: float | None) -> "Iterator[Plan]":
    """The plans up to `count` RAWs; or, if a PSNR is wanted, up to the first that reaches it."""
    for one in plans:
        yield one
        if len(one.frames) >= count if wanted is None else one.mean >= wanted:
            return


def _as_json(one: "Plan", none: "Plan", each: int | None) -> dict[str, object]:
    """A plan as a dictionary; `none` is that without further RAWs, `each` a RAW's bytes."""
    frame, psnr = one.worst
    return {
        "frames": one.frames,
        "bytes": None if each is None else each * len(one.frames),
        "gain": one.mean - none.mean,
        "expected_psnr": None if each is None else one.mean,
        "worst_frame": frame,
        "worst_expected_psnr": None if each is None else psnr,
    }


def _in_words(one: "Plan", none: "Plan", each: int | None) -> str:
    """A plan as a line of text; arguments as above."""
    further = len(one.frames)
    what = f"{further} further RAW{'s' * (further != 1)}" if further else "no further RAW"
    gain = f"{one.mean - none.mean:+.1f} dB"
    if each is not None:
        frame, psnr = one.worst
        what += f" ({each * further:,} bytes)" if further else ""
        gain = f"{one.mean:.1f} dB expected ({gain}), {psnr:.1f} dB in the worst frame, {frame}"
    where = ", ".join(map(str, one.frames))
    return f"{what}: {gain}" + (f"; at frame{'s' * (further > 1)} {where}" if further else "")


def _parse_decibels(text: str | None) -> float | None:
    """Parse `42dB` or `42`.

    Raises:
        UsageError: it isn't that.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?) ?(?:DB)?", text.strip().upper())
    if match is None:
        raise UsageError(f"--target {text}: give a PSNR in dB: 42dB or 42.5")
    return float(match[1])
