"""The inverse ISP inverts the ISP that it was calibrated on, in frames it hasn't seen."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from small_shots import Array, mosaic, psnr, render, texture

from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.estimate import ErrorModel
from rvdtool.reconstruct.inverse_isp import InverseIsp, Position
from rvdtool.reconstruct.isp_features import COLUMNS, Features, design, linearise
from rvdtool.reconstruct.statistics import POSITIONS

RGGB = CfaPhase.RGGB
SIZE = (96, 128)
LARGE = (192, 256)
"""For tests that need many more photosites than weights."""
every_phase = pytest.mark.parametrize("phase", list(CfaPhase), ids=lambda phase: phase.value)


def sharpen(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    kernel = np.array([[0, -0.2, 0], [-0.2, 1.8, -0.2], [0, -0.2, 0]])
    return cv2.filter2D(rgb, -1, kernel, borderType=cv2.BORDER_REFLECT_101)


def with_clipped_boxes(scene: Array) -> Array:
    """One area is white, and in another one only red is clipped."""
    scene = scene.copy()
    scene[10:50, 10:60] = 1
    scene[60:90, 70:120, 0] = 0.7
    return scene


@every_phase
@pytest.mark.parametrize("size", [SIZE, (97, 128), (96, 127), (97, 127)], ids=str)
def test_a_pointwise_isp_is_inverted(phase: CfaPhase, size: tuple[int, int]) -> None:
    """A colour matrix, a curve and 8 bits: only rounding is lost."""
    known, other = texture(size, 1), texture(size, 2)
    isp = InverseIsp.calibrate(render(known), mosaic(known, phase), phase)
    estimate = isp(render(other))
    assert estimate.value.dtype == np.float32
    assert estimate.value.shape == estimate.clipped.shape == size
    assert not estimate.clipped.any()
    assert psnr(estimate.value, mosaic(other, phase)) > 50


@pytest.mark.parametrize("size", [(96, 128), (41, 75)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_compiled_loop_equals_the_regression(size: tuple[int, int], dtype: type) -> None:
    """The regression is on `design`'s columns, also at the borders."""
    rng = np.random.default_rng(0)
    peak = np.iinfo(dtype).max
    features = Features(rng.integers(0, peak + 1, (*size, 3)).astype(dtype))
    unknown, positions = np.full((8, 19), np.nan, np.float32), {}
    wanted = np.empty(size, np.float32)
    for row, column in POSITIONS:
        at, own = (row, column), np.s_[row::2, column::2]
        flat = rng.normal(0, 0.1, COLUMNS).astype(np.float32)
        positions[at] = Position.of(flat, 0.3, 1, unknown)
        wanted[own] = (
            design(features, at, np.ones_like(wanted[own], bool)) @ flat + np.float32(0.3)
        ).reshape(wanted[own].shape)
    estimate = InverseIsp(positions, ErrorModel({}, np.ones(8, bool)))(features.rgb)
    assert np.allclose(estimate.value, np.minimum(wanted, 1), atol=2e-5)
    own = np.where(features.clipped & 2, wanted, 0)
    assert np.allclose(estimate.lower_bound, own, atol=2e-5)


@pytest.mark.parametrize("size", [(96, 128), (41, 75)], ids=str)
def test_estimates_in_clip_states_equal_their_regressions(size: tuple[int, int]) -> None:
    """Regressions on the linear and coded channels, and on the surroundings at four scales."""
    rng = np.random.default_rng(0)
    features = Features(rng.integers(200, 256, (*size, 3), np.uint8))
    states = rng.normal(0, 0.02, (2, 2, 8, 19)).astype(np.float32)
    states[:, :, 3] = np.nan
    positions = {
        at: Position.of(np.zeros(COLUMNS, np.float32), 0.3, 1, states[at]) for at in POSITIONS
    }
    value = InverseIsp(positions, ErrorModel({}, np.ones(8, bool)))(features.rgb).value
    rows, columns = np.nonzero(features.clipped)
    codes = features.rgb[rows, columns]
    linear, coded = features.table[codes], features.values[codes]
    around = [mean - linear for mean in features.around(rows, columns)]
    seen = [linear, coded, *around]
    own = states[rows % 2, columns % 2, features.clipped[rows, columns]]
    wanted = (np.concatenate(seen, axis=1) * own[:, :-1]).sum(axis=1) + own[:, -1]
    wanted = np.where(np.isnan(wanted), 0.3, wanted)
    assert np.allclose(value[rows, columns], np.minimum(wanted, 1), atol=1e-5)
    assert np.allclose(value[features.clipped == 0], 0.3)


