"""The prior of ISPs has an effect only where the reference frame has no information."""

import numpy as np
import pytest
from small_shots import Array, mosaic, psnr, texture

from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.inverse_isp import InverseIsp
from rvdtool.reconstruct.isp_features import COLUMNS, LINEAR
from rvdtool.reconstruct.isp_prior import IspPrior, Moments, own_gain

SIZE = (96, 128)
every_color = pytest.mark.parametrize("color", range(3), ids=["R", "G", "B"])


def random_columns(rng: np.random.Generator, samples: int) -> Array:
    """Columns of a regression that are independent of each other."""
    return rng.standard_normal((samples, COLUMNS)).astype(np.float32)


@every_color
def test_with_much_evidence_the_prior_has_no_effect(color: int) -> None:
    """The weights are those of ordinary least squares, whatever the ISP."""
    rng = np.random.default_rng(1)
    columns, true = random_columns(rng, 4000), rng.standard_normal(COLUMNS)
    target = (columns @ true + 0.5).astype(np.float32)
    moments = Moments.of(columns, target, len(columns))
    found = IspPrior.load().weights(moments, color, len(columns))
    full = np.concatenate([columns, np.ones((len(columns), 1))], axis=1)
    expected = np.linalg.lstsq(full, target, rcond=None)[0]
    assert np.abs(found - expected).max() < 0.02


@every_color
def test_without_evidence_the_weights_are_the_mean(color: int) -> None:
    nothing = Moments.of(np.zeros((1, COLUMNS), np.float32), np.zeros(1, np.float32), 1)
    nothing.gram[:] = 0
    prior = IspPrior.load()
    assert np.allclose(prior.weights(nothing, color, 1), prior.mean[color])


def test_the_mean_is_an_inverse_isp() -> None:
    """The RAW of grey grows with its code."""
    grey = np.full((1, COLUMNS), 0, np.float32)
    values = []
    for light in (0.1, 0.3, 0.6):
        coded = 1.099 * light**0.45 - 0.099
        grey[:, :3], grey[:, 3:6], grey[:, LINEAR : LINEAR + 3] = coded, coded * coded, light
        values.append([float(grey[0] @ mean[:-1] + mean[-1]) for mean in IspPrior.load().mean])
    assert (np.diff(values, axis=0) > 0.05).all()


def test_own_gain_is_that_of_the_own_channel() -> None:
    columns = np.abs(random_columns(np.random.default_rng(2), 100))
    assert own_gain(columns, 0.7 * columns[:, LINEAR + 2], 2) == pytest.approx(0.7, rel=1e-5)
    assert own_gain(np.zeros_like(columns), np.zeros(100, np.float32), 1) > 0


@pytest.mark.parametrize("contrast", [0.0, 0.5])
def test_colours_and_brightnesses_that_the_reference_lacks_are_estimated(contrast: float) -> None:
    """The reference frame is dark and nearly grey; the other frame is neither."""

    def shown(scene: Array) -> np.ndarray:
        light = np.clip(scene @ np.array([[1.7, -0.2, 0], [-0.3, 1.4, -0.3], [0, -0.2, 1.8]]), 0, 1)
        coded = light ** (1 / 2.2)
        coded = (1 - contrast) * coded + contrast * coded * coded * (3 - 2 * coded)
        return np.rint(255 * coded).astype(np.uint8)

    other = texture(SIZE, 2)
    known = texture(SIZE, 1)
    known = 0.3 * (known.mean(axis=2, keepdims=True) + 0.03 * known)
    isp = InverseIsp.calibrate(shown(known), mosaic(known), CfaPhase.RGGB)
    estimate = isp(shown(other))
    free = estimate.clipped == 0
    # Without the prior, the PSNRs were 29 and 31 dB.
    assert psnr(estimate.value[free], mosaic(other)[free]) > 35
