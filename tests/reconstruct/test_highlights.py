"""How far clipped colours exceed the limit: a learned estimate between limit and white."""

import numpy as np
from small_shots import mosaic, render, texture

from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.highlights import INPUTS, SURE, Highlights, highlight_inputs
from rvdtool.reconstruct.isp_features import Features

SIZE = (96, 128)


def test_estimates_lie_in_range_and_have_a_variance() -> None:
    """Even for nonsensical inputs."""
    rng = np.random.default_rng(0)
    share, error = Highlights.load()(1e3 * rng.standard_normal((500, INPUTS)).astype(np.float32))
    assert ((share >= 0) & (share <= 1)).all()
    assert np.isfinite(error).all()
    assert (error >= SURE).all()


def test_inputs_are_read_at_the_photosite() -> None:
    """The first inputs are its own colour, linear channels and codes; the last is the limit."""
    rgb = render(texture(SIZE, 1))
    where = np.array([[0, 0], [10, 21], [33, 40], [95, 127]])
    bound = mosaic(texture(SIZE, 2))
    inputs = highlight_inputs(Features(rgb), CfaPhase.GRBG, bound, 1.0, True, where)
    assert inputs.shape == (4, INPUTS)
    assert inputs[:, :3].argmax(axis=1).tolist() == [1, 0, 2, 1]
    assert np.allclose(inputs[:, 6:9], rgb[tuple(where.T)] / 255, atol=1e-6)
    assert np.allclose(inputs[:, -1], bound[tuple(where.T)])


def test_large_white_areas_exceed_the_limit_more_than_small_ones() -> None:
    """A saturated window, and a glint that is hardly brighter than its surroundings."""

    def clipped(scene: np.ndarray) -> float:
        rgb = np.repeat(np.rint(255 * np.minimum(scene, 1))[..., None], 3, axis=2).astype(np.uint8)
        where = np.array([[48, 64]])
        bound = np.full(SIZE, 0.4, np.float32)
        inputs = highlight_inputs(Features(rgb), CfaPhase.RGGB, bound, 1.0, True, where)
        return float(Highlights.load()(inputs)[0][0])

    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    speck = 0.7 + 0.32 * np.exp(-((y - 48) ** 2 + (x - 64) ** 2) / 40)
    window = np.where((abs(y - 48) < 36) & (abs(x - 64) < 50), 1.0, 0.15)
    assert clipped(window) > clipped(speck)