def test_the_estimate_is_valid_for_one_phase_only() -> None:
    """So an estimate without colours can't pass the test of a pointwise ISP."""
    known, other = texture(SIZE, 1), texture(SIZE, 2)
    value = InverseIsp.calibrate(render(known), mosaic(known), RGGB)(render(other)).value
    assert psnr(value, mosaic(other, CfaPhase.BGGR)) < 40


def test_16_bits_are_more_accurate_than_8() -> None:
    known, other = texture(SIZE, 1), texture(SIZE, 2)

    def deep(scene: Array) -> NDArray[np.uint16]:
        light = np.clip(scene @ np.array([[2.4, 0, 0], [0, 1.5, 0], [0, 0, 2.1]]), 0, 1)
        coded = np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)
        return np.rint(65535 * coded).astype(np.uint16)

    def shallow(scene: Array) -> NDArray[np.uint8]:
        return (deep(scene) // 257).astype(np.uint8)

    scores = [
        psnr(
            InverseIsp.calibrate(isp(known), mosaic(known), RGGB)(isp(other)).value,
            mosaic(other),
        )
        for isp in (shallow, deep)
    ]
    assert scores[1] > scores[0] + 3


def test_sharpening_is_inverted() -> None:
    known, other = texture(SIZE, 1), texture(SIZE, 2)
    isp = InverseIsp.calibrate(sharpen(render(known)), mosaic(known), RGGB)
    seen = isp(sharpen(render(other))).value
    blind = InverseIsp.calibrate(render(known), mosaic(known), RGGB)(sharpen(render(other))).value
    assert psnr(seen, mosaic(other)) > psnr(blind, mosaic(other)) + 6


def test_local_tone_mapping_is_inverted() -> None:
    """An ISP that darkens areas with bright surroundings."""

    def tone_mapped(scene: Array) -> NDArray[np.uint8]:
        around = cv2.GaussianBlur(scene.mean(axis=2), (0, 0), 12)
        return render(scene * (1.3 - around)[..., None])

    known, other = texture(SIZE, 1), texture(SIZE, 2)
    value = InverseIsp.calibrate(tone_mapped(known), mosaic(known), RGGB)(tone_mapped(other)).value
    coded = linearise(tone_mapped(other).astype(np.float32) / 255)
    assert psnr(value, mosaic(other)) > 42
    # A global fit ignores the surroundings:
    global_fit = np.linalg.lstsq(coded.reshape(-1, 3), other.reshape(-1, 3), rcond=None)[0]
    assert psnr(value, mosaic(other)) > psnr(mosaic(coded @ global_fit), mosaic(other)) + 5


def test_clip_states_encode_the_clipped_channels() -> None:
    rgb = render(texture(SIZE, 1))
    isp = InverseIsp.calibrate(rgb, mosaic(texture(SIZE, 1)), RGGB)
    for channel in range(3):
        seen = rgb.copy()
        seen[20:30, 20:30, channel] = 255
        seen[40:50, 20:30] = 253
        seen[60:70, 20:30] = 252
        clipped = isp(seen).clipped
        assert (clipped[20:30, 20:30] == 1 << channel).all()
        assert (clipped[40:50, 20:30] == 7).all()
        assert (clipped[60:70, 20:30] == 0).all()
        assert np.count_nonzero(clipped) == 200


def test_clip_states_have_their_own_regression_and_error() -> None:
    """The RAW value of clipped areas is learned from the reference frame."""
    known, other = with_clipped_boxes(texture(SIZE, 1)), with_clipped_boxes(texture(SIZE, 2))
    isp = InverseIsp.calibrate(render(known), mosaic(known), RGGB)
    estimate = isp(render(other))
    inside = np.zeros(SIZE, bool)
    inside[12:48, 12:58] = True
    inside[62:88, 72:118] = True
    assert psnr(estimate.value[inside], mosaic(other)[inside]) > 35
    assert psnr(estimate.value[~inside], mosaic(other)[~inside]) > 40


def test_surroundings_predict_how_far_a_channel_exceeds_its_limit() -> None:
    """Lamps in which only red is clipped, and whose width grows with their brightness."""

    def lamps(seed: int) -> tuple[Array, NDArray[np.bool_]]:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:192, :256]
        red = np.full((192, 256), 0.1)
        for row in range(24, 192, 48):
            for column in range(24, 256, 48):
                peak = rng.uniform(0.5, 0.9)
                squared = (y - row) ** 2 + (x - column) ** 2
                red = np.maximum(red, peak * np.exp(-squared / 150))
        scene = np.stack([red, np.full_like(red, 0.3), np.full_like(red, 0.2)], axis=-1)
        return scene.astype(np.float32), red > 0.45

    def shown(scene: Array) -> NDArray[np.uint8]:
        return np.rint(255 * np.clip(2.2 * scene, 0, 1) ** 0.45).astype(np.uint8)

    (known, _), (other, beyond) = lamps(1), lamps(2)
    value = InverseIsp.calibrate(shown(known), mosaic(known), RGGB)(shown(other)).value
    true = mosaic(other)
    reds = np.zeros_like(beyond)
    reds[::2, ::2] = beyond[::2, ::2]
    assert np.var(value[reds] - true[reds]) < 0.3 * np.var(true[reds])


