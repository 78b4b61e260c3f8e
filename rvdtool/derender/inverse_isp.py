"""The inverse ISP that one (sRGB, RAW) pair gives away.

A camera's rendering is mostly a colour matrix, a tone curve, sharpening or denoising over a few
pixels, and tone mapping that depends on how bright the neighbourhood is. Each can be undone by
linear regression on frame 1, where both sides are known. For every position of the 2×2 CFA cell we
fit the normalised RAW value on

- the three linearised channels, the coded ones and their squares, at that very photosite
  (at full resolution: the photosite's own sample survives demosaicing),
- the differences of the linearised channels to their 5×5 neighbours (undoes spatial filtering),
- products of the channels with the local mean brightness at two scales (undoes local tone
  mapping) and with the distance to the centre (undoes shading correction).

Where LibRaw made the sRGB frame, its curve is known and nothing is local: there the linearised
channels alone are used, so that a frame brightened by some gain comes out brighter by that gain.

Colours that frame 1 doesn't show would be extrapolated wildly. So a few made-up pixels of all
colours join the regression, whose RAW is the own channel's linearised value times a constant.
They weigh so little that they count only where frame 1 says nothing.

Where a channel is clipped these don't hold; each clip state (which channels are clipped) has a
small regression of its own: on the channels at the photosite and on what is around it at four
scales. How bright and of what colour the surroundings are tells how far above the limit it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.derender.statistics import POSITIONS, Array, Curve

Rgb = NDArray[np.uint8] | NDArray[np.uint16]

CLIP = 253 / 255
"""Coded value from which a channel counts as clipped: lossy video makes 253…255 of 255."""
RADIUS = 2
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
MIDDLE = np.float32(0.4)
"""Taken from local brightness and distance, so that they lie around 0."""
TONE_SCALES = (8, 32)
"""The local mean brightness is blurred by a Gaussian of sigma = frame height / scale."""
NEAR = (1, 3)
FAR = (1 / 50, 1 / 16)
"""What is around a clipped photosite is blurred by Gaussians of so many pixels, and of so large
shares of the frame's height."""
_STATE_COLUMNS = 3 * (2 + len(NEAR) + len(FAR))
RIDGE = 1e-6
STATE_RIDGE = 0.1
"""Ridge of a clip state's regression, divided by its samples: there may be few of them."""
STATE_SAMPLES = 20
"""Photosites in a clip state on frame 1 below which it gets no regression of its own."""
KNOWN_SAMPLES = 100
"""… and below which nothing is known of its errors."""
SATURATED = 0.995
"""Normalised RAW from which a photosite counts as saturated: so much light there was, or more."""
ROUNDS = 4
"""Refits with the saturated photosites that the last one had too dark."""
MADE_UP = 3e-5
"""Share of the made-up pixels in the regression's weight. On 30 training clips behind a camera-like
ISP: +0.6 dB on the last frames in the mean, up to +4.9; -0.2 at worst. 1e-3 costs up to 1.2 dB."""
MAX_SAMPLES = 40_000
"""Photosites per CFA position used by the regression; more changes nothing measurable."""
MIN_VARIANCE = 1e-12


def linearise(coded: Array) -> Array:
    """Undo BT.709's curve, 0..1 → 0..1. Where the ISP's curve differs, the fit makes up for it."""
    return np.where(coded < 0.081243, coded / 4.5, ((coded + 0.0993) / 1.0993) ** 2.2222).astype(
        np.float32
    )


@dataclass(frozen=True)
class Estimate:
    """What the sRGB frame alone says about its RAW frame.

    Attributes:
        value: normalised RAW, [H, W].
        clipped: clip state per photosite, uint8 [H, W]: bit 0, 1, 2 for R, G, B clipped.
        least: normalised RAW that a photosite has at the very least, as its own colour is clipped,
            [H, W]; 0 where it isn't.
    """

    value: Array
    clipped: NDArray[np.uint8]
    least: Array


