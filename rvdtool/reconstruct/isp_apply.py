"""Apply the inverse ISP's regressions to every photosite of a frame, in one pass."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.buffers import empty
from rvdtool.reconstruct.compiled import in_strips, inline, kernel
from rvdtool.reconstruct.isp_features import MIDDLE, RADIUS, Features
from rvdtool.reconstruct.places import Places
from rvdtool.reconstruct.statistics import Array
from rvdtool.video.frame import Rgb

SIDE = 2 * RADIUS + 1

_1 = np.float32(1)


@dataclass(frozen=True)
class Weights:
    """Regression weights of all CFA positions, [2, 2, …] by row and column in the cell.

    Attributes:
        coded, squared: weights of the coded channels and their squares, [2, 2, 3].
        kernels: weights of the linearised channels around the photosite, [2, 2, 3, SIDE, SIDE].
        context: for each map m, weights of the linearised channels and 1, multiplied by m and by
            m², [2, 2, maps, 2, 4].
        constant: constant terms, [2, 2].
        channel: the position's own colour, [2, 2].
    """

    coded: Array
    squared: Array
    kernels: Array
    context: Array
    constant: Array
    channel: NDArray[np.uint8]

    @classmethod
    def empty(cls, maps: int) -> Self:
        """Weights of 0, which the caller fills position by position."""
        return cls(
            coded=np.zeros((2, 2, 3), np.float32),
            squared=np.zeros((2, 2, 3), np.float32),
            kernels=np.zeros((2, 2, 3, SIDE, SIDE), np.float32),
            context=np.zeros((2, 2, maps, 2, 4), np.float32),
            constant=np.zeros((2, 2), np.float32),
            channel=np.zeros((2, 2), np.uint8),
        )


def apply_weights(weights: Weights, features: Features) -> tuple[Array, Array]:
    """Normalised RAW as if nothing were clipped, and its lower bound, [H, W] each.

    The lower bound equals the RAW value if the photosite's own colour is clipped, and is 0
    otherwise.
    """
    rgb = features.rgb
    height, width = rgb.shape[:2]
    value, lower_bound = empty((height, width)), empty((height, width))
    tones = tuple(features.tones)
    places = Places.of(tones[0].shape, (height, width))
    # Split columns by position in the cell, so that those of a position are contiguous.
    columns = tuple(np.ascontiguousarray(places.columns[dx::2]) for dx in range(2))
    shares = tuple(np.ascontiguousarray(places.column_shares[dx::2]) for dx in range(2))
    reach = np.float32(((width - 1) / 2) ** 2 + ((height - 1) / 2) ** 2)

    def strip(first: int, last: int) -> None:
        _apply(
            first, last, rgb, features.table, features.clipped, weights.coded, weights.squared,
            weights.kernels, weights.context, weights.constant, weights.channel, tones,
            places.rows, places.row_shares, columns, shares, reach, value, lower_bound,
        )  # fmt: skip

    in_strips(height, strip)
    return value, lower_bound


@kernel
def _apply(
    first: int,
    last: int,
    rgb: Rgb,
    table: Array,
    clipped: NDArray[np.uint8],
    coded: Array,
    squared: Array,
    kernels: Array,
    context: Array,
    constant: Array,
    channel: NDArray[np.uint8],
    tones: tuple[Array, Array],
    rows: NDArray[np.uint32],
    row_shares: Array,
    columns: tuple[NDArray[np.uint32], NDArray[np.uint32]],
    shares: tuple[Array, Array],
    reach: np.float32,
    value: Array,
    lower_bound: Array,
) -> None:
    height, width = value.shape
    count = (width + 1) // 2
    per_code = _1 / np.float32(table.size - 1)
    near = np.zeros((SIDE, 3, 2, count + 2), np.float32)  # ring buffer of linearised rows
    maps = np.empty((3, count), np.float32)
    small = np.empty((2, tones[0].shape[1]), np.float32)
    sums = np.empty(count, np.float32)
    for y in range(first - RADIUS, first + RADIUS):
        _linearise(rgb[_reflect(y, height)], table, near[y % SIDE])
    for y in range(first, last):
        _linearise(rgb[_reflect(y + RADIUS, height)], table, near[(y + RADIUS) % SIDE])
        for k in range(2):
            _interpolate_rows(tones[k], rows[y], row_shares[y], small[k])
        down = np.float32(y) - np.float32(height - 1) / np.float32(2)
        for dx in range(2):
            dy, n = y % 2, (width - dx + 1) // 2
            sums[:] = constant[dy, dx]
            for c in range(3):
                codes = rgb[y, dx:, c]
                once, twice = coded[dy, dx, c], squared[dy, dx, c]
                for i in range(n):
                    code = np.float32(codes[2 * i]) * per_code
                    sums[i] += code * (once + code * twice)
                for k in range(SIDE):
                    _add_filtered(near[(y + k - RADIUS) % SIDE, c], dx, kernels[dy, dx, c, k], sums)
            for k in range(2):
                _interpolate_columns(small[k], columns[dx], shares[dx], maps[k])
            for i in range(n):
                across = np.float32(2 * i + dx) - np.float32(width - 1) / np.float32(2)
                maps[2, i] = (across * across + down * down) / reach - MIDDLE
            here = near[y % SIDE]
            for k in range(3):
                _add_context(
                    maps[k], here[0, dx, 1:], here[1, dx, 1:], here[2, dx, 1:],
                    context[dy, dx, k], sums,
                )  # fmt: skip
            bit, results, bounds = channel[dy, dx], value[y, dx:], lower_bound[y, dx:]
            states = clipped[y, dx:]
            for i in range(n):
                results[2 * i] = sums[i]
                bounds[2 * i] = sums[i] * np.float32((states[2 * i] >> bit) & 1)


@kernel
def apply_states(
    begin: int,
    end: int,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    rgb: Rgb,
    table: Array,
    clipped: NDArray[np.uint8],
    around: tuple[Array, Array, Array, Array],
    states: Array,
    value: Array,
) -> None:
    """Apply the regressions of clip states to clipped photosites.

    Args:
        begin, end: range of `rows` and `columns` to process.
        rows, columns: positions of the photosites.
        rgb, table, clipped: see `Features`.
        around: linearised channels around each photosite, [photosites, 3] per scale.
        states: weights by position in the cell and clip state, [2, 2, 8, 19]; NaN for states
            without a regression.
        value: normalised RAW, [H, W]; changed at photosites whose state has weights.
    """
    per_code = _1 / np.float32(table.size - 1)
    for i in range(begin, end):
        y, x = rows[i], columns[i]
        weights = states[y % 2, x % 2, clipped[y, x]]
        total = weights[18]
        if np.isnan(total):
            continue
        for c in range(3):
            code = rgb[y, x, c]
            linear = table[code]
            total += linear * weights[c] + np.float32(code) * per_code * weights[3 + c]
            for k in range(4):
                total += (around[k][i, c] - linear) * weights[6 + 3 * k + c]
        value[y, x] = total


@inline
def _reflect(y: int, height: int) -> int:
    """A row index, mirrored at the frame's first or last row if it lies outside."""
    y = abs(y)
    return min(y, max(2 * height - 2 - y, 0))


