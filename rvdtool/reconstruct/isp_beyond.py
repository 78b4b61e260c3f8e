"""The inverse ISP for light outside of the reference frame's range.

The regression of `inverse_isp.py` is valid for the reference frame's brightness. Its products with
the local brightness extrapolate badly to much darker or brighter frames, so local brightness is
limited to the reference frame's range. Its squares extrapolate badly to photosites that are darker
or brighter than those in the reference frame. There it is replaced by a weighted sum of the three
channels after the inverse of the ISP's tone curve. This curve is measured in the reference frame
and in the frame itself (`tone_fit.py`); outside their range, it follows the usual tone curve that
fits the reference frame best (`tone_curves.py`).
"""

from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.isp_features import Features
from rvdtool.reconstruct.statistics import POSITIONS, Array
from rvdtool.reconstruct.tone_curves import choose_curve, light_of
from rvdtool.reconstruct.tone_fit import DARK, Pairs, ToneFit

FADE = 0.1
"""Light counts as completely changed if the local mean brightness (coded, 0..1) is this far outside
the reference frame's range."""
FADE_STOPS = 0.5
"""Stops beyond the reference frame's range over which the regression fades out."""
FEWEST = 100
"""Smallest number of photosites per CFA position for a measurement of the curve."""
MEAN = 5
"""Side of the windows, in photosites of one CFA position, over which photosites are averaged."""
LOWEST = 1e-5
STOP = np.float32(np.log(2))
ENDS = 0.01
"""Quantile of the ends of the range."""
ERROR_PER_STOP = np.float32(0.05)
"""Relative RMS error of the curve, per stop outside the range in which it was measured."""


@dataclass(frozen=True)
class Beyond:
    """The estimate that replaces the regression in changed light.

    Attributes:
        usual: the usual tone curve that fits the reference frame best.
        first: pairs of the reference frame, by CFA position.
        fit: the ISP's tone curve.
        ends: logarithm of the estimate at the lower and the upper end of the reference frame's
            range, [2, 2, 2] by CFA position.
        measured: the same for the range in which the curve was measured.
        tones: (lowest, highest) value of each map of `Features.tones` on the reference frame.
    """

    usual: Array
    first: list[Pairs]
    fit: ToneFit
    ends: Array
    measured: Array
    tones: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, features: Features, raw: Array, weight: Array) -> Self:
        """Fit on the reference frame.

        Args:
            features: the reference frame's features.
            raw: its normalised RAW, [H, W].
            weight: weight of each photosite, 0..1, [H, W].
        """
        first = _pairs(features, raw, weight)
        usual = choose_curve(first)
        fit = ToneFit.of(usual, first)
        ends = _ends(fit, first)
        tones = tuple((float(tone.min()), float(tone.max())) for tone in features.tones)
        return cls(usual, first, fit, ends, ends, tones)

    def measure(
        self, features: Features, raw: Array, same: NDArray[np.bool_], known: float | None
    ) -> Self:
        """Measure the tone curve in a frame's light, too.

        Args:
            features: the frame's features.
            raw: its normalised RAW in the reference frame's light, [H, W].
            same: photosites where `raw` is certain, bool [H, W].
            known: ratio of its light to the reference frame's, if only a known exposure has
                changed.
        """
        now = _pairs(features, raw, same.astype(np.float32))
        if min(len(pairs.raw) for pairs in now) < FEWEST:
            return self
        fit = ToneFit.of(self.usual, self.first, now, known)
        ends, other = _ends(fit, self.first), _ends(fit, now)
        low, high = np.minimum(ends, other)[..., 0], np.maximum(ends, other)[..., 1]
        return replace(self, fit=fit, ends=ends, measured=np.stack([low, high], axis=-1))

    def light_change(self, features: Features) -> Array | None:
        """Degree to which a frame's light is outside the reference frame's range, 0..1, [H, W].

        None if it is 0 everywhere. Also limits `features.tones` to the reference frame's range.
        """
        limited = [np.clip(t, *ends) for t, ends in zip(features.tones, self.tones, strict=True)]
        distances = [
            np.abs(tone - near) for tone, near in zip(features.tones, limited, strict=True)
        ]
        features.tones = limited
        if max(float(part.max()) for part in distances) == 0:
            return None
        full = [cv2.resize(part, features.size[::-1]) for part in distances]
        return np.minimum(np.maximum.reduce(full) / np.float32(FADE), 1)

    def __call__(
        self, features: Features, value: Array, light_change: Array
    ) -> tuple[Array, Array]:
        """The estimate for changed light, and the variance of its error, [H, W] each.

        Args:
            features: the frame's features.
            value: the regression's estimate.
            light_change: the result of `light_change`.
        """
        result, variance = value.copy(), np.zeros_like(value)
        for at, mix in zip(POSITIONS, self.fit.mixes, strict=True):
            own = np.s_[at[0] :: 2, at[1] :: 2]
            light = light_of(features.values[features.rgb[own]], self.fit.curve) @ mix.astype(
                np.float32
            )
            light = np.maximum(light, np.float32(LOWEST))
            logs = np.log(light)
            share = light_change[own] * np.minimum(_stops(logs, self.ends[at]) / FADE_STOPS, 1)
            result[own] += share * (light - value[own])
            error = ERROR_PER_STOP * _stops(logs, self.measured[at])
            variance[own] = (error**2 + self.fit.error**2) * (light_change[own] * result[own]) ** 2
        return result, variance


def _stops(logs: Array, ends: Array) -> Array:
    """Distance of logarithms from a range, in stops."""
    return np.maximum(np.maximum(ends[0] - logs, logs - ends[1]), 0) / STOP


def _pairs(features: Features, raw: Array, weight: Array) -> list[Pairs]:
    """Local means of the photosites that are neither clipped nor saturated and have a weight, by
    CFA position. With single photosites, noise would make the channels' weights too small."""
    pairs = []
    for at in POSITIONS:
        own = np.s_[at[0] :: 2, at[1] :: 2]
        usable = (features.clipped[own] == 0) & (raw[own] < 1 - DARK) & (weight[own] > 0)
        whole = cv2.erode(usable.astype(np.uint8), np.ones((MEAN, MEAN), np.uint8)) > 0
        coded, mean = (
            cv2.blur(part, (MEAN, MEAN)) for part in (features.values[features.rgb[own]], raw[own])
        )
        pairs.append(Pairs.of(coded[whole], mean[whole], weight[own][whole]))
    return pairs


def _ends(fit: ToneFit, pairs: list[Pairs]) -> Array:
    """Logarithm of the estimate at both ends of the pairs' range, [2, 2, 2]."""
    ends = np.zeros((2, 2, 2), np.float32)
    for at, one, mix in zip(POSITIONS, pairs, fit.mixes, strict=True):
        light = light_of(one.coded, fit.curve) @ mix
        if light.size:
            ends[at] = np.log(np.maximum(np.quantile(light, (ENDS, 1 - ENDS)), LOWEST))
    return ends
