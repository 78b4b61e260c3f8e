"""Compiled single-pass loops over photosites for `affinity.py` and `fusion.py`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.compiled import exp, inline, kernel
from rvdtool.reconstruct.statistics import Array, Curve

_0, _1, _2, _3 = (np.float32(number) for number in (0, 1, 2, 3))
_HALF, _ONE_AND_A_HALF = np.float32(0.5), np.float32(1.5)

FINE, NOISE, SMOOTH, FLOOR_FAR, FLOOR_NEAR, ERROR = 0, 1, 2, 3, 4, 5
"""Indices of the curves in `Tables`; ERROR is the first of four, one per position in the cell."""

Tables = tuple[Array, Array, Array]
"""Curves as tables, [curves, steps]; the start of each, and its steps per unit."""

Corners = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]


def tables_of(curves: Sequence[Curve]) -> Tables:
    """Convert curves to tables for the kernels."""
    parts = [curve.table for curve in curves]
    low, scale = (np.array([part[k] for part in parts], np.float32) for k in (1, 2))
    return np.stack([part[0] for part in parts]), low, scale


@inline
def _read(tables: Tables, number: int, x: Array, result: Array) -> None:
    """Look up values of a curve; see `Curve.__call__`."""
    table, low, scale = tables[0][number], tables[1][number], tables[2][number]
    most = np.float32(table.size - 1)
    for i in range(result.size):
        place = min(max((x[i] - low) * scale, _0), most)
        result[i] = table[np.uint32(place)]


@kernel
def sample_strip(
    first: int, last: int, mosaics: Array, flow: Array, result: tuple[Array, ...]
) -> None:
    """Compute rows of `sample_mosaics`: [H, W, C] along a flow → C × [H, W]."""
    height, width, count = mosaics.shape
    flat = mosaics.reshape(-1)
    half = (width + 1) // 2
    one, two = np.empty(half, np.int32), np.empty(half, np.int32)
    three, four = np.empty(half, np.int32), np.empty(half, np.int32)
    right, below = np.empty(half, np.float32), np.empty(half, np.float32)
    to_x, to_y = np.empty(half, np.float32), np.empty(half, np.float32)
    corners, fractions = (one, two, three, four), (right, below)
    for y in range(first, last):
        for dx in range(2):
            _split_pairs(flow[y, dx::2], to_x, to_y)
            _corners(y, dx, to_x, to_y, (height, width, count), corners, fractions)
            for c in range(count):
                _interpolate(flat[c:], corners, fractions, result[c][y, dx:])


@inline
def _interpolate(
    samples: Array, corners: Corners, fractions: tuple[Array, Array], result: Array
) -> None:
    """Interpolate bilinearly; every second element of the result is filled."""
    upper_left, upper_right, lower_left, lower_right = corners
    right, down = fractions
    for i in range((result.size + 1) // 2):
        upper, lower = samples[upper_left[i]], samples[lower_left[i]]
        upper += right[i] * (samples[upper_right[i]] - upper)
        lower += right[i] * (samples[lower_right[i]] - lower)
        result[2 * i] = upper + down[i] * (lower - upper)


@inline
def _corners(
    y: int,
    dx: int,
    to_x: Array,
    to_y: Array,
    shape: tuple[int, int, int],
    corners: Corners,
    fractions: tuple[Array, Array],
) -> None:
    """Positions of the four samples around each point, for one column of the cells."""
    height, width, count = shape
    own_y, columns = np.float32(y - y % 2), (width - dx + 1) // 2
    most_y, most_x = np.float32((height - y % 2 + 1) // 2 - 1), np.float32(columns - 1)
    start = np.int32((y % 2 * width + dx) * count)
    row, cell, none = np.int32(2 * width * count), np.int32(2 * count), np.int32(0)
    one, two, three, four = corners
    right, below = fractions
    for i in range(columns):
        across = min(max(to_x[i] * _HALF + np.float32(np.int32(i)), _0), most_x)
        down = min(max((to_y[i] + own_y) * _HALF, _0), most_y)
        left, top = np.floor(across), np.floor(down)
        here = np.int32(start + np.int32(np.int32(top) * row) + np.int32(np.int32(left) * cell))
        under = np.int32(here + (row if top < most_y else none))
        beside = cell if left < most_x else none
        one[i], two[i] = here, np.int32(here + beside)
        three[i], four[i] = under, np.int32(under + beside)
        right[i], below[i] = across - left, down - top


@inline
def _split_pairs(pairs: Array, first: Array, second: Array) -> None:
    """Split the pairs of a row, since the compiler doesn't vectorise loops over pairs."""
    for i in range(pairs.shape[0]):
        first[i], second[i] = pairs[i, 0], pairs[i, 1]


