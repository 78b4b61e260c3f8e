"""Rate and distortion: bundles against codecs of the RAW itself, on the same clips."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import fmean

import numpy as np

from rvdtool.errors import UsageError
from rvdtool.research.benchmark.calibrated import Calibrated
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.fusion import Fusion
from rvdtool.research.benchmark.measure import VideoResult
from rvdtool.research.benchmark.methods import find_method
from rvdtool.research.benchmark.run import BenchmarkPlan
from rvdtool.research.benchmark.summary import by_method, mean_of_frames
from rvdtool.research.dataset.rvd import open_rvd
from rvdtool.video.decode import probe
from rvdtool.video.source import DEFAULT_IMAGE_RATE, open_source

RAWS = (1, 2, 4, 8)
"""Numbers of RAW frames in a bundle that are compared."""

HEVC = ("hevc-0", "hevc-6", "hevc-12", "hevc-18", "hevc-24", "hevc-30")
JPEG_XL = ("jxl-0.1", "jxl-0.3", "jxl-1", "jxl-3")
RIVALS = (*HEVC, *JPEG_XL, "dng-log10", "dng-ljpeg")
"""Codecs of the RAW frames that bundles are compared with."""


def rate_plan(plan: BenchmarkPlan) -> BenchmarkPlan:
    """The plan with codecs, and with bundles of 1, 2, 4 and 8 RAWs in place of each method.

    Numbers of RAWs above half of the shortest video's frames are left out.

    Raises:
        InputError: the data set can't be read.
        UsageError: a method doesn't exist, or can't reconstruct bundles or samples of each frame.
    """
    shortest = min(len(video.frames) for video in open_rvd(plan.root).videos)
    shortest = min(shortest, plan.frames or shortest)
    names: list[str] = []
    for name in plan.methods:
        method = find_method(name)
        if isinstance(method, Fusion | Calibrated):
            names += [f"{name}+{raws}raw" for raws in RAWS if 2 * raws <= shortest]
        elif method.alone:
            names.append(name)
        else:
            raise UsageError(
                f"--rate --methods {name}: give fusion, a fagdn-calibrated model, a CAM or inf"
            )
    return replace(plan, methods=(*names, *RIVALS), edits=True)


@dataclass(frozen=True)
class VideoFile:
    """The size in bytes of a clip's sRGB video, and its frames per second.

    Attributes:
        encoded: whether it is a file; otherwise the size is that of all frames as PNGs.
    """

    size: int
    rate: Fraction
    encoded: bool

    @classmethod
    def of(cls, clip: BenchmarkClip) -> "VideoFile":
        """Look at a clip's video.

        Raises:
            VideoError: it can't be read.
        """
        if clip.encoded is None:
            paths = [clip.folder.srgb_path(clip.video, index) for index in range(len(clip))]
            return cls(sum(path.stat().st_size for path in paths), DEFAULT_IMAGE_RATE, False)
        info = probe(open_source(clip.encoded))
        return cls(clip.encoded.stat().st_size, info.rate, True)


@dataclass(frozen=True)
class Rate:
    """A method's rate and distortion, of one video or as mean over videos.

    Attributes:
        added: bits per photosite of what is stored besides the sRGB video.
        total: the same with the sRGB video, if the method needs it.
        per_second: total in Mbit/s.
        psnr, psnr_strict: dB, protocols of the paper and strict (`Means`); None if lossless.
        delta_e: mean CIEDE2000 after each edit.
        encoding: processor seconds per frame for storing, without the sRGB video.
        decoding: computing time in seconds per frame for getting the RAW back.
    """

    added: float
    total: float
    per_second: float
    psnr: float | None
    psnr_strict: float | None
    delta_e: Mapping[str, float]
    encoding: float
    decoding: float

    @property
    def mean_delta_e(self) -> float:
        """Mean over the edits."""
        return fmean(self.delta_e.values())


def rate_of(result: VideoResult, video: VideoFile) -> Rate:
    """A method's rate and distortion on one video.

    Frames that are known exactly don't count: neither their PSNR nor their ΔE.
    """
    record, clip = result.record, result.clip
    count, photosites = record.frames[-1].index + 1, clip.reference.mosaic.size
    means = mean_of_frames(result)
    added = 8 * record.metadata_bytes / photosites
    shared = 8 * video.size / len(clip) / photosites
    total = added + (shared if find_method(result.method).needs_video else 0)
    inexact = [one for one in record.frames if one.psnr is not None] or record.frames
    edited = [one.delta_e for one in inexact if one.delta_e is not None]
    return Rate(
        added=added,
        total=total,
        per_second=total * photosites * float(video.rate) / 1e6,
        psnr=means.psnr_paper,
        psnr_strict=means.psnr,
        delta_e={name: fmean(one[name] for one in edited) for name in edited[0]},
        encoding=record.encode_seconds / count,
        decoding=means.seconds,
    )


def mean_rate(rates: Sequence[Rate]) -> Rate:
    """Mean over videos. A PSNR is None only if it is in all of them."""

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return fmean(known) if known else None

    return Rate(
        added=fmean(one.added for one in rates),
        total=fmean(one.total for one in rates),
        per_second=fmean(one.per_second for one in rates),
        psnr=mean(one.psnr for one in rates),
        psnr_strict=mean(one.psnr_strict for one in rates),
        delta_e={name: fmean(one.delta_e[name] for one in rates) for name in rates[0].delta_e},
        encoding=fmean(one.encoding for one in rates),
        decoding=fmean(one.decoding for one in rates),
    )


@dataclass(frozen=True)
class Versus:
    """A bundle against codecs of the RAW, on one video. None: beyond the rates measured.

    Attributes:
        hevc_db: HEVC's PSNR at the bundle's total rate minus the bundle's, in dB.
        hevc_delta_e: HEVC's mean ΔE after edits at that rate minus the bundle's.
        jxl_ratio: JPEG XL's rate for the bundle's PSNR, divided by the bundle's total rate.
        same_psnr: number of frames from which on the bundle adds less to the sRGB video than HEVC
            of the RAW would at the bundle's PSNR.
        same_delta_e: the same at the bundle's mean ΔE after edits.
        raw_share: share of the RAW files in what the bundle adds: planes can be made from them.
            Numbers of frames times this share are those for a camera that stores no planes.
    """

    hevc_db: float | None
    hevc_delta_e: float | None
    jxl_ratio: float | None
    same_psnr: float | None
    same_delta_e: float | None
    raw_share: float


def versus(result: VideoResult, rates: Mapping[str, Rate]) -> Versus:
    """Compare a bundle with codecs.

    Between measured rates, PSNR and ΔE are interpolated linearly over the logarithm of the rate.

    Args:
        result: the bundle's.
        rates: those of all methods on the same video.
    """
    ours, parts = rates[result.method], result.record.parts
    hevc, jxl = ([rates[name] for name in names] for names in (HEVC, JPEG_XL))
    better = _at(_logs(hevc), _psnrs(hevc), math.log(ours.total))
    closer = _at(_logs(hevc), [one.mean_delta_e for one in hevc], math.log(ours.total))
    psnr = math.inf if ours.psnr is None else ours.psnr
    jxl_log = _at(_psnrs(jxl), _logs(jxl), psnr)

    def frames(log_rate: float | None) -> float | None:
        bits = ours.added * (result.record.frames[-1].index + 1)
        return None if log_rate is None else bits / math.exp(log_rate)

    return Versus(
        hevc_db=None if better is None else better - psnr,
        hevc_delta_e=None if closer is None else closer - ours.mean_delta_e,
        jxl_ratio=None if jxl_log is None else math.exp(jxl_log) / ours.total,
        same_psnr=frames(_at(_psnrs(hevc), _logs(hevc), psnr)),
        same_delta_e=frames(
            _at([one.mean_delta_e for one in hevc], _logs(hevc), ours.mean_delta_e)
        ),
        raw_share=parts["raw"] / sum(parts.values()),
    )


def _logs(curve: Sequence[Rate]) -> list[float]:
    return [math.log(one.total) for one in curve]


def _psnrs(curve: Sequence[Rate]) -> list[float]:
    return [math.inf if one.psnr is None else one.psnr for one in curve]


def _at(xs: Iterable[float], ys: Iterable[float], x: float) -> float | None:
    """y at x, by linear interpolation between points in any order; None beyond them."""
    over, found = np.array(sorted(zip(xs, ys, strict=True))).T
    return float(np.interp(x, over, found)) if over[0] <= x <= over[-1] else None


class Rates:
    """Rates of all methods and videos.

    Attributes:
        results: results of `run` for a plan of `rate_plan`.
        videos: sRGB video by clip's name.
    """

    def __init__(self, results: Sequence[VideoResult]) -> None:
        self.results = results
        clips = {one.clip.name: one.clip for one in results}
        self.videos = {name: VideoFile.of(clip) for name, clip in clips.items()}
        self._rates = {
            (one.clip.name, one.method): rate_of(one, self.videos[one.clip.name]) for one in results
        }

    def of_video(self, name: str) -> dict[str, Rate]:
        """Method → rate on one video."""
        return {method: rate for (video, method), rate in self._rates.items() if video == name}

    def means(self, results: Sequence[VideoResult]) -> dict[str, Rate]:
        """Method → mean rate over the videos of some results."""
        return {
            method: mean_rate([self._rates[one.clip.name, method] for one in group])
            for method, group in by_method(results).items()
        }

    def versus(self, results: Sequence[VideoResult]) -> dict[str, list[Versus]]:
        """Bundle → comparison with codecs on each of its videos."""
        return {
            method: [versus(one, self.of_video(one.clip.name)) for one in group]
            for method, group in by_method(results).items()
            if "planes" in group[0].record.parts
        }
