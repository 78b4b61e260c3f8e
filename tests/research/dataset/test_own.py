"""Recipes from users' stills and clips, and a sensor from their own camera."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from rvdtool.errors import InputError, RawError, UsageError
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from rvdtool.research.dataset.own import OwnOptions, own_recipes, sensor_of
from rvdtool.research.dataset.scene import SourceFolders
from rvdtool.research.dataset.simulate import Simulation
from rvdtool.video.encode import encode_video

MATRIX = ((0.7, -0.1, -0.1), (-0.4, 1.2, 0.2), (-0.1, 0.2, 0.6))


def _frame() -> RawFrame:
    mosaic = np.random.default_rng(1).integers(300, 3000, (160, 200)).astype(np.uint16)
    profile = CameraProfile("My camera", (0.5, 1.0, 0.6), color_matrix=MATRIX)
    return RawFrame(mosaic, CfaPhase.BGGR, (256.0, 255.5, 256.5, 256.0), 4095, 12, profile)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(2)
    pictures = [rng.integers(0, 256, (160, 200, 3), np.uint8) for _ in range(4)]
    cv2.imwrite(str(tmp_path / "photo.jpg"), pictures[0])
    encode_video(iter(pictures), tmp_path / "clip.mp4", rate=Fraction(25))
    write_dng(_frame(), tmp_path / "still.dng")
    return [tmp_path / name for name in ("photo.jpg", "clip.mp4", "still.dng")]


def test_recipes_from_all_kinds_of_sources_give_frames(files: list[Path]) -> None:
    drawn = own_recipes(files, OwnOptions(count=9, frames=3, size=(64, 48)))
    assert [recipe.background.kind for recipe in drawn[:3]] == ["photo", "clip", "raw"]
    assert {recipe.isp.kind for recipe in drawn} == {"libraw", "camera"}
    assert drawn == own_recipes(files, OwnOptions(count=9, frames=3, size=(64, 48)))
    folders = SourceFolders((files[0].parent,))
    for recipe in drawn:
        assert [shot.rgb.shape for shot in Simulation(recipe, folders).shots()] == [(48, 64, 3)] * 3


def test_a_sensor_is_taken_from_a_raw_frame(files: list[Path]) -> None:
    sensor = sensor_of(_frame())
    options = OwnOptions(count=1, frames=1, size=(64, 48), sensor=sensor)
    recipe = own_recipes(files, options)[0]
    raw = next(Simulation(recipe, SourceFolders((files[0].parent,))).raws())
    assert (raw.phase, raw.white, raw.bits) == (CfaPhase.BGGR, 4095, 12)
    assert raw.black == (256,) * 4
    assert raw.profile.as_shot_neutral == (0.5, 1.0, 0.6)
    assert raw.profile.color_matrix == MATRIX


def test_a_frame_without_matrix_is_no_sensor() -> None:
    frame = _frame()
    bare = RawFrame(
        frame.mosaic, frame.phase, frame.black, 4095, 12, CameraProfile("Bare", (1.0, 1.0, 1.0))
    )
    with pytest.raises(RawError, match="Bare: a sensor needs a colour matrix"):
        sensor_of(bare)


def test_sources_that_cannot_be(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"photo\.jpg: 200×160 shrinks to 100×80"):
        own_recipes(files, OwnOptions())
    with pytest.raises(InputError, match=r"clip\.mp4: 4 frames; 24 are needed"):
        own_recipes(files, OwnOptions(size=(64, 48)))
    with pytest.raises(InputError, match="no such file"):
        own_recipes([tmp_path / "none.jpg"], OwnOptions())
    with pytest.raises(UsageError, match="at least one"):
        own_recipes([], OwnOptions())
    with pytest.raises(UsageError, match="even sides"):
        OwnOptions(size=(63, 48))
