"""Lights that are saturated in the reference frame are saturated in the others; rare clip
states."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from small_shots import BLACK, SIZE, WHITE, Array, mosaic, pan, raw_frame, render

from rvdtool.network.calibrated import CalibratedConfig, CalibratedFagdn
from rvdtool.raw.bayer import color_index, normalise
from rvdtool.raw.frame import CfaPhase
from rvdtool.raw.render import default_render
from rvdtool.reconstruct.chain import Chain
from rvdtool.reconstruct.flow import outside, sample_mosaic
from rvdtool.reconstruct.lights import SHOWN, lights, still_full


def night(count: int, radius: int = 4, radiance: float = 5.0) -> list[Array]:
    """A dark street with three lamps, filmed by a moving camera."""
    frames = []
    for index, scene in enumerate(pan(count)):
        lamps = np.zeros((8 * SIZE[0], 8 * SIZE[1], 3), np.float32)
        for x, y in ((30, 30), (70, 50), (100, 20)):
            at = (8 * x - round(10 * index), 8 * y + round(6 * index))
            cv2.circle(lamps, at, 8 * radius, (radiance,) * 3, -1)
        lamps = cv2.resize(lamps, SIZE[::-1], interpolation=cv2.INTER_AREA)
        frames.append(0.3 * scene + cv2.GaussianBlur(lamps, (0, 0), 0.8))
    return frames


@pytest.mark.parametrize("radius", [2, 5])
def test_lamps_stay_saturated(radius: int) -> None:
    """In all colours; otherwise they would become pink or cyan."""
    scenes = night(4, radius)
    chain = Chain(raw_frame(scenes[0]), render(scenes[0]))
    for scene in scenes[1:]:
        step = chain.step(render(scene))
    true = np.clip(mosaic(scene), 0, 1)
    got = normalise(step.mosaic, BLACK, WHITE)
    full = true == 1
    # Half a pixel at the border is uncertain.
    inside = cv2.erode(full.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert full.sum() > 20
    assert got[inside].min() > 0.99
    for color in range(3):
        own = full & (np.indices(SIZE).sum(axis=0) % 2 == color % 2)
        assert got[own].mean() > 0.97
    assert np.sqrt(np.mean((got - true)[~full] ** 2)) < 0.02


def test_lamps_are_white_once_developed() -> None:
    """If only some photosites are saturated, lamps get a colour that the truth doesn't have."""
    scenes = night(4)
    chain = Chain(raw_frame(scenes[0]), render(scenes[0]))
    for scene in scenes[1:]:
        step = chain.step(render(scene))
    true = raw_frame(scene, noise=0)
    got, wanted = (
        default_render(replace(true, mosaic=one)).astype(np.int16)
        for one in (step.mosaic, true.mosaic)
    )
    lamps = wanted.min(axis=2) >= 250
    assert lamps.sum() > 50
    assert np.ptp(got[lamps], axis=1).max() <= 16
    assert got[lamps].min() >= 240


def test_a_network_keeps_lamps_saturated() -> None:
    scenes = night(2)
    network = CalibratedFagdn(CalibratedConfig()).eval()
    for parameter in network.head.parameters():
        parameter.data.normal_(0, 3)  # any output
    chain = Chain(raw_frame(scenes[0]), render(scenes[0]), network=network)
    got = normalise(chain.step(render(scenes[1])).mosaic, BLACK, WHITE)
    full = cv2.erode((mosaic(scenes[1]) >= 1).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert got[full].min() > 0.98


def test_a_lamp_that_goes_out_is_not_saturated() -> None:
    scenes = night(2)
    first = lights(np.clip(mosaic(scenes[0]), 0, 1), render(scenes[0]), CfaPhase.RGGB)
    far = np.zeros((*SIZE, 2), np.float32)
    assert still_full(first, render(scenes[0]), CfaPhase.RGGB, far).any()
    assert not still_full(first, render(pan(1)[0]), CfaPhase.RGGB, far).any()
    beyond = np.full((*SIZE, 2), 1e4, np.float32)
    assert not still_full(first, render(scenes[0]), CfaPhase.RGGB, beyond).any()


@pytest.mark.parametrize("size", [(64, 96), (41, 35)])
def test_still_full_equals_sampling_the_reference(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    first = (rng.random(size) > 0.3).astype(np.float32)
    rgb = rng.integers(180, 256, (*size, 3), np.uint8)
    far = rng.normal(0, 8, (*size, 2)).astype(np.float32)
    own = np.take_along_axis(rgb, color_index(CfaPhase.GRBG, size)[..., None], 2)[..., 0]
    expected = (sample_mosaic(first, far) > 0.5) & ~outside(far) & (own >= np.ceil(255 * SHOWN))
    assert 0.1 < expected.mean() < 0.9
    assert (still_full(first, rgb, CfaPhase.GRBG, far) == expected).mean() > 0.999
