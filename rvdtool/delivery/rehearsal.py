"""What a run would cost: a few frames are reconstructed and thrown away; nothing is written."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import perf_counter

from rvdtool.bundle.store import Bundle
from rvdtool.delivery.need import Need, stretches
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.run import Run
from rvdtool.notes import Say, keep_quiet
from rvdtool.raw.dng import encode_dng
from rvdtool.raw.frame import RawFrame
from rvdtool.reconstruct.blend import steps
from rvdtool.reconstruct.chain import Chain
from rvdtool.reconstruct.compiled import must_compile
from rvdtool.reconstruct.match import Match
from rvdtool.video.decode import read_frames
from rvdtool.video.frame import Rgb

_MEASURED = 4
"""Frames to reconstruct."""


@dataclass(frozen=True)
class Estimate:
    """What a run would cost.

    Attributes:
        frames: how many would be written.
        seconds: how long it would take.
        need: of the disk.
    """

    frames: int
    seconds: float
    need: Need


def rehearse(
    bundle: Bundle,
    folder: Path,
    options: DerenderOptions = DerenderOptions(),
    say: Say = keep_quiet,
) -> Estimate:
    """Estimate what `derender_to_folder` would take with the same arguments.

    Args:
        bundle: an open bundle.
        folder: where the frames would go.
        options: see there.
        say: told what would be assumed or left out.

    Raises:
        BundleError, MismatchError, UsageError, VideoError: as `derender_to_folder`.
        OutputError: the disk is surely too small, or the folder has files in it that may not be
            replaced.
    """
    run = Run(bundle, folder, options, say)
    run.check()
    need = run.need()
    work = list(stretches(bundle, run.span))
    if options.model is not None and options.model.kind == "fagdn":  # runs from frame 0 on
        work = [(1, run.span.stop - 1)]
    rgb, pictures, decoding = _pictures(bundle)
    if must_compile():  # which takes longer than the measurement
        _measure(bundle, run, options, rgb, pictures)
    begin, step, size = _measure(bundle, run, options, rgb, pictures)
    chains = sum(count for count, _ in work)
    seconds = chains * begin + sum(count * length for count, length in work) * step
    return Estimate(
        frames=len(run.span),
        seconds=seconds + run.span.stop * decoding,
        need=replace(need, dngs=len(run.span) * size),
    )


def _pictures(bundle: Bundle) -> tuple[Rgb, list[Rgb], float]:
    """The first reference's frame, some that follow it (or precede it), and seconds per frame."""
    index, start = bundle.references[0].index, perf_counter()
    before: deque[Rgb] = deque(maxlen=_MEASURED)
    frames = read_frames(bundle.checked_video(), bundle.video_info)
    for frame in islice(frames, index):
        before.append(frame.rgb)
    rgb = next(frames).rgb
    after = [frame.rgb for frame in islice(frames, _MEASURED)]
    seconds = (perf_counter() - start) / (index + 1 + len(after))
    return rgb, after or list(reversed(before)), seconds


def _measure(
    bundle: Bundle, run: Run, options: DerenderOptions, rgb: Rgb, pictures: Sequence[Rgb]
) -> tuple[float, float, int]:
    """Seconds to start a chain, seconds for a step, and bytes of a DNG."""
    reference = bundle.references[0]
    raw, start = replace(reference).frame, perf_counter()
    made: list[RawFrame] = []
    if options.model is not None and options.model.kind == "fagdn":
        from rvdtool.fagdn.chain import FagdnChain
        from rvdtool.fagdn.network import Fagdn

        assert isinstance(options.model.network, Fagdn)
        published = FagdnChain(options.model.network, raw, rgb)
        begun = perf_counter()
        for picture in pictures:
            published.step(picture)
            made.append(raw.with_mosaic(published.mosaic()))
    else:
        match = Match.of(raw, rgb, resampled=reference.is_resampled)
        chain = Chain(raw, rgb, gain=options.gain, network=run.clip.network, match=match)
        begun = perf_counter()
        made += [raw.with_mosaic(one.mosaic) for one in steps(chain, pictures)]
    sizes = [len(encode_dng(one, compression=options.compression)) for one in made or [raw]]
    end = perf_counter()
    return begun - start, (end - begun) / max(len(made), 1), sum(sizes) // len(sizes)
