"""The inverse ISP that one (sRGB, RAW) pair gives away.

A camera's rendering is mostly a colour matrix, a tone curve, sharpening or denoising over a few
pixels, and tone mapping that depends on how bright the neighbourhood is. Each can be undone by
linear regression on the reference frame, where both sides are known. For every position of the 2×2
CFA cell we fit the normalised RAW value on

- the three linearised channels, the coded ones and their squares, at that very photosite
  (at full resolution: the photosite's own sample survives demosaicing),
- the differences of the linearised channels to their 5×5 neighbours (undoes spatial filtering),
- products of the channels with the local mean brightness at two scales (undoes local tone
  mapping) and with the distance to the centre (undoes shading correction).

Where LibRaw made the sRGB frame, its curve is known and nothing is local: there the linearised
channels alone are used, so that a frame brightened by some gain comes out brighter by that gain.

Colours that the reference frame doesn't show would be extrapolated wildly. There the weights
follow what was learned of simulated cameras' ISPs (`isp_prior.py`).

Where a channel is clipped these don't hold; each clip state (which channels are clipped) has a
small regression of its own: on the channels at the photosite and on what is around it at four
scales. How bright and of what colour the surroundings are tells how far above the limit it is.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.compiled import STRIP, in_strips
from rvdtool.reconstruct.isp_apply import Weights, apply_states, apply_weights
from rvdtool.reconstruct.isp_beyond import Beyond
from rvdtool.reconstruct.isp_features import (
    COLUMNS,
    CONTEXTS,
    FAR,
    LINEAR,
    NEAR,
    NEIGHBOURS,
    RADIUS,
    Features,
    Rgb,
    design,
)
from rvdtool.reconstruct.isp_prior import IspPrior, Moments, own_gain
from rvdtool.reconstruct.statistics import POSITIONS, Array, Curve

_STATE_COLUMNS = 3 * (2 + len(NEAR) + len(FAR))
RIDGE = 1e-6
STATE_RIDGE = 0.1
"""Ridge of a clip state's regression, divided by its samples: there may be few of them."""
STATE_SAMPLES = 20
"""Photosites in a clip state on the reference frame below which it gets no regression of its
own."""
KNOWN_SAMPLES = 100
"""… and below which that is not believed alone."""
UNKNOWN = np.float32(1e6)
"""Variance of what nothing is known of."""
SATURATED = 0.995
"""Normalised RAW from which a photosite counts as saturated: so much light there was, or more."""
ROUNDS = 4
"""Refits with the saturated photosites that the last one had too dark."""
MAX_SAMPLES = 40_000
"""Photosites per CFA position used by the regression; more changes nothing measurable."""
MIN_VARIANCE = 1e-12
TYPICAL = 0.25
"""Weight from which a photosite tells how clipped colours behave, and how far off the fit is."""


Where = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns of some photosites, in reading order."""


def find(mask: NDArray[np.bool_]) -> Where:
    """Where a mask [H, W] is true."""
    rows, columns = np.nonzero(mask)
    return rows, columns


@dataclass(frozen=True)
class Estimate:
    """What the sRGB frame alone says about its RAW frame.

    Attributes:
        value: normalised RAW, [H, W].
        clipped: clip state per photosite, uint8 [H, W]: bit 0, 1, 2 for R, G, B clipped.
        lower_bound: the least normalised RAW that a photosite can have, as its own colour is
            clipped, [H, W]; 0 where it isn't.
        away: how surely the light is another than in the reference frame, 0..1, [H, W]; None: see
            `Beyond`.
        stray: variance of what isn't known of the ISP in that light, [H, W]; None: it isn't.
    """

    value: Array
    clipped: NDArray[np.uint8]
    lower_bound: Array
    away: Array | None = None
    stray: Array | None = None


@dataclass(frozen=True)
class Position:
    """The regression of one CFA position.

    Attributes:
        coded, squared: [3], on the coded channels and their squares.
        kernels: [3, 5, 5], on the linearised channels around.
        context: [maps, 2, 4]: for m and m², on the linearised channels and 1.
        constant: added.
        channel: this position's own colour.
        states: [8, 19]: per clip state, on `_state_design` and 1; row 0 unused; NaN: no data.
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
        """From the weights of `design`'s columns, [COLUMNS]."""
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
    """sRGB → normalised RAW, calibrated on one frame pair."""

    def __init__(
        self,
        positions: dict[tuple[int, int], Position],
        error: "ErrorModel",
        beyond: Beyond | None = None,
    ) -> None:
        self._positions = positions
        self._beyond = beyond
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
            phase: of the mosaic.
            weight: how far each photosite is learned from, 0..1, [H, W]; None: all alike.
            by_libraw: whether LibRaw's defaults rendered `rgb`.
        """
        features = Features(rgb)
        weight = np.ones_like(raw) if weight is None else weight
        positions = {}
        for at in POSITIONS:
            own = np.s_[at[0] :: 2, at[1] :: 2]
            color = int(phase.pattern[at])
            positions[at] = _fit_position(features, raw[own], weight[own], at, color, by_libraw)
        estimate = _apply(positions, None, features)
        # LibRaw's curve is known, in any light.
        beyond = None if by_libraw else Beyond.fit(features, raw, estimate.value, weight)
        return cls(positions, ErrorModel.measure(estimate, raw, weight >= TYPICAL), beyond)

    def __call__(self, rgb: Rgb) -> Estimate:
        """Estimate the normalised RAW of one sRGB frame of the calibrated clip."""
        return _apply(self._positions, None, Features(rgb))

    def in_other_light(self, rgb: Rgb) -> Estimate | None:
        """The same, supposed that the light is another than in the reference frame; None if it
        isn't there."""
        return _apply(self._positions, self._beyond, Features(rgb)) if self._beyond else None