@kernel
def shade_strip(first: int, last: int, flow: Array, terms: Array, shade: Array) -> None:
    """Compute the ratio of the lens shading at a pixel to that at its source.

    Args:
        first, last: range of rows.
        flow: [H, W, 2].
        terms: see `Shading`.
        shade: the result, [H, W].
    """
    height, width = shade.shape
    middle_x, middle_y = np.float32(width - 1) * _HALF, np.float32(height - 1) * _HALF
    per_square = _1 / (middle_x * middle_x + middle_y * middle_y)
    end_x, end_y = np.float32(width - 1), np.float32(height - 1)
    to_x, to_y = np.empty((2, width), np.float32)
    for y in range(first, last):
        result = shade[y]
        _split_pairs(flow[y], to_x, to_y)
        for x in range(width):
            own_x, own_y = np.float32(np.int32(x)), np.float32(y)
            other_x = min(max(own_x + to_x[x], _0), end_x)
            other_y = min(max(own_y + to_y[x], _0), end_y)
            own = _shading(own_x - middle_x, own_y - middle_y, per_square, terms)
            other = _shading(other_x - middle_x, other_y - middle_y, per_square, terms)
            result[x] = exp(own - other)


@inline
def _shading(x: np.float32, y: np.float32, per_square: np.float32, terms: Array) -> np.float32:
    square_x, square_y = x * x * per_square, y * y * per_square
    square = square_x + square_y
    return terms[0] * square_x + terms[1] * square_y + terms[2] * square * square


@kernel
def scale_strip(
    first: int,
    last: int,
    estimate: tuple[Array, Array],
    clipped: NDArray[np.uint8],
    gain: np.float32,
    tables: Tables,
    of_states: Array,
    value: Array,
    lower_bound: Array,
    fine: Array,
    total: Array,
) -> None:
    """Divide an estimate by its brightness, and compute its variance.

    Args:
        first, last: range of rows.
        estimate: value and lower bound, [H, W] each.
        clipped: clip state, [H, W].
        gain: the brightness.
        tables: `FINE`, and four of `ERROR`.
        of_states: variance by position and clip state, [4, 8].
        value, lower_bound, fine, total: the results; `total` is the variance of the estimate.
    """
    per_gain = _1 / gain
    per_square = per_gain * per_gain
    width = value.shape[1]
    unclipped = np.empty((2, width), np.float32)
    for y in range(first, last):
        estimated, bound, state = estimate[0][y], estimate[1][y], clipped[y]
        scaled, scaled_bound, error = value[y], lower_bound[y], total[y]
        for dx in range(2):
            _read(tables, ERROR + 2 * (y % 2) + dx, estimated, unclipped[dx])
        for x in range(width):
            scaled[x] = estimated[x] * per_gain
            scaled_bound[x] = bound[x] * per_gain
        _read(tables, FINE, scaled, fine[y])
        for dx in range(2):
            by_state, by_value = of_states[2 * (y % 2) + dx], unclipped[dx]
            for x in range(dx, width, 2):
                variance = by_state[state[x]] if state[x] > 0 else by_value[x]
                error[x] = variance * per_square


@kernel
def square_strip(
    first: int, last: int, value: Array, other: Array, shade: Array, squared: Array
) -> None:
    """Multiply the other frame's fit by the shading in place, and compute its squared difference
    from this frame's fit."""
    for y in range(first, last):
        row, others, shades, squares = value[y], other[y], shade[y], squared[y]
        for x in range(row.size):
            shaded = others[x] * shades[x]
            others[x] = shaded
            difference = row[x] - shaded
            squares[x] = difference * difference


