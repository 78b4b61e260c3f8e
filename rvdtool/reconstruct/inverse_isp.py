"""The inverse ISP, fitted to one pair of an sRGB frame and its RAW.

A camera's rendering is mostly a colour matrix, a tone curve, sharpening or denoising over a few
pixels, and tone mapping that depends on the local brightness. Each can be inverted by linear
regression on the reference frame, where sRGB and RAW are both known. For each position of the 2×2
CFA cell, the normalised RAW value is fitted to

- the three linearised channels, the coded channels and their squares, at the photosite itself
  (at full resolution, since the photosite's own sample survives demosaicing),
- the differences of the linearised channels to their 5×5 neighbours (inverts spatial filtering),
- products of the channels with the local mean brightness at two scales (inverts local tone
  mapping) and with the distance to the centre (inverts shading correction).

If LibRaw rendered the sRGB frame, its curve is known and doesn't depend on the surroundings. Then
only the linearised channels are used, so that the estimate is proportional to LibRaw's gain.

Colours that the reference frame doesn't show would be extrapolated badly. For these, a prior from
simulated cameras' ISPs determines the weights (`isp_prior.py`).

Where a channel is clipped, this regression isn't valid. Each clip state (which channels are
clipped) has a small regression of its own, on the channels at the photosite and in its surroundings
at four scales: their brightness and colour tell how far the limit is exceeded.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.compiled import STRIP, in_strips
from rvdtool.reconstruct.estimate import STATE_COLUMNS, STATE_SAMPLES, ErrorModel, Estimate
from rvdtool.reconstruct.isp_apply import Weights, apply_states, apply_weights
from rvdtool.reconstruct.isp_beyond import Beyond
from rvdtool.reconstruct.isp_features import (
    COLUMNS,
    CONTEXTS,
    LINEAR,
    NEIGHBOURS,
    RADIUS,
    Features,
    design,
)
from rvdtool.reconstruct.isp_prior import IspPrior, Moments, own_gain
from rvdtool.reconstruct.shadows import Shadows
from rvdtool.reconstruct.statistics import POSITIONS, Array, Where, at_positions
from rvdtool.video.frame import Rgb

RIDGE = 1e-6
STATE_RIDGE = 0.1
"""Ridge penalty of a clip state's regression, divided by its number of samples."""
SATURATED = 0.995
"""Normalised RAW from which a photosite counts as saturated; its light may be brighter."""
ROUNDS = 4
"""Number of refits, each with the saturated photosites that the fit before estimated too dark."""
MAX_SAMPLES = 40_000
"""Largest number of photosites per CFA position in the regression; more have no measurable
effect."""
TYPICAL = 0.25
"""Smallest weight of a photosite that is used for clip states and for the error model."""


def find(mask: NDArray[np.bool_]) -> Where:
    """Rows and columns at which a mask [H, W] is true, in reading order."""
    rows, columns = np.nonzero(mask)
    return rows, columns


@dataclass(frozen=True)
class Position:
    """The regression of one CFA position.

    Attributes:
        coded, squared: weights of the coded channels and of their squares, [3].
        kernels: weights of the linearised channels in the neighbourhood, [3, 5, 5].
        context: weights of the linearised channels and 1, times m and m² of each context map,
            [maps, 2, 4].
        constant: constant term.
        channel: this position's own colour.
        states: weights of `_state_design` and 1 for each clip state, [8, 19]; row 0 is unused; NaN
            if there are no data.
    """

    coded: Array
    squared: Array
    kernels: Array
    context: Array
    constant: float
    channel: int
    states: Array

    @classmethod
    def of(cls, weights: Array, constant: float, channel: int, states: Array) -> Self:
        """Make a position from the weights of `design`'s columns, [COLUMNS]."""
        side = 2 * RADIUS + 1
        kernels = np.zeros((3, side * side), np.float32)
        surround = weights[9 : 9 + 3 * NEIGHBOURS].reshape(NEIGHBOURS, 3).T
        center = side * side // 2
        kernels[:, np.arange(side * side) != center] = surround
        kernels[:, center] = weights[6:9] - surround.sum(axis=1)
        return cls(
            coded=weights[0:3],
            squared=weights[3:6],
            kernels=kernels.reshape(3, side, side),
            context=weights[9 + 3 * NEIGHBOURS :].reshape(CONTEXTS, 2, 4),
            constant=constant,
            channel=channel,
            states=states,
        )


