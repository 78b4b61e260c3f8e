"""Simulated frames are as their recipe says."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from rvdtool.errors import InputError
from rvdtool.raw.bayer import to_planes
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from rvdtool.raw.render import render
from rvdtool.research.dataset.color import balanced_from_srgb
from rvdtool.research.dataset.recipe import Recipe, Source, read_recipe
from rvdtool.research.dataset.scene import SourceFolders, load_still
from rvdtool.research.dataset.simulate import Simulation

Make = Callable[..., Recipe]

LAYER = {
    "source": {"kind": "photo", "path": "photo.png"},
    "center": (0.3, 0.7),
    "radius": 40,
    "motion": {"start": (-30, 10), "velocity": (7, -1), "spin": 2},
    "gain": 1.5,
    "wobble": 2,
}
SHAKY = {"shake": 2, "velocity": (1.3, -0.4), "roll": 1, "zoom": 1.1, "zoom_rate": 0.002}


def test_same_recipe_same_frames_other_seed_other_noise(
    recipe: Make, folders: SourceFolders
) -> None:
    def first(seed: int) -> bytes:
        clip = recipe(seed=seed, camera=SHAKY, layers=[LAYER], frames=1)
        return next(Simulation(clip, folders).raws()).mosaic.tobytes()

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_flow_leads_to_the_same_light(recipe: Make, folders: SourceFolders) -> None:
    """With rolling shutter, roll, zoom, and an occluding and deforming layer."""
    light = {"exposure": 1, "shutter": 0, "readout": 0.8}
    clip = recipe(camera=SHAKY, layers=[LAYER], light=light)
    stage = Simulation(clip, folders).stage
    here, there = stage.picture(2), stage.picture(3)
    flow, visible = stage.flow(2, 3)
    y, x = np.mgrid[: clip.height, : clip.width].astype(np.float32)
    brought = cv2.remap(there, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC)
    moving = np.abs(flow - np.median(flow, axis=(0, 1))).max(axis=2) > 3
    window = np.ones((7, 7), np.uint8)  # the outline mixes layer and background
    outline = cv2.morphologyEx(moving.astype(np.uint8), cv2.MORPH_GRADIENT, window)
    inner = cv2.erode(visible & (outline == 0).astype(np.uint8), window).astype(bool)
    assert inner.mean() > 0.6
    for part in (inner & moving, inner & ~moving):
        assert part.sum() > 1000
        assert np.sqrt(((brought - here)[part] ** 2).mean()) < 0.002
    ignored = np.sqrt(((there - here)[inner & moving] ** 2).mean())
    assert ignored > 0.02


def test_what_a_layer_covers_in_the_next_frame_is_not_visible(
    recipe: Make, folders: SourceFolders
) -> None:
    layer = LAYER | {"motion": {"velocity": (12, 0)}, "lobes": 0, "wobble": 0}
    stage = Simulation(recipe(layers=[layer]), folders).stage
    flow, visible = stage.flow(0, 1)
    middle = 96
    on_layer = np.hypot(flow[..., 0] - 12, flow[..., 1]) < 0.01
    assert on_layer[middle, middle]
    assert not on_layer[middle, middle + 46]
    # Just right of a disc of radius 40 that moves right by 12
    assert not visible[middle, middle + 46]
    assert visible[middle, middle - 60]


def test_motion_blur_is_the_mean_over_the_open_shutter(
    recipe: Make, folders: SourceFolders
) -> None:
    camera = {"velocity": (6, 0)}
    blurred = Simulation(recipe(camera=camera, light={"shutter": 1}), folders).stage.picture(2)
    sharp = Simulation(recipe(camera=camera, light={"shutter": 0}), folders).stage
    instants = [sharp.picture(time) for time in 2 + (np.arange(24) + 0.5) / 24 - 0.5]  # type: ignore[arg-type]
    assert np.abs(blurred - np.mean(instants, axis=0)).max() < 0.005
    assert np.abs(blurred - sharp.picture(2)).max() > 0.02


def test_a_rolling_shutter_shows_each_row_at_its_own_time(
    recipe: Make, folders: SourceFolders
) -> None:
    camera = {"velocity": (10, 3), "spin": 0.5}
    rolling = Simulation(recipe(camera=camera, light={"shutter": 0, "readout": 0.6}), folders)
    instant = Simulation(recipe(camera=camera, light={"shutter": 0}), folders).stage
    shown = rolling.stage.picture(2)
    for row in (0, 50, 191):
        time = 2 + 0.6 * (row - 95.5) / 192
        np.testing.assert_allclose(shown[row], instant.picture(time)[row], atol=1e-3)  # type: ignore[arg-type]
    assert np.abs(shown[0] - instant.picture(2)[0]).max() > 0.02


def test_light_steps_scale_the_signal(recipe: Make, folders: SourceFolders) -> None:
    light = {"exposure": 0.4, "shutter": 0, "steps": [(1, 1.5), (2, 0.5)]}
    simulation = Simulation(recipe(light=light, frames=3), folders)
    signals = [
        simulation.camera.signal(picture, k).mean()
        for k, picture in enumerate(simulation.pictures())
    ]
    np.testing.assert_allclose(np.array(signals) / signals[0], [1, 1.5, 0.75], rtol=1e-5)


@pytest.mark.parametrize("phase", list(CfaPhase))
def test_white_light_reads_as_the_neutral_in_every_phase(
    phase: CfaPhase, recipe: Make, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "white.png"), np.full((512, 512, 3), 255, np.uint8))
    clip = recipe(
        background={"kind": "photo", "path": "white.png"},
        sensor={"phase": phase, "electrons_per_dn": 100},
        frames=1,
    )
    frame = next(Simulation(clip, SourceFolders((tmp_path,))).raws())
    planes = to_planes(frame.mosaic - 512.0, phase)[:, 2:-2, 2:-2].mean(axis=(1, 2))
    expected = 0.7 * np.array(clip.sensor.neutral)[[0, 1, 1, 2]] * (16383 - 512)
    np.testing.assert_allclose(planes, expected, rtol=1e-3)


def test_simulated_and_source_dng_render_to_the_same_colours(recipe: Make, tmp_path: Path) -> None:
    """A RAW still, simulated and written as DNG, has the colours of the still's own DNG."""
    matrix, neutral = recipe().sensor.color_matrix, recipe().sensor.neutral
    colors = np.array([[0.6, 0.2, 0.1], [0.2, 0.5, 0.2], [0.1, 0.2, 0.6], [0.5, 0.5, 0.5]])
    camera = (colors @ balanced_from_srgb(matrix).T) * neutral
    patches = np.repeat(np.repeat(camera.reshape(2, 2, 3), 128, axis=0), 128, axis=1)
    mosaic = np.empty((256, 256))
    for (row, column), color in np.ndenumerate(CfaPhase.BGGR.pattern):
        mosaic[row::2, column::2] = patches[row::2, column::2, color]
    source = RawFrame(
        np.rint(mosaic * (4095 - 200) + 200).astype(np.uint16),
        CfaPhase.BGGR,
        (200,) * 4,
        4095,
        12,
        CameraProfile("Source", neutral, color_matrix=matrix),
    )
    write_dng(source, tmp_path / "still.dng")
    clip = recipe(
        background={"kind": "raw", "path": "still.dng"},
        width=128,
        height=128,
        light={"exposure": 1, "shutter": 0},
        sensor={"electrons_per_dn": 50},
        frames=1,
    )
    simulated = render(next(Simulation(clip, SourceFolders((tmp_path,))).raws()))
    original = render(source)
    for y in (32, 96):
        for x in (32, 96):
            ours = simulated[y - 16 : y + 16, x - 16 : x + 16].mean(axis=(0, 1))
            theirs = original[2 * y - 32 : 2 * y + 32, 2 * x - 32 : 2 * x + 32].mean(axis=(0, 1))
            np.testing.assert_allclose(ours, theirs, atol=1.5)