@kernel
def gather_strip(
    first: int,
    last: int,
    value: Array,
    clipped: NDArray[np.uint8],
    full: NDArray[np.uint8],
    lower_bound: Array,
    blind: Array,
    from_reference: tuple[Array, Array, Array, Array],
    shade_far: Array,
    flows: tuple[Array, Array],
    lost: bool,
    squared: tuple[Array, Array],
    tables: Tables,
    constants: Array,
    fine: Array,
    total: Array,
    fit_variance: Array,
    anchored: tuple[Array, Array],
    warped_variance: Array,
    near_variance: Array,
    residual_variance: Array,
) -> None:
    """Compute the candidates, except the one from the previous RAW; see `affinity.gather`.

    Args:
        first, last: range of rows.
        value, clipped, full, lower_bound: the fit; `full` is 0 or 1, [H, W].
        blind: variance due to unseen clip states, [H, W].
        from_reference: warped fit (shaded), residual, RAW and blurred detail of the reference
            frame; the RAW is multiplied by the shading.
        shade_far: ratio of the lens shading to that of the reference frame.
        flows, squared: for the reference and the previous frame: flow [H, W, 2], and mean squared
            difference of the fits.
        lost: whether the flow to the reference frame is invalid.
        tables: all except `ERROR`.
        constants: κ, reliable, noisiest, unusable, certain.
        fine: variance of the fine error; `blind` is added.
        total: variance of the fit.
        fit_variance, anchored, warped_variance, near_variance, residual_variance: results.
    """
    width = value.shape[1]
    kappa, reliable, noisiest = constants[0], constants[1], constants[2]
    unusable, certain = constants[3], constants[4]
    lines = np.empty((5, width), np.float32)
    brightest, noise, smooth, floor_far, floor_near = lines
    out_far, out_near = np.empty(width, np.float32), np.empty(width, np.float32)
    down = np.empty(width, np.float32)
    for y in range(first, last):
        fit, first_fit, residual = value[y], from_reference[0][y], from_reference[1][y]
        first_raw, blurred, shade = from_reference[2][y], from_reference[3][y], shade_far[y]
        state, full_row, bound, unseen = clipped[y], full[y], lower_bound[y], blind[y]
        squared_far, squared_near = squared[0][y], squared[1][y]
        for x in range(width):
            brightest[x] = max(fit[x], first_fit[x])
        _read(tables, NOISE, brightest, noise)
        _read(tables, SMOOTH, fit, smooth)
        _read(tables, FLOOR_FAR, fit, floor_far)
        _read(tables, FLOOR_NEAR, fit, floor_near)
        _mark_outside(y, flows[0], lost, out_far, down)
        _mark_outside(y, flows[1], False, out_near, down)
        of_fine, of_total, of_fit, of_warped = (
            fine[y],
            total[y],
            fit_variance[y],
            warped_variance[y],
        )
        anchored_value, of_anchored = anchored[0][y], anchored[1][y]
        of_near, of_residual = near_variance[y], residual_variance[y]
        for x in range(width):
            is_clipped, is_full = state[x] > 0, full_row[x] > 0
            highest = noisiest * (of_fine[x] + noise[x])
            of_fine[x] = certain if is_full else of_fine[x] + unseen[x]
            variance = certain if is_full else of_total[x]
            of_fit[x] = variance if is_clipped else min(smooth[x], variance)
            far = squared_far[x] - _ONE_AND_A_HALF * min(floor_far[x], highest)
            far = unusable if out_far[x] > _0 else kappa * max(far, _0)
            near = squared_near[x] - _ONE_AND_A_HALF * min(floor_near[x], highest)
            of_near[x] = unusable if out_near[x] > _0 else kappa * max(near, _0)
            raw = first_raw[x] * shade[x]
            raw = max(raw, bound[x]) if is_full else raw
            first_raw[x] = raw
            short = max(bound[x] - raw, _0) if is_clipped else _0
            moved = fit[x] + residual[x] * shade[x]
            anchored_value[x] = max(raw, bound[x]) if is_clipped else moved
            of_clipped = noise[x] + blurred[x]
            own = of_clipped if is_clipped else reliable * variance
            of_anchored[x] = far + own + short * short
            of_raw = _2 * far + _ONE_AND_A_HALF * noise[x] + blurred[x]
            of_warped[x] = unusable if is_clipped else of_raw
            of_residual[x] = of_clipped if is_clipped else _2 * reliable * variance


