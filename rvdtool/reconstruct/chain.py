"""The chain that reconstructs RAW frames one after another from a reference frame.

    calibrate on the reference frame → for every frame: inverse ISP → motion → temporal affinity
    prior → fusion → quantise → state

The result of the training-free fusion is carried to the next frame, even with a network: the
network's output, computed from the same prior, is only written. So errors of the network can't
accumulate, and its inputs are the same as in training. Carrying its output instead gave the same
quality (docs/research/training-log.md).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import InputError, MismatchError
from rvdtool.raw.frame import Mosaic, RawFrame
from rvdtool.reconstruct.affinity import UNUSABLE, Evidence, Past, Prior, gather
from rvdtool.reconstruct.brightness import BLOCK, Ratio, Shading, has_auto_brightness
from rvdtool.reconstruct.buffers import release_with
from rvdtool.reconstruct.calibration import Calibration, faded
from rvdtool.reconstruct.confidence import expected_error
from rvdtool.reconstruct.estimate import Estimate
from rvdtool.reconstruct.exposure import ExposureMeter, HiddenExposure
from rvdtool.reconstruct.flow import Flow, flow_image
from rvdtool.reconstruct.fusion import fuse
from rvdtool.reconstruct.levels import in_reference_light, quantised
from rvdtool.reconstruct.match import Match
from rvdtool.reconstruct.motion import Grey, Motion, MotionTracker, NearFlow
from rvdtool.reconstruct.stages import stage
from rvdtool.reconstruct.statistics import Array
from rvdtool.reconstruct.tracked import Tracked
from rvdtool.video.frame import Rgb

if TYPE_CHECKING:
    from rvdtool.network.calibrated import CalibratedFagdn
    from rvdtool.reconstruct.learned import Learned

GainMode = Literal["auto", "track", "fixed"]
"""Attribute changes of brightness to the ISP: if its rendering suggests it, always, or never."""


@dataclass(frozen=True)
class ChainState:
    """Everything that the next frame needs from the previous ones.

    Attributes:
        index: index of the last frame.
        mosaic: its RAW by the training-free fusion, quantised, uint16 [H, W].
        fit: its fit at the reference frame's brightness, normalised, [H, W].
        clipped: its clip state, 0 where its sRGB isn't clipped, uint8 [H, W].
        variance: variance of its predictable error, [H, W].
        brightness: brightness of its fit relative to the reference frame.
        exposure: the part of the brightness that is also in its RAW.
        readings, squares: statistics of exposures that the ISP hides; see `HiddenExposure`.
        shading: evidence of the lens shading; see `Shading`.
        grey: its grey picture for flow estimation.
        far: its flow to the reference frame, at the flow's working size.
        lost: whether the reference frame is out of view since a cut; see `Motion`.
        same, colors: its blocks that certainly show the same as the reference frame, bool
            [H//8, W//8], and their colours; see `Tracked`.
    """

    index: int
    mosaic: Mosaic
    fit: Array
    clipped: NDArray[np.uint8]
    variance: Array
    brightness: float
    exposure: float
    readings: float
    squares: float
    shading: NDArray[np.float64]
    grey: Grey
    far: Flow
    lost: bool
    same: NDArray[np.bool_]
    colors: Array


@dataclass(frozen=True)
class Followed:
    """A frame's inverse ISP and motion.

    Attributes:
        rgb: the frame, [H, W, 3].
        estimate: the result of its inverse ISP.
        grey: its grey picture for flow estimation.
        motion: its flows.
    """

    rgb: Rgb
    estimate: Estimate
    grey: Grey
    motion: Motion


@dataclass(frozen=True)
class Observation:
    """Everything known about a frame from the reference frame and the video, without the previous
    RAW.

    Attributes:
        index, rgb: the frame and its index.
        grey: its grey picture for flow estimation.
        motion: its flows.
        evidence: its prior without the candidate from the previous RAW.
        tracked: its blocks that certainly show the same as the reference frame.
        exposure: its exposure if the ISP hides it; see `HiddenExposure`.
    """

    index: int
    rgb: Rgb
    grey: Grey
    motion: Motion
    evidence: Evidence
    tracked: Tracked
    exposure: HiddenExposure


@dataclass(frozen=True)
class Step:
    """One frame of the chain.

    Attributes:
        state: the chain's state after this frame.
        mosaic: the frame's RAW, uint16 [H, W]: the network's, or without a network the state's.
        motion, prior: the inputs from which it was computed.
        expected: expected mean squared error of `mosaic`, normalised, by block, [H//8, W//8].
    """

    state: ChainState
    mosaic: Mosaic
    motion: Motion
    prior: Prior
    expected: Array


class Chain:
    """Reconstructs a clip frame by frame, in display order.

    `step` consists of `observe` and `advance`, and `observe` consists of `follow` and `compare`.
    Each of these may run ahead of the next one in its own thread.

    Attributes:
        state: the state after the last finished frame.
        calibration: the calibration on the reference frame.
        tracks_gain: whether changes of brightness are attributed to the ISP.
        first: the reconstruction of the reference frame; None if its RAW is exactly that frame and
            is written unchanged.
    """

    def __init__(
        self,
        reference: RawFrame,
        rgb: Rgb,
        flow: NearFlow | None = None,
        gain: GainMode = "auto",
        exposures: Sequence[float] | None = None,
        network: "CalibratedFagdn | None" = None,
        match: Match | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        """Calibrate on the reference frame.

        Args:
            reference: the true RAW of the reference frame, on the video's grid.
            rgb: the reference frame, uint8 or uint16 [H, W, 3].
            flow: supplies the flows between neighbouring frames; None to estimate them.
            gain: whether to track the ISP's gain; `auto` if LibRaw's defaults rendered the
                reference frame. With `fixed`, local tone isn't corrected, either.
            exposures: exposure of each frame relative to the reference frame, by index; None if
                unknown. If they are known, `gain` has no effect.
            network: the network that predicts the frames; None to use the fusion.
            match: the comparison of `reference` and `rgb`; None to compare them here, assuming that
                the RAW wasn't resampled.
            calibration: the calibration of another chain from this reference frame; None to
                calibrate here.

        Raises:
            MismatchError: RAW and frame differ in size.
            InputError: they are smaller than a block of the gain measurement.
        """
        if reference.size != rgb.shape[:2]:
            raise MismatchError(
                f"the RAW frame has {reference.size[1]}×{reference.size[0]} photosites, the video "
                f"{rgb.shape[1]}×{rgb.shape[0]} pixels; they must be equal"
            )
        if min(reference.size) < BLOCK:
            raise InputError(
                f"a video of {rgb.shape[1]}×{rgb.shape[0]} pixels can't be de-rendered; at least "
                f"{BLOCK}×{BLOCK} are needed"
            )
        release_with(self)
        grey = flow_image(rgb)
        self._reference = reference
        match = Match.of(reference, rgb) if match is None else match
        with ThreadPoolExecutor(1) as pool:  # LibRaw develops while Numba loads its compiler
            judgement = pool.submit(has_auto_brightness, reference, rgb, match.agreement)
            raw = self._normalised(reference.mosaic)
        by_libraw = judgement.result()
        self.calibration = calibration or Calibration.measure(
            rgb, raw, reference.phase, grey, match=match, by_libraw=by_libraw
        )
        self._tracker = MotionTracker(grey, flow)
        self._exposures = exposures
        self.tracks_gain = gain == "track" or (gain == "auto" and by_libraw)
        self._local_tone = gain != "fixed" and not by_libraw
        first = self.calibration.tracked
        self.state = ChainState(
            index=0,
            mosaic=reference.mosaic,
            fit=np.ascontiguousarray(self.calibration.sources[..., 0]),
            clipped=self.calibration.clipped.astype(np.uint8),
            variance=np.zeros_like(raw),
            brightness=1.0,
            exposure=1.0,
            readings=0.0,
            squares=0.0,
            shading=Shading().evidence,
            grey=grey,
            far=np.zeros((*grey.shape, 2), np.float32),
            lost=False,
            same=first.same,
            colors=first.colors,
        )
        self._meter = self._make_meter() if self.tracks_gain and exposures is None else None
        self._continue_after(self.state)
        self._learned = self.encode_reference(network, rgb) if network else None
        self.first = None if match.is_frame else self._reconstruct_first(rgb, grey)

    def _reconstruct_first(self, rgb: Rgb, grey: Grey) -> Step:
        """Reconstruct the reference frame like any other and update the state; used if its RAW
        isn't exactly that frame."""
        estimate = self.calibration.inverse_isp(rgb)
        no_motion = np.zeros((*grey.shape, 2), np.float32)
        motion = Motion(no_motion, no_motion)
        evidence, _ = gather(
            self.calibration,
            rgb,
            estimate,
            grey,
            motion,
            Past(
                self.state.fit,
                self.state.clipped,
                Ratio(1.0, Shading()),
                no_motion,
                Tracked(self.state.same, self.state.colors),
            ),
            1.0,
            self.tracks_gain,
            False,
        )
        unusable = np.full_like(estimate.value, UNUSABLE)
        prior = evidence.with_previous(estimate.value, unusable)
        value, variance = fuse(prior)
        mosaic = self._mosaic(value, prior)
        self.state = replace(self.state, mosaic=mosaic, variance=variance)
        if self._learned is not None:
            mosaic = self.predict(self._learned, prior, rgb)
        return self._step(mosaic, motion, prior)

    def resume(self, state: ChainState) -> None:
        """Continue after `state`, which an earlier run of the same chain saved."""
        self.state = state
        self._continue_after(state)

    def _continue_after(self, state: ChainState) -> None:
        """Make the frame after `state` the next one to observe."""
        self._past_motion = _PastMotion(state.index, state.grey, state.far, state.lost)
        brightness = Ratio(state.brightness, Shading(state.shading))
        exposure = HiddenExposure(state.exposure, state.readings, state.squares)
        tracked = Tracked(state.same, state.colors)
        past = Past(state.fit, state.clipped, brightness, state.far, tracked)
        self._past_fit = _PastFit(state.index, past, exposure)

    def step(self, rgb: Rgb) -> Step:
        """Reconstruct the next frame and update the state.

        Args:
            rgb: uint8 or uint16 [H, W, 3], of the reference frame's size.
        """
        return self.advance(self.observe(rgb))

    def observe(self, rgb: Rgb) -> Observation:
        """Compute inverse ISP, motion and candidates of the next frame to observe.

        Args:
            rgb: uint8 or uint16 [H, W, 3], of the reference frame's size.
        """
        return self.compare(self.follow(rgb))

    def follow(self, rgb: Rgb) -> Followed:
        """The first half of `observe`, which needs only the motion of earlier frames.

        Args:
            rgb: uint8 or uint16 [H, W, 3], of the reference frame's size.
        """
        past = self._past_motion
        with stage("inverse ISP"):
            estimate = self.calibration.inverse_isp(rgb)
        with stage("motion"):
            grey = flow_image(rgb)
            blank = _blank(estimate.clipped, grey)
            motion = self._tracker(past.index + 1, grey, past.grey, past.far, blank, past.lost)
        self._past_motion = _PastMotion(past.index + 1, grey, motion.far, motion.lost)
        return Followed(rgb, estimate, grey, motion)

    def compare(self, frame: Followed) -> Observation:
        """The second half of `observe`."""
        index, before = self._past_fit.index + 1, self._past_fit.past
        estimate, motion = frame.estimate, frame.motion
        exposure = self._past_fit.exposure
        if self._meter and not motion.cut:
            free = estimate.clipped == 0
            exposure = exposure.after(
                self._meter.read(estimate.value, free, before.fit, exposure.value, motion.near)
            )
        with stage("candidates"):
            evidence, tracked = gather(
                self.calibration,
                frame.rgb,
                estimate,
                frame.grey,
                motion,
                replace(before, level=self._level(index, before.level)),
                self._exposure(index, exposure),
                self.tracks_gain,
                self._local_tone,
            )
        past = Past(evidence.fit.value, evidence.clipped, evidence.brightness, motion.far, tracked)
        self._past_fit = _PastFit(index, past, exposure)
        return Observation(index, frame.rgb, frame.grey, motion, evidence, tracked, exposure)

    def advance(self, observation: Observation) -> Step:
        """Reconstruct the observed frame, which follows that of the state, and update the state."""
        return self.answer(self.fuse(observation), observation.rgb)

    def fuse(self, observation: Observation) -> Step:
        """`advance` without the network; no later frame depends on the network's output."""
        past = self.state
        with stage("fusion"):
            raw = self._normalised(past.mosaic, past.exposure)
            prior = observation.evidence.with_previous(raw, past.variance)
            value, variance = fuse(prior)
        self.state = ChainState(
            index=observation.index,
            mosaic=self._mosaic(value, prior),
            fit=prior.fit.value,
            clipped=prior.clipped,
            variance=variance,
            brightness=prior.brightness.value,
            exposure=prior.exposure,
            readings=observation.exposure.readings,
            squares=observation.exposure.squares,
            shading=prior.brightness.shading.evidence,
            grey=observation.grey,
            far=observation.motion.far,
            lost=observation.motion.lost,
            same=observation.tracked.same,
            colors=observation.tracked.colors,
        )
        return self._step(self.state.mosaic, observation.motion, prior)

    def answer(self, step: Step, rgb: Rgb) -> Step:
        """Apply the network to a step, if there is a network. Several steps may run at once."""
        if self._learned is None:
            return step
        with stage("network"):
            return replace(step, mosaic=self.predict(self._learned, step.prior, rgb))

    def _step(self, mosaic: Mosaic, motion: Motion, prior: Prior) -> Step:
        expected = expected_error(
            prior,
            self.state.variance,
            age=self.state.index,
            tracks_gain=self.tracks_gain,
            by_network=self._learned is not None,
        )
        return Step(self.state, mosaic, motion, prior, expected)

    def encode_reference(self, network: "CalibratedFagdn", rgb: Rgb) -> "Learned":
        """Encode the reference frame by a network.

        Args:
            network: in evaluation mode.
            rgb: the reference frame that the chain was made with.
        """
        from rvdtool.reconstruct.learned import Learned  # torch takes a second to import
        from rvdtool.reconstruct.packing import Packing, pack_reference

        packing = Packing.of(self._reference.size, self._reference.phase)
        shown = None
        if network.config.gla:
            raw = self._normalised(self._reference.mosaic)
            estimate = self.calibration.inverse_isp(rgb)
            raw = faded(raw, estimate.value, self.calibration.agreement)
            variance = self.calibration.inverse_isp.error(estimate)
            shown = pack_reference(packing, rgb, raw, estimate.value, estimate.clipped, variance)
        return Learned(network, packing, shown, self.tracks_gain)

    def predict(self, learned: "Learned", prior: Prior, rgb: Rgb) -> Mosaic:
        """Predict a frame from its prior, uint16 [H, W]."""
        return self._mosaic(learned(prior, rgb), prior)

    def _exposure(self, index: int, hidden: HiddenExposure) -> float | None:
        """A frame's exposure relative to the reference frame; None to use its brightness."""
        if self._exposures is not None:
            return self._exposures[index]
        return hidden.value if self.tracks_gain else None

    def _level(self, index: int, previous: Ratio) -> Ratio:
        """A frame's brightness if only a known exposure has changed since the previous frame.

        If the ISP's gain is tracked, the exposure isn't used, as the gain mostly hides it.
        """
        if self._exposures is None or self.tracks_gain:
            return previous
        step = self._exposures[index] / self._exposures[index - 1]
        return replace(previous, value=previous.value * step)

    def _make_meter(self) -> ExposureMeter | None:
        """Make the meter of hidden exposures from the calibration on the reference frame."""
        calibration = self.calibration
        return ExposureMeter.measure(calibration.noise, calibration.shown, calibration.fine)

    def _mosaic(self, value: Array, prior: Prior) -> Mosaic:
        """Convert normalised RAW at the reference frame's brightness to the frame's own DN, limited
        to 0..white, uint16 [H, W]."""
        return quantised(value, prior.exposure, self._reference)

    def _normalised(self, mosaic: Mosaic, exposure: float = 1.0) -> Array:
        return in_reference_light(mosaic, exposure, self._reference)


@dataclass(frozen=True)
class _PastMotion:
    """What `follow` needs from the previous frame; fields as in `ChainState`."""

    index: int
    grey: Grey
    far: Flow
    lost: bool


@dataclass(frozen=True)
class _PastFit:
    """What `compare` needs from the previous frame: index, what `gather` needs, and exposure."""

    index: int
    past: Past
    exposure: HiddenExposure


def _blank(clipped: NDArray[np.uint8], grey: Grey) -> NDArray[np.bool_]:
    """Mask of pixels with all three channels clipped, at the flow's working size."""
    height, width = grey.shape
    blank = (clipped == 7).astype(np.uint8)
    return cv2.resize(blank, (width, height), interpolation=cv2.INTER_NEAREST) > 0