class InverseIsp:
    """An inverse ISP, sRGB → normalised RAW, calibrated on one frame."""

    def __init__(
        self,
        positions: dict[tuple[int, int], Position],
        error: "ErrorModel",
        beyond: Beyond | None = None,
        shadows: Shadows | None = None,
    ) -> None:
        self._positions = positions
        self._beyond, self._shadows = beyond, shadows
        self.error = error

    @classmethod
    def calibrate(
        cls,
        rgb: Rgb,
        raw: Array,
        phase: CfaPhase,
        *,
        weight: Array | None = None,
        by_libraw: bool = False,
    ) -> Self:
        """Fit on the reference frame.

        Args:
            rgb: coded sRGB, uint8 or uint16 [H, W, 3].
            raw: normalised mosaic, float32 [H, W], not clipped.
            phase: CFA phase of the mosaic.
            weight: weight of each photosite, 0..1, [H, W]; None if all are 1.
            by_libraw: whether `rgb` was rendered by LibRaw's defaults.
        """
        return cls.calibrate_and_apply(rgb, raw, phase, weight=weight, by_libraw=by_libraw)[0]

    @classmethod
    def calibrate_and_apply(
        cls,
        rgb: Rgb,
        raw: Array,
        phase: CfaPhase,
        *,
        weight: Array | None = None,
        by_libraw: bool = False,
    ) -> tuple[Self, Estimate]:
        """`calibrate`, and the estimate of the reference frame itself."""
        features = Features(rgb)
        weight = np.ones_like(raw) if weight is None else weight

        def fit(at: tuple[int, int]) -> Position:
            own = np.s_[at[0] :: 2, at[1] :: 2]
            color = int(phase.pattern[at])
            return _fit_position(features, raw[own], weight[own], at, color, by_libraw)

        positions = dict(zip(POSITIONS, at_positions(fit), strict=True))
        estimate, agrees = _apply(positions, features), weight >= TYPICAL
        beyond = shadows = None
        if not by_libraw:  # LibRaw's curve is known, in any light
            beyond = Beyond.of(features, raw, weight)
            shadows = Shadows.measure(estimate.value, raw, estimate.clipped, agrees)
            shadows(estimate.value, estimate.clipped)
        error = ErrorModel.measure(estimate, raw, agrees)
        return cls(positions, error, beyond, shadows), estimate

    def __call__(self, rgb: Rgb) -> Estimate:
        """Estimate the normalised RAW of one sRGB frame of the calibrated clip."""
        return _apply(self._positions, Features(rgb), self._shadows)

    def in_other_light(
        self, rgb: Rgb, raw: Array, same: NDArray[np.bool_], known: float | None
    ) -> Estimate | None:
        """Estimate one frame by `Beyond`, for light outside the reference frame's range; None if
        LibRaw's curve is known, which is valid in any light.

        Args:
            rgb: the frame.
            raw, same, known: see `Beyond.measure`.
        """
        if self._beyond is None:
            return None
        features = Features(rgb)
        beyond = self._beyond.measure(features, raw, same, known)
        return _apply(self._positions, features, self._shadows, beyond)


def _ridge(
    rows: Array, target: Array, ridge: float = RIDGE, weight: Array | None = None
) -> tuple[Array, float]:
    """Ridge regression on standardised columns; returns (weights, constant)."""
    share = np.float64(1) if weight is None else (weight / weight.mean(dtype=np.float64))[:, None]
    mean = (rows * share).mean(axis=0, dtype=np.float64)
    spread = rows.std(axis=0, dtype=np.float64) + 1e-9
    center = float((target[:, None] * share).mean(dtype=np.float64))
    columns = (rows - mean) / spread
    scaled = columns * share
    gram = scaled.T @ columns / len(rows) + ridge * np.eye(rows.shape[1])
    solution = np.linalg.solve(gram, scaled.T @ (target - center) / len(rows))
    weights = solution / spread
    return weights.astype(np.float32), center - float(mean @ weights)


def _fit_position(
    features: Features,
    raw: Array,
    weight: Array,
    at: tuple[int, int],
    color: int,
    by_libraw: bool,
) -> Position:
    """Fit the regression of one CFA position to photosites without clipped neighbours."""
    side = 2 * RADIUS + 1
    near_clip = cv2.dilate((features.clipped > 0).astype(np.uint8), np.ones((side, side), np.uint8))
    usable, full = (weight > 0) & (near_clip[at[0] :: 2, at[1] :: 2] == 0), raw >= SATURATED
    keep, saturated = usable & ~full, _thinned(usable & full)
    if keep.sum() < 4 * side * side * 3:  # almost everything is clipped: use all
        keep, saturated = weight > 0, np.zeros_like(keep)
    keep = _thinned(keep)
    columns, target, weight_kept = design(features, at, keep), raw[keep], weight[keep]
    weights = np.zeros(COLUMNS, np.float32)
    if by_libraw:
        used = slice(LINEAR, LINEAR + 3 + 3 * NEIGHBOURS)
        weights[used], constant = _ridge(columns[:, used], target, weight=weight_kept)
    else:
        full_columns = design(features, at, saturated)
        weights, constant = _regress(columns, target, weight_kept, full_columns, color)
    states = _fit_states(features, raw, weight >= TYPICAL, at)
    return Position.of(weights, constant, color, states)


