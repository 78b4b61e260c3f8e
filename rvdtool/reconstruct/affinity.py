"""The temporal affinity prior: all that the reference frame and the previous frame say about the
current one.

Four candidates for the current RAW, each with the variance of its error:

- *fit*: the inverse ISP of the current sRGB frame;
- *anchored*: fit + what the fit missed on the reference frame, sampled once along the flow to the
  reference frame;
- *previous*: fit + what the fit missed on the previous frame, as far as we know;
- *warped*: the reference RAW itself, denoised, along the flow to the reference frame.

All are as bright as the reference frame: the current frame's brightness is taken out of the fit
(and given back at the end, where it was the exposure's), the lens shading is brought to the
current place.

Where the current pixel is clipped, *anchored* and *previous* are the warped RAWs themselves: a
clipped fit has nothing to add.
"""

from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.brightness import (
    BLOCK,
    Ratio,
    block_means,
    ratio_mode,
    track,
)
from rvdtool.reconstruct.calibration import Calibration
from rvdtool.reconstruct.candidates import (
    gather_strip,
    previous_strip,
    tables_of,
)
from rvdtool.reconstruct.compiled import in_strips
from rvdtool.reconstruct.difference import (
    WINDOW,
    floor_of,
    shade_of,
    shading_delta,
    squares,
)
from rvdtool.reconstruct.fit import Fit
from rvdtool.reconstruct.flow import (
    Flow,
    outside,
    resize_flow,
    sample,
    sample_mosaics,
)
from rvdtool.reconstruct.inverse_isp import Estimate
from rvdtool.reconstruct.isp_features import Rgb
from rvdtool.reconstruct.lights import CERTAIN
from rvdtool.reconstruct.motion import Grey, Motion, equally_bright, trust
from rvdtool.reconstruct.other_light import errors_in_light, in_its_light
from rvdtool.reconstruct.statistics import (
    Array,
    box,
)

KAPPA = 0.2
"""Error variance of a warped residual per squared photometric error beyond the noise floor."""
RELIABLE = 0.05
"""… and at least this share of the fit's own variance (anchored); twice it where warped often."""
NOISIEST = np.float32(6)
"""… of which this times the noise of fit and the reference RAW may be noise: three times what both
frames have; it is 1.7 times at most where the reference frame is in view."""
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
        warped: the reference RAW along the flow; its variance is that of the whole error.
        clipped: the current frame's clip state, [H, W].
        brightness: of the current frame against the reference frame, taken out of all candidates.
        exposure: how much of that is in its RAW, too; see `gather`.
        trusted: share of the frame that surely shows what the reference frame shows, 0..1.
        first_fit, previous_fit: the reference frame's and the previous frame's fit, along their
            flows: where they differ from this frame's, the flow or the light is wrong.
        far: flow to the reference frame, [H, W, 2].
    """

    fit: Candidate
    anchored: Candidate
    previous: Candidate
    warped: Candidate
    fine: Array
    clipped: NDArray[np.uint8]
    brightness: Ratio
    exposure: float
    trusted: float
    first_fit: Array
    previous_fit: Array
    far: Flow


@dataclass(frozen=True)
class Evidence:
    """A prior but for the candidate that the previous RAW makes: nothing here depends on it.

    Attributes:
        fit, anchored, warped, fine, clipped, brightness, exposure, trusted, first_fit,
            previous_fit, far: see `Prior`.
        near: flow to the previous frame, [H, W, 2].
        shade: lens shading here against where the previous RAW comes from, factor, [H, W].
        flow_variance: variance of what `near` brings, [H, W].
        residual_variance: variance of a carried candidate that no flow explains, [H, W].
        lower_bound: normalised RAW that a clipped photosite has at least, [H, W].
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
    near: Flow
    shade: Array
    flow_variance: Array
    residual_variance: Array
    lower_bound: Array

    def with_corrupted_flow(self, wrong: NDArray[np.bool_], shift: tuple[int, int]) -> Self:
        """As if the flow to the reference frame were wrong in places: for training to be wary of
        it.

        Args:
            wrong: where, [H, W].
            shift: what is found there instead: that of as many rows and columns away (both even).
        """

        def elsewhere(field: Array) -> Array:
            return np.roll(field, shift, axis=(0, 1))

        value, clipped = self.fit.value, self.clipped > 0
        first_fit, first_raw = elsewhere(self.first_fit), elsewhere(self.warped.value)
        residual = elsewhere(np.where(clipped, 0, self.anchored.value - value))
        flow_variance = np.float32(KAPPA) * box((value - first_fit) ** 2, WINDOW)
        # Unclipped, `residual_variance` is for what was warped often: twice that of what comes
        # from the reference frame.
        residual_variance = np.where(clipped, self.residual_variance, self.residual_variance / 2)
        anchored = _carry(
            value, clipped, self.lower_bound, first_raw, residual, flow_variance, residual_variance
        )
        variance = np.minimum(self.warped.variance + 2 * flow_variance, NO_WAY)

        def where(other: Array, own: Array) -> Array:
            return np.where(wrong, other, own).astype(np.float32)

        return replace(
            self,
            anchored=Candidate(
                where(anchored.value, self.anchored.value),
                where(anchored.variance, self.anchored.variance),
            ),
            warped=Candidate(
                where(first_raw, self.warped.value), where(variance, self.warped.variance)
            ),
            first_fit=where(first_fit, self.first_fit),
        )

    def with_previous(self, raw: Array, variance: Array) -> Prior:
        """Add the candidate that stems from the previous frame.

        Args:
            raw: its normalised RAW, as bright as the reference frame, [H, W].
            variance: of its predictable error, [H, W].
        """
        brought = tuple(sample_mosaics(np.dstack([raw, variance]), self.near))
        previous = Candidate(np.empty_like(raw), np.empty_like(raw))
        carried = previous.value, previous.variance

        def strip(first: int, last: int) -> None:
            previous_strip(
                first, last, self.fit.value, self.clipped, self.lower_bound, brought, self.shade,
                self.previous_fit, self.near, self.flow_variance, self.residual_variance,
                NO_WAY, carried,
            )  # fmt: skip

        in_strips(raw.shape[0], strip)
        return Prior(
            fit=self.fit,
            anchored=self.anchored,
            previous=previous,
            warped=self.warped,
            fine=self.fine,
            clipped=self.clipped,
            brightness=self.brightness,
            exposure=self.exposure,
            trusted=self.trusted,
            first_fit=self.first_fit,
            previous_fit=self.previous_fit,
            far=self.far,
        )