@inline
def _linearise(codes: Rgb, table: Array, result: Array) -> None:
    """Linearise a row [W, 3] into [3, 2, (W + 1) / 2 + 2]: even and odd columns, from column −2."""
    width = codes.shape[0]
    for c in range(3):
        even, odd, row = result[c, 0], result[c, 1], codes[:, c]
        for i in range(width // 2):
            even[i + 1] = table[row[2 * i]]
            odd[i + 1] = table[row[2 * i + 1]]
        if width % 2:
            even[width // 2 + 1] = table[row[width - 1]]
        even[0], odd[0] = table[row[_reflect(-2, width)]], table[row[_reflect(-1, width)]]
        for x in range(width, 2 * (even.size - 1)):
            result[c, x % 2, x // 2 + 1] = table[row[_reflect(x, width)]]


@inline
def _add_filtered(row: Array, dx: int, weights: Array, sums: Array) -> None:
    """Add the products of one row of a 5×5 kernel with a row from `_linearise`."""
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    own, other = row[dx], row[1 - dx, dx:]
    before, after, further = own[1:], other[1:], own[2:]
    for i in range(sums.size):
        near = w0 * own[i] + w1 * other[i] + w2 * before[i]
        sums[i] += near + w3 * after[i] + w4 * further[i]


@inline
def _interpolate_rows(tones: Array, row: int, share: np.float32, result: Array) -> None:
    """Interpolate between two rows of a small map."""
    one, other = tones[row], tones[min(row + 1, tones.shape[0] - 1)]
    for i in range(result.size):
        result[i] = one[i] + share * (other[i] - one[i]) - MIDDLE


@inline
def _interpolate_columns(
    small: Array, columns: NDArray[np.uint32], shares: Array, result: Array
) -> None:
    """Interpolate a row of a small map at positions between its pixels."""
    end = np.uint32(small.size - 1)
    for i in range(columns.size):
        at = columns[i]
        one = small[at]
        result[i] = one + shares[i] * (small[min(at + np.uint32(1), end)] - one)


@inline
def _add_context(
    m: Array, red: Array, green: Array, blue: Array, weights: Array, sums: Array
) -> None:
    """Add the context's products: the channels and 1, times their weights, times m and m²."""
    r1, g1, b1, c1 = weights[0, 0], weights[0, 1], weights[0, 2], weights[0, 3]
    r2, g2, b2, c2 = weights[1, 0], weights[1, 1], weights[1, 2], weights[1, 3]
    for i in range(sums.size):
        once = red[i] * r1 + green[i] * g1 + (blue[i] * b1 + c1)
        twice = red[i] * r2 + green[i] * g2 + (blue[i] * b2 + c2)
        sums[i] += m[i] * (once + m[i] * twice)
