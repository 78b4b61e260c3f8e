"""The noise of simulated RAW video is like a sensor's: new in each frame, and of the stated
size."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from rvdtool.research.dataset.recipe import Recipe
from rvdtool.research.dataset.scene import SourceFolders
from rvdtool.research.dataset.simulate import Simulation

STEP = 2
"""Pixels per frame: even, so that CFA sites meet CFA sites of the same colour."""

Make = Callable[..., Recipe]


def _frames(recipe: Recipe, folders: SourceFolders) -> tuple[NDArray[np.float64], Simulation]:
    """DN above black [frames, H, W], not rounded back to integers."""
    simulation = Simulation(recipe, folders)
    mosaics = [frame.mosaic - float(recipe.sensor.black) for frame in simulation.raws()]
    return np.stack(mosaics), simulation


def _signals(simulation: Simulation) -> NDArray[np.float64]:
    """The same frames without noise."""
    return np.stack(
        [
            simulation.camera.signal(picture, index).astype(np.float64)
            for index, picture in enumerate(simulation.pictures())
        ]
    )


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("velocity", [(0, 0), (STEP, 0)])
def test_noise_of_two_frames_is_uncorrelated_where_the_scene_is_the_same(
    velocity: tuple[int, int], recipe: Make, folders: SourceFolders
) -> None:
    clip = recipe(camera={"velocity": velocity})
    raws, simulation = _frames(clip, folders)
    noise = raws - _signals(simulation)
    shift = velocity[0]
    here, there = noise[:-1, :, shift:], noise[1:, :, : noise.shape[2] - shift]
    assert abs(_correlation(here, there)) < 0.02
    # What must never happen: the noise moves with the scene. This test would see it.
    slid = np.roll(noise[:-1], -shift, axis=2)[:, :, : noise.shape[2] - shift]
    assert _correlation(here, slid) > 0.99


@pytest.mark.parametrize(
    ("sensor", "exposure"),
    [
        ({}, 0.7),
        ({"electrons_per_dn": 4, "bits": 10, "black": 25.5, "white": 959, "read_noise": 5}, 0.7),
        ({"row_noise": 8, "phase": "GBRG"}, 0.7),
        ({"read_noise": 30}, 0.002),  # the dark: read noise is nearly all
    ],
)
def test_noise_variance_follows_the_profile(
    sensor: dict[str, object], exposure: float, recipe: Make, folders: SourceFolders
) -> None:
    clip = recipe(sensor=sensor, frames=16, light={"exposure": exposure, "shutter": 0})
    raws, simulation = _frames(clip, folders)
    signals = _signals(simulation)
    edges = np.quantile(signals, np.linspace(0, 1, 9))
    for low, high in pairwise(edges):
        chosen = (signals >= low) & (signals < high)
        measured = float(((raws - signals)[chosen] ** 2).mean())
        stated = float(simulation.camera.noise.variance(signals[chosen]).mean())
        assert measured == pytest.approx(stated, rel=0.05)


def test_copying_the_last_frame_along_true_flow_is_as_good_as_noise_allows(
    recipe: Make, folders: SourceFolders
) -> None:
    clip = recipe(camera={"velocity": (STEP, 0)})
    raws, simulation = _frames(clip, folders)
    flow, visible = simulation.stage.flow(1, 0)
    np.testing.assert_allclose(flow, np.broadcast_to((STEP, 0.0), flow.shape), atol=1e-3)
    row, column = np.nonzero(visible)
    error = raws[1][row, column] - raws[0][row, column + STEP]
    peak = clip.sensor.white - clip.sensor.black
    measured = 10 * np.log10(peak**2 / (error**2).mean())
    signal = _signals(simulation)[1][row, column]
    theory = 10 * np.log10(peak**2 / (2 * simulation.camera.noise.variance(signal)).mean())
    assert measured == pytest.approx(theory, abs=0.5)


def test_saturated_sites_are_exactly_white(recipe: Make, folders: SourceFolders) -> None:
    clip = recipe(light={"exposure": 20, "shutter": 0}, frames=1)
    raws, _ = _frames(clip, folders)
    green = raws[0][0::2, 1::2]
    assert np.all(green == clip.sensor.white - clip.sensor.black)


def test_hot_pixels_stay_where_they_are(recipe: Make, folders: SourceFolders) -> None:
    clip = recipe(sensor={"hot_pixels": 0.002}, light={"exposure": 1e-6, "shutter": 0}, frames=4)
    raws, _ = _frames(clip, folders)
    hot = raws[0] > 200  # 16 sigma of read noise
    assert 0 < hot.sum() <= round(0.002 * 192 * 192)
    assert raws[3][hot].min() > 100