def gather(
    calibration: Calibration,
    rgb: Rgb,
    estimate: Estimate,
    grey: Grey,
    motion: Motion,
    previous_fit: Array,
    previous_clipped: NDArray[np.uint8],
    level: Ratio,
    exposure: float | None,
    tracks_gain: bool,
) -> Evidence:
    """Gather all candidates of one frame but the previous RAW's.

    Args:
        calibration: of the reference frame.
        rgb: the current frame, [H, W, 3].
        estimate: the inverse ISP of the current frame, its brightness still in it.
        grey: the current frame's picture for the flow.
        motion: its flows.
        previous_fit: the previous frame's, as bright as the reference frame, [H, W].
        previous_clipped: where it is clipped, and not 0, [H, W].
        level: the frame's brightness against the reference frame if nothing but a known exposure
            has changed.
        exposure: how much more than the reference frame the frame was exposed; None: that is its
            brightness.
        tracks_gain: whether the ISP made what brightness there is.
    """
    size = estimate.value.shape[0], estimate.value.shape[1]
    near, far = resize_flow(motion.near, size), resize_flow(motion.far, size)
    brought = sample_mosaics(calibration.sources, far)
    before = np.dstack([previous_fit, (previous_clipped > 0).astype(np.float32)])
    previous_fit, was_clipped = sample_mosaics(before, near)
    sure = _sure_blocks(calibration, estimate, grey, motion.far) & (not motion.lost)
    estimate = in_its_light(calibration, rgb, estimate, brought[0], sure)
    clipped = (estimate.clipped > 0).astype(np.float32)
    free = block_means(np.maximum(clipped, was_clipped)) < 0.01
    free &= not motion.cut
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
        )
        for other, trusted, flow in ((brought[0], sure, far), (previous_fit, free, near))
    )
    brightness = track(anchored, neighbour, level)
    exposure = brightness.value if exposure is None else exposure
    if estimate.away is not None:
        calibration = errors_in_light(calibration, brightness.value)
        brought[1] *= 1 - estimate.away
    fit = Fit.of(calibration, estimate, brightness.value)
    fit.add_highlights(calibration, rgb, 1 / exposure, tracks_gain)
    if not motion.lost:
        fit.keep_full(calibration, rgb, far, 1 / exposure)
    shade_far, shade_near = (shade_of(flow, brightness.shading) for flow in (far, near))
    squared = (
        squares(fit.value, brought[0], shade_far),
        squares(fit.value, previous_fit, shade_near),
    )
    flows = _Flows((far, near), (motion.lost, motion.cut), squared)
    made = _candidates(calibration, fit, brought, shade_far, flows)
    if estimate.stray is not None:
        fit_variance = made.fit_variance
        fit_variance += np.where(fit.full > 0, 0, estimate.stray / fit.gain**2)
    agreement = None if calibration.agreement is None else sample(calibration.agreement, far)
    return Evidence(
        fit=Candidate(fit.value, made.fit_variance),
        anchored=_where_raw_agrees(Candidate(*made.anchored), agreement),
        warped=_where_raw_agrees(Candidate(brought[2], made.warped_variance), agreement),
        fine=fit.fine,
        clipped=estimate.clipped,
        brightness=brightness,
        exposure=exposure,
        trusted=float(sure.mean()),
        first_fit=brought[0],
        previous_fit=previous_fit,
        far=far,
        near=near,
        shade=shade_near,
        flow_variance=made.near_variance,
        residual_variance=made.residual_variance,
        lower_bound=fit.lower_bound,
    )


