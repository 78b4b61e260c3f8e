"""Exposure steps that the ISP hides are measured from the noise, if it shows them."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from small_shots import BLACK, WHITE, Array, mosaic, pan, psnr, raw_frame

from rvdtool.raw.bayer import denormalise, normalise
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.render import default_render
from rvdtool.reconstruct.chain import Chain, ChainState
from rvdtool.reconstruct.exposure import FEWEST, HiddenExposure, Reading

SIZE = (256, 320)
ELECTRONS = 3000
STEADY = (1.0,) * 7
STEPPED = (1.0,) * 4 + (0.6,) * 3


def scenes(count: int) -> list[Array]:
    """Out of focus, so that many areas are flat."""
    return [cv2.GaussianBlur(scene, (0, 0), 8) for scene in pan(count, size=SIZE)]


def shot(scene: Array, exposure: float, seed: int) -> RawFrame:
    """A RAW frame with photon noise."""
    signal = exposure * mosaic(scene)
    noisy = np.random.default_rng(seed).poisson(signal * ELECTRONS) / ELECTRONS
    frame = raw_frame(scene)
    return frame.with_mosaic(denormalise(noisy.astype(np.float32), BLACK, WHITE))


def film(exposures: Sequence[float]) -> list[tuple[Array, RawFrame]]:
    """Each frame without noise, and as recorded."""
    return [
        (exposure * mosaic(scene), shot(scene, exposure, seed))
        for seed, (scene, exposure) in enumerate(
            zip(scenes(len(exposures)), exposures, strict=True)
        )
    ]


def chain_over(frames: list[tuple[Array, RawFrame]]) -> list[ChainState]:
    """The chain's states if LibRaw's defaults have rendered the frames."""
    chain = Chain(frames[0][1], default_render(frames[0][1]))
    return [chain.step(default_render(frame)).state for _, frame in frames[1:]]


def test_raw_follows_a_step_that_libraw_hides() -> None:
    frames = film(STEPPED)
    states = chain_over(frames)
    assert [state.exposure for state in states[:3]] == [1, 1, 1]
    for state, (clean, _) in zip(states[3:], frames[4:], strict=True):
        assert state.exposure == pytest.approx(0.6, rel=0.1)
        assert psnr(normalise(state.mosaic, BLACK, WHITE), clean) > 35  # 20 if the step is ignored


def test_without_a_step_nothing_changes() -> None:
    assert {state.exposure for state in chain_over(film(STEADY))} == {1.0}


def test_given_exposures_are_not_measured() -> None:
    frames = film(STEPPED)
    chain = Chain(frames[0][1], default_render(frames[0][1]), exposures=STEADY)
    assert {chain.step(default_render(raw)).state.exposure for _, raw in frames[1:]} == {1.0}


def test_no_exposure_is_measured_in_a_video_without_noise() -> None:
    """Codecs remove the sensor's noise."""
    frames = film(STEPPED)
    pictures = [
        cv2.bilateralFilter(default_render(raw), 9, 60, 5).astype(np.uint8) for _, raw in frames
    ]
    chain = Chain(frames[0][1], pictures[0], gain="track")
    assert {chain.step(picture).state.exposure for picture in pictures[1:]} == {1.0}


def test_only_a_certain_and_isolated_measurement_is_a_step() -> None:
    step, calm = Reading(math.log(0.7), True), Reading(0.01, True)
    known = HiddenExposure()
    while known.readings < FEWEST:
        assert known.after(step).value == 1  # nothing to compare with yet
        known = known.after(calm)
    assert known.after(step).value == pytest.approx(0.7)
    assert known.after(None) == known
    assert known.after(Reading(step.log, False)).value == 1
    for _ in range(5):  # in this video, readings are always that wrong
        known = known.after(Reading(step.log, False))
    assert known.after(step).value == 1
