"""The inverse ISP for light outside of the reference frame's range.

The regression of `inverse_isp.py` is valid for the reference frame's brightness. Where a frame is
much darker or brighter, its products with the local brightness extrapolate badly, so local
brightness is limited to the reference frame's range. Its squares extrapolate badly, too, for
photosites that are much darker or brighter than any in the reference frame. There it is replaced by
a monotonic function: the usual tone curve that explains the reference frame best
(`tone_curves.py`), a mix of the channels that it linearises without a constant, to a power. The
power is taken from the ratio of regression and mix at the ends of the reference frame's range.
Towards dark, tone curves continue in the same way; towards bright they bend, so there the power
soon fades to 1.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.isp_features import Features
from rvdtool.reconstruct.statistics import POSITIONS, Array, at_positions
from rvdtool.reconstruct.tone_curves import choose_curve, light_of, mix_of

Line = tuple[float, float]
"""Logarithm of the ratio of regression to mix at one end of the range, and its slope there."""

FADE = 0.1
"""Distance of the local mean brightness (coded, 0..1) from the reference frame's range at which
light counts as changed."""
NEAR_END, FADE_STOPS = 0.75, 1.0
"""The regression is used up to NEAR_END stops beyond the ends, and fades within FADE_STOPS more."""
DARK = np.float32(0.02)
"""Errors are relative to RAW plus this."""
LOWEST = 1e-5
STOP = np.float32(np.log(2))
ENDS, TAIL = 0.01, 0.3
"""Quantile of the ends of the range, and fraction of the photosites whose slope is measured."""
CHANCE = 0.1
"""Slopes of this size are halved, since noise and the colour matrix also cause slopes."""
STEEPEST = 0.6
"""Largest slope."""
MISSED = np.float32(0.05)
"""Relative RMS error per stop beyond the ends."""


@dataclass(frozen=True)
class Beyond:
    """The function that replaces the regression in changed light.

    Attributes:
        curve: the ISP's inverse tone curve, one of `tone_curves`.
        mix: weights of the channels that it linearises, [2, 2, 3] by CFA position.
        ends: logarithm of the mix at the lower and the upper end, [2, 2, 2] by CFA position.
        dark, light: ratio of the regression to the mix at the ends.
        tones: (lowest, highest) value of each map of `Features.tones` on the reference frame.
    """

    curve: Array
    mix: Array
    ends: Array
    dark: Line
    light: Line
    tones: tuple[tuple[float, float], ...]

    @classmethod
    def fit(cls, features: Features, raw: Array, regressed: Array, weight: Array) -> Self:
        """Fit on the reference frame.

        Args:
            features: the reference frame's features.
            raw: its normalised RAW, [H, W].
            regressed: the regression's estimate, [H, W].
            weight: weight of each photosite, 0..1, [H, W].
        """

        def samples_at(at: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
            own = np.s_[at[0] :: 2, at[1] :: 2]
            usable = (features.clipped[own] == 0) & (raw[own] < 1 - DARK) & (weight[own] > 0)
            coded, y = features.values[features.rgb[own][usable]], raw[own][usable]
            each = weight[own][usable] / (np.maximum(y, 0) + DARK) ** 2
            return coded, y, each, regressed[own][usable]

        samples = dict(zip(POSITIONS, at_positions(samples_at), strict=True))
        curve = choose_curve([(coded, y, each) for coded, y, each, _ in samples.values()])
        mix, ends = np.zeros((2, 2, 3), np.float32), np.zeros((2, 2, 2), np.float32)

        def compared(at: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            coded, y, each, by = samples[at]
            x = light_of(coded, curve).astype(np.float64)
            mix[at] = mix_of(x, y, each)
            z = np.log(np.maximum(x @ mix[at], LOWEST))
            ends[at] = np.quantile(z, (ENDS, 1 - ENDS)) if z.size else 0
            return z - ends[at].mean(), np.log(np.maximum(by, LOWEST)) - z

        above, over = zip(*at_positions(compared), strict=True)
        tones = tuple((float(tone.min()), float(tone.max())) for tone in features.tones)
        middle = ends.mean(axis=2, keepdims=True)
        low, high = (ends - middle).mean(axis=(0, 1))
        z, parted = np.concatenate(above), np.concatenate(over)
        dark = _line(z, parted, z <= np.quantile(z, TAIL), low) if z.size else (0.0, 0.0)
        light = _line(z, parted, z >= np.quantile(z, 1 - TAIL), high) if z.size else (0.0, 0.0)
        return cls(curve, mix, ends, dark, light, tones)

    def away(self, features: Features) -> Array | None:
        """Degree to which a frame's light is outside the reference frame's range, 0..1, [H, W].

        Limits `features.tones` to the reference frame's range. None if it is 0 everywhere.
        """
        kept = [np.clip(t, *ends) for t, ends in zip(features.tones, self.tones, strict=True)]
        apart = [np.abs(tone - near) for tone, near in zip(features.tones, kept, strict=True)]
        features.tones = kept
        if max(float(part.max()) for part in apart) == 0:
            return None
        full = [cv2.resize(part, features.size[::-1]) for part in apart]
        return np.minimum(np.maximum.reduce(full) / np.float32(FADE), 1)

    def __call__(self, features: Features, value: Array, away: Array) -> tuple[Array, Array]:
        """The estimate for changed light, and the variance of its error, [H, W] each.

        Args:
            features: the frame's features.
            value: the regression's estimate.
            away: the result of `away`.
        """
        result, stray = value.copy(), np.zeros_like(value)
        for at in POSITIONS:
            own = np.s_[at[0] :: 2, at[1] :: 2]
            channels = light_of(features.values[features.rgb[own]], self.curve)
            mix = np.maximum(channels @ self.mix[at], np.float32(LOWEST))
            z = np.log(mix)
            low, high = (np.float32(end) for end in self.ends[at])
            darker, lighter = np.maximum(low - z, 0), np.maximum(z - high, 0)
            over = np.where(z < high, self.dark[0], self.light[0]) - self.dark[1] * darker
            over += self.light[1] * STOP * np.tanh(lighter / STOP)
            law, stops = mix * np.exp(over), (darker + lighter) / STOP
            share = away[own] * np.clip((stops - NEAR_END) / FADE_STOPS, 0, 1)
            result[own] += share * (law - value[own])
            stray[own] = (MISSED * away[own] * stops * result[own]) ** 2
        return result, stray


def _line(
    z: NDArray[np.float64], over: NDArray[np.float64], part: NDArray[np.bool_], end: float
) -> Line:
    """Fit a straight line to the photosites near an end of the range."""
    x, y = z[part] - z[part].mean(), over[part]
    slope = float(x @ y) / (float(x @ x) + 1e-9)
    slope *= slope**2 / (slope**2 + CHANCE**2)
    slope = float(np.clip(slope, -STEEPEST, STEEPEST))
    return float(y.mean()) + slope * (float(end) - float(z[part].mean())), slope
