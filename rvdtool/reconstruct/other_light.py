"""Frames in another light than the reference frame's: which inverse ISP suits them, and its errors.

If what is surely seen in the reference frame, too, is much brighter or darker now, there are two
estimates of a frame: by the regression, and by what stands in for it in another light (`Beyond`).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.brightness import block_means
from rvdtool.reconstruct.calibration import Calibration
from rvdtool.reconstruct.inverse_isp import Estimate
from rvdtool.reconstruct.isp_features import Rgb
from rvdtool.reconstruct.statistics import ROUNDING, Array, Curve, box

CHANGED = 0.25
"""Logarithm by which what is seen in both frames is brighter or darker in another light."""
FEW_BLOCKS = 12
"""Blocks that tell which estimate suits another light."""
WORSE = 1.3
"""The estimate for another light isn't taken if ratios spread by so much more under it."""
LEAST_RATIO = np.float32(1e-4)


def in_its_light(
    calibration: Calibration,
    rgb: Rgb,
    estimate: Estimate,
    first_fit: Array,
    sure: NDArray[np.bool_],
) -> Estimate:
    """The estimate that suits a frame's light.

    The one for another light is taken unless it is clearly worse: ratios to the reference frame
    then depend on how bright things are, where light makes them depend on the place only.

    Args:
        calibration: on the reference frame.
        rgb: the current frame.
        estimate: of it, by the regression.
        first_fit: the reference frame's, along the flow, [H, W].
        sure: blocks that surely show what the reference frame shows.
    """
    then = block_means(first_fit)
    ratio = _log_ratio(block_means(estimate.value), then)
    changed = sure & (np.abs(ratio) > CHANGED)
    if changed.sum() < FEW_BLOCKS:
        return estimate
    other = calibration.inverse_isp.in_other_light(rgb)
    if other is None:
        return estimate
    other_ratio = _log_ratio(block_means(other.value), then)
    spreads = zip(_spreads(other_ratio, changed), _spreads(ratio, changed), strict=True)
    return other if all(one < WORSE * two for one, two in spreads) else estimate


def _spreads(ratio: Array, where: NDArray[np.bool_]) -> tuple[float, float]:
    """How much ratios differ, in all, and from those around: light itself changes smoothly."""
    weight = where.astype(np.float32)
    around = box(ratio * weight, 5) / np.maximum(box(weight, 5), np.float32(1e-3))
    low, high = np.quantile(ratio[where], (0.2, 0.8))
    return float(high - low), float(np.abs(ratio - around)[where].mean())


def _log_ratio(value: Array, other: Array) -> Array:
    """Logarithm of the ratio of normalised RAW, black kept away."""
    return np.log(np.maximum(value, LEAST_RATIO) / np.maximum(other, LEAST_RATIO))


def errors_in_light(calibration: Calibration, brightness: float) -> Calibration:
    """The same calibration with the errors that the fit has at another brightness."""
    return replace(
        calibration,
        fine=_scaled(calibration.fine, brightness),
        smooth=_scaled(calibration.smooth, brightness),
    )


def _scaled(variance: Curve, brightness: float) -> Curve:
    """Variance of a fit's error at its own brightness, by and in units of the reference frame's.

    Beyond the reference frame's intensities it goes with them, as noise and coding do.
    """
    lowest, highest = max(float(variance.centers[0]), 1e-4), float(variance.centers[-1])
    most = max(1.0, 2 * highest)
    centers = [0, *np.maximum(variance.centers, lowest), most]
    farther = variance.values[-1] * most / max(highest, 1e-4)
    values = np.array([ROUNDING, *variance.values, farther]) / brightness**2
    return Curve((np.array(centers) / brightness).astype(np.float32), values.astype(np.float32))
