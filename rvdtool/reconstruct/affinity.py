"""The temporal affinity prior: candidates for the current RAW from the reference frame and the
previous frame.

There are four candidates, each with the variance of its error:

- *fit*: the inverse ISP of the current sRGB frame;
- *anchored*: fit + the reference frame's residual, warped in one step along the flow to it;
- *previous*: fit + the previous frame's (estimated) residual, warped;
- *warped*: the denoised reference RAW, warped along the flow to the reference frame.

All are at the reference frame's brightness: the fit is divided by the current frame's brightness
(which is multiplied again at the end, if it was due to exposure), and lens shading is adapted to
the current position.

Where the current pixel is clipped, *anchored* and *previous* are the warped RAWs themselves, since
the clipped fit has no information.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.brightness import (
    BLOCK,
    ENOUGH_BLOCKS,
    Ratio,
    block_means,
    ignores_unevenness,
    ratio_mode,
    track,
)
from rvdtool.reconstruct.buffers import empty
from rvdtool.reconstruct.calibration import Calibration
from rvdtool.reconstruct.candidates import (
    gather_strip,
    previous_strip,
    tables_of,
)
from rvdtool.reconstruct.compiled import in_strips
from rvdtool.reconstruct.difference import (
    floor_of,
    shade_of,
    shading_delta,
    squares,
)
from rvdtool.reconstruct.estimate import Estimate
from rvdtool.reconstruct.fit import Fit
from rvdtool.reconstruct.flow import (
    Flow,
    outside,
    resize_flow,
    sample,
    sample_mosaics,
)
from rvdtool.reconstruct.lights import CERTAIN
from rvdtool.reconstruct.local_tone import correct_local_tone
from rvdtool.reconstruct.motion import Grey, Motion, equally_bright, trust
from rvdtool.reconstruct.other_light import errors_in_light, in_its_light
from rvdtool.reconstruct.statistics import (
    Array,
)
from rvdtool.reconstruct.tracked import Tracked
from rvdtool.video.frame import Rgb

KAPPA = 0.2
"""Error variance of a warped residual per squared photometric error above the noise floor."""
RELIABLE = 0.05
"""Lower limit of that variance, as a fraction of the fit's variance (for *anchored*; twice this for
*previous*, which is warped repeatedly)."""
NOISIEST = np.float32(6)
"""Upper limit of the noise floor, as a multiple of the noise of fit and reference RAW: three times
that of both frames. Where the reference frame is in view, it is 1.7 times at most."""
UNUSABLE = np.float32(1e3)
"""Variance of candidates that come from outside the other frame."""


@dataclass(frozen=True)
class Candidate:
    """An estimate of the normalised RAW, [H, W], and the variance of its error, [H, W]."""

    value: Array
    variance: Array


@dataclass(frozen=True, kw_only=True)
class SharedPrior:
    """The fields that `Prior` and `Evidence` have in common.

    Attributes:
        fit, anchored: their variances leave out the *fine* error, which they share.
        warped: the warped reference RAW; its variance is that of the total error.
        fine: variance of the unpredictable part of the fit's error, [H, W].
        clipped: the current frame's clip state, [H, W].
        brightness: the current frame's brightness relative to the reference frame, which is removed
            from all candidates.
        exposure: the part of it that is also in the RAW; see `gather`.
        trusted: fraction of the frame that certainly shows the same as the reference frame, 0..1.
        toned: fraction of the frame whose local brightness was corrected, 0..1, see
            `correct_local_tone`; 1 if an uneven change was ignored, see `ignores_unevenness`.
        first_fit, previous_fit: the warped fits of the reference frame and of the previous frame,
            [H, W]. Where they differ from this frame's fit, the flow is wrong or the light has
            changed.
        far: flow to the reference frame, [H, W, 2].
        doubt: variance due to changed light that isn't in the candidates' variances, by block,
            [H//8, W//8]; None if 0. It is only used for the expected error.
    """

    fit: Candidate
    anchored: Candidate
    warped: Candidate
    fine: Array
    clipped: NDArray[np.uint8]
    brightness: Ratio
    exposure: float
    trusted: float
    first_fit: Array
    previous_fit: Array
    far: Flow
    toned: float = 0.0
    doubt: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Prior(SharedPrior):
    """The temporal affinity prior of one frame; see the module's docstring.

    Attributes:
        previous: the candidate from the previous RAW; its variance leaves out the *fine* error.
    """

    previous: Candidate

    @property
    def carried(self) -> float:
        """Share of the fusion's weight that the reference RAW along the motion has, 0..1."""
        some = np.s_[::5, ::5]  # enough for a mean; an odd step reaches all CFA positions
        fit, anchored, previous, warped = (
            candidate.variance[some]
            for candidate in (self.fit, self.anchored, self.previous, self.warped)
        )
        blend = 1 / (1 / fit + 1 / anchored + 1 / previous)
        rest = blend + self.fine[some]
        of_warped = rest / (rest + warped)
        return float((of_warped + (1 - of_warped) * blend / anchored).mean())


@dataclass(frozen=True, kw_only=True)
class Evidence(SharedPrior):
    """A prior without the candidate from the previous RAW, and what is needed to add it.

    Attributes:
        cut: whether the previous frame shows another scene, so that nothing is taken from it.
        near: flow to the previous frame, [H, W, 2].
        shade: ratio of the lens shading here to that at the source in the previous frame, [H, W].
        flow_variance: variance of values warped by `near`, [H, W].
        residual_variance: part of a warped candidate's variance that is independent of the flow,
            [H, W].
        lower_bound: lowest possible normalised RAW of a clipped photosite, [H, W].
    """

    cut: bool
    near: Flow
    shade: Array
    flow_variance: Array
    residual_variance: Array
    lower_bound: Array

    def with_previous(self, raw: Array, variance: Array) -> Prior:
        """Add the candidate from the previous frame.

        Args:
            raw: the previous frame's normalised RAW at the reference frame's brightness, [H, W].
            variance: variance of its predictable error, [H, W].
        """
        shared = {field.name: getattr(self, field.name) for field in fields(SharedPrior)}
        if self.cut:
            fit = self.fit.value
            unusable = np.full(fit.shape, UNUSABLE, np.float32)
            return Prior(**shared | {"previous_fit": fit}, previous=Candidate(fit, unusable))
        from_previous = tuple(sample_mosaics(_paired(raw, variance), self.near))
        previous = Candidate(empty(raw.shape), empty(raw.shape))
        result = previous.value, previous.variance

        def strip(first: int, last: int) -> None:
            previous_strip(
                first, last, self.fit.value, self.clipped, self.lower_bound, from_previous,
                self.shade, self.previous_fit, self.near, self.flow_variance,
                self.residual_variance, UNUSABLE, result,
            )  # fmt: skip

        in_strips(raw.shape[0], strip)
        return Prior(**shared, previous=previous)


@dataclass(frozen=True)
class Past:
    """What a frame's evidence needs from the previous frame.

    Attributes:
        fit: its fit at the reference frame's brightness, [H, W].
        clipped: 0 where it isn't clipped, [H, W].
        level: its brightness relative to the reference frame; in `gather`, times the change of
            exposure to the current frame, if it is known.
        far: its flow to the reference frame.
        tracked: its blocks that certainly show the same as the reference frame.
    """

    fit: Array
    clipped: NDArray[np.uint8]
    level: Ratio
    far: Flow
    tracked: Tracked


def gather(
    calibration: Calibration,
    rgb: Rgb,
    estimate: Estimate,
    grey: Grey,
    motion: Motion,
    past: Past,
    exposure: float | None,
    tracks_gain: bool,
    local_tone: bool,
) -> tuple[Evidence, Tracked]:
    """Compute all candidates of a frame except the one from the previous RAW, and its blocks that
    certainly show the same as the reference frame.

    Args:
        calibration: the calibration on the reference frame.
        rgb: the current frame, [H, W, 3].
        estimate: the inverse ISP of the current frame, at its own brightness.
        grey: the current frame's grey picture for flow estimation.
        motion: the current frame's flows.
        past: the previous frame.
        exposure: the frame's exposure relative to the reference frame; None to use its measured
            brightness.
        tracks_gain: whether the measured brightness is attributed to the ISP's gain.
        local_tone: whether uneven brightness, and gradual local differences from it, are attributed
            to the ISP; see `Ratio.unevenness` and `correct_local_tone`.
    """
    size = estimate.value.shape[0], estimate.value.shape[1]
    near, far = resize_flow(motion.near, size), resize_flow(motion.far, size)
    from_reference = sample_mosaics(calibration.sources, far)
    before = _paired(past.fit, past.clipped > 0)
    level = past.level
    previous_fit, was_clipped = sample_mosaics(before, near)
    sure = _sure_blocks(calibration, estimate, grey, motion.far) & (not motion.lost)
    own = Tracked.of(estimate.value, sure) if local_tone else None
    known = None if exposure is None or tracks_gain else level.value
    light = in_its_light(calibration, rgb, estimate, grey, from_reference[0], sure, known)
    estimate = light.estimate
    clipped = (estimate.clipped > 0).astype(np.float32)
    free = block_means(np.maximum(clipped, was_clipped)) < 0.01
    free &= not motion.cut
    tracked, same = past.tracked, sure
    if own is not None:
        tracked = tracked.follow(own, free, motion, past.far, calibration.levels)
        same = tracked.same
    now = block_means(estimate.value)
    anchored, neighbour = (
        ratio_mode(
            now,
            block_means(other),
            trusted,
            shading_delta(block_means(flow), size),
            level.shading,
            calibration.shown,
            level.value,
            local_tone,
        )
        for other, trusted, flow in ((from_reference[0], same, far), (previous_fit, free, near))
    )
    brightness = track(anchored, neighbour, level)
    follows = exposure is None
    exposure = brightness.value if exposure is None else exposure
    if estimate.light_change is not None:
        calibration = errors_in_light(calibration, brightness.value)
        from_reference[1] *= 1 - estimate.light_change
    fit = Fit.of(calibration, estimate, brightness.value)
    fit.add_highlights(calibration, estimate.features, 1 / exposure, tracks_gain)
    if not motion.lost:
        fit.keep_full(calibration, rgb, far, 1 / exposure)
    shade_far, shade_near = (shade_of(flow, brightness.shading) for flow in (far, near))
    toned, tone_error = 0.0, np.float32(0)
    if local_tone and sure.sum() >= ENOUGH_BLOCKS:
        toned, tone_error = correct_local_tone(fit, from_reference, shade_far, same)
        if anchored is not None and ignores_unevenness(anchored, brightness):
            toned = 1.0
    squared = (
        squares(fit.value, from_reference[0], shade_far),
        squares(fit.value, previous_fit, shade_near),
    )
    flows = _Flows((far, near), motion.lost, squared)
    candidates = _candidates(calibration, fit, from_reference, shade_far, flows)
    fit_variance = candidates.fit_variance
    if tone_error:
        fit_variance += np.where(fit.full > 0, 0, (tone_error * fit.value) ** 2)
    if estimate.light_variance is not None:
        fit_variance += np.where(fit.full > 0, 0, estimate.light_variance / fit.gain**2)
    agreement = None if calibration.agreement is None else sample(calibration.agreement, far)
    warped = _where_raw_agrees(Candidate(from_reference[2], candidates.warped_variance), agreement)
    evidence = Evidence(
        fit=Candidate(fit.value, candidates.fit_variance),
        anchored=_where_raw_agrees(Candidate(*candidates.anchored), agreement),
        warped=warped,
        doubt=light.doubt(fit, warped.variance, follows),
        fine=fit.fine,
        clipped=estimate.clipped,
        brightness=brightness,
        exposure=exposure,
        trusted=float(sure.mean()),
        toned=toned,
        first_fit=from_reference[0],
        previous_fit=previous_fit,
        far=far,
        cut=motion.cut,
        near=near,
        shade=shade_near,
        flow_variance=candidates.near_variance,
        residual_variance=candidates.residual_variance,
        lower_bound=fit.lower_bound,
    )
    return evidence, tracked


@dataclass(frozen=True)
class _Flows:
    """Flows to the reference frame and to the previous frame, whether the former is invalid, and
    the mean squared differences of the warped fits."""

    flows: tuple[Flow, Flow]
    lost: bool
    squared: tuple[Array, Array]


@dataclass(frozen=True)
class _Results:
    """The results of `gather_strip`, [H, W] each."""

    fit_variance: Array
    anchored: tuple[Array, Array]
    warped_variance: Array
    near_variance: Array
    residual_variance: Array


def _candidates(
    calibration: Calibration, fit: Fit, from_reference: list[Array], shade: Array, flows: _Flows
) -> _Results:
    """Compute the candidates' variances and the anchored candidate, and multiply the reference RAW
    in `from_reference` by the shading."""
    floors = [
        floor_of(fit, squared, flow)
        for squared, flow in zip(flows.squared, flows.flows, strict=True)
    ]
    tables = tables_of([calibration.fine, calibration.noise, calibration.smooth, *floors])
    constants = np.array([KAPPA, RELIABLE, NOISIEST, UNUSABLE, CERTAIN], np.float32)
    one, two, three, four, five, six = (empty(fit.value.shape) for _ in range(6))
    results = _Results(one, (two, three), four, five, six)
    sources = tuple(from_reference)

    def strip(first: int, last: int) -> None:
        gather_strip(
            first, last, fit.value, fit.clipped, fit.full, fit.lower_bound, fit.blind, sources,
            shade, flows.flows, flows.lost, flows.squared, tables, constants, fit.fine,
            fit.total, results.fit_variance, results.anchored, results.warped_variance,
            results.near_variance, results.residual_variance,
        )  # fmt: skip

    in_strips(fit.value.shape[0], strip)
    return results


def _paired(one: Array, other: NDArray[Any]) -> Array:
    """Two maps in one array, [H, W, 2]."""
    both = empty((*one.shape, 2))
    both[..., 0], both[..., 1] = one, other
    return both


def _where_raw_agrees(candidate: Candidate, agreement: Array | None) -> Candidate:
    """Increase a candidate's variance where the reference RAW disagrees with its video frame.

    Args:
        candidate: a candidate from the reference RAW.
        agreement: `Calibration.agreement`, warped by the same flow.
    """
    if agreement is None:
        return candidate
    # The square suppresses the narrow borders of partial agreement, which have halos.
    variance = candidate.variance / np.maximum(agreement * agreement, 1 / UNUSABLE)
    return replace(
        candidate, variance=np.where(agreement > 0, np.minimum(variance, UNUSABLE), UNUSABLE)
    )


def _sure_blocks(
    calibration: Calibration, estimate: Estimate, grey: Grey, far: Flow
) -> NDArray[np.bool_]:
    """Blocks that certainly show the same as the reference frame, unclipped in both: bool [H//8,
    W//8]."""
    now, first = equally_bright(grey, calibration.grey)
    inside = trust(now, sample(first.astype(np.float32), far)) & ~outside(far)
    height, width = grey.shape
    first_clipped = sample(
        cv2.resize(calibration.clipped, (width, height), interpolation=cv2.INTER_AREA), far
    )
    rows, columns = (side // BLOCK for side in estimate.value.shape)
    same = cv2.resize(inside.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    bright = cv2.resize(first_clipped, (columns, rows), interpolation=cv2.INTER_AREA)
    clipped = block_means((estimate.clipped > 0).astype(np.float32))
    return (same > 0.7) & (bright < 0.01) & (clipped == 0)
