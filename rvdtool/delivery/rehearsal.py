"""Estimates the cost of a run by reconstructing a few frames, without writing anything."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from rvdtool.bundle.store import Bundle
from rvdtool.delivery.need import Need, free_space, stretches
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.output import writing_alone
from rvdtool.delivery.run import Run
from rvdtool.notes import Say, keep_quiet
from rvdtool.raw.dng import encode_dng
from rvdtool.raw.frame import Mosaic
from rvdtool.reconstruct.blend import steps
from rvdtool.reconstruct.compiled import must_compile
from rvdtool.reconstruct.references import Anchor, start_chain
from rvdtool.video.decode import read_frames
from rvdtool.video.frame import Rgb

if TYPE_CHECKING:
    from rvdtool.fagdn.chain import FagdnChain

_MEASURED = 4
"""Number of frames to reconstruct."""


@dataclass(frozen=True)
class RunEstimate:
    """Estimated cost of a run.

    Attributes:
        frames: number of frames to be made.
        seconds: estimated time in seconds.
        need: disk space.
    """

    frames: int
    seconds: float
    need: Need


def rehearse(
    bundle: Bundle,
    folder: Path,
    options: DerenderOptions = DerenderOptions(),
    advance: Callable[[int], None] | None = None,
    say: Say = keep_quiet,
) -> RunEstimate:
    """Estimate what `derender_to_folder` would take with the same arguments.

    For a run that is to be resumed, only the remaining frames count.

    Args:
        bundle: an open bundle.
        folder: output folder of the run.
        options: see `DerenderOptions`.
        advance: called with the number of frames just measured.
        say: called with a line of text for everything that would be assumed or left out.

    Raises:
        BundleError, MismatchError, UsageError, VideoError: as in `derender_to_folder`.
        OutputError: the disk is surely too small; or the folder has files in it that may not be
            replaced, or can't be resumed.
    """
    run = Run(bundle, folder, options, say)
    if not folder.is_dir():
        return estimate(run, run.need(), advance)
    with writing_alone(folder, "output folder"):
        return estimate(run, run.need(), advance)


def estimate(run: Run, need: Need, advance: Callable[[int], None] | None = None) -> RunEstimate:
    """Estimate what a run would take.

    Args:
        run: a run whose output folder doesn't exist, or is locked against other runs.
        need: result of `Run.need`.
        advance: called with the number of frames just measured.

    Raises:
        BundleError, MismatchError, VideoError, OutputError: as in `rehearse`.
    """
    left = run.left() if run.folder.is_dir() else run.span
    resumed = left != run.span
    work = list(stretches(run.bundle, left)) if left else []
    if run.is_published:  # it always starts at frame 0
        work = [(1, run.span.stop - (left.start if resumed else 1))]
    rgb, pictures, direction, decoding = _pictures(run.bundle)
    if must_compile():  # a first measurement would include compilation, which takes longer
        _measure(run, rgb, pictures, direction, advance)
    begin, step, size = _measure(run, rgb, pictures, direction, advance)
    chains = sum(count for count, _ in work)
    seconds = chains * begin + sum(count * length for count, length in work) * step
    free = free_space(run.folder, replaced=not resumed)
    return RunEstimate(
        frames=len(left),
        seconds=seconds + run.span.stop * decoding,
        need=replace(need, dngs=len(left) * size, free=free),
    )


def _pictures(bundle: Bundle) -> tuple[Rgb, list[Rgb], Literal[1, -1], float]:
    """The first reference's video frame, the frames after it (or before it, nearest first), their
    direction, and seconds per decoded frame."""
    index, start = bundle.references[0].index, perf_counter()
    before: deque[Rgb] = deque(maxlen=_MEASURED)
    frames = read_frames(bundle.checked_video(), bundle.video_info)
    for frame in islice(frames, index):
        before.append(frame.rgb)
    rgb = next(frames).rgb
    after = [frame.rgb for frame in islice(frames, _MEASURED)]
    seconds = (perf_counter() - start) / (index + 1 + len(after))
    if after:
        return rgb, after, 1, seconds
    return rgb, list(reversed(before)), -1, seconds


def _measure(
    run: Run,
    rgb: Rgb,
    pictures: Sequence[Rgb],
    direction: Literal[1, -1],
    advance: Callable[[int], None] | None,
) -> tuple[float, float, int]:
    """Seconds to start a chain, seconds per step, and bytes per DNG."""
    options, start = run.options, perf_counter()
    anchor = Anchor.of(run.bundle.references[0], rgb)
    raw = anchor.raw
    mosaics: Iterator[Mosaic]
    if options.model is not None and run.is_published:
        from rvdtool.fagdn.chain import FagdnChain

        mosaics = _published(FagdnChain(options.model.network, raw, rgb), pictures)
    else:
        chain = start_chain(run.clip, anchor, direction)
        run.clip = replace(run.clip, first=anchor)  # the run needn't calibrate on it again
        mosaics = (one.mosaic for one in steps(chain, pictures))
    begun = perf_counter()
    sizes = []
    for age, mosaic in enumerate(mosaics, 1):
        made = run.grained(raw.with_mosaic(mosaic), anchor.index + direction * age)
        sizes.append(len(encode_dng(made, compression=options.compression)))
        if advance:
            advance(1)
    step = (perf_counter() - begun) / max(len(sizes), 1)
    sizes = sizes or [len(encode_dng(raw, compression=options.compression))]
    return begun - start, step, sum(sizes) // len(sizes)


def _published(chain: "FagdnChain", pictures: Sequence[Rgb]) -> Iterator[Mosaic]:
    for picture in pictures:
        chain.step(picture)
        yield chain.mosaic()
