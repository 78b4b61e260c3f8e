"""Calibrate on the reference frame: the inverse ISP, its residual, and its error model.

Only areas in which the RAW shows the same as its video frame are used. A still taken before the
video may show people at other positions; such areas (`agreement` below 1) aren't used for
calibration, and their RAW is replaced by the inverse ISP's estimate.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.brightness import block_means
from rvdtool.reconstruct.estimate import Estimate
from rvdtool.reconstruct.inverse_isp import InverseIsp, find
from rvdtool.reconstruct.lights import RareStates, lights
from rvdtool.reconstruct.match import FOLLOWED, Match, softened, unexplained
from rvdtool.reconstruct.motion import Grey
from rvdtool.reconstruct.statistics import (
    ROUNDING,
    Array,
    Curve,
    fine_power,
    lag_covariance,
    noise_variance,
    shrink,
)
from rvdtool.reconstruct.tracked import Levels, Tracked
from rvdtool.video.frame import Rgb

MIN_AGREEING = 0.02
"""If less than this fraction of a frame agrees with its RAW, all of it is used for the fit."""
ROUNDS = 3
"""Number of reweighted refits if RAW and frame disagree somewhere."""


@dataclass(frozen=True)
class Calibration:
    """The calibration on the reference frame, where sRGB and RAW are both known.

    Attributes:
        inverse_isp: the inverse ISP, sRGB → RAW.
        phase: CFA phase of the RAW.
        sources: [H, W, 4], to be warped together: the fit, its denoised residual, the denoised RAW,
            and the power of the detail that sampling blurs. Where RAW and frame disagree, the
            residual fades to 0 and the RAW to the fit.
        agreement: confidence that RAW and frame show the same, 0..1, [H, W]; None if everywhere 1.
        clipped: 0 or 1 per photosite, float [H, W].
        lights: mask of saturated RAW, see `lights`, [H, W].
        rare: correction of rare clip states.
        grey: grey picture for flow estimation.
        smooth: variance of the smooth part of the fit's error, which can be warped.
        fine: variance of the fine part of the fit's error, which can't be predicted.
        noise: variance of the RAW's noise.
        shown: variance of the fit's noise.
    """

    inverse_isp: InverseIsp
    phase: CfaPhase
    sources: Array
    agreement: Array | None
    clipped: Array
    lights: Array
    rare: RareStates
    grey: Grey
    smooth: Curve
    fine: Curve
    noise: Curve
    shown: Curve

    @classmethod
    def measure(
        cls,
        rgb: Rgb,
        raw: Array,
        phase: CfaPhase,
        grey: Grey,
        *,
        match: Match = Match(None),
        by_libraw: bool = False,
    ) -> Self:
        """Calibrate.

        Args:
            rgb: the reference frame, [H, W, 3].
            raw: its normalised RAW, float32 [H, W].
            phase: CFA phase of the RAW.
            grey: the result of `flow_image(rgb)`.
            match: how RAW and frame match.
            by_libraw: whether `rgb` was rendered by LibRaw's defaults.
        """
        inverse_isp, estimate = _fit(rgb, raw, phase, match, by_libraw)
        agreement = match.agreement
        if agreement is not None:
            agreement = agreement * softened(unexplained(raw, estimate, agreement == 1))
        agrees = where_to_learn(raw, agreement)
        value, free = estimate.value, (estimate.clipped == 0) & agrees
        raw = faded(raw, value, agreement)
        residual = raw - value
        typical = Curve.quantile(value[free], fine_power(residual)[free], 0.5)
        carried = shrink(residual, typical(value), 7)
        noise = noise_variance(raw, value, free)
        blurred = np.maximum(fine_power(raw) - noise(value), 0)
        smooth = Curve.mean(value[free], lag_covariance(residual)[free], lowest=ROUNDING)
        fine = Curve.mean(value[free], ((residual - carried) ** 2)[free])
        sources = np.stack([value, carried, shrink(raw, noise(value), 5), blurred], axis=-1)
        clipped = (estimate.clipped > 0).astype(np.float32)
        error = inverse_isp.error
        rare = find(agrees & error.is_rare[estimate.clipped])
        learned = error.of_rare_states(estimate.clipped, rare)
        return cls(
            inverse_isp=inverse_isp,
            phase=phase,
            sources=sources,
            agreement=agreement,
            clipped=clipped,
            lights=lights(np.where(agrees, raw, 0), rgb, phase),
            rare=RareStates.measure(raw, phase, estimate, rare, learned, by_libraw),
            grey=grey,
            smooth=smooth,
            fine=fine,
            noise=noise,
            shown=noise_variance(value, value, free),
        )

    @property
    def tracked(self) -> Tracked:
        """The reference frame's blocks: those whose RAW it is, if they aren't clipped."""
        clipped = self.clipped if self.agreement is None else self.clipped + (self.agreement < 1)
        return Tracked.of(np.ascontiguousarray(self.sources[..., 0]), block_means(clipped) == 0)

    @cached_property
    def levels(self) -> Levels:
        """The blocks of the reference frame's denoised RAW."""
        return Levels.of(self.sources[..., 2])


def _fit(
    rgb: Rgb, raw: Array, phase: CfaPhase, match: Match, by_libraw: bool
) -> tuple[InverseIsp, Estimate]:
    """Fit the inverse ISP to the areas that RAW and frame have in common, and estimate the frame.

    If they were taken at different times, there may be finer differences than `match` detects. Such
    areas get lower weights by iteratively reweighted least squares, unless no other area has their
    colours.
    """
    fit = partial(InverseIsp.calibrate_and_apply, rgb, phase=phase, by_libraw=by_libraw)
    if match.agreement is None:
        return fit(raw)
    start = where_to_learn(raw, match.agreement)
    weight = start.astype(np.float32)
    if match.elsewhere is not None:
        followed = match.elsewhere.agrees & ~start
        raw = np.where(followed, match.elsewhere.raw, raw)
        weight = np.where(followed, FOLLOWED, weight)
    inverse_isp, estimate = fit(raw, weight=weight)
    for _ in range(ROUNDS):
        penalty = (1 + unexplained(raw, estimate, start)) ** 2
        inverse_isp, estimate = fit(raw, weight=weight / penalty)
    return inverse_isp, estimate


def where_to_learn(raw: Array, agreement: Array | None) -> NDArray[np.bool_]:
    """Mask of the photosites used for the fit and its error model, bool [H, W].

    If less than `MIN_AGREEING` agrees (with a RAW accepted by --force), all are used, since the
    colours of another scene are better than none.
    """
    agrees = np.ones(raw.shape, bool) if agreement is None else agreement == 1
    return agrees if agrees.mean() >= MIN_AGREEING else np.ones_like(agrees)


def faded(raw: Array, value: Array, agreement: Array | None) -> Array:
    """The RAW where it agrees with its frame, elsewhere the fit, [H, W]."""
    if agreement is None:
        return raw
    return np.where(agreement == 1, raw, value + agreement * (raw - value)).astype(np.float32)
