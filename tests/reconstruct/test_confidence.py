"""The expected error is near the true error, locally and for whole frames."""

import numpy as np
import pytest
from small_shots import BLACK, WHITE, mosaic, pan, psnr, raw_frame, render

from rvdtool.raw.bayer import normalise
from rvdtool.reconstruct.chain import Chain
from rvdtool.reconstruct.confidence import confidence_map, expected_psnr


def test_expected_psnr_is_near_the_true_psnr() -> None:
    scenes = pan(6, size=(144, 192))
    chain = Chain(raw_frame(scenes[0]), render(scenes[0]))
    for index, scene in enumerate(scenes[1:], start=1):
        step = chain.step(render(scene))
        true = raw_frame(scene, seed=index)
        value, recorded = (normalise(m, BLACK, WHITE) for m in (step.mosaic, true.mosaic))
        assert expected_psnr(step.expected) == pytest.approx(psnr(value, recorded), abs=3)


def test_colours_that_the_reference_lacks_have_a_larger_expected_error() -> None:
    """A patch comes into view whose colour is far from all colours in the reference."""
    scenes = pan(2, size=(144, 192))
    scenes[1][40:104, 60:124] = (0.02, 0.02, 0.6)
    chain = Chain(raw_frame(scenes[0]), render(scenes[0]))
    step = chain.step(render(scenes[1]))
    expected = step.expected
    patch, rest = expected[6:12, 9:14], expected[:, 17:]
    true = (normalise(step.mosaic, BLACK, WHITE) - mosaic(scenes[1])) ** 2
    assert true[48:96, 72:112].mean() > 10 * true[:, 136:].mean()
    assert patch.mean() > 2 * rest.mean()


def test_scale_of_confidence_maps() -> None:
    assert (confidence_map(None, (20, 30)) == 255).all()
    for error, code in ((1e-3, 120), (1e-4, 160), (1e-9, 255)):
        values = confidence_map(np.full((2, 3), error, np.float32), (20, 30))
        assert values.shape == (20, 30)
        assert values.dtype == np.uint8
        assert (values == code).all()
    assert expected_psnr(np.array([[1e-3, 3e-3]], np.float32)) == pytest.approx(26.99, abs=0.01)
