"""Shadows that the regression estimates too dark are raised to what the reference frame shows."""

import numpy as np
import pytest
from small_shots import Array, mosaic, render, texture

from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.inverse_isp import InverseIsp
from rvdtool.reconstruct.shadows import FEWEST, Shadows

SIZE = (384, 384)
UNCLIPPED = np.zeros(SIZE, np.uint8)
EVERYWHERE = np.ones(SIZE, np.bool_)


def raw(low: float, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(low, 0.5, SIZE).astype(np.float32)


def too_dark(raw: Array) -> Array:
    """An estimate with three times the contrast in the shadows, partly below black."""
    noise = np.random.default_rng(1).normal(0, 0.005, SIZE).astype(np.float32)
    return np.where(raw < 0.06, 3 * raw - 0.12, raw) + noise


def test_shadows_get_the_mean_that_the_reference_frame_has_there() -> None:
    shadows = Shadows.measure(too_dark(raw(0.01)), raw(0.01), UNCLIPPED, EVERYWHERE)
    true = raw(0.01, seed=2)
    estimate = too_dark(true)
    corrected = estimate.copy()
    shadows(corrected, UNCLIPPED)
    for low, high in ((0.01, 0.015), (0.015, 0.03), (0.03, 0.05)):
        here = (true >= low) & (true < high)
        assert (true - estimate)[here].mean() > 0.02
        assert abs((true - corrected)[here].mean()) < 0.004
    assert (corrected >= estimate).all()
    bright = estimate > 0.3
    assert np.array_equal(corrected[bright], estimate[bright])


def test_content_darker_than_the_reference_frame_is_not_raised_to_its_shadows() -> None:
    known = raw(0.2)
    shadows = Shadows.measure(known * np.float32(0.9), known, UNCLIPPED, EVERYWHERE)
    darker = raw(0.2) * np.float32(0.1)
    corrected = darker.copy()
    shadows(corrected, UNCLIPPED)
    assert np.allclose(corrected / darker, 1 / 0.9, rtol=0.02)


def test_only_unclipped_photosites_that_agree_count() -> None:
    value, true = too_dark(raw(0.01)), raw(0.01)
    wrong = np.zeros(SIZE, np.bool_)
    wrong[:, :192] = True
    clipped = np.where(wrong, np.uint8(1), np.uint8(0))
    spoiled = np.where(wrong, np.float32(1), true)
    for states, agrees in ((clipped, EVERYWHERE), (UNCLIPPED, ~wrong)):
        corrected = value.copy()
        Shadows.measure(value, spoiled, states, agrees)(corrected, clipped)
        assert np.array_equal(corrected[wrong], value[wrong])
        assert abs((true - corrected)[~wrong].mean()) < 0.002


def test_too_few_photosites_change_nothing() -> None:
    few = np.zeros(SIZE, np.bool_)
    few.flat[: 2 * FEWEST] = True
    value = too_dark(raw(0.01))
    corrected = value.copy()
    Shadows.measure(value, raw(0.01), UNCLIPPED, few)(corrected, UNCLIPPED)
    assert np.array_equal(corrected, value)


@pytest.mark.parametrize("by_libraw", [False, True])
def test_the_inverse_isp_corrects_shadows_unless_the_curve_is_known(by_libraw: bool) -> None:
    known, other = texture(SIZE, 1), texture(SIZE, 2)
    flare = np.float32(np.quantile(mosaic(known), 0.02))  # below this, all is equally bright
    raw = np.maximum(mosaic(known), flare)
    isp, estimate = InverseIsp.calibrate_and_apply(
        render(known), raw, CfaPhase.RGGB, by_libraw=by_libraw
    )
    assert np.array_equal(isp(render(known)).value, estimate.value)
    value = isp(render(other)).value
    crushed = flare - value[mosaic(other) < 0.7 * flare].mean()
    assert (crushed > 0.02) if by_libraw else (crushed < 0.005)
