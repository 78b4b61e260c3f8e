"""Find a video's frame rate from its timestamps, and whether it is constant or variable.

Phones, screen recorders and webcams record frames at uneven intervals. The rate in the header is
unreliable then (with a fine time base, FFmpeg's guess is two or three times too high), but an image
sequence can have only one rate.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from rvdtool.video.frame import VideoInfo

STANDARD_RATES = tuple(
    Fraction(rate) for rate in ("24000/1001", "24", "25", "30000/1001", "30", "48000/1001", "48",
                                "50", "60000/1001", "60", "100", "120000/1001", "120", "240")
)  # fmt: skip

SNAP = 0.002
"""A measured rate is taken as a standard rate if it differs by no more than this fraction, since
clocks and time bases are rounded."""

EXACT = 0.0002
"""The same tolerance for a rate stated in the header (29.97, 19001/634), which may be exact. It is
far smaller than the step from 29.97 to 30."""

NEAR = 0.05
"""The rate is the mean over intervals that differ from the median interval by no more than this
fraction, or by one unit of the time base."""


@dataclass(frozen=True)
class Cadence:
    """The frame rate of a video.

    Attributes:
        rate: frames per second of the DNG sequence made from it.
        variable: whether the frame rate is variable.
        slowest, fastest: 1 / the longest interval and 1 / the shortest, in frames per second; inf
            for an interval of 0.
    """

    rate: Fraction
    variable: bool
    slowest: float
    fastest: float

    def __str__(self) -> str:
        """A description that fits on one line."""
        if not self.variable:
            return f"{float(self.rate):.5g} frames per second"
        # Two frames may have the same time.
        fastest = f"to {self.fastest:.4g}" if math.isfinite(self.fastest) else "and more"
        return (
            f"variable frame rate, {self.slowest:.4g} {fastest} per second; the median is "
            f"{float(self.rate):.5g}"
        )


def cadence(info: VideoInfo) -> Cadence:
    """Find the frame rate, and whether it is constant.

    It is constant if, at the nominal rate or at the rate of the median interval, the frames fill
    consecutive slots of 1/rate seconds, one frame each. Otherwise it is variable, and `rate` is
    that of the median interval.
    """
    ticks = np.array(info.timestamps, np.int64)
    if len(ticks) < 2:
        return Cadence(info.rate, False, float(info.rate), float(info.rate))
    steps = np.diff(ticks) * float(info.time_base)
    shortest, longest = float(steps.min()), float(steps.max())
    spread = (1 / longest if longest else np.inf), (1 / shortest if shortest else np.inf)
    typical = _typical_rate(steps, info)
    for rate in (_standard(float(info.rate), EXACT), info.rate, typical):
        if rate and np.array_equal(slots_of(info, rate), np.arange(len(ticks))):
            return Cadence(rate, False, *spread)
    return Cadence(typical, True, *spread)


def slots_of(info: VideoInfo, rate: Fraction) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Number of the time slot (1/rate seconds long, the first frame's is 0) that each frame is in.

    Where the video is faster than `rate`, two frames may share a slot; where it is slower, slots
    may be empty.
    """
    first = info.timestamps[0]
    per_tick = info.time_base * rate
    up, down = per_tick.numerator, per_tick.denominator
    # Round half up with integers: float arithmetic would misplace frames of long clips.
    return np.array([(2 * (t - first) * up + down) // (2 * down) for t in info.timestamps])


def _typical_rate(steps: np.ndarray, info: VideoInfo) -> Fraction:
    """The rate of the median interval, averaged to remove the time base's rounding."""
    median = float(np.median(steps))
    if median <= 0:
        return info.rate
    near = max(NEAR * median, 1.01 * float(info.time_base))
    mean = float(steps[np.abs(steps - median) <= near].mean())
    return _standard(1 / mean, SNAP) or Fraction(1 / mean).limit_denominator(1001)


def _standard(rate: float, tolerance: float) -> Fraction | None:
    """The standard rate within the fraction `tolerance` of `rate`; None if there is none."""
    nearest = min(STANDARD_RATES, key=lambda standard: abs(float(standard) / rate - 1))
    return nearest if abs(float(nearest) / rate - 1) <= tolerance else None
