"""The camera-like ISP: each step works, in every CFA phase."""

import numpy as np
import pytest
from numpy.typing import NDArray
from plain_isp import PLAIN

from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from rvdtool.research.dataset.color import camera_from_srgb, neutral_of
from rvdtool.research.dataset.isp import (
    camera_render,
    curve,
    demosaic,
    denoise,
    develop,
    local_tone,
)
from rvdtool.research.dataset.recipe import LibRawIsp, Light
from rvdtool.research.dataset.sensor import falloff

MATRIX = ((0.7034, -0.0804, -0.1014), (-0.4420, 1.2564, 0.2058), (-0.0851, 0.1994, 0.5758))


def _mosaic(rgb: NDArray[np.float64], phase: CfaPhase) -> NDArray[np.float32]:
    mosaic = np.empty(rgb.shape[:2], np.float32)
    for (row, column), color in np.ndenumerate(phase.pattern):
        mosaic[row::2, column::2] = rgb[row::2, column::2, color]
    return mosaic


def _frame(rgb: NDArray[np.float64], phase: CfaPhase, kelvin: float = 4300) -> RawFrame:
    """A noise-free RAW frame of a linear sRGB picture."""
    neutral = neutral_of(MATRIX, kelvin)
    mosaic = _mosaic(rgb @ camera_from_srgb(MATRIX, neutral).T, phase)
    profile = CameraProfile("Test", neutral, color_matrix=MATRIX)
    dn = np.rint(np.clip(mosaic, 0, 1) * (16000 - 600) + 600).astype(np.uint16)
    return RawFrame(dn, phase, (600,) * 4, 16000, 14, profile)


@pytest.mark.parametrize("phase", list(CfaPhase))
@pytest.mark.parametrize("method", ["bilinear", "edge_aware", "malvar"])
def test_demosaicing_a_colour_ramp_gives_the_ramp(method: str, phase: CfaPhase) -> None:
    y, x = np.mgrid[:48, :64]
    ramp = np.stack([0.2 + x / 200, 0.3 + y / 300, 0.6 - (x + y) / 400], axis=-1)
    rgb = demosaic(_mosaic(ramp, phase), phase, method)
    np.testing.assert_allclose(rgb[4:-4, 4:-4], ramp[4:-4, 4:-4], atol=0.004)


@pytest.mark.parametrize("phase", list(CfaPhase))
def test_without_its_tricks_the_camera_shows_linear_light_through_the_curve(
    phase: CfaPhase,
) -> None:
    color = np.array([0.45, 0.2, 0.08])
    shown = camera_render(_frame(np.broadcast_to(color, (40, 40, 3)), phase), PLAIN, 0, Light())
    srgb = 255 * (1.055 * color ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(shown[8:-8, 8:-8].mean(axis=(0, 1)), srgb, atol=1)


def test_shading_correction_takes_back_the_fall_off() -> None:
    light = Light(vignetting=0.6)
    flat = np.full((60, 80, 3), 0.3)
    shaded = flat * falloff(0.6, (60, 80))[..., None]
    shown = camera_render(_frame(shaded, CfaPhase.RGGB), PLAIN, 0, light)
    assert np.ptp(shown[4:-4, 4:-4].astype(int)) <= 3
    left = camera_render(
        _frame(shaded, CfaPhase.RGGB),
        PLAIN.model_copy(update={"vignetting_correction": 0.0}),
        0,
        light,
    )
    assert np.ptp(left[4:-4, 4:-4].astype(int)) > 20


def test_local_tone_mapping_lifts_shadows_and_keeps_white() -> None:
    linear = np.full((128, 256, 3), 0.7, np.float32)
    linear[:, :128] = 0.02
    mapped = local_tone(linear, 0.5, 0.05)
    assert mapped[64, 32, 0] > 3 * linear[64, 32, 0]
    assert mapped[64, 224, 0] == pytest.approx(0.7, rel=0.05)


def test_denoising_takes_noise_and_keeps_edges() -> None:
    rng = np.random.default_rng(0)
    clean = np.full((96, 96, 3), 0.1, np.float32)
    clean[:, 48:] = 0.5
    noisy = clean + rng.normal(0, 0.01, clean.shape).astype(np.float32)
    quiet = denoise(noisy, 1, 1)
    assert np.abs(quiet[:, :40] - 0.1).mean() < 0.4 * np.abs(noisy[:, :40] - 0.1).mean()
    np.testing.assert_allclose(quiet[:, 46].mean(axis=0), 0.1, atol=0.01)
    np.testing.assert_allclose(quiet[:, 49].mean(axis=0), 0.5, atol=0.02)


@pytest.mark.parametrize("gamma", ["srgb", "bt709", "power"])
@pytest.mark.parametrize("contrast", [0, 1])
def test_every_curve_rises_from_black_to_about_white(gamma: str, contrast: float) -> None:
    ramp = np.broadcast_to(np.linspace(0, 4, 2000, dtype=np.float32)[:, None, None], (2000, 1, 3))
    coded = curve(ramp, gamma, contrast)[:, 0, 0]
    assert np.all(np.diff(coded) > -1e-6)
    assert coded[0] == pytest.approx(0, abs=1e-6)
    assert 0.98 < coded[-1] <= 1


def test_gain_and_white_balance_drift_with_time() -> None:
    frame = _frame(np.full((40, 40, 3), 0.2), CfaPhase.RGGB)
    drifting = PLAIN.model_copy(update={"gain_drift": 0.2, "drift_period": 8})
    means = [camera_render(frame, drifting, index, Light()).mean() for index in range(8)]
    assert np.ptp(means) > 10
    again = camera_render(frame, drifting, 8, Light()).mean()
    assert again == pytest.approx(means[0], abs=0.5)


def test_steady_libraw_does_not_brighten_a_dark_frame() -> None:
    dark = _frame(np.full((64, 64, 3), 0.02), CfaPhase.RGGB)
    steady = develop(dark, LibRawIsp(kind="libraw", brightness="steady"), 0, Light())
    default = develop(dark, LibRawIsp(kind="libraw"), 0, Light())
    assert default.mean() > 1.5 * steady.mean()
