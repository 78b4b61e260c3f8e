"""Correct fits for local tone mapping, which differs by place and intensity and changes over time.

Phones map tones locally, and adapt this to the content. The inverse ISP is the same for the whole
clip, so its fit is wrong by a factor that varies slowly over place and intensity. Where a frame
certainly shows the same as the reference frame, this factor is known: the ratio of the warped RAW
to the fit. It is estimated for all places and intensities in a coarse grid (as the bilateral grid
of Chen, Paris and Durand, 2007): from large windows to small ones, each of which corrects what the
larger ones left. Every correction is shrunk as far as the ratios in its window scatter, relative to
how much windows of this size differ in this frame (empirical Bayes). So it is small where little is
certain, in videos without local tone mapping, and at intensities that aren't in view.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.brightness import BLOCK, BLOCKS_PER_SAMPLE, NOTABLE, block_means
from rvdtool.reconstruct.compiled import exp, in_strips, kernel, log
from rvdtool.reconstruct.fit import Fit
from rvdtool.reconstruct.statistics import Array, median_deviation

WINDOWS = (0.8, 0.4, 0.2, 0.1, 0.05)
"""Sides of the windows, as fractions of the frame's height."""
BINS = 10
"""Intensities of the grid, evenly spaced in their logarithm between `DARKEST` and 1."""
DARKEST = np.float32(0.004)
"""Lowest intensity of the grid, 0..1."""
DARK = np.float32(0.02)
"""Blocks below this intensity, 0..1, have less weight: noise and rounding change their ratio."""
LEAST, PER_UNEVENNESS, LARGEST = 0.3, 5, 1.0
"""Ratios with a larger logarithm aren't used, since they are due to light or wrong flow: `LEAST`
plus `PER_UNEVENNESS` times the ratios' median absolute deviation, at most `LARGEST`. Where tone
mapping changes, it does so in most of the frame; a shadow doesn't."""
SCATTER = 0.02
"""Lower limit of the standard deviation of a single ratio's logarithm."""
FEWEST = np.float32(0.2)
"""Fraction of a window's blocks of an intensity that must be certain for the whole correction."""
UNCORRECTED = 0.05
"""Largest relative error of a corrected fit that is attributed to local tone mapping. Below it, the
error is assumed to be `REMAINING` times the root mean square of the tone's change."""
REMAINING = 2

_STEPS = np.float32((BINS - 1) / -np.log(DARKEST))
_START = np.float32(np.log(DARKEST))
_MOST = np.float32(BINS - 1)
_0, _3 = np.float32(0), np.float32(3)
_QUARTER, _PER_BLOCK = np.float32(0.25), np.float32(1 / BLOCK)
_SPREAD, _ALONE = np.array([0.25, 0.5, 0.25], np.float32), np.ones(1, np.float32)


def correct_local_tone(
    fit: Fit, from_reference: list[Array], shade: Array, sure: NDArray[np.bool_]
) -> tuple[float, np.float32]:
    """Correct the fits of a frame and of the warped reference frame, where that is possible.

    Args:
        fit: the frame's fit, which is changed.
        from_reference: fit, residual and RAW of the reference frame along the flow, [H, W] each.
            Fit and residual are changed; their sum isn't.
        shade: ratio of the lens shading here to that in the reference frame, [H, W].
        sure: blocks that certainly show the same as the reference frame, [H//8, W//8].

    Returns:
        Fraction of the frame whose tone has changed by at least `NOTABLE`, 0..1, and the relative
        error of the fit that remains, 0..`UNCORRECTED`.
    """
    first, residual, raw = from_reference[:3]
    known = block_means(raw)
    field, tone = _estimate(block_means(fit.value), known * block_means(shade), sure)
    _multiply(field, (fit.value, fit.lower_bound))
    field, tone_then = _estimate(block_means(first), known, sure)
    residual += first
    _multiply(field, (first,))
    residual -= first
    change = tone - tone_then
    error = min(REMAINING * float(np.sqrt((change * change)[sure].mean())), UNCORRECTED)
    return float((np.abs(change) >= NOTABLE).mean()), np.float32(error)


