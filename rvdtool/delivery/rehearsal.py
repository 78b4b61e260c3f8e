"""Estimates the cost of a run from its first frames, or by a rehearsal that writes nothing."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
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
from rvdtool.raw.frame import Mosaic, RawFrame
from rvdtool.reconstruct.blend import steps
from rvdtool.reconstruct.compiled import must_compile
from rvdtool.reconstruct.references import Anchor, start_chain
from rvdtool.video.decode import read_frames
from rvdtool.video.frame import Rgb

if TYPE_CHECKING:
    from rvdtool.fagdn.chain import FagdnChain

MEASURED = 4
"""Number of frames that are timed."""


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


class Pace:
    """Times the first frames that the chains of a run make, and estimates what all will take."""

    def __init__(self, run: Run, need: Need) -> None:
        """Look at the run.

        Args:
            run: a run whose output folder doesn't exist, or is locked against other runs; it hasn't
                changed anything there yet.
            need: result of `Run.need`.

        Raises:
            OutputError: the folder has files in it that may not be replaced, or can't be resumed.
        """
        self._run = run
        self._left = run.left() if run.folder.is_dir() else run.span
        resumed = self._left != run.span
        work = list(stretches(run.bundle, self._left)) if self._left else []
        if run.uses_fagdn:  # it always starts at frame 0
            work = [(1, run.span.stop - (self._left.start if resumed else 1))]
        self._chains = sum(count for count, _ in work)
        self._steps = sum(count * length for count, length in work)
        self._need = replace(need, free=free_space(run.folder, replaced=not resumed))

    def start(self) -> None:
        """Start the clock."""
        self._compiles = must_compile()
        self._times = [perf_counter()]
        self._last: tuple[RawFrame, int] | None = None

    def begun(self) -> None:
        """Note that the first chain has started."""
        self._times.append(perf_counter())

    def made(self, frame: RawFrame, index: int) -> None:
        """Note that a chain has made a frame."""
        self._times.append(perf_counter())
        self._last = frame, index

    @property
    def frames(self) -> int:
        """Number of frames made."""
        return len(self._times) - 1

    def estimate(self, decoding: float = 0.0) -> RunEstimate:
        """Estimate the cost of the run.

        Args:
            decoding: seconds per frame of the video, as far as they weren't timed with the rest.
        """
        run, (start, begun, *made) = self._run, self._times
        step = (made[-1] - begun) / len(made) if made else 0.0
        chains = min(self._chains, 1) if self._compiles else self._chains
        size = self._need.dngs // len(run.span)
        if self._last is not None:
            frame = run.grained(*self._last)
            size = len(encode_dng(frame, compression=run.options.compression))
        return RunEstimate(
            frames=len(self._left),
            seconds=chains * (begun - start) + self._steps * step + run.span.stop * decoding,
            need=replace(self._need, dngs=len(self._left) * size),
        )


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
    need = run.need()
    with writing_alone(folder, "output folder") if folder.is_dir() else nullcontext():
        pace = Pace(run, need)
        rgb, pictures, direction, decoding = _pictures(bundle)
        if must_compile():  # a first measurement would include compilation, which takes longer
            _measure(pace, run, rgb, pictures, direction, advance)
        _measure(pace, run, rgb, pictures, direction, advance)
        return pace.estimate(decoding)


def _pictures(bundle: Bundle) -> tuple[Rgb, list[Rgb], Literal[1, -1], float]:
    """The first reference's video frame, the frames after it (or before it, nearest first), their
    direction, and seconds per decoded frame."""
    index, start = bundle.references[0].index, perf_counter()
    before: deque[Rgb] = deque(maxlen=MEASURED)
    frames = read_frames(bundle.checked_video(), bundle.video_info)
    for frame in islice(frames, index):
        before.append(frame.rgb)
    rgb = next(frames).rgb
    after = [frame.rgb for frame in islice(frames, MEASURED)]
    seconds = (perf_counter() - start) / (index + 1 + len(after))
    if after:
        return rgb, after, 1, seconds
    return rgb, list(reversed(before)), -1, seconds


def _measure(
    pace: Pace,
    run: Run,
    rgb: Rgb,
    pictures: Sequence[Rgb],
    direction: Literal[1, -1],
    advance: Callable[[int], None] | None,
) -> None:
    """Time the start of a chain and its steps over `pictures`."""
    pace.start()
    anchor = Anchor.of(run.bundle.references[0], rgb)
    mosaics: Iterator[Mosaic]
    if run.options.model is not None and run.uses_fagdn:
        from rvdtool.fagdn.chain import FagdnChain

        mosaics = _fagdn_mosaics(FagdnChain(run.options.model.network, anchor.raw, rgb), pictures)
    else:
        chain = start_chain(run.clip, anchor, direction)
        mosaics = (one.mosaic for one in steps(chain, pictures, run.clip.in_flight))
    pace.begun()
    for age, mosaic in enumerate(mosaics, 1):
        pace.made(anchor.raw.with_mosaic(mosaic), anchor.index + direction * age)
        if advance:
            advance(1)


def _fagdn_mosaics(chain: "FagdnChain", pictures: Sequence[Rgb]) -> Iterator[Mosaic]:
    for picture in pictures:
        chain.step(picture)
        yield chain.mosaic()