@dataclass(frozen=True)
class _Position:
    """The regression of one CFA position."""

    coded: Array  # [3]
    squared: Array  # [3]
    kernels: Array  # [3, 5, 5] on the linearised channels
    context: Array  # [maps, 2, 4]: for m and m², on the linearised channels and 1
    constant: float
    channel: int  # the one that counts most: this position's own colour
    states: Array  # [8, 19]: per clip state, on `_state_design` and 1; row 0 unused; NaN: no data


class InverseIsp:
    """sRGB → normalised RAW, calibrated on one frame pair."""

    def __init__(self, positions: dict[tuple[int, int], _Position], error: "ErrorModel") -> None:
        self._positions = positions
        self.error = error

    @classmethod
    def calibrate(cls, rgb: Rgb, raw: Array, *, by_libraw: bool = False) -> Self:
        """Fit on frame 1.

        Args:
            rgb: coded sRGB, uint8 or uint16 [H, W, 3].
            raw: normalised mosaic, float32 [H, W], not clipped.
            by_libraw: whether LibRaw's defaults rendered `rgb`.
        """
        features = _Features(rgb)
        positions = {
            at: _fit_position(features, raw[at[0] :: 2, at[1] :: 2], at, by_libraw)
            for at in POSITIONS
        }
        estimate = _apply(positions, features)
        return cls(positions, ErrorModel.measure(estimate, raw))

    def __call__(self, rgb: Rgb) -> Estimate:
        """Estimate the normalised RAW of one sRGB frame of the calibrated clip."""
        return _apply(self._positions, _Features(rgb))


class ErrorModel:
    """Variance of the estimate on frame 1, per CFA position, by intensity and by clip state."""

    def __init__(
        self, curves: dict[tuple[int, int], tuple[Curve, Array]], known: NDArray[np.bool_]
    ) -> None:
        """`measure` makes one.

        Args:
            curves: per CFA position, the variance by intensity and by clip state, [8].
            known: clip states that frame 1 shows at all positions, [8].
        """
        self._curves, self._known = curves, known

    @classmethod
    def measure(cls, estimate: Estimate, raw: Array) -> Self:
        """From the estimate on frame 1 and its true normalised RAW."""
        squared = (raw - estimate.value) ** 2
        worst = max(float(squared.mean()), MIN_VARIANCE)
        curves, known = {}, np.ones(8, bool)
        for at in POSITIONS:
            here, value = squared[at[0] :: 2, at[1] :: 2], estimate.value[at[0] :: 2, at[1] :: 2]
            clipped = estimate.clipped[at[0] :: 2, at[1] :: 2]
            free = Curve.mean(value[clipped == 0], here[clipped == 0], lowest=MIN_VARIANCE)
            states = np.full(8, max(worst, float(free.values.max())), np.float32)
            for state in range(1, 8):
                inside = here[clipped == state]
                if inside.size >= KNOWN_SAMPLES:
                    states[state] = max(float(inside.mean()), MIN_VARIANCE)
                else:
                    known[state] = False
            curves[at] = (free, states)
        return cls(curves, known)

    def strange(self, estimate: Estimate) -> NDArray[np.bool_]:
        """Where clip states are met of which frame 1 shows too little to know anything, [H, W]."""
        return ~self._known[estimate.clipped]

    def __call__(self, estimate: Estimate) -> Array:
        """Variance per photosite, [H, W]."""
        result = np.empty_like(estimate.value)
        for at, (free, states) in self._curves.items():
            clipped = estimate.clipped[at[0] :: 2, at[1] :: 2]
            variance = free(estimate.value[at[0] :: 2, at[1] :: 2])
            result[at[0] :: 2, at[1] :: 2] = np.where(clipped > 0, states[clipped], variance)
        return result


