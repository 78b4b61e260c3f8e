"""Statistics of noise and signal, compared with synthetic noise of known variance."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from rvdtool.reconstruct.statistics import (
    Curve,
    fine_power,
    lag_covariance,
    noise_variance,
    per_position,
    shrink,
)

SIZE = (192, 256)


def white(size: tuple[int, int] = SIZE, deviation: float = 1.0) -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(0, deviation, size).astype(np.float32)


def ramp() -> NDArray[np.float32]:
    """From 0.05 to 0.95, left to right."""
    return np.tile(np.linspace(0.05, 0.95, SIZE[1], dtype=np.float32), (SIZE[0], 1))


def test_a_curve_fits_a_function_of_intensity() -> None:
    intensity = np.random.default_rng(0).uniform(0, 1, 40_000).astype(np.float32)
    quantity = 2 + 3 * intensity + 0.1 * white((1, 40_000))[0]
    curve = Curve.mean(intensity, quantity)
    at = np.linspace(0.1, 0.9, 7, dtype=np.float32)
    assert np.allclose(curve(at), 2 + 3 * at, atol=0.03)
    assert curve(np.full((2, 5), 0.5, np.float32)).shape == (2, 5)


def test_a_curve_is_constant_beyond_its_ends() -> None:
    intensity = np.linspace(0.2, 0.8, 1200, dtype=np.float32)
    curve = Curve.mean(intensity, intensity)
    ends = curve(np.array([-5, 0.2, 0.8, 5], np.float32))
    assert ends[0] == pytest.approx(ends[1], abs=0.03)
    assert ends[2] == pytest.approx(ends[3], abs=0.03)
    assert 0.2 <= ends[0] < 0.25
    assert 0.75 < ends[3] <= 0.8


def test_a_quantile_curve_follows_the_quantile() -> None:
    quantity = np.random.default_rng(0).uniform(0, 1, 60_000).astype(np.float32)
    intensity = np.random.default_rng(1).uniform(0, 1, 60_000).astype(np.float32)
    curve = Curve.quantile(intensity, quantity, 0.25)
    assert np.allclose(curve(np.linspace(0, 1, 9, dtype=np.float32)), 0.25, atol=0.03)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_few_samples_give_a_constant(count: int) -> None:
    samples = np.full(count, 0.3, np.float32)
    curve = Curve.mean(samples, samples, lowest=0.1)
    assert np.allclose(curve(np.array([0, 1], np.float32)), 0.3 if count else 0.1)


def test_a_curve_never_falls_below_its_lowest() -> None:
    intensity = np.linspace(0, 1, 1200, dtype=np.float32)
    curve = Curve.mean(intensity, -intensity, lowest=0.01)
    assert np.all(curve(intensity) >= np.float32(0.01))


@pytest.mark.parametrize("deviation", [0.001, 0.02])
def test_noise_variance_of_a_flat_frame(deviation: float) -> None:
    mosaic = np.float32(0.4) + white(deviation=deviation)
    curve = noise_variance(mosaic, np.full(SIZE, 0.4, np.float32), np.ones(SIZE, bool))
    assert float(curve(np.float32([0.4]))[0]) == pytest.approx(deviation**2, rel=0.15)


def test_noise_variance_by_intensity() -> None:
    """Photon noise: the variance is proportional to the light."""
    light = ramp()
    curve = noise_variance(light + np.sqrt(1e-4 * light) * white(), light, np.ones(SIZE, bool))
    at = np.array([0.2, 0.4, 0.6, 0.8], np.float32)
    assert np.allclose(curve(at), 1e-4 * at, rtol=0.15)


def test_noise_variance_ignores_edges_and_the_mosaic() -> None:
    light = np.full(SIZE, 0.2, np.float32)
    light[:, 120:] = 0.25
    light[::2, ::2] += 0.1  # another colour
    curve = noise_variance(light + white(deviation=0.002), light, np.ones(SIZE, bool))
    at = np.array([0.2, 0.25, 0.3], np.float32)
    assert np.allclose(curve(at), 4e-6, rtol=0.2)


def test_without_noise_the_variance_is_not_zero() -> None:
    """For a saturated sensor; a variance of zero couldn't be used as a weight."""
    curve = noise_variance(np.ones(SIZE, np.float32), ramp(), np.ones(SIZE, bool))
    assert float(curve(ramp()).min()) > 0


def test_excluded_pixels_have_no_effect() -> None:
    mosaic = white(deviation=0.01)
    mosaic[:, 128:] = 1
    usable = np.zeros(SIZE, bool)
    usable[:, :124] = True
    light = np.full(SIZE, 0.5, np.float32)
    assert float(noise_variance(mosaic, light, usable)(light)[0, 0]) == pytest.approx(
        1e-4, rel=0.15
    )


def test_fine_power_is_the_variance_of_white_noise() -> None:
    assert float(fine_power(white(deviation=0.3)).mean()) == pytest.approx(0.09, rel=0.05)
    assert float(fine_power(ramp()).max()) < 1e-4


def test_colours_are_filtered_separately() -> None:
    """Four flat colours don't change, also at odd sizes."""
    for size in ((16, 20), (17, 21)):
        mosaic = np.tile(np.array([[1, 2], [3, 4]], np.float32), (9, 11))[: size[0], : size[1]]
        blurred = per_position(mosaic, lambda plane: cv2.blur(plane, (3, 3)))
        assert np.allclose(blurred, mosaic)


def test_lag_covariance_of_white_noise_is_zero() -> None:
    assert abs(float(lag_covariance(white()).mean())) < 0.02


def test_lag_covariance_of_a_smooth_signal_is_its_variance() -> None:
    smooth = cv2.GaussianBlur(white(), (0, 0), 12)
    smooth = np.float32(0.1) * (smooth - smooth.mean()) / smooth.std()
    assert float(lag_covariance(smooth + white(deviation=0.1)).mean()) == pytest.approx(
        0.01, rel=0.1
    )


@pytest.mark.parametrize("side", [5, 7])
@pytest.mark.parametrize("size", [(32, 48), (33, 47)])
def test_shrinking_keeps_constants(side: int, size: tuple[int, int]) -> None:
    flat = np.tile(np.array([[0.1, 0.2], [0.3, 0.4]], np.float32), (17, 24))[: size[0], : size[1]]
    assert np.allclose(shrink(flat, np.full(size, 1e-4, np.float32), side), flat, atol=1e-6)


def test_shrinking_reduces_noise_and_keeps_detail() -> None:
    light = ramp() + np.float32(0.2) * (np.arange(SIZE[1]) >= 100)
    noise = white(deviation=0.01)
    known = np.full(SIZE, 1e-4, np.float32)
    clean = shrink(light + noise, known, 5)
    flat = np.s_[:, 10:90]
    assert np.var((clean - light)[flat]) < 0.4 * np.var(noise[flat])
    edge = np.s_[:, 96:104]
    assert np.var((clean - light)[edge]) < 1.5 * np.var(noise[edge])


def test_noise_that_grows_with_light_does_not_darken_the_result() -> None:
    """With each photosite's own noise, the result was half as bright here."""
    bright = np.random.default_rng(0).uniform(size=SIZE).astype(np.float32) ** 4
    clean = shrink(bright, np.float32(0.2) * bright, 5)
    assert float(clean.mean()) == pytest.approx(float(bright.mean()), rel=0.01)


def test_without_noise_nothing_is_shrunk() -> None:
    mosaic = white()
    assert np.allclose(shrink(mosaic, np.zeros(SIZE, np.float32), 5), mosaic, atol=1e-4)
