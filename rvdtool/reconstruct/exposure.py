"""Steps of the exposure that the ISP hides, read off the noise.

LibRaw's auto-brightness shows every frame equally bright, however it was exposed. But photons
arrive at random: what was exposed twice as long is noisier by √2 only. So in a video that shows
the sensor's noise, that is a lossless one, the noise of what is as bright as before tells that the
exposure has stepped. Small steps drown in the error of that measurement, and slow changes do.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.brightness import DARKEST, block_means
from rvdtool.reconstruct.flow import Flow, coordinates, resize_flow
from rvdtool.reconstruct.statistics import Array, Curve, fine_power

SHOWN = 0.06
"""The fit's variance against the noise's, up to which a video shows the noise: 0.04 at most in the
lossless clips of RVD-Sim's training, 0.12 at least behind a codec."""
FLATTEST = 0.25
"""Share of the blocks that is taken for flat."""
ROUNDS = 3
"""… after having been chosen so many times, as the choice depends on the step."""
ENOUGH = 100
"""Flat blocks."""
FLAT = (0.5, 1.15)
"""Their power against the noise known from the reference frame: more is texture, less no noise at
all."""
SAME = 0.03
"""Blocks whose levels differ by more (relative) don't show the same thing."""
MANY = 5.0
"""A step stands out by this factor from the readings before …"""
MEMORY = 0.8
"""… of which each next one makes those before count that much less …"""
FEWEST = 1 + MEMORY
"""… and of which there must be two …"""
PRIOR = (2, 0.02)
"""… and which are taken to be as good as so many readings of that error, beforehand."""
_GRID = np.linspace(-1.2, 1.2, 97)
"""Logarithms of the steps that are tried."""


class Reading(NamedTuple):
    """What the noise says.

    Attributes:
        log: logarithm of how much more a frame was exposed than the one before.
        sure: whether it is noise that was measured, and all parts of the frame agree.
    """

    log: float
    sure: bool


@dataclass(frozen=True)
class Exposure:
    """What is known of one frame's.

    Attributes:
        value: how much more than the reference frame it was exposed.
        readings: how many there were so far that were no steps, older ones counting less.
        squares: sum of their squares, likewise: by how much readings are wrong in this video.
    """

    value: float = 1.0
    readings: float = 0.0
    squares: float = 0.0

    def after(self, reading: Reading | None) -> "Exposure":
        """The next frame's."""
        if reading is None:
            return self
        count, squares = self.readings, self.squares
        usual = math.sqrt((PRIOR[0] * PRIOR[1] ** 2 + squares) / (PRIOR[0] + count))
        stands_out = count >= FEWEST and abs(reading.log) > MANY * usual
        if reading.sure and stands_out:
            return Exposure(self.value * math.exp(reading.log), count, squares)
        return Exposure(self.value, MEMORY * count + 1, MEMORY * squares + reading.log**2)


@dataclass(frozen=True)
class ExposureMeter:
    """Tells how much more a frame was exposed than the one before.

    Attributes:
        shot, rest: the RAW's noise variance is shot × signal + rest, normalised.
        rounding: variance by intensity that the sRGB's 8 bits add.
    """

    shot: float
    rest: float
    rounding: Curve

    @classmethod
    def measure(cls, noise: Curve, shown: Curve, fine: Curve) -> Self | None:
        """From the reference frame; None where the video doesn't show the sensor's noise.

        Args:
            noise: variance of the RAW's noise.
            shown: the same of its fit.
            fine: variance of the fit's error that can't be carried along.
        """
        at = noise.centers
        if np.median(fine(at) / noise.values) > SHOWN:
            return None
        # Relative errors count, and neither part is negative.
        rows = np.stack([at, np.ones_like(at)], axis=1) / noise.values[:, None]
        (shot, rest), *_ = np.linalg.lstsq(rows, np.ones_like(at), rcond=None)
        if shot <= 0:  # then all of it is rest
            shot, rest = 0.0, 1 / (1 / noise.values).mean()
        if rest < 0:
            shot, rest = 1 / (at / noise.values).mean(), 0.0
        rounding = Curve(at, np.maximum(shown(at) - noise.values, 0))
        return cls(float(shot), float(rest), rounding)

    def read(
        self, fit: Array, free: NDArray[np.bool_], before: Array, exposed: float, near: Flow
    ) -> Reading | None:
        """How much more a frame was exposed than the one before; None where nothing tells.

        Args:
            fit: of the frame, however bright, [H, W].
            free: where nothing is clipped, [H, W].
            before: the fit of the frame before, as bright as the reference frame, [H, W].
            exposed: how much more that was exposed than the reference frame.
            near: flow to the frame before.
        """
        level, power = block_means(fit), block_means(fine_power(fit))
        shape = rows, columns = level.shape[0], level.shape[1]
        # Blocks are compared as they are: sampling between them would take noise away.
        x, y = cv2.split(np.rint(coordinates(resize_flow(near, shape))))
        inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
        at = y.clip(0, rows - 1).astype(int), x.clip(0, columns - 1).astype(int)
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
            """Logarithm of the step that explains best how much noisier these blocks became."""
            was = noise[part]
            beyond = now[part].sum() / then[part].sum() - 1
            noisier = max(1 + beyond * (shown[part] / was).mean(), 1e-3)
            expected = self._noise(level_then[part], exposed * np.exp(_GRID)[:, None]) / was
            return float(np.interp(-np.log(noisier), -np.log(expected.mean(axis=1)), _GRID))

        whole = step(flat)
        halves = [flat & half for half in _halves(flat)]
        agree = all(step(half) * np.sign(whole) > abs(whole) / 2 for half in halves if half.any())
        noise_alone = FLAT[0] < then[flat].mean() < FLAT[1]
        return Reading(whole, bool(agree and noise_alone))

    def _noise(self, level: Array, exposed: float | NDArray[np.float64]) -> Array:
        """Variance of the noise of what is as bright as the reference frame, but was exposed so
        much more."""
        return np.asarray((self.shot * level * exposed + self.rest) / exposed**2, np.float32)


def _flattest(now: Array, then: Array, usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The blocks with the least power in both frames, each relative to its usual power: else what
    is noisier would be chosen where chance had it less."""
    ratio = np.float32(1)
    for _ in range(ROUNDS):
        both = now / ratio + then
        flat = usable & (both <= np.quantile(both[usable], FLATTEST))
        ratio = now[flat].sum() / then[flat].sum()
    return flat


def _halves(flat: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Left, right, upper and lower half of the places that are flat."""
    halves = []
    for axis in range(2):
        place = np.arange(flat.shape[axis]).reshape((-1, 1) if axis == 0 else (1, -1))
        place = np.broadcast_to(place, flat.shape)
        middle = np.median(place[flat])
        halves += [place < middle, place >= middle]
    return halves