class ErrorModel:
    """Variance of the estimate on the reference frame, per CFA position, by intensity and by clip
    state."""

    def __init__(
        self, curves: dict[tuple[int, int], tuple[Curve, Array, Array]], known: NDArray[np.bool_]
    ) -> None:
        """`measure` makes one.

        Args:
            curves: per CFA position, the variance by intensity, by clip state, [8], and that of
                the state's own regression, [8], as it is on other photosites than its samples.
            known: clip states that the reference frame shows at all positions, [8].
        """
        self._curves, self._known = curves, known

    @classmethod
    def measure(cls, estimate: Estimate, raw: Array, agrees: NDArray[np.bool_]) -> Self:
        """From the estimate on the reference frame and its true normalised RAW, where they show
        the same."""
        squared = (raw - estimate.value) ** 2
        worst = max(float(squared[agrees].mean()), MIN_VARIANCE)
        curves, known = {}, np.ones(8, bool)
        for at in POSITIONS:
            sites = np.s_[at[0] :: 2, at[1] :: 2]
            same = agrees[sites]
            here, value = squared[sites][same], estimate.value[sites][same]
            clipped = estimate.clipped[sites][same]
            free = Curve.mean(value[clipped == 0], here[clipped == 0], lowest=MIN_VARIANCE)
            states = np.full(8, max(worst, float(free.values.max())), np.float32)
            own = np.full(8, UNKNOWN, np.float32)
            for state in range(1, 8):
                inside = here[clipped == state]
                spare = inside.size - _STATE_COLUMNS - 1
                if inside.size >= STATE_SAMPLES and spare > 0:
                    optimism = (inside.size + _STATE_COLUMNS + 1) / spare
                    own[state] = max(float(inside.mean()) * optimism, MIN_VARIANCE)
                if inside.size >= KNOWN_SAMPLES:
                    states[state] = max(float(inside.mean()), MIN_VARIANCE)
                else:
                    known[state] = False
            curves[at] = (free, states, own)
        return cls(curves, known)

    def of_rare_states(self, clipped: NDArray[np.uint8], where: Where) -> Array:
        """Variance of the estimate by its clip state's own regression at some photosites where
        the reference frame shows too little of that state for it to be believed alone,
        [photosites].

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
        """Clip states of which the reference frame shows too little, [8]."""
        return ~self._known & (np.arange(8) > 0)

    def __call__(self, estimate: Estimate) -> Array:
        """Variance per photosite, [H, W]."""
        result = np.empty_like(estimate.value)
        for at, (free, states, _) in self._curves.items():
            clipped = estimate.clipped[at[0] :: 2, at[1] :: 2]
            variance = free(estimate.value[at[0] :: 2, at[1] :: 2])
            result[at[0] :: 2, at[1] :: 2] = np.where(clipped > 0, states[clipped], variance)
        return result


def _ridge(
    rows: Array, target: Array, ridge: float = RIDGE, weight: Array | None = None
) -> tuple[Array, float]:
    """Least squares with a small ridge on standardised columns: (weights, constant)."""
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
    """Regression at one CFA position on the photosites where nothing nearby is clipped."""
    side = 2 * RADIUS + 1
    near_clip = cv2.dilate((features.clipped > 0).astype(np.uint8), np.ones((side, side), np.uint8))
    usable, full = (weight > 0) & (near_clip[at[0] :: 2, at[1] :: 2] == 0), raw >= SATURATED
    keep, saturated = usable & ~full, _thinned(usable & full)
    if keep.sum() < 4 * side * side * 3:  # almost everything is clipped: take what there is
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
    """Weights and constant under the prior.

    Args:
        columns, target, weight: of the regression.
        full: columns of photosites whose RAW is saturated. That says that there was no less: they
            join where the fit would have it less.
        color: of the photosites.
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
    """The same mask with about MAX_SAMPLES photosites at most, evenly taken."""
    chosen = np.flatnonzero(keep)
    result = np.zeros_like(keep)
    result.flat[chosen[:: max(1, chosen.size // MAX_SAMPLES)]] = True
    return result


def _fit_states(
    features: Features, raw: Array, agrees: NDArray[np.bool_], at: tuple[int, int]
) -> Array:
    """One small regression per clip state that the reference frame shows often enough; NaN
    elsewhere."""
    states = np.full((8, _STATE_COLUMNS + 1), np.nan, np.float32)
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
    """[samples, 18] for some photosites: linear and coded channels, and the differences of the
    linear ones to their surroundings."""
    codes = features.rgb[rows, columns]
    linear = features.table[codes]
    coded = codes.astype(np.float32) / np.float32(features.table.size - 1)
    around = [mean - linear for mean in features.around(rows, columns)]
    return np.concatenate([linear, coded, *around], axis=1)


def _apply(
    positions: dict[tuple[int, int], Position], beyond: Beyond | None, features: Features
) -> Estimate:
    away = beyond.away(features) if beyond else None
    value, lower_bound = apply_weights(_weights(positions), features)
    stray = None
    if beyond and away is not None:
        value, stray = beyond(features, value, away)
        lower_bound = np.where(lower_bound > 0, value, np.float32(0))
    rows, columns = find(features.clipped > 0)
    if rows.size:
        states = np.empty((2, 2, 8, _STATE_COLUMNS + 1), np.float32)
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
    return Estimate(value, features.clipped, lower_bound, away, stray)


def _weights(positions: dict[tuple[int, int], Position]) -> Weights:
    weights = Weights.empty(CONTEXTS)
    for at, position in positions.items():
        weights.coded[at], weights.squared[at] = position.coded, position.squared
        weights.kernels[at], weights.context[at] = position.kernels, position.context
        weights.constant[at], weights.channel[at] = position.constant, position.channel
    return weights