def test_recipe_survives_its_file(recipe: Make, tmp_path: Path) -> None:
    clip = recipe(layers=[LAYER], isp={"kind": "camera"}, codec={"kind": "hevc"})
    (tmp_path / "clip.json").write_text(clip.model_dump_json())
    assert read_recipe(tmp_path / "clip.json") == clip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not a recipe"),
        ('{"name": "a"}', "seed"),
        ('{"name": "../a", "seed": 1}', "name"),
    ],
)
def test_a_wrong_recipe_names_the_field(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.json"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)


def test_a_missing_source_is_named_before_any_work(recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"photo\.png: source not found"):
        Simulation(recipe(), SourceFolders((tmp_path,)))


def test_an_unreadable_source_is_named(recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"photo\.png: not an image"):
        Simulation(recipe(), SourceFolders((tmp_path,)))


def test_stretched_highlights_leave_the_dark_half_alone(folders: SourceFolders) -> None:
    plain = load_still(Source(kind="photo", path="photo.png", saturation=1), folders)
    bright = load_still(Source(kind="photo", path="photo.png", saturation=1, highlights=3), folders)
    dark = plain.max(axis=2) < 0.5
    assert np.array_equal(plain[dark], bright[dark])
    assert bright.max() > 1.2 * plain.max()