def test_raw_that_saturates_before_srgb_clips_is_predicted_as_saturated() -> None:
    """If everything else is dark, the fit doesn't know where an S-shaped curve ends."""

    def darkened(scene: Array) -> NDArray[np.uint8]:
        light = np.clip(0.45 * np.minimum(scene, 1) @ np.diag([2.0, 1.2, 1.6]), 0, 1)
        coded = light ** (1 / 2.2)
        coded = 0.4 * coded + 0.6 * coded * coded * (3 - 2 * coded)
        return np.rint(255 * coded).astype(np.uint8)

    known, other = texture(LARGE, 1), texture(LARGE, 2)
    known[30:90, 40:120] = other[90:150, 30:130] = 3
    estimate = InverseIsp.calibrate(darkened(known), np.minimum(mosaic(known), 1), RGGB)(
        darkened(other)
    )
    assert not estimate.clipped.any()
    assert np.abs(estimate.value[94:146, 34:126] - 1).max() < 0.02
    assert psnr(estimate.value[:80], mosaic(other)[:80]) > 55


@pytest.mark.parametrize("deviation", [0.003, 0.01])
def test_the_error_model_measures_the_true_variance(deviation: float) -> None:
    known, other = texture(LARGE, 1), texture(LARGE, 2)
    noise = np.random.default_rng(0).normal(0, deviation, (2, *LARGE)).astype(np.float32)
    isp = InverseIsp.calibrate(render(known), mosaic(known) + noise[0], RGGB)
    estimate = isp(render(other))
    variance = isp.error(estimate)
    squared = (estimate.value - mosaic(other) - noise[1]) ** 2
    assert variance.shape == LARGE
    assert float(variance.mean()) == pytest.approx(float(squared.mean()), rel=0.15)


def test_the_error_model_follows_intensity() -> None:
    light = np.linspace(0.2, 1.2, LARGE[1], dtype=np.float32)[None, :, None]
    known, other = light * texture(LARGE, 1), light * texture(LARGE, 2)
    shape = np.random.default_rng(0).normal(0, 1, (2, *LARGE)).astype(np.float32)
    first, second = mosaic(known), mosaic(other)
    isp = InverseIsp.calibrate(render(known), first + 0.03 * first * shape[0], RGGB)
    estimate = isp(render(other))
    variance = isp.error(estimate)
    squared = (estimate.value - second - 0.03 * second * shape[1]) ** 2
    for chosen in (second < np.quantile(second, 0.25), second > np.quantile(second, 0.75)):
        expected = float(squared[chosen].mean())
        assert float(variance[chosen].mean()) == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("level", [0.0, 0.2, 1.0])
def test_a_first_frame_without_content_gives_a_finite_estimate(level: float) -> None:
    flat = np.full((*SIZE, 3), level, np.float32)
    noise = np.random.default_rng(0).normal(0, 0.01, SIZE).astype(np.float32)
    isp = InverseIsp.calibrate(render(flat), mosaic(flat) + noise, RGGB)
    same = isp(render(flat))
    assert np.isfinite(isp.error(same)).all()
    assert np.abs(same.value - level).mean() < 0.01
    other = isp(render(texture(SIZE, 2)))
    assert np.isfinite(other.value).all()
    assert np.isfinite(isp.error(other)).all()


def test_linearising_is_the_inverse_of_bt709() -> None:
    light = np.linspace(0, 1, 1001)
    coded = np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)
    assert np.allclose(linearise(coded.astype(np.float32)), light, atol=1e-3)