def _regress(
    columns: Array, target: Array, weight: Array, full: Array, color: int
) -> tuple[Array, float]:
    """Weights and constant of the regression with the prior.

    Args:
        columns, target, weight: columns, target and weights of the regression.
        full: columns of saturated photosites. Their RAW is only a lower limit, so they are added to
            the fit if it would estimate them too low.
        color: colour of the photosites.
    """
    prior, count, gain = IspPrior.load(), len(columns), own_gain(columns, target, color)
    moments = Moments.of(columns, target / np.float32(gain), count, weight / weight.mean())
    solution = prior.weights(moments, color, count)
    for _ in range(ROUNDS):
        short = full[gain * (full @ solution[:-1] + solution[-1]) < 1]
        if not len(short):
            break
        as_full = Moments.of(short, np.full(len(short), 1 / gain, np.float32), count)
        solution = prior.weights(moments + as_full, color, count)
    return (gain * solution[:-1]).astype(np.float32), float(gain * solution[-1])


def _thinned(keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with every n-th photosite kept, so that at most about MAX_SAMPLES remain."""
    chosen = np.flatnonzero(keep)
    result = np.zeros_like(keep)
    result.flat[chosen[:: max(1, chosen.size // MAX_SAMPLES)]] = True
    return result


def _fit_states(
    features: Features, raw: Array, agrees: NDArray[np.bool_], at: tuple[int, int]
) -> Array:
    """Fit the regression of each clip state that is frequent enough in the reference frame; NaN for
    the others. [8, 19], see `Position`."""
    states = np.full((8, STATE_COLUMNS + 1), np.nan, np.float32)
    clipped = features.clipped[at[0] :: 2, at[1] :: 2]
    for state in range(1, 8):
        inside = agrees & (clipped == state)
        if inside.sum() < STATE_SAMPLES:
            continue
        inside = _thinned(inside)
        rows, columns_of = np.nonzero(inside)
        columns = _state_design(features, 2 * rows + at[0], 2 * columns_of + at[1])
        ridge = RIDGE + STATE_RIDGE / len(columns)
        weights, constant = _ridge(columns, raw[inside], ridge=ridge)
        states[state] = [*weights, constant]
    return states


def _state_design(features: Features, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Array:
    """Design matrix [samples, 18] of a clip state's regression: linear and coded channels, and the
    differences of the linear channels to their surroundings."""
    codes = features.rgb[rows, columns]
    linear = features.table[codes]
    coded = codes.astype(np.float32) / np.float32(features.table.size - 1)
    around = [mean - linear for mean in features.around(rows, columns)]
    return np.concatenate([linear, coded, *around], axis=1)


def _apply(
    positions: dict[tuple[int, int], Position],
    features: Features,
    shadows: Shadows | None = None,
    beyond: Beyond | None = None,
) -> Estimate:
    light_change = beyond.light_change(features) if beyond else None
    value, lower_bound = apply_weights(_weights(positions), features)
    if shadows:
        shadows(value, features.clipped)
    light_variance = None
    if beyond and light_change is not None:
        value, light_variance = beyond(features, value, light_change)
        lower_bound = np.where(lower_bound > 0, value, np.float32(0))
    rows, columns = features.clipped_places
    if rows.size:
        states = np.empty((2, 2, 8, STATE_COLUMNS + 1), np.float32)
        for at, position in positions.items():
            states[at] = position.states
        around = tuple(features.around(rows, columns))
        ends = np.searchsorted(rows, np.arange(0, value.shape[0] + STRIP, STRIP))

        def strip(first: int, _last: int) -> None:
            begin, end = ends[first // STRIP : first // STRIP + 2]
            apply_states(
                begin, end, rows, columns, features.rgb, features.table, features.clipped, around,
                states, value,
            )  # fmt: skip

        in_strips(value.shape[0], strip)
    np.minimum(value, 1, out=value)
    return Estimate(value, features.clipped, lower_bound, features, light_change, light_variance)


def _weights(positions: dict[tuple[int, int], Position]) -> Weights:
    weights = Weights.empty(CONTEXTS)
    for at, position in positions.items():
        weights.coded[at], weights.squared[at] = position.coded, position.squared
        weights.kernels[at], weights.context[at] = position.kernels, position.context
        weights.constant[at], weights.channel[at] = position.constant, position.channel
    return weights