def _estimate(value: Array, known: Array, sure: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Estimate the logarithm of known / value by place and intensity.

    Args:
        value, known: block means, [H//8, W//8].
        sure: where `known` is true, [H//8, W//8].

    Returns:
        The grid, [H//8, W//8, BINS], and its values at the blocks' own intensities, [H//8, W//8].
    """
    least = np.float32(1e-4)
    ratio = np.log(np.maximum(known, least) / np.maximum(value, least))
    uneven = median_deviation(ratio[sure & (value > DARK)])
    largest = min(LEAST + PER_UNEVENNESS * uneven, LARGEST)
    weight = (sure & (np.abs(ratio) < largest)) * np.clip(value / DARK, 0, 1)
    place = np.clip((np.log(np.maximum(value, DARKEST)) - _START) * _STEPS, 0, _MOST)
    distance = np.abs(place - np.arange(BINS, dtype=np.float32)[:, None, None])
    shares = np.maximum(1 - distance, 0)  # of the two nearest intensities
    wide = cv2.sepFilter2D(
        shares.reshape(BINS, -1), -1, _ALONE, _SPREAD, borderType=cv2.BORDER_CONSTANT
    )
    wide = wide.reshape(shares.shape)
    grid, found = np.zeros_like(shares), np.zeros_like(ratio)
    statistics = tuple(np.empty_like(shares) for _ in range(4))
    totals = np.empty((BINS, 2))
    for window in WINDOWS:
        side = max(3, round(window * len(value)) // 2 * 2 + 1)
        left = ratio - found

        def intensities(first: int, last: int, left: Array = left, reach: int = side // 2) -> None:
            _window_strip(first, last, reach, wide, weight, left, statistics, totals)

        in_strips(BINS, intensities, 1)
        beyond, count = totals.sum(axis=0)
        between = np.float32(max(beyond / (count + 1e-6), 0))

        def rows(first: int, last: int, between: np.float32 = between) -> None:
            _add_strip(first, last, between, shares, statistics, grid, found)

        in_strips(len(value), rows)
    return np.ascontiguousarray(np.moveaxis(grid, 0, -1)), found


@kernel
def _window_strip(
    first: int,
    last: int,
    reach: int,
    wide: Array,
    weight: Array,
    ratio: Array,
    statistics: tuple[Array, ...],
    totals: NDArray[np.float64],
) -> None:
    """Statistics of the ratios in a window around each block, for intensities first..last − 1.

    Args:
        first, last: range of intensities.
        reach: blocks from the window's middle to its edge.
        wide: weights of the blocks by intensity, [BINS, H, W].
        weight: how far a block's ratio is known, [H, W].
        ratio: logarithms, [H, W].
        statistics: results, [BINS, H, W] each: the number of known blocks, the mean and the
            variance of their ratios, and `FEWEST` applied to the fraction that is known, 0..1.
        totals: per intensity, the sum over all blocks of the mean's square beyond its expected
            error, and that of the numbers of known blocks, a result.
    """
    counts, means, variances, parts = statistics
    height, width = ratio.shape
    # Sums over the window's rows: of each column, and of all columns up to one. The latter begin
    # and end outside the frame, so that a window's sum is always the difference of two of them.
    columns, sums = np.zeros((4, width)), np.zeros((4, width + 2 * reach + 1))
    (known_in, total_in, squares_in, blocks_in), (known, total, squares, blocks) = columns, sums
    for k in range(first, last):
        columns[:] = 0
        beyond = all_counts = 0.0
        for y in range(-reach, height):
            for sign, source in ((1.0, y + reach), (-1.0, y - reach - 1)):
                if 0 <= source < height:
                    shares, weights, ratios = wide[k, source], weight[source], ratio[source]
                    for x in range(width):
                        share = sign * shares[x]
                        known_in[x] += share * weights[x]
                        total_in[x] += share * weights[x] * ratios[x]
                        squares_in[x] += share * weights[x] * ratios[x] * ratios[x]
                        blocks_in[x] += share
            if y < 0:
                continue
            a = b = c = d = 0.0
            for x in range(width + reach):
                if x < width:
                    a, b = a + known_in[x], b + total_in[x]
                    c, d = c + squares_in[x], d + blocks_in[x]
                at = x + reach + 1
                known[at], total[at], squares[at], blocks[at] = a, b, c, d
            count, mean = counts[k, y], means[k, y]
            variance, part = variances[k, y], parts[k, y]
            for x in range(width):
                end = x + 2 * reach + 1
                number = known[end] - known[x]
                middle = (total[end] - total[x]) / (number + 1e-3)
                square = (squares[end] - squares[x]) / (number + 1e-3)
                scatter = max(square - middle * middle, 0.0) + SCATTER**2
                beyond += number * middle * middle
                beyond -= min(number, float(BLOCKS_PER_SAMPLE)) * scatter
                all_counts += number
                count[x], mean[x], variance[x] = number, middle, scatter
                part[x] = min(number / (FEWEST * (blocks[end] - blocks[x]) + 1e-3), 1.0)
        totals[k, 0], totals[k, 1] = beyond, all_counts


@kernel
def _add_strip(
    first: int,
    last: int,
    between: np.float32,
    shares: Array,
    statistics: tuple[Array, ...],
    grid: Array,
    found: Array,
) -> None:
    """Add the windows' shrunk means to the grid.

    Args:
        first, last: range of rows.
        between: variance of the windows' true means.
        shares: of a block's two nearest intensities, [BINS, H, W].
        statistics: see `_window_strip`.
        grid: [BINS, H, W], changed.
        found: the grid at the blocks' own intensities, [H, W], changed.
    """
    counts, means, variances, parts = statistics
    for k in range(BINS):
        for y in range(first, last):
            for x in range(found.shape[1]):
                explained = counts[k, y, x] * np.float32(1 / BLOCKS_PER_SAMPLE) * between
                shrunk = explained / (explained + variances[k, y, x]) * parts[k, y, x]
                shrunk *= means[k, y, x]
                grid[k, y, x] += shrunk
                found[y, x] += shares[k, y, x] * shrunk


def _multiply(grid: Array, mosaics: tuple[Array, ...]) -> None:
    """Multiply mosaics by a grid's factors for the intensities of the first one, in place."""
    cells = mosaics[0].shape[0] // 2

    def strip(first: int, last: int) -> None:
        _multiply_strip(first, last, grid, mosaics)

    in_strips(cells, strip)


@kernel
def _multiply_strip(first: int, last: int, grid: Array, mosaics: tuple[Array, ...]) -> None:
    """Multiply rows of cells by their factor, interpolated for the first mosaic's mean intensity.

    Args:
        first, last: range of rows of cells (two rows of the mosaic).
        grid: logarithms of factors, [H//8, W//8, BINS].
        mosaics: [H, W] each, changed.
    """
    bottom, end = grid.shape[0] - 1, grid.shape[1] - 1
    cells = mosaics[0].shape[1] // 2
    factors = np.empty(cells, np.float32)
    for y in range(first, last):
        upper, lower = mosaics[0][2 * y], mosaics[0][2 * y + 1]
        # The middle of a cell is at pixel 2 y + ½, that of a block at 8 b + 3½.
        down = min(max((np.float32(2 * y) - _3) * _PER_BLOCK, _0), np.float32(bottom))
        top = int(down)
        down -= np.float32(top)
        row = grid[top] + down * (grid[min(top + 1, bottom)] - grid[top])
        # Separate loops, since the compiler vectorises logarithm and exponential, but not lookups.
        for x in range(cells):
            mean = upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]
            step = (log(max(mean * _QUARTER, DARKEST)) - _START) * _STEPS
            factors[x] = min(max(step, _0), _MOST)
        for x in range(cells):
            over = min(max((np.float32(2 * x) - _3) * _PER_BLOCK, _0), np.float32(end))
            left = int(over)
            right = min(left + 1, end)
            over -= np.float32(left)
            number = min(int(factors[x]), BINS - 2)
            share = factors[x] - np.float32(number)
            darker = row[left, number] + over * (row[right, number] - row[left, number])
            number += 1
            brighter = row[left, number] + over * (row[right, number] - row[left, number])
            factors[x] = darker + share * (brighter - darker)
        for x in range(cells):
            factors[x] = exp(factors[x])
        for mosaic in mosaics:
            for row_of_cell in range(2):
                photosites = mosaic[2 * y + row_of_cell]
                for x in range(cells):
                    photosites[2 * x] *= factors[x]
                    photosites[2 * x + 1] *= factors[x]
