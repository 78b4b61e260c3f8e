"""Local tone mapping that changes while the light doesn't."""

import cv2
import numpy as np
import pytest
from small_shots import BLACK, WHITE, Array, mosaic, pan, psnr, raw_frame, render

from rvdtool.raw.bayer import normalise
from rvdtool.reconstruct.chain import Chain, GainMode, Step


def darkened(scene: Array, part: float) -> Array:
    """A fifth darker, with a soft edge, in a part of the scene."""
    height, width = scene.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    near = np.exp(-((x - 0.7 * width) ** 2 + (y - 0.5 * height) ** 2) / (0.3 * height) ** 2)
    return scene * np.exp(-0.25 * part * near)[..., None]


@pytest.fixture(scope="module")
def scenes() -> list[Array]:
    return [0.5 * scene for scene in pan(6, size=(192, 256))]


def last_step(scenes: list[Array], gain: GainMode) -> tuple[Step, Array]:
    """The last step of a clip whose tone or light changes, and its normalised RAW."""
    chain = Chain(raw_frame(scenes[0]), render(scenes[0]), gain=gain)
    for index, scene in enumerate(scenes[1:], start=1):
        step = chain.step(render(darkened(scene, index / 5)))
    return step, normalise(step.mosaic, BLACK, WHITE)


def test_slight_local_changes_are_attributed_to_the_isp(scenes: list[Array]) -> None:
    """Without the correction, 43.5 dB."""
    step, value = last_step(scenes, "auto")
    assert psnr(value, mosaic(scenes[-1])) > 49
    assert 0.05 < step.prior.toned < 0.5


def test_with_a_fixed_gain_raw_follows_the_light(scenes: list[Array]) -> None:
    step, value = last_step(scenes, "fixed")
    assert psnr(value, mosaic(darkened(scenes[-1], 1))) > 60
    assert step.prior.toned == 0


@pytest.mark.parametrize("gain", ["auto", "fixed"])
def test_uneven_brightness_is_attributed_to_the_isp(scenes: list[Array], gain: GainMode) -> None:
    """Most of the frame gets brighter by very different factors, and a sixth by 10 %."""
    pattern = np.random.default_rng(0).normal(0, 1, scenes[0].shape[:2]).astype(np.float32)
    pattern = cv2.GaussianBlur(pattern, (0, 0), 32)
    factor = np.exp(0.1 + 0.25 * pattern / pattern.std())
    factor[: len(factor) // 6] = 1.1
    chain = Chain(raw_frame(scenes[0]), render(scenes[0]), gain=gain)
    step = chain.step(render(scenes[1] * factor[..., None]))
    if gain == "fixed":
        assert step.prior.brightness.value == pytest.approx(1.1, rel=0.03)
        assert step.prior.toned == 0
    else:
        assert step.prior.brightness.value == 1
        assert step.prior.toned == 1


def test_an_even_change_of_brightness_is_light(scenes: list[Array]) -> None:
    chain = Chain(raw_frame(scenes[0]), render(scenes[0]))
    step = chain.step(render(1.1 * scenes[1]))
    assert step.prior.brightness.value == pytest.approx(1.1, rel=0.01)
    assert step.prior.toned == 0