class _Features:
    """What the regression sees of one sRGB frame."""

    def __init__(self, rgb: Rgb) -> None:
        peak = np.iinfo(rgb.dtype).max
        codes = np.arange(peak + 1, dtype=np.float32) / np.float32(peak)
        self.coded: Array = codes[rgb]
        self.linear: Array = linearise(codes)[rgb]
        limit = int(np.ceil(CLIP * peak))
        red, green, blue = (rgb[..., channel] >= limit for channel in range(3))
        self.clipped: NDArray[np.uint8] = (
            red + 2 * green.astype(np.uint8) + 4 * blue.astype(np.uint8)
        )
        self.context = [*self._local_means(), _distance(rgb.shape[0], rgb.shape[1])]

    def _local_means(self) -> list[Array]:
        """Local mean brightness around 0, one [H, W] map per scale."""
        shares = [1 / scale for scale in TONE_SCALES]
        return [mean - MIDDLE for mean in _blurred_far(self.coded @ LUMA, 8, shares)]

    @cached_property
    def surroundings(self) -> list[Array]:
        """The linearised channels, blurred, one [H, W, 3] per scale: asked for where clipped."""
        near = [cv2.GaussianBlur(self.linear, (0, 0), sigma) for sigma in NEAR]
        return near + _blurred_far(self.linear, 4, FAR)


def _blurred_far(image: Array, reduction: int, shares: Sequence[float]) -> list[Array]:
    """An image blurred by Gaussians of so large shares of its height, worked out on a smaller one.

    Args:
        image: [H, W] or [H, W, C].
        reduction: by how much smaller.
        shares: sigma per height.
    """
    height, width = image.shape[:2]
    size = (max(2, width // reduction), max(2, height // reduction))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return [
        cv2.resize(
            cv2.GaussianBlur(small, (0, 0), max(0.5, share * small.shape[0])),
            (width, height),
            interpolation=cv2.INTER_LINEAR,
        )
        for share in shares
    ]


def _distance(height: int, width: int) -> Array:
    """Squared distance to the frame's centre, the corners at 1, around 0: [H, W]."""
    x = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)
    return (x * x + y * y) / (x[-1] ** 2 + y[-1] ** 2) - MIDDLE


def _design(features: _Features, at: tuple[int, int], keep: NDArray[np.bool_]) -> Array:
    """[samples, columns] of the regression at one CFA position, for the photosites to `keep`."""
    rows, columns = slice(at[0], None, 2), slice(at[1], None, 2)
    linear = features.linear[rows, columns][keep]
    coded = features.coded[rows, columns][keep]
    parts = [coded, coded * coded, linear]
    padded = cv2.copyMakeBorder(
        features.linear, RADIUS, RADIUS, RADIUS, RADIUS, cv2.BORDER_REFLECT_101
    )
    height, width = features.linear.shape[:2]
    for dy in range(2 * RADIUS + 1):
        for dx in range(2 * RADIUS + 1):
            if (dy, dx) != (RADIUS, RADIUS):
                shifted = padded[at[0] + dy : height + dy : 2, at[1] + dx : width + dx : 2]
                parts.append(shifted[keep] - linear)
    for context in features.context:
        m = context[rows, columns][keep][:, None]
        basis = np.concatenate([linear, np.ones_like(m)], axis=1)
        parts += [basis * m, basis * (m * m)]
    return np.concatenate(parts, axis=1)


