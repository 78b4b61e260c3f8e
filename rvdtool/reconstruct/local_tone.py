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
_0, _1, _3 = np.float32(0), np.float32(1), np.float32(3)
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
    distance = np.abs(place[..., None] - np.arange(BINS, dtype=np.float32))
    shares = np.maximum(1 - distance, 0)  # of the two nearest intensities
    flat = shares.reshape(-1, BINS)
    wide = cv2.sepFilter2D(flat, -1, _SPREAD, _ALONE, borderType=cv2.BORDER_CONSTANT)
    wide = wide.reshape(shares.shape)
    weights = wide * weight[..., None]
    grid, found = np.zeros_like(shares), np.zeros_like(ratio)
    for window in WINDOWS:
        side = max(3, round(window * len(value)) // 2 * 2 + 1)
        left = (ratio - found)[..., None]
        terms = (weights, weights * left, weights * left * left, wide)
        count, total, squares, all_blocks = (_sums(term, side) for term in terms)
        mean = total / (count + np.float32(1e-3))
        scatter = np.maximum(squares / (count + np.float32(1e-3)) - mean * mean, 0) + SCATTER**2
        samples = count / np.float32(BLOCKS_PER_SAMPLE)
        beyond = mean * mean - scatter / np.maximum(samples, 1)
        between = max(float((count * beyond).sum()) / (float(count.sum()) + 1e-6), 0.0)
        part = samples * between / (samples * between + scatter)
        part *= np.minimum(count / (FEWEST * all_blocks + np.float32(1e-3)), 1)
        grid += part * mean
        found += (shares * (part * mean)).sum(axis=-1)
    return grid, found


def _sums(values: Array, side: int) -> Array:
    """Sums over `side`×`side` blocks, [H, W, BINS]."""
    return cv2.boxFilter(values, -1, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)


def _multiply(grid: Array, mosaics: tuple[Array, ...]) -> None:
    """Multiply mosaics by a grid's factors for the intensities of the first one, in place."""
    cells = mosaics[0].shape[0] // 2

    def strip(first: int, last: int) -> None:
        _factor_strip(first, last, grid, mosaics[0], mosaics[-1], len(mosaics) > 1)

    in_strips(cells, strip)


@kernel
def _factor_strip(
    first: int, last: int, grid: Array, mosaic: Array, other: Array, both: bool
) -> None:
    """Multiply rows of cells by their factor, which is interpolated for their mean intensity.

    Args:
        first, last: range of rows of cells (two rows of the mosaic).
        grid: logarithms of factors, [H//8, W//8, BINS].
        mosaic: [H, W], changed.
        other: multiplied by the same factors if `both`.
    """
    bottom, end = grid.shape[0] - 1, grid.shape[1] - 1
    for y in range(first, last):
        upper, lower = mosaic[2 * y], mosaic[2 * y + 1]
        # The middle of a cell is at pixel 2 y + ½, that of a block at 8 b + 3½.
        down = min(max((np.float32(2 * y) - _3) * _PER_BLOCK, _0), np.float32(bottom))
        top = int(down)
        one, two = grid[top], grid[min(top + 1, bottom)]
        down -= np.float32(top)
        for x in range(upper.size // 2):
            over = min(max((np.float32(2 * x) - _3) * _PER_BLOCK, _0), np.float32(end))
            left = int(over)
            right = min(left + 1, end)
            over -= np.float32(left)
            mean = upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]
            step = (log(max(mean * _QUARTER, DARKEST)) - _START) * _STEPS
            step = min(max(step, _0), _MOST)
            number = min(int(step), BINS - 2)
            share = step - np.float32(number)
            factor = _0
            for k in range(2):
                above, below = one[left, number + k], two[left, number + k]
                above += over * (one[right, number + k] - above)
                below += over * (two[right, number + k] - below)
                factor += (share if k else _1 - share) * (above + down * (below - above))
            factor = exp(factor)
            for dx in range(2):
                upper[2 * x + dx] *= factor
                lower[2 * x + dx] *= factor
                if both:
                    other[2 * y, 2 * x + dx] *= factor
                    other[2 * y + 1, 2 * x + dx] *= factor
