"""An estimate of the RAW frame from the sRGB frame alone, and the variance of its error."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.isp_features import FAR, NEAR, Features
from rvdtool.reconstruct.statistics import POSITIONS, Array, Curve, Where

STATE_COLUMNS = 3 * (2 + len(NEAR) + len(FAR))
"""Features of a clip state's own regression."""
STATE_SAMPLES = 20
"""Smallest number of photosites in a clip state for a regression of its own."""
KNOWN_SAMPLES = 100
"""Smallest number of photosites for which that regression is used alone."""
UNKNOWN = np.float32(1e6)
"""Variance of an estimate without any data."""
MIN_VARIANCE = 1e-12
"""Smallest variance of an error."""


@dataclass(frozen=True)
class Estimate:
    """An estimate of the RAW frame from the sRGB frame alone.

    Attributes:
        value: normalised RAW, [H, W].
        clipped: clip state per photosite, uint8 [H, W]: bit 0, 1, 2 for R, G, B clipped.
        lower_bound: lowest possible normalised RAW of photosites whose own colour is clipped,
            [H, W]; 0 elsewhere.
        light_change: degree to which the light is outside the reference frame's range, 0..1,
            [H, W]; None if everywhere 0, see `Beyond`.
        light_variance: variance of the error due to this, [H, W]; None if everywhere 0.
        features: the sRGB frame's features.
    """

    value: Array
    clipped: NDArray[np.uint8]
    lower_bound: Array
    features: Features
    light_change: Array | None = None
    light_variance: Array | None = None


class ErrorModel:
    """Variance of the estimate's error by CFA position, intensity and clip state, measured on the
    reference frame."""

    def __init__(
        self, curves: dict[tuple[int, int], tuple[Curve, Array, Array]], known: NDArray[np.bool_]
    ) -> None:
        """Create a model; use `measure`.

        Args:
            curves: for each CFA position: variance by intensity; by clip state, [8]; and by clip
                state for its own regression on photosites outside its samples, [8].
            known: clip states that are frequent in the reference frame at all positions, [8].
        """
        self._curves, self._known = curves, known

    @classmethod
    def measure(cls, estimate: Estimate, raw: Array, agrees: NDArray[np.bool_]) -> Self:
        """Measure the variance on the reference frame, where its true normalised RAW agrees with
        its sRGB."""
        squared = (raw - estimate.value) ** 2
        worst = max(float(squared[agrees].mean()), MIN_VARIANCE)
        curves, known = {}, np.ones(8, bool)
        for at in POSITIONS:
            sites = np.s_[at[0] :: 2, at[1] :: 2]
            agreeing = agrees[sites]
            errors, value = squared[sites][agreeing], estimate.value[sites][agreeing]
            clipped = estimate.clipped[sites][agreeing]
            free = Curve.mean(value[clipped == 0], errors[clipped == 0], lowest=MIN_VARIANCE)
            states = np.full(8, max(worst, float(free.values.max())), np.float32)
            own = np.full(8, UNKNOWN, np.float32)
            for state in range(1, 8):
                inside = errors[clipped == state]
                freedom = inside.size - STATE_COLUMNS - 1
                if inside.size >= STATE_SAMPLES and freedom > 0:
                    optimism = (inside.size + STATE_COLUMNS + 1) / freedom
                    own[state] = max(float(inside.mean()) * optimism, MIN_VARIANCE)
                if inside.size >= KNOWN_SAMPLES:
                    states[state] = max(float(inside.mean()), MIN_VARIANCE)
                else:
                    known[state] = False
            curves[at] = (free, states, own)
        return cls(curves, known)

    def of_rare_states(self, clipped: NDArray[np.uint8], where: Where) -> Array:
        """Variance of the clip states' own regressions at photosites whose clip state is rare in
        the reference frame, [photosites].

        Args:
            clipped: clip state, [H, W].
            where: rows and columns of the photosites.
        """
        own = np.stack([self._curves[at][2] for at in POSITIONS])
        rows, columns = where
        return own[2 * (rows % 2) + columns % 2, clipped[where]]

    @property
    def curves(self) -> list[Curve]:
        """Variance where nothing is clipped, by position in the cell."""
        return [self._curves[at][0] for at in POSITIONS]

    @property
    def of_states(self) -> Array:
        """Variance by position in the cell and by clip state, [4, 8]."""
        return np.stack([self._curves[at][1] for at in POSITIONS])

    @property
    def is_rare(self) -> NDArray[np.bool_]:
        """Clip states that are rare or don't occur in the reference frame, [8]."""
        return ~self._known & (np.arange(8) > 0)

    def __call__(self, estimate: Estimate) -> Array:
        """Variance per photosite, [H, W]."""
        result = np.empty_like(estimate.value)
        for at, (free, states, _) in self._curves.items():
            clipped = estimate.clipped[at[0] :: 2, at[1] :: 2]
            variance = free(estimate.value[at[0] :: 2, at[1] :: 2])
            result[at[0] :: 2, at[1] :: 2] = np.where(clipped > 0, states[clipped], variance)
        return result
