"""Choose the inverse ISP and its error model for frames whose light differs from the reference
frame's.

If areas that the frame certainly shares with the reference frame are much brighter or darker now,
there are two estimates: by the regression, and by its replacement for changed light (`Beyond`).
Where nothing shows which of them is right, their difference counts as an error.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.brightness import BLOCK, block_means
from rvdtool.reconstruct.calibration import Calibration
from rvdtool.reconstruct.estimate import Estimate
from rvdtool.reconstruct.fit import Fit
from rvdtool.reconstruct.motion import Grey
from rvdtool.reconstruct.statistics import ROUNDING, Array, Curve, box
from rvdtool.video.frame import Rgb

CHANGED = 0.25
"""Logarithm of the brightness ratio from which light counts as changed."""
FEW_BLOCKS = 12
"""Smallest number of blocks for the comparison of the estimates."""
DARKEST = np.float32(1e-4)
OUTSIDE = 0.05 * 255
"""Distance of the local brightness (of 255 levels) from the reference frame's range at which it is
outside of that range."""
FEW_OUTSIDE = 0.01
"""Smallest fraction of a frame whose brightness is outside for the two estimates to be compared."""
UNMEASURED = 9
"""Factor of `Estimate.light_variance` if the regression is used in light that it wasn't calibrated
for: its error is assumed to be 15 % per stop (behind a logarithm and a shoulder, 17 to 20 % were
measured in the light of a lamp that is four stops brighter)."""


class InLight(NamedTuple):
    """A frame's estimate in its light, and the doubt about it.

    Attributes:
        estimate: the estimate.
        missed: variance of its error due to light that the reference frame doesn't show, [H, W];
            None if 0 everywhere.
        level: standard error of the logarithm of the brightness that is measured by it, if that of
            most of the frame has changed.
    """

    estimate: Estimate
    missed: Array | None = None
    level: float = 0.0

    def doubt(self, fit: Fit, warped: Array, follows: bool) -> Array | None:
        """Variance that isn't in the candidates' variances, by block, [H//8, W//8]; None if 0.

        Args:
            fit: the frame's fit.
            warped: variance of the warped RAW, which doesn't depend on the estimate, [H, W].
            follows: whether the RAW follows the measured brightness.
        """
        doubt = None
        if self.missed is not None:
            share = warped / (warped + fit.total + fit.fine)  # of what depends on the estimate
            doubt = block_means(self.missed * share) / np.float32(fit.gain**2)
        if self.level and follows:
            of_level = block_means(fit.value) ** 2 * np.float32(self.level**2)
            doubt = of_level if doubt is None else np.maximum(doubt, of_level)
        return doubt


def in_its_light(
    calibration: Calibration,
    rgb: Rgb,
    estimate: Estimate,
    grey: Grey,
    first_fit: Array,
    sure: NDArray[np.bool_],
    known: float | None,
) -> InLight:
    """The better estimate for a frame's light.

    With a right estimate, ratios to the reference frame depend only on the position; with a wrong
    one, also on the objects' brightness. So the estimate for changed light is used if its ratios
    vary less.

    Args:
        calibration: the calibration on the reference frame.
        rgb: the current frame.
        estimate: the regression's estimate of the current frame.
        grey: the current frame's grey picture for flow estimation.
        first_fit: the warped fit of the reference frame, [H, W].
        sure: blocks that certainly show the same as the reference frame.
        known: see `Beyond.measure`.
    """
    then = block_means(first_fit)
    ratio = _log_ratio(block_means(estimate.value), then)
    changed = sure & (np.abs(ratio) > CHANGED)
    enough = changed.sum() >= FEW_BLOCKS
    if not enough and _outside(grey, calibration.grey) < FEW_OUTSIDE:
        return InLight(estimate)
    same, level = np.zeros(first_fit.shape, np.bool_), 0.0
    if enough:
        inside = np.repeat(np.repeat(changed, BLOCK, axis=0), BLOCK, axis=1)
        same[: inside.shape[0], : inside.shape[1]] = inside
        other = calibration.inverse_isp.in_other_light(rgb, first_fit, same, known)
        if other is None:
            return InLight(estimate)
        other_ratio = _log_ratio(block_means(other.value), then)
        spreads = zip(_spreads(other_ratio, changed), _spreads(ratio, changed), strict=True)
        uncertain = known is None and changed.sum() > sure.sum() / 2
        if all(one < two for one, two in spreads):
            if other.light_variance is not None and uncertain:
                relative = other.light_variance[same] / np.maximum(other.value[same], DARKEST) ** 2
                level = float(np.sqrt(np.median(relative)))
            return InLight(other, other.light_variance, level)
        if uncertain:
            level = float(np.sqrt(np.mean((other_ratio - ratio)[changed] ** 2)))
    usual = calibration.inverse_isp.in_other_light(rgb, first_fit, np.zeros_like(same), None)
    if usual is None or usual.light_variance is None:
        return InLight(estimate, level=level)
    missed = (usual.value - estimate.value) ** 2 + np.float32(UNMEASURED) * usual.light_variance
    return InLight(estimate, missed, level)


def _outside(grey: Grey, first: Grey) -> float:
    """Fraction of a frame whose local brightness is outside of the reference frame's range."""
    now, then = (box(block_means(image.astype(np.float32)), 3) for image in (grey, first))
    return float(((now < then.min() - OUTSIDE) | (now > then.max() + OUTSIDE)).mean())


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
