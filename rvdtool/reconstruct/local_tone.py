"""Correct a fit for local tone mapping that has changed since the reference frame.

Phones map tones locally, and adapt this to the content over time. So the fit of an area changes,
although its light doesn't. Where a frame certainly shows the same as the reference frame, the
smooth part of their ratio is attributed to this, as long as it is small: a lamp or a shadow changes
the light by more, and has edges.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.brightness import BLOCK, NOTABLE, block_means
from rvdtool.reconstruct.fit import Fit
from rvdtool.reconstruct.statistics import Array, box

WINDOW = 0.2
"""Side of the window in which ratios are averaged, as a fraction of the frame's height."""
DARK = np.float32(0.02)
"""Blocks below this intensity, 0..1, have less weight: noise and rounding change their ratio."""
FEWEST = 0.5
"""Fraction of a window that must be certain for the whole correction; none at half of that."""
SLIGHT = 0.05
"""Logarithm of the ratio at which half of it is corrected: smaller ones are mostly errors of the
fit."""
LARGEST = 0.3
"""Logarithm up to which the ratio is attributed to tone mapping; not at all at twice that."""


def correct_local_tone(fit: Fit, first_fit: Array, sure: NDArray[np.bool_]) -> float:
    """Multiply a fit by the smooth ratio of the reference frame's to it, where that is known.

    Args:
        fit: the frame's fit, which is changed.
        first_fit: the warped fit of the reference frame with the shading here, [H, W].
        sure: blocks that certainly show the same as the reference frame, [H//8, W//8].

    Returns:
        Fraction of the frame that was corrected by at least `NOTABLE`, 0..1.
    """
    now = block_means(fit.value)
    ratio = np.log(np.maximum(block_means(first_fit), 1e-4) / np.maximum(now, 1e-4))
    weight = (sure & (np.abs(ratio) < 2 * LARGEST)) * np.clip(now / DARK, 0, 1)
    if not weight.any():
        return 0.0
    side = max(3, round(WINDOW * fit.value.shape[0] / BLOCK) // 2 * 2 + 1)
    share = box(weight, side)
    smooth = box(ratio * weight, side) / np.maximum(share, np.float32(1e-3))
    part = np.clip(2 * share / FEWEST - 1, 0, 1) * np.clip(2 - np.abs(smooth) / LARGEST, 0, 1)
    smooth *= part * smooth**2 / (smooth**2 + SLIGHT**2)
    height, width = fit.value.shape
    factor = cv2.resize(np.exp(smooth), (width, height))
    np.multiply(fit.value, factor, out=fit.value)
    np.multiply(fit.lower_bound, factor, out=fit.lower_bound)
    return float((np.abs(smooth) >= NOTABLE).mean())
