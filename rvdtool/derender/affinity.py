"""The temporal affinity prior: all that frame 1 and the previous frame say about the current one.

Four candidates for the current RAW, each with the variance of its error:

- *fit*: the inverse ISP of the current sRGB frame, gain taken out;
- *anchored*: fit + what the fit missed on frame 1, sampled once along the flow to frame 1;
- *previous*: fit + what the fit missed on the previous frame, as far as we know;
- *warped*: RAW 1 itself, denoised, along the flow to frame 1.

Where the current pixel is clipped, *anchored* and *previous* are the warped RAWs themselves: a
clipped fit has nothing to add.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.derender.flow import Flow, outside, resize_flow, sample, sample_mosaic
from rvdtool.derender.gain import BLOCK, block_means, ratio_mode, track
from rvdtool.derender.inverse_isp import Estimate, InverseIsp, Rgb
from rvdtool.derender.motion import Grey, Motion, trust
from rvdtool.derender.statistics import (
    Array,
    Curve,
    box,
    fine_power,
    lag_covariance,
    noise_variance,
    shrink,
)

KAPPA = 0.2
"""Error variance of a warped residual per squared photometric error beyond the noise floor."""
RELIABLE = 0.05
"""… and at least this share of the fit's own variance (anchored); twice it where warped often."""
WINDOW = 7
"""Photometric errors are averaged over this many pixels."""
NO_WAY = np.float32(1e3)
"""Variance of what isn't there (outside the other frame)."""


@dataclass(frozen=True)
class Candidate:
    """An estimate of the normalised RAW, [H, W], and the variance of its error, [H, W]."""

    value: Array
    variance: Array


@dataclass(frozen=True)
class Prior:
    """The temporal affinity prior of one frame; see the module's docstring.

    Attributes:
        fit, anchored, previous: their variances leave out the *fine* error, which they share.
        fine: variance of the fit's error that nothing can foretell, [H, W].
        warped: RAW 1 along the flow; its variance is whole.
        clipped: the current frame's clip state, [H, W].
        gain: of the current frame against frame 1.
        trusted: share of the frame that surely shows what frame 1 shows, 0..1.
    """

    fit: Candidate
    anchored: Candidate
    previous: Candidate
    warped: Candidate
    fine: Array
    clipped: NDArray[np.uint8]
    gain: float
    trusted: float


@dataclass(frozen=True)
class Previous:
    """What is kept of the previous frame.

    Attributes:
        raw: the normalised RAW as it was written (quantised), [H, W].
        fit: the fit with its gain taken out, [H, W].
        variance: of `raw`'s predictable error, [H, W].
        gain: against frame 1.
    """

    raw: Array
    fit: Array
    variance: Array
    gain: float


@dataclass(frozen=True)
class Calibration:
    """All that is learned from frame 1, where sRGB and RAW are both known.

    Attributes:
        inverse_isp: sRGB → RAW.
        sources: [H, W, 4], sampled together along a flow: the fit, its denoised residual, the
            denoised RAW, and the power of the detail that sampling blurs.
        clipped: 0 or 1 per photosite, float [H, W].
        grey: picture for the flow.
        smooth: variance of the part of the fit's error that can be carried along.
        fine: variance of the rest.
        noise: variance of the RAW's noise.
    """

    inverse_isp: InverseIsp
    sources: Array
    clipped: Array
    grey: Grey
    smooth: Curve
    fine: Curve
    noise: Curve

    @classmethod
    def measure(cls, rgb: Rgb, raw: Array, grey: Grey) -> Self:
        """Calibrate.

        Args:
            rgb: frame 1, [H, W, 3].
            raw: its normalised RAW, float32 [H, W].
            grey: `flow_image(rgb)`.
        """
        inverse_isp = InverseIsp.calibrate(rgb, raw)
        estimate = inverse_isp(rgb)
        value, free = estimate.value, estimate.clipped == 0
        residual = raw - value
        typical = Curve.quantile(value[free], fine_power(residual)[free], 0.5)
        carried = shrink(residual, typical(value), 7)
        noise = noise_variance(raw, value, free)
        blurred = np.maximum(fine_power(raw) - noise(value), 0)
        smooth = Curve.mean(value[free], lag_covariance(residual)[free], lowest=1e-9)
        fine = Curve.mean(value[free], ((residual - carried) ** 2)[free])
        sources = np.stack([value, carried, shrink(raw, noise(value), 5), blurred], axis=-1)
        clipped = (~free).astype(np.float32)
        return cls(inverse_isp, sources, clipped, grey, smooth, fine, noise)


