"""A moved frame and the camera's DNG look alike in developing programs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from raw_samples import CAMERA, make_frame, write_camera_dng
from test_opcodes import MOSAIC, opcode_list, site_maps

from rvdtool.raw.bayer import crop, orient
from rvdtool.raw.dng import Compression, write_dng
from rvdtool.raw.frame import CfaPhase, RawFrame, Rect
from rvdtool.raw.read import read_raw
from rvdtool.raw.resample import resample

SIZE = (480, 640)
"""RawTherapee takes no file of fewer bytes than some 200,000 for RAW."""
PATCH = 24
"""Pixels of a corner that is looked at; so many are also left out at the border."""

MOVES: dict[str, Callable[[RawFrame], RawFrame]] = {
    "cut": lambda frame: crop(frame, Rect(13, 0, 420, 631)),
    "turned": lambda frame: orient(replace(frame, orientation=6)),
    "resampled": lambda frame: resample(
        frame, ((1.5, 0, 0.25), (0, 1.5, 0.25), (0, 0, 1)), (320, 420)
    ),
}
"""And where a place of the camera's picture lies then, [row, column] and back."""

BACK: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cut": lambda at: at + np.array((13, 0)),
    "turned": lambda at: np.array((SIZE[0] - 1 - at[1], at[0])),
    "resampled": lambda at: at * 1.5 + 0.25,
}


@pytest.fixture
def camera_dng(tmp_path: Path) -> Path:
    """Grey that rises to the right, behind a lens that darkens the corners, with gain maps."""
    tag = opcode_list(MOSAIC, *site_maps(SIZE, (17, 23)))
    y, x = np.mgrid[-1 : 1 : SIZE[0] * 1j, -1 : 1 : SIZE[1] * 1j]
    light = (700 + 200 * x) / (1.2 + (x * x + y * y) / 2)
    neutral = np.tile([[0.473, 1.0], [1.0, 0.6295]], (SIZE[0] // 2, SIZE[1] // 2))
    mosaic = np.rint(64 + light * neutral).astype(np.uint16)
    return write_camera_dng(tmp_path / "camera.dng", mosaic, (MOSAIC, 7, tag.count, tag.value))


def patch(picture: np.ndarray, at: np.ndarray, side: int) -> np.ndarray:
    """The mean colour around a position."""
    row, column = np.rint(at).astype(int)
    half = side // 2
    return picture[row - half : row + half, column - half : column + half].mean((0, 1))


def compare(develop, camera_dng: Path, border: int, compression: Compression) -> None:
    source = develop(camera_dng)
    for name, move in MOVES.items():
        moved = move(read_raw(camera_dng))
        path = camera_dng.with_name(f"{name}.dng")
        write_dng(moved, path, compression=compression)
        ours = develop(path)
        assert ours.shape == (moved.size[0] - 2 * border, moved.size[1] - 2 * border, 3)
        for row in (PATCH, moved.size[0] - PATCH):
            for column in (PATCH, moved.size[1] - PATCH):
                at = np.array((row, column))
                expected = patch(source, BACK[name](at) - border, PATCH)
                np.testing.assert_allclose(patch(ours, at - border, PATCH), expected, rtol=0.01)


def test_darktable_shows_the_same_corners(darktable, camera_dng):
    compare(darktable, camera_dng, border=0, compression="ljpeg")


def test_darktable_shows_ten_bits_as_it_shows_all(darktable, tmp_path):
    """The camera's noise dithers the steps."""
    light = np.tile(np.linspace(300, 3000, 240), (180, 1))
    noisy = np.random.default_rng(0).normal(light, np.sqrt(light / 2))
    frame = make_frame(mosaic=np.rint(noisy).astype(np.uint16))
    pictures = []
    for compression in ("ljpeg", "log10"):
        path = tmp_path / f"{compression}.dng"
        write_dng(frame, path, compression=compression)
        pictures.append(darktable(path))
    means = [picture.reshape(9, 20, 12, 20, 3).mean((1, 3)) for picture in pictures]
    np.testing.assert_allclose(means[1], means[0], rtol=0.01, atol=5e-4)


def test_rawtherapee_shows_the_same_corners(rawtherapee, camera_dng):
    """Debian's 5.9 doesn't apply gain maps (5.10 was the first to), in the camera's DNG neither."""
    compare(rawtherapee, camera_dng, border=4, compression="none")


def test_rawtherapee_takes_no_moved_frame_for_a_cameras_own(rawtherapee, tmp_path):
    """It crops columns at the right of frames whose Model is ILCE-7RM3."""
    profile = replace(CAMERA, make="SONY", model="ILCE-7RM3", unique_model="Sony ILCE-7RM3")
    frame = RawFrame(
        np.full((400, 500), 1000, np.uint16), CfaPhase.RGGB, (64.0,) * 4, 4095, 12, profile
    )
    path = tmp_path / "a.dng"
    write_dng(crop(frame, Rect(0, 0, 390, 490)), path, compression="none")
    assert rawtherapee(path).shape == (382, 482, 3)
