"""At which rate a video's frames play, told from when each is shown.

Phones, screen recorders and webcams show frames at uneven times. Then the rate in the header means
little (FFmpeg guesses two or three times as many where the time base is fine), and a sequence of
pictures has one rate only.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from rvdtool.video.frame import VideoInfo

STANDARD_RATES = tuple(
    Fraction(rate) for rate in ("24000/1001", "24", "25", "30000/1001", "30", "48000/1001", "48",
                                "50", "60000/1001", "60", "100", "120000/1001", "120", "240")
)  # fmt: skip

SNAP = 0.002
"""A rate this close to a standard one, as a share, is that one: clocks and time bases round."""

EXACT = 0.0002
"""The same for the rate that a header states, as 29.97 or 19001/634: far less than from 29.97 to
30, and it may say anything exactly."""

NEAR = 0.05
"""Intervals that differ from the median by no more than this share, or by one unit of the time
base, tell the rate."""


@dataclass(frozen=True)
class Cadence:
    """How a video's frames follow each other.

    Attributes:
        rate: frames per second of the sequence that they become.
        variable: the frames don't keep any rate.
        slowest, fastest: frames per second of the longest and the shortest interval.
    """

    rate: Fraction
    variable: bool
    slowest: float
    fastest: float

    def __str__(self) -> str:
        """In words, for one line."""
        if not self.variable:
            return f"{float(self.rate):.5g} frames per second"
        return (
            f"variable frame rate, {self.slowest:.4g} to {self.fastest:.4g} per second; the median "
            f"is {float(self.rate):.5g}"
        )


def cadence(info: VideoInfo) -> Cadence:
    """Tell constant from variable frame rate.

    It is constant if at the nominal rate, or at that of the median interval, each frame falls into
    its own slot, one after the other, from the first to the last. Else the rate is the median's.
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
    """In which interval of 1/rate seconds after the first frame each frame is shown: 0, 1, 2, …

    Two frames may share a slot where the video is faster than `rate`, and none may fall into one.
    """
    first = info.timestamps[0]
    per_tick = info.time_base * rate
    up, down = per_tick.numerator, per_tick.denominator
    # Round half up, in whole numbers: floats lose frames of long clips.
    return np.array([(2 * (t - first) * up + down) // (2 * down) for t in info.timestamps])


def _typical_rate(steps: np.ndarray, info: VideoInfo) -> Fraction:
    """The rate of the median interval, freed from the time base's rounding where it can be."""
    median = float(np.median(steps))
    if median <= 0:
        return info.rate
    near = max(NEAR * median, 1.01 * float(info.time_base))
    mean = float(steps[np.abs(steps - median) <= near].mean())
    return _standard(1 / mean, SNAP) or Fraction(1 / mean).limit_denominator(1001)


def _standard(rate: float, tolerance: float) -> Fraction | None:
    """The standard rate that differs by no more than `tolerance`, as a share; None: none does."""
    nearest = min(STANDARD_RATES, key=lambda standard: abs(float(standard) / rate - 1))
    return nearest if abs(float(nearest) / rate - 1) <= tolerance else None