def _ridge(
    design: Array,
    target: Array,
    others: Sequence[tuple[Array, Array, float]] = (),
    ridge: float = RIDGE,
) -> tuple[Array, float]:
    """Least squares with a small ridge on standardised columns: (weights, constant).

    Args:
        design: [samples, columns].
        target: [samples].
        others: further rows, their targets, and how much they weigh in all; `design` weighs 1.
        ridge: added to the columns' variance of 1.
    """
    mean = design.mean(axis=0, dtype=np.float64)
    spread = design.var(axis=0, dtype=np.float64)
    for rows, _, weight in others:
        spread += weight * ((rows - mean) ** 2).mean(axis=0)
    spread = np.sqrt(spread) + 1e-9
    center = float(target.mean(dtype=np.float64))
    parts = [
        ((rows - mean) / spread, values - center, weight)
        for rows, values, weight in ((design, target, 1.0), *others)
    ]
    # The constant is a column of its own: with made-up pixels the mean isn't the data's mean.
    size = design.shape[1] + 1
    gram, moment = ridge * np.eye(size), np.zeros(size)
    gram[-1, -1] = 0
    for columns, values, share in parts:
        full = np.concatenate([columns, np.ones((len(columns), 1))], axis=1)
        gram += full.T @ full * (share / len(values))
        moment += full.T @ values * (share / len(values))
    solution = np.linalg.solve(gram, moment)
    weights = solution[:-1] / spread
    return weights.astype(np.float32), center + float(solution[-1]) - float(mean @ weights)


def _made_up(design: Array, target: Array) -> tuple[Array, Array]:
    """Flat pixels of all colours in surroundings of all brightnesses, and their simple RAW values.

    The own colour is the channel that explains the target best by a constant alone.
    """
    gains = (design[:, 6:9] * target[:, None]).sum(axis=0) / np.maximum(
        (design[:, 6:9] ** 2).sum(axis=0), 1e-9
    )
    errors = ((design[:, 6:9] * gains - target[:, None]) ** 2).sum(axis=0)
    own = int(errors.argmin())
    steps = np.linspace(0, 1, 6, dtype=np.float32)
    coded = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    linear = linearise(coded)
    flat = np.zeros((len(coded), 3 * ((2 * RADIUS + 1) ** 2 - 1)), np.float32)
    basis = np.concatenate([linear, np.ones_like(linear[:, :1])], axis=1)
    luma = coded @ LUMA - MIDDLE
    rows = []
    for around in (luma, *(np.full_like(luma, m) for m in (-0.3, 0.1, 0.5))):
        m = around[:, None]
        toned = [basis * m, basis * (m * m)] * len(TONE_SCALES)
        rows.append(np.concatenate([coded, coded * coded, linear, flat, *toned], axis=1))
    values = np.tile(linear[:, own] * gains[own], len(rows)).astype(np.float32)
    made_up = np.concatenate(rows)
    # Half-way to the corners: the distance's columns are zero.
    rest = np.zeros((len(made_up), design.shape[1] - made_up.shape[1]), np.float32)
    return np.concatenate([made_up, rest], axis=1), values


def _fit_position(
    features: _Features, raw: Array, at: tuple[int, int], by_libraw: bool
) -> _Position:
    """Regression at one CFA position on the photosites where nothing nearby is clipped."""
    side = 2 * RADIUS + 1
    near_clip = cv2.dilate((features.clipped > 0).astype(np.uint8), np.ones((side, side), np.uint8))
    usable, full = near_clip[at[0] :: 2, at[1] :: 2] == 0, raw >= SATURATED
    keep, saturated = usable & ~full, _thinned(usable & full)
    if keep.sum() < 4 * side * side * 3:  # almost everything is clipped: take what there is
        keep, saturated = np.ones_like(keep), np.zeros_like(keep)
    keep = _thinned(keep)
    design, target = _design(features, at, keep), raw[keep]
    neighbours = side * side - 1
    weights = np.zeros(design.shape[1], np.float32)
    if by_libraw:
        used = slice(6, 9 + 3 * neighbours)
        weights[used], constant = _ridge(design[:, used], target)
    else:
        made_up = (*_made_up(design, target), MADE_UP)
        weights, constant = _ridge(design, target, [made_up])
        # Saturated RAW says that there was no less: it joins where the fit would have it less.
        beyond = _design(features, at, saturated)
        for _ in range(ROUNDS):
            short = beyond[beyond @ weights + constant < 1]
            if not len(short):
                break
            as_full = (short, np.ones(len(short), np.float32), len(short) / len(design))
            weights, constant = _ridge(design, target, [made_up, as_full])

    kernels = np.zeros((3, side * side), np.float32)
    surround = weights[9 : 9 + 3 * neighbours].reshape(neighbours, 3).T
    center = side * side // 2
    kernels[:, np.arange(side * side) != center] = surround
    kernels[:, center] = weights[6:9] - surround.sum(axis=1)
    return _Position(
        coded=weights[0:3],
        squared=weights[3:6],
        kernels=kernels.reshape(3, side, side),
        context=weights[9 + 3 * neighbours :].reshape(-1, 2, 4),
        constant=constant,
        channel=int((kernels.sum(axis=1) + weights[0:3] + weights[3:6]).argmax()),
        states=_fit_states(features, raw, at),
    )