@kernel
def previous_strip(
    first: int,
    last: int,
    value: Array,
    clipped: NDArray[np.uint8],
    lower_bound: Array,
    from_previous: tuple[Array, Array],
    shade: Array,
    previous_fit: Array,
    flow: Array,
    near_variance: Array,
    residual_variance: Array,
    unusable: np.float32,
    candidate: tuple[Array, Array],
) -> None:
    """Compute the candidate from the previous RAW; see `Evidence.with_previous`.

    Args:
        first, last: range of rows.
        value, clipped, lower_bound: the fit.
        from_previous: the warped previous RAW and the variance of its error.
        shade, previous_fit, flow, near_variance, residual_variance: see `Evidence`.
        unusable: variance outside of the previous frame.
        candidate: value and variance, the results.
    """
    width = value.shape[1]
    out, down = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(first, last):
        fit, state, bound, factor = value[y], clipped[y], lower_bound[y], shade[y]
        of_raw, raws, before = from_previous[1][y], from_previous[0][y], previous_fit[y]
        of_near, of_residual = near_variance[y], residual_variance[y]
        result, variance = candidate[0][y], candidate[1][y]
        _mark_outside(y, flow, False, out, down)
        for x in range(width):
            raw, is_clipped = raws[x] * factor[x], state[x] > 0
            moved_variance = unusable if out[x] > _0 else of_raw[x] + of_near[x]
            short = max(bound[x] - raw, _0) if is_clipped else _0
            moved = fit[x] + raw - before[x]
            result[x] = max(raw, bound[x]) if is_clipped else moved
            variance[x] = moved_variance + of_residual[x] + short * short


@kernel
def fuse_strip(
    first: int,
    last: int,
    values: tuple[Array, Array, Array, Array],
    variances: tuple[Array, Array, Array, Array],
    fine: Array,
    result: Array,
    variance: Array,
) -> None:
    """Compute rows of `fusion.fuse`."""
    for y in range(first, last):
        for x in range(result.shape[1]):
            of_fit = variances[0][y, x]
            p0, p1, p2 = _1 / of_fit, _1 / variances[1][y, x], _1 / variances[2][y, x]
            total = p0 + p1 + p2
            blend = p0 * values[0][y, x] + p1 * values[1][y, x] + p2 * values[2][y, x]
            blend = blend / total
            blend_variance = _1 / total + fine[y, x]
            share = blend_variance / (blend_variance + variances[3][y, x])
            result[y, x] = blend + share * (values[3][y, x] - blend)
            variance[y, x] = min(_3 / total, of_fit)


@kernel
def total_variance_strip(
    first: int,
    last: int,
    variances: tuple[Array, Array, Array, Array],
    fine: Array,
    variance: Array,
    total: Array,
) -> None:
    """Compute the expected square of the fusion's total error, including the fine error.

    Args:
        first, last: range of rows.
        variances: the candidates' variances.
        fine: see `Prior`.
        variance: variance of the fusion's predictable error.
        total: the result, [H, W].
    """
    for y in range(first, last):
        v0, v1, v2, v3 = variances[0][y], variances[1][y], variances[2][y], variances[3][y]
        rough, known, result = fine[y], variance[y], total[y]
        for x in range(result.size):
            blend_variance = _1 / (_1 / v0[x] + _1 / v1[x] + _1 / v2[x]) + rough[x]
            result[x] = v3[x] / (blend_variance + v3[x]) * (known[x] + rough[x])


@inline
def _mark_outside(y: int, flow: Array, everywhere: bool, result: Array, down: Array) -> None:
    """Set 1 where a row's flow leaves the other frame (or everywhere), else 0; see
    `flow.outside`. `down` is scratch memory."""
    _split_pairs(flow[y], result, down)
    most_x, most_y = np.float32(flow.shape[1]) - _HALF, np.float32(flow.shape[0]) - _HALF
    own_y, always = np.float32(y), _1 if everywhere else _0
    for x in range(result.size):
        at_x, at_y = np.float32(np.int32(x)) + result[x], own_y + down[x]
        inside = min(min(at_x, at_y) + _HALF, min(most_x - at_x, most_y - at_y))
        result[x] = always if inside >= _0 else _1
