"""Local tone mapping that changes while the light doesn't."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from small_shots import BLACK, WHITE, Array, mosaic, pan, psnr, raw_frame, render, texture

from rvdtool.raw.bayer import normalise
from rvdtool.reconstruct.chain import Chain, GainMode, Step
from rvdtool.reconstruct.fit import Fit
from rvdtool.reconstruct.local_tone import correct_local_tone


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


def with_object(scene: Array, index: int) -> tuple[Array, Array]:
    """The scene behind a smooth round object that moves by 14 pixels a frame, and its mask."""
    y, x = np.mgrid[: scene.shape[0], : scene.shape[1]].astype(np.float32)
    x -= 70 + 14 * index
    inside = np.clip(40.5 - np.hypot(x, y - 96), 0, 1)[..., None]
    shaded = 1 + 0.1 * np.sin(x / 25) * np.cos(y / 25)
    color = np.array([0.15, 0.2, 0.25], np.float32)
    return scene + inside * (color * shaded[..., None] - scene), inside


def test_a_moving_smooth_object_whose_tone_changes_keeps_its_raw() -> None:
    """It gets 6 % brighter in every frame. If it isn't followed, 32 dB."""
    background = 0.5 * texture((192, 256), 1)
    scenes = [with_object(background, index) for index in range(5)]
    chain = Chain(raw_frame(scenes[0][0]), render(scenes[0][0]))
    for index, (scene, inside) in enumerate(scenes[1:], start=1):
        step = chain.step(render(scene * np.exp(0.06 * index * inside)))
    value, true = normalise(step.mosaic, BLACK, WHITE), mosaic(scene)
    assert psnr(value[inside[..., 0] == 1], true[inside[..., 0] == 1]) > 39


def corrected(
    value: Array, known: Array, sure: NDArray[np.bool_], shade: float = 1.0
) -> tuple[Fit, list[Array]]:
    """A fit, and fit, residual and RAW of a reference frame with the same fit, corrected."""
    none, state = np.zeros_like(value), np.zeros(value.shape, np.uint8)
    fit = Fit(value.copy(), 0.5 * value, state, none, none, none, state, np.float32(1))
    from_reference = [value.copy(), known - value, known.copy()]
    correct_local_tone(fit, from_reference, np.full_like(value, shade), sure)
    return fit, from_reference


BRIGHT = (slice(96, None), slice(None))


@pytest.fixture(scope="module")
def value() -> Array:
    """Dark above, bright below, with some noise."""
    value = np.full((192, 256), 0.04, np.float32)
    value[BRIGHT] = 0.5
    return value * np.random.default_rng(0).normal(1, 0.02, value.shape).astype(np.float32)


def test_each_intensity_is_corrected_up_to_its_edge(value: Array) -> None:
    """The factor is 0.5 for dark content and 1.25 for bright content."""
    known = np.where(value > 0.2, 1.25, 0.5).astype(np.float32) * value
    sure = np.ones((24, 32), np.bool_)
    sure[10:14] = False  # around the edge
    fit, (first, residual, raw) = corrected(value, known, sure, shade=1.1)
    np.testing.assert_allclose(fit.value, 1.1 * known, rtol=0.05)
    np.testing.assert_allclose(fit.lower_bound, 0.5 * fit.value, rtol=1e-5)
    np.testing.assert_allclose(first, known, rtol=0.05)
    np.testing.assert_allclose(first + residual, raw, atol=1e-6)


def test_an_intensity_that_is_nowhere_certain_is_not_corrected(value: Array) -> None:
    sure = np.ones((24, 32), np.bool_)
    sure[12:] = False
    fit, _ = corrected(value, 0.8 * value, sure)
    np.testing.assert_array_equal(fit.value[BRIGHT], value[BRIGHT])
    np.testing.assert_allclose(fit.value[:88], 0.8 * value[:88], rtol=0.03)


def test_scattered_ratios_and_changes_of_light_are_not_taken_for_tone(value: Array) -> None:
    scatter = np.random.default_rng(1).normal(0, 0.3, (24, 32)).astype(np.float32)
    scatter = np.exp(cv2.resize(scatter, value.shape[::-1], interpolation=cv2.INTER_NEAREST))
    sure = np.ones((24, 32), np.bool_)
    for factor, most in ((scatter, 0.1), (np.float32(4), 0)):
        fit, _ = corrected(value, factor * value, sure)
        assert np.sqrt(np.mean(np.log(fit.value / value) ** 2)) <= most