def _thinned(keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The same mask with about MAX_SAMPLES photosites at most, evenly taken."""
    chosen = np.flatnonzero(keep)
    result = np.zeros_like(keep)
    result.flat[chosen[:: max(1, chosen.size // MAX_SAMPLES)]] = True
    return result


def _fit_states(features: _Features, raw: Array, at: tuple[int, int]) -> Array:
    """One small regression per clip state that frame 1 shows often enough; NaN elsewhere."""
    states = np.full((8, _STATE_COLUMNS + 1), np.nan, np.float32)
    clipped = features.clipped[at[0] :: 2, at[1] :: 2]
    for state in range(1, 8):
        inside = clipped == state
        if inside.sum() < STATE_SAMPLES:
            continue
        inside = _thinned(inside)
        design = _state_design(features, at, inside)
        ridge = RIDGE + STATE_RIDGE / len(design)
        weights, constant = _ridge(design, raw[inside], ridge=ridge)
        states[state] = [*weights, constant]
    return states


def _state_design(features: _Features, at: tuple[int, int], keep: NDArray[np.bool_]) -> Array:
    """[samples, 18] at one CFA position, for the photosites to `keep`: linear and coded channels,
    and the differences of the linear ones to their surroundings."""
    rows, columns = slice(at[0], None, 2), slice(at[1], None, 2)
    linear = features.linear[rows, columns][keep]
    around = [mean[rows, columns][keep] - linear for mean in features.surroundings]
    return np.concatenate([linear, features.coded[rows, columns][keep], *around], axis=1)


def _apply(positions: dict[tuple[int, int], _Position], features: _Features) -> Estimate:
    value = np.empty(features.clipped.shape, np.float32)
    least = np.zeros(features.clipped.shape, np.float32)
    channels = cv2.split(features.linear)
    for at, position in positions.items():
        rows, columns = slice(at[0], None, 2), slice(at[1], None, 2)
        coded = features.coded[rows, columns]
        linear = features.linear[rows, columns]
        result: Array = coded @ position.coded
        result += (coded * coded) @ position.squared
        for channel, kernel in zip(channels, position.kernels, strict=True):
            filtered = cv2.filter2D(channel, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
            result += filtered[rows, columns]
        for context, weights in zip(features.context, position.context, strict=True):
            m = context[rows, columns]
            once, twice = (linear @ part[:3] + part[3] for part in weights)
            result += m * (once + m * twice)
        result += np.float32(position.constant)
        own = (features.clipped[rows, columns] >> position.channel) & 1
        least[rows, columns] = result * own
        value[rows, columns] = np.minimum(_with_states(result, position, features, at), 1)
    return Estimate(value, features.clipped, least)


def _with_states(
    result: Array, position: _Position, features: _Features, at: tuple[int, int]
) -> Array:
    """Replace what is clipped by its clip state's own regression, where it has one."""
    clipped = features.clipped[at[0] :: 2, at[1] :: 2]
    inside = clipped > 0
    if not inside.any():
        return result
    own = position.states[clipped[inside]]
    stated = (_state_design(features, at, inside) * own[:, :-1]).sum(axis=1) + own[:, -1]
    result[inside] = np.where(np.isnan(stated), result[inside], stated)
    return result
