"""PSNR and SSIM: their properties, and agreement with scikit-image and with their definitions."""

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from small_clips import BITS, BLACK, WHITE, disturbed, random_mosaic, small_frame

from rvdtool.errors import MismatchError, UsageError
from rvdtool.evaluate.metrics import BAND, psnr, score, ssim
from rvdtool.raw.frame import CfaPhase

Image = NDArray[np.float64]


def two_images(seed: int, size: tuple[int, int], peak: float = 1.0) -> tuple[Image, Image]:
    rng = np.random.default_rng(seed)
    true = peak * rng.random(size)
    return true + rng.normal(0, 0.05 * peak, size), true


def ssim_by_definition(predicted: Image, true: Image, data_range: float) -> float:
    """Wang et al. 2004, eq. 13, window by window, with NumPy's own covariance."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    for top in range(true.shape[0] - 6):
        for left in range(true.shape[1] - 6):
            window = np.s_[top : top + 7, left : left + 7]
            x, y = predicted[window].ravel(), true[window].ravel()
            (var_x, cov), (_, var_y) = np.cov(x, y)
            luminance = (2 * x.mean() * y.mean() + c1) / (x.mean() ** 2 + y.mean() ** 2 + c1)
            values.append(luminance * (2 * cov + c2) / (var_x + var_y + c2))
    return float(np.mean(values))


@given(st.integers(0, 2**32), st.sampled_from([0.5, 1.0, 2.0, 1023.0]))
def test_psnr_agrees_with_scikit_image(seed: int, peak: float) -> None:
    predicted, true = two_images(seed, (9, 14), peak)
    expected = peak_signal_noise_ratio(true, predicted, data_range=peak)
    assert psnr(predicted, true, peak=peak) == pytest.approx(expected, abs=1e-6)


@given(st.integers(0, 2**32), st.floats(0.01, 0.9))
def test_an_error_times_a_factor_costs_its_decibels(seed: int, factor: float) -> None:
    predicted, true = two_images(seed, (8, 8))
    smaller = true + factor * (predicted - true)
    gain = psnr(smaller, true, peak=1) - psnr(predicted, true, peak=1)
    assert gain == pytest.approx(-20 * math.log10(factor), abs=1e-6)


def test_psnr_of_equal_images_is_infinite() -> None:
    image, _ = two_images(0, (8, 8))
    assert psnr(image, image, peak=1) == math.inf


def test_psnr_does_not_depend_on_the_unit() -> None:
    predicted, true = two_images(1, (8, 8))
    expected = psnr(predicted, true, peak=1)
    assert psnr(1023 * predicted, 1023 * true, peak=1023) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("data_range", [1.0, 2.0])
@pytest.mark.parametrize("size", [(7, 7), (12, 9)])
def test_ssim_is_its_definition(size: tuple[int, int], data_range: float) -> None:
    predicted, true = two_images(2, size)
    expected = ssim_by_definition(predicted, true, data_range)
    assert ssim(predicted, true, data_range=data_range) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("data_range", [1.0, 2.0])
@pytest.mark.parametrize("height", [7, 60, BAND + 6, BAND + 7, 2 * BAND + 50])
def test_ssim_agrees_with_scikit_image_in_any_number_of_bands(
    height: int, data_range: float
) -> None:
    predicted, true = two_images(3, (height, 20))
    expected = structural_similarity(true, predicted, data_range=data_range)
    assert ssim(predicted, true, data_range=data_range) == pytest.approx(expected, abs=1e-6)


def test_ssim_keeps_float64_where_float32_would_show() -> None:
    """Bright and nearly flat: variances are differences of nearly equal squares."""
    rng = np.random.default_rng(4)
    true = (1.5 + rng.normal(0, 1e-3, (40, 40))).astype(np.float32)
    predicted = (true + rng.normal(0, 1e-3, true.shape)).astype(np.float32)
    exact = [image.astype(np.float64) for image in (true, predicted)]
    expected = structural_similarity(*exact, data_range=1.0)
    assert ssim(predicted, true, data_range=1) == pytest.approx(expected, abs=1e-9)
    assert abs(structural_similarity(true, predicted, data_range=1.0) - expected) > 1e-6


def test_ssim_is_symmetric_and_one_only_for_equal_images() -> None:
    predicted, true = two_images(5, (20, 20))
    assert ssim(true, true, data_range=1) == pytest.approx(1, abs=1e-12)
    forward, backward = ssim(predicted, true, data_range=1), ssim(true, predicted, data_range=1)
    assert forward == pytest.approx(backward, abs=1e-12)
    assert forward < 1


def test_images_that_cannot_be_compared_are_refused() -> None:
    one, other = np.zeros((8, 8)), np.zeros((8, 9))
    with pytest.raises(MismatchError, match=r"\(8, 8\) and \(8, 9\)"):
        psnr(one, other, peak=1)
    with pytest.raises(MismatchError, match=r"\(8, 8\) and \(8, 9\)"):
        ssim(one, other, data_range=1)
    with pytest.raises(UsageError, match="at least 7×7"):
        ssim(one[:6], one[:6], data_range=1)


@pytest.mark.parametrize("phase", CfaPhase)
@pytest.mark.parametrize("size", [(32, 48), (31, 47)])
def test_a_frame_scores_as_both_protocols_define_it(phase: CfaPhase, size: tuple[int, int]) -> None:
    true = random_mosaic(6, size)
    predicted = disturbed(true, 7)
    scores = score(small_frame(predicted, phase=phase), small_frame(true, phase=phase))

    black = np.tile(np.reshape(BLACK, (2, 2)), (16, 24))[: size[0], : size[1]]
    x, y = ((mosaic - black) / (WHITE - black) for mosaic in (predicted, true))
    planes = [(x[i::2, j::2], y[i::2, j::2]) for i in (0, 1) for j in (0, 1)]
    raw_x, raw_y = (mosaic / (2**BITS - 1) for mosaic in (predicted, true))

    assert scores.psnr == pytest.approx(peak_signal_noise_ratio(y, x, data_range=1), abs=1e-5)
    expected = np.mean([structural_similarity(*pair, data_range=1.0) for pair in planes])
    assert scores.ssim == pytest.approx(expected, abs=1e-6)
    expected = peak_signal_noise_ratio(raw_y, raw_x, data_range=1)
    assert scores.psnr_paper == pytest.approx(expected, abs=1e-6)
    expected = structural_similarity(raw_y, raw_x, data_range=2.0)
    assert scores.ssim_paper == pytest.approx(expected, abs=1e-6)


def test_the_papers_ssim_is_higher() -> None:
    true = random_mosaic(8)
    scores = score(small_frame(disturbed(true, 9, by=200)), small_frame(true))
    assert scores.ssim < scores.ssim_paper < 1


def test_clipping_nothing_counts_errors_above_white() -> None:
    """Normalised values may exceed 1, and errors there count."""
    true = np.full((32, 32), 4090, np.uint16)
    worse = np.full((32, 32), 4050, np.uint16)
    assert score(small_frame(worse), small_frame(true)).psnr < 41


def test_equal_frames() -> None:
    frame = small_frame(random_mosaic(10))
    assert astuple(score(frame, frame)) == (math.inf, pytest.approx(1), math.inf, pytest.approx(1))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"phase": CfaPhase.BGGR}, "CFA phase BGGR against RGGB"),
        ({"black": (60.0, 61.0, 62.0, 64.0)}, "black level 60, 61, 62, 64 against 60, 61, 62, 63"),
        ({"white": 4001}, "white level 4001 against 4000"),
    ],
)
def test_frames_on_different_scales_are_refused(change: dict[str, object], told: str) -> None:
    mosaic = random_mosaic(11)
    with pytest.raises(MismatchError, match=told):
        score(small_frame(mosaic, **change), small_frame(mosaic))  # type: ignore[arg-type]


def test_frames_of_different_sizes_are_refused() -> None:
    with pytest.raises(MismatchError, match="size 48×30 against 48×32"):
        score(small_frame(random_mosaic(0, (30, 48))), small_frame(random_mosaic(0)))
