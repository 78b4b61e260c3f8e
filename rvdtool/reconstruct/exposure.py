"""Measure exposure steps that the ISP hides, from the noise.

LibRaw's auto-brightness makes all frames equally bright, whatever their exposure. But with twice
the exposure, shot noise grows only by √2. So if a video shows the sensor's noise (lossless ones
do), a change of noise at equal brightness reveals an exposure step. Small steps and slow changes
are below the error of this measurement.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.brightness import DARKEST, block_means
from rvdtool.reconstruct.flow import Flow, nearest, resize_flow
from rvdtool.reconstruct.statistics import Array, Curve, fine_power

SHOWN = 0.06
"""Largest ratio of the fit's fine variance to the noise variance for which the video shows the
noise. It is at most 0.04 in RVD-Sim's lossless training clips, and at least 0.12 with a codec."""
FLATTEST = 0.25
"""Fraction of the blocks that count as flat."""
ROUNDS = 3
"""Number of iterations of their selection, which depends on the step."""
ENOUGH = 100
"""Smallest number of flat blocks."""
FLAT = (0.5, 1.15)
"""Allowed ratio of their power to the noise known from the reference frame: more is texture, less
isn't noise."""
SAME = 0.03
"""Blocks whose levels differ by more than this fraction count as different objects."""
MANY = 5.0
"""A step must exceed the RMS of the previous readings by this factor."""
MEMORY = 0.8
"""Decay of the previous readings' weights per reading."""
FEWEST = 1 + MEMORY
"""Smallest total weight of previous readings: that of two."""
PRIOR = (2, 0.02)
"""Prior for the RMS of readings: number of assumed readings, and their error."""
_GRID = np.linspace(-1.2, 1.2, 97)
"""Logarithms of the tested steps."""


class Reading(NamedTuple):
    """A measurement of the change of exposure.

    Attributes:
        log: logarithm of the frame's exposure relative to the previous frame.
        sure: whether noise was measured and all parts of the frame agree.
    """

    log: float
    sure: bool


@dataclass(frozen=True)
class HiddenExposure:
    """The exposure of one frame, and statistics of the readings so far.

    Attributes:
        value: the frame's exposure relative to the reference frame.
        readings: total weight of previous readings that weren't steps.
        squares: weighted sum of their squares, for the error of readings in this video.
    """

    value: float = 1.0
    readings: float = 0.0
    squares: float = 0.0

    def after(self, reading: Reading | None) -> "HiddenExposure":
        """The next frame's exposure."""
        if reading is None:
            return self
        count, squares = self.readings, self.squares
        usual = math.sqrt((PRIOR[0] * PRIOR[1] ** 2 + squares) / (PRIOR[0] + count))
        stands_out = count >= FEWEST and abs(reading.log) > MANY * usual
        if reading.sure and stands_out:
            return HiddenExposure(self.value * math.exp(reading.log), count, squares)
        return HiddenExposure(self.value, MEMORY * count + 1, MEMORY * squares + reading.log**2)


@dataclass(frozen=True)
class ExposureMeter:
    """Measures a frame's exposure relative to the previous frame.

    Attributes:
        shot, rest: the RAW's noise variance is shot × signal + rest, normalised.
        rounding: variance of the sRGB's 8-bit rounding, by intensity.
    """

    shot: float
    rest: float
    rounding: Curve

    @classmethod
    def measure(cls, noise: Curve, shown: Curve, fine: Curve) -> Self | None:
        """Make a meter from the reference frame; None if the video doesn't show the noise.

        Args:
            noise: variance of the RAW's noise.
            shown: variance of the fit's noise.
            fine: variance of the fine part of the fit's error.
        """
        at = noise.centers
        if np.median(fine(at) / noise.values) > SHOWN:
            return None
        # Fit relative errors, with non-negative parts.
        rows = np.stack([at, np.ones_like(at)], axis=1) / noise.values[:, None]
        (shot, rest), *_ = np.linalg.lstsq(rows, np.ones_like(at), rcond=None)
        if shot <= 0:  # only `rest`
            shot, rest = 0.0, 1 / (1 / noise.values).mean()
        if rest < 0:
            shot, rest = 1 / (at / noise.values).mean(), 0.0
        rounding = Curve(at, np.maximum(shown(at) - noise.values, 0))
        return cls(float(shot), float(rest), rounding)

    def read(
        self, fit: Array, free: NDArray[np.bool_], before: Array, exposed: float, near: Flow
    ) -> Reading | None:
        """Measure a frame's exposure relative to the previous frame; None if not possible.

        Args:
            fit: the frame's fit at any brightness, [H, W].
            free: mask of unclipped photosites, [H, W].
            before: the previous frame's fit at the reference frame's brightness, [H, W].
            exposed: the previous frame's exposure relative to the reference frame.
            near: flow to the previous frame.
        """
        level, power = block_means(fit), block_means(fine_power(fit))
        # Blocks aren't interpolated, since that would reduce noise.
        at, inside = nearest(resize_flow(near, (level.shape[0], level.shape[1])))
        level_then, power_then = block_means(before)[at], block_means(fine_power(before))[at]
        usable = inside & (level_then > DARKEST) & (block_means(free.astype(np.float32)) == 1)
        if usable.sum() < ENOUGH / FLATTEST:
            return None
        gain = np.median(level[usable] / level_then[usable])
        level, power = level / gain, power / gain**2
        usable &= np.abs(level - level_then) < SAME * level_then + DARKEST / 2
        if usable.sum() < ENOUGH / FLATTEST:
            return None
        noise = self._noise(level_then, exposed)
        shown = noise + self.rounding(level_then)
        now, then = power / shown, power_then / shown
        flat = _flattest(now, then, usable)

        def step(part: NDArray[np.bool_]) -> float:
            """Logarithm of the step that fits the change of these blocks' noise best."""
            old_noise = noise[part]
            increase = now[part].sum() / then[part].sum() - 1
            noisier = max(1 + increase * (shown[part] / old_noise).mean(), 1e-3)
            expected = self._noise(level_then[part], exposed * np.exp(_GRID)[:, None]) / old_noise
            return float(np.interp(-np.log(noisier), -np.log(expected.mean(axis=1)), _GRID))

        overall = step(flat)
        halves = [flat & half for half in _halves(flat)]
        agree = all(
            step(half) * np.sign(overall) > abs(overall) / 2 for half in halves if half.any()
        )
        noise_alone = FLAT[0] < then[flat].mean() < FLAT[1]
        return Reading(overall, bool(agree and noise_alone))

    def _noise(self, level: Array, exposed: float | NDArray[np.float64]) -> Array:
        """Noise variance at `level` (at the reference frame's brightness) for an exposure."""
        return np.asarray((self.shot * level * exposed + self.rest) / exposed**2, np.float32)


def _flattest(now: Array, then: Array, usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The blocks with the lowest power in both frames. Powers are relative to each frame's usual
    power, so that the selection isn't biased towards either frame."""
    ratio = np.float32(1)
    for _ in range(ROUNDS):
        both = now / ratio + then
        flat = usable & (both <= np.quantile(both[usable], FLATTEST))
        ratio = now[flat].sum() / then[flat].sum()
    return flat


def _halves(flat: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Masks of half of the flat blocks each: upper, lower, left, right."""
    halves = []
    for axis in range(2):
        place = np.arange(flat.shape[axis]).reshape((-1, 1) if axis == 0 else (1, -1))
        place = np.broadcast_to(place, flat.shape)
        middle = np.median(place[flat])
        halves += [place < middle, place >= middle]
    return halves