def temporal_affinity_prior(
    calibration: Calibration, estimate: Estimate, grey: Grey, motion: Motion, previous: Previous
) -> Prior:
    """Gather the candidates of one frame.

    Args:
        calibration: of frame 1.
        estimate: the inverse ISP of the current frame, gain still in it.
        grey: the current frame's picture for the flow.
        motion: its flows.
        previous: what is known of the frame before.
    """
    size = estimate.value.shape[0], estimate.value.shape[1]
    near, far = resize_flow(motion.near, size), resize_flow(motion.far, size)
    first_fit, residual, first_raw, blurred = cv2.split(sample_mosaic(calibration.sources, far))
    previous_raw, previous_fit, previous_variance = cv2.split(
        sample_mosaic(np.dstack([previous.raw, previous.fit, previous.variance]), near)
    )
    sure = _sure_blocks(calibration, estimate, grey, motion.far)
    gain = track(
        ratio_mode(block_means(estimate.value), block_means(first_fit), sure),
        ratio_mode(
            block_means(estimate.value),
            block_means(previous_fit),
            block_means((estimate.clipped == 0).astype(np.float32)) == 1,
        ),
        previous.gain,
    )

    value = estimate.value / np.float32(gain)
    clipped = estimate.clipped > 0
    whole = calibration.inverse_isp.error(estimate) / np.float32(gain**2)
    smooth = np.where(clipped, whole, np.minimum(calibration.smooth(value), whole))
    noise = calibration.noise(np.maximum(value, first_fit))
    least = np.where(clipped, noise + blurred, RELIABLE * whole)

    lost = outside(far)
    excess = _excess(value - first_fit, value, ~clipped & ~lost)
    anchored = np.where(clipped, first_raw, value + residual)
    anchored_variance = np.where(lost, NO_WAY, KAPPA * excess + least)
    warped_variance = np.where(lost | clipped, NO_WAY, 2 * KAPPA * excess + 1.5 * noise + blurred)
    lost = outside(near)
    excess = _excess(value - previous_fit, value, ~clipped & ~lost)
    carried = np.where(clipped, previous_raw, value + previous_raw - previous_fit)
    least = np.where(clipped, least, 2 * RELIABLE * whole)
    carried_variance = np.where(lost, NO_WAY, previous_variance + KAPPA * excess + least)
    return Prior(
        fit=Candidate(value, smooth),
        anchored=Candidate(anchored, anchored_variance),
        previous=Candidate(carried, carried_variance),
        warped=Candidate(first_raw, warped_variance),
        fine=calibration.fine(value),
        clipped=estimate.clipped,
        gain=gain,
        trusted=float(sure.mean()),
    )


def _sure_blocks(
    calibration: Calibration, estimate: Estimate, grey: Grey, far: Flow
) -> NDArray[np.bool_]:
    """Blocks that surely show what frame 1 shows, unclipped in both: bool [H//8, W//8]."""
    warped = sample(calibration.grey.astype(np.float32), far)
    inside = trust(grey, warped) & ~outside(far)
    height, width = grey.shape
    first_clipped = sample(
        cv2.resize(calibration.clipped, (width, height), interpolation=cv2.INTER_AREA), far
    )
    rows, columns = (side // BLOCK for side in estimate.value.shape)
    same = cv2.resize(inside.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    bright = cv2.resize(first_clipped, (columns, rows), interpolation=cv2.INTER_AREA)
    now = block_means((estimate.clipped > 0).astype(np.float32))
    return (same > 0.7) & (bright < 0.01) & (now == 0)


def _excess(difference: Array, value: Array, usable: NDArray[np.bool_]) -> Array:
    """Local mean squared difference beyond the noise floor, [H, W].

    The floor at each intensity is the quarter of the frame that agrees best: most of a frame is
    matched rightly, and what is left there is the noise of both sides.
    """
    squared = box(difference * difference, WINDOW)
    floor = Curve.quantile(value[usable][::5], squared[usable][::5], 0.25)
    return np.maximum(squared - np.float32(1.5) * floor(value), 0)
