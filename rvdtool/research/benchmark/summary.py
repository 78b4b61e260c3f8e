"""Means of figures over a video's frames, then over videos, as in the paper."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rvdtool.research.benchmark.measure import VideoResult
from rvdtool.research.benchmark.record import FrameRecord

ENDS = 10
"""Number of first and of last frames that are compared for the drift."""


@dataclass(frozen=True)
class Means:
    """Mean figures; PSNRs are in dB, and None if all predictions equal the truth (infinite).

    Attributes:
        psnr, ssim: strict protocol: rounded, (DN − black) / (white − black), range 1, planes.
        psnr_paper, ssim_paper: the paper's protocol: truncated, DN / (2^bits − 1), SSIM on the
            mosaic with range 2.
        seconds: computing time per frame.
        metadata_bytes: bytes of RAW per frame.
    """

    psnr: float | None
    ssim: float
    psnr_paper: float | None
    ssim_paper: float
    seconds: float
    metadata_bytes: float


def mean_of_frames(result: VideoResult) -> Means:
    """A video's mean over all scored frames."""
    return _means(result.record.frames, result.record.metadata_bytes)


def mean_of_videos(results: Sequence[VideoResult]) -> Means:
    """Mean of the videos' means; all `results` must be of one method."""
    return _means(
        [mean_of_frames(result) for result in results],
        _mean(result.record.metadata_bytes for result in results),
    )


def by_method(results: Iterable[VideoResult]) -> dict[str, list[VideoResult]]:
    """Results by method, in their order."""
    groups: dict[str, list[VideoResult]] = {}
    for result in results:
        groups.setdefault(result.method, []).append(result)
    return groups


def by_tag(results: Sequence[VideoResult]) -> dict[str, list[VideoResult]]:
    """Results by the videos' tags, sorted by name; then `all`."""
    tags = sorted({tag for result in results for tag in result.clip.tags})
    groups = {tag: [one for one in results if tag in one.clip.tags] for tag in tags}
    return groups | {"all": list(results)}


def drift(result: VideoResult) -> float | None:
    """Mean PSNR in dB (paper's protocol) of the last ten frames minus that of the first ten.

    None if either has no scored frame, or if they overlap.
    """
    frames = result.record.frames
    last = frames[-1].index
    if last < 2 * ENDS:
        return None
    begin = _finite_mean(frame.psnr_paper for frame in frames if frame.index <= ENDS)
    end = _finite_mean(frame.psnr_paper for frame in frames if frame.index > last - ENDS)
    return None if begin is None or end is None else end - begin


def mean_drift(results: Sequence[VideoResult]) -> float | None:
    """Mean of the videos' drifts."""
    return _finite_mean(drift(result) for result in results)


def curve(results: Sequence[VideoResult]) -> dict[int, Means]:
    """Frame index → mean over the videos that have the frame (the paper's Figure 8)."""
    frames: dict[int, list[FrameRecord]] = {}
    for result in results:
        for frame in result.record.frames:
            frames.setdefault(frame.index, []).append(frame)
    metadata_bytes = _mean(result.record.metadata_bytes for result in results)
    return {index: _means(group, metadata_bytes) for index, group in sorted(frames.items())}


def _means(figures: Sequence[FrameRecord | Means], metadata_bytes: float) -> Means:
    return Means(
        psnr=_finite_mean(one.psnr for one in figures),
        ssim=_mean(one.ssim for one in figures),
        psnr_paper=_finite_mean(one.psnr_paper for one in figures),
        ssim_paper=_mean(one.ssim_paper for one in figures),
        seconds=_mean(one.seconds for one in figures),
        metadata_bytes=metadata_bytes,
    )


def _finite_mean(values: Iterable[float | None]) -> float | None:
    """Mean of the finite values (not None); None if there are none."""
    finite = [value for value in values if value is not None]
    return sum(finite) / len(finite) if finite else None


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