@dataclass(frozen=True)
class _Flows:
    """Flows to the reference frame and to the previous frame, whether they mean nothing, and the
    mean squared difference of the fits along them."""

    flows: tuple[Flow, Flow]
    missing: tuple[bool, bool]
    squared: tuple[Array, Array]


@dataclass(frozen=True)
class _Made:
    """What `gather_strip` makes, [H, W] each."""

    fit_variance: Array
    anchored: tuple[Array, Array]
    warped_variance: Array
    near_variance: Array
    residual_variance: Array


def _candidates(
    calibration: Calibration, fit: Fit, brought: list[Array], shade: Array, flows: _Flows
) -> _Made:
    """The candidates' variances, and the anchored one; the reference RAW in `brought` becomes
    shaded."""
    floors = [
        floor_of(fit, squared, flow)
        for squared, flow in zip(flows.squared, flows.flows, strict=True)
    ]
    tables = tables_of([calibration.fine, calibration.noise, calibration.smooth, *floors])
    constants = np.array([KAPPA, RELIABLE, NOISIEST, NO_WAY, CERTAIN], np.float32)
    results = np.empty((6, *fit.value.shape), np.float32)
    made = _Made(results[0], (results[1], results[2]), results[3], results[4], results[5])
    sources = tuple(brought)

    def strip(first: int, last: int) -> None:
        gather_strip(
            first, last, fit.value, fit.clipped, fit.full, fit.lower_bound, fit.blind, sources,
            shade, flows.flows, flows.missing, flows.squared, tables, constants, fit.fine,
            fit.total, made.fit_variance, made.anchored, made.warped_variance,
            made.near_variance, made.residual_variance,
        )  # fmt: skip

    in_strips(fit.value.shape[0], strip)
    return made


def _carry(
    value: Array,
    clipped: NDArray[np.bool_],
    lower_bound: Array,
    raw: Array,
    residual: Array,
    flow_variance: Array,
    residual_variance: Array,
) -> Candidate:
    """Fit plus a residual brought here; where clipped, the RAW brought here.

    Args:
        value: the fit.
        clipped, lower_bound: see `Evidence`.
        raw, residual: of the other frame, along the flow.
        flow_variance: variance of what the flow brings.
        residual_variance: variance of what no flow explains.
    """
    # What is carried to a clipped place though darker than what clips is wrong by that much.
    short = np.where(clipped, np.maximum(lower_bound - raw, 0), 0)
    brought = np.where(clipped, np.maximum(raw, lower_bound), value + residual)
    return Candidate(brought, flow_variance + residual_variance + short * short)


def _where_raw_agrees(candidate: Candidate, agreement: Array | None) -> Candidate:
    """A candidate made of the reference RAW, believed no more where that RAW doesn't show what its
    frame shows.

    Args:
        candidate: brought along the flow.
        agreement: `Calibration.agreement`, likewise.
    """
    if agreement is None:
        return candidate
    # Precision falls with the square: half-agreeing borders are narrow and carry halos.
    variance = candidate.variance / np.maximum(agreement * agreement, 1 / NO_WAY)
    return replace(
        candidate, variance=np.where(agreement > 0, np.minimum(variance, NO_WAY), NO_WAY)
    )


def _sure_blocks(
    calibration: Calibration, estimate: Estimate, grey: Grey, far: Flow
) -> NDArray[np.bool_]:
    """Blocks that surely show what the reference frame shows, unclipped in both: bool [H//8,
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
