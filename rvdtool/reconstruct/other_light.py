"""Choose the inverse ISP and its error model for frames whose light differs from the reference
frame's.

If areas that the frame certainly shares with the reference frame are much brighter or darker now,
there are two estimates: by the regression, and by its replacement for changed light (`Beyond`).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.brightness import BLOCK, block_means
from rvdtool.reconstruct.calibration import Calibration
from rvdtool.reconstruct.inverse_isp import Estimate
from rvdtool.reconstruct.statistics import ROUNDING, Array, Curve, box
from rvdtool.video.frame import Rgb

CHANGED = 0.25
"""Logarithm of the brightness ratio from which light counts as changed."""
FEW_BLOCKS = 12
"""Smallest number of blocks for the comparison of the estimates."""
DARKEST = np.float32(1e-4)


def in_its_light(
    calibration: Calibration,
    rgb: Rgb,
    estimate: Estimate,
    first_fit: Array,
    sure: NDArray[np.bool_],
    known: float | None,
) -> Estimate:
    """The better estimate for a frame's light.

    With a right estimate, ratios to the reference frame depend only on the position; with a wrong
    one, also on the objects' brightness. So the estimate for changed light is used if its ratios
    vary less.

    Args:
        calibration: the calibration on the reference frame.
        rgb: the current frame.
        estimate: the regression's estimate of the current frame.
        first_fit: the warped fit of the reference frame, [H, W].
        sure: blocks that certainly show the same as the reference frame.
        known: see `Beyond.measure`.
    """
    then = block_means(first_fit)
    ratio = _log_ratio(block_means(estimate.value), then)
    changed = sure & (np.abs(ratio) > CHANGED)
    if changed.sum() < FEW_BLOCKS:
        return estimate
    same = np.zeros(first_fit.shape, np.bool_)
    inside = np.repeat(np.repeat(changed, BLOCK, axis=0), BLOCK, axis=1)
    same[: inside.shape[0], : inside.shape[1]] = inside
    other = calibration.inverse_isp.in_other_light(rgb, first_fit, same, known)
    if other is None:
        return estimate
    other_ratio = _log_ratio(block_means(other.value), then)
    spreads = zip(_spreads(other_ratio, changed), _spreads(ratio, changed), strict=True)
    return other if all(one < two for one, two in spreads) else estimate


def _spreads(ratio: Array, where: NDArray[np.bool_]) -> tuple[float, float]:
    """Spread of ratios: in total, and relative to their surroundings, as light varies smoothly."""
    weight = where.astype(np.float32)
    around = box(ratio * weight, 5) / np.maximum(box(weight, 5), np.float32(1e-3))
    low, high = np.quantile(ratio[where], (0.2, 0.8))
    return float(high - low), float(np.abs(ratio - around)[where].mean())


def _log_ratio(value: Array, other: Array) -> Array:
    """Logarithm of the ratio of normalised RAW values, with a lower limit."""
    return np.log(np.maximum(value, DARKEST) / np.maximum(other, DARKEST))


def errors_in_light(calibration: Calibration, brightness: float) -> Calibration:
    """The calibration with the fit's error model for another brightness."""
    return replace(
        calibration,
        fine=_scaled(calibration.fine, brightness),
        smooth=_scaled(calibration.smooth, brightness),
    )


def _scaled(variance: Curve, brightness: float) -> Curve:
    """Variance of a fit's error for another brightness, at the reference frame's brightness.

    Above the reference frame's intensities it is proportional to intensity, like noise and coding
    errors.
    """
    lowest, highest = max(float(variance.centers[0]), 1e-4), float(variance.centers[-1])
    brightest = max(1.0, 2 * highest)
    centers = [0, *np.maximum(variance.centers, lowest), brightest]
    last = variance.values[-1] * brightest / max(highest, 1e-4)
    values = np.array([ROUNDING, *variance.values, last]) / brightness**2
    return Curve((np.array(centers) / brightness).astype(np.float32), values.astype(np.float32))
