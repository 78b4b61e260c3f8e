"""A video at full and at half size, and on the packed grid, without mixing colours."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_videos import SIZE, open_clip, write_video

from rvdtool.errors import MismatchError
from rvdtool.raw.bayer import color_index, denormalise, normalise, to_dn
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from rvdtool.research.benchmark.clip import halve_mosaic, halve_picture
from rvdtool.research.benchmark.packed import pack, unpack
from rvdtool.research.dataset.rvd import write_frame_raw


@pytest.mark.parametrize("phase", CfaPhase)
def test_half_a_mosaic_has_the_same_colours(phase: CfaPhase) -> None:
    colors = color_index(phase, (23, 34)).astype(np.uint16)
    half = halve_mosaic(100 * colors)
    assert half.shape == (10, 16)
    np.testing.assert_array_equal(half, 100 * color_index(phase, (10, 16)))


@given(st.integers(0, 2**32), st.integers(4, 17), st.integers(4, 17))
def test_half_a_mosaic_is_means_of_its_own_colour(seed: int, height: int, width: int) -> None:
    mosaic = np.random.default_rng(seed).integers(0, 2**16, (height, width)).astype(np.uint16)
    half = halve_mosaic(mosaic)
    for y in range(half.shape[0]):
        for x in range(half.shape[1]):
            top, left = y // 2 * 4 + y % 2, x // 2 * 4 + x % 2
            mean = mosaic[top : top + 3 : 2, left : left + 3 : 2].mean()
            assert abs(half[y, x] - mean) <= 0.5


def test_half_a_picture_lies_on_half_the_mosaic() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (23, 34, 3)).astype(np.uint8)
    half = halve_picture(picture)
    assert half.shape == (*halve_mosaic(picture[..., 0].astype(np.uint16)).shape, 3)
    assert np.abs(half[3, 4] - picture[6:8, 8:10].mean(axis=(0, 1))).max() <= 0.5


@pytest.mark.parametrize("phase", CfaPhase)
@pytest.mark.parametrize("size", [(12, 16), (11, 15)])
def test_packing_can_be_undone(phase: CfaPhase, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    mosaic = rng.integers(0, 4000, size).astype(np.uint16)
    raw = RawFrame(mosaic, phase, (60, 61, 62, 63), 4000, 12, CameraProfile("t", (1, 1, 1)))
    picture = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    frame = pack(picture, raw)
    assert frame.srgb.shape[1:] == frame.raw.shape[1:]
    np.testing.assert_array_equal(unpack(frame.raw, raw), normalise(mosaic, raw.black, raw.white))
    np.testing.assert_allclose(
        to_dn(unpack(frame.raw, raw), raw.black, raw.white), mosaic, atol=1e-2
    )


@pytest.mark.parametrize("phase", CfaPhase)
def test_the_packed_picture_lies_on_the_packed_mosaic(phase: CfaPhase) -> None:
    """The picture's channels are the mosaic itself, so each pixel is the mean of its cell."""
    values = np.random.default_rng(3).integers(0, 256, (11, 15)).astype(np.uint8)
    raw = RawFrame(
        values.astype(np.uint16), phase, (0, 0, 0, 0), 255, 8, CameraProfile("t", (1, 1, 1))
    )
    frame = pack(np.dstack([values] * 3), raw)
    np.testing.assert_allclose(frame.srgb[1], frame.raw.mean(axis=0), atol=1e-6)


def test_dn_before_rounding_round_to_what_is_written() -> None:
    rng = np.random.default_rng(4)
    mosaic = np.zeros((6, 8), np.uint16)
    raw = RawFrame(mosaic, CfaPhase.GBRG, (60, 61, 62, 63), 4000, 12, CameraProfile("t", (1, 1, 1)))
    values = rng.uniform(-0.2, 1.2, (6, 8)).astype(np.float32)
    rounded = np.rint(to_dn(values, raw.black, raw.white)).astype(np.uint16)
    np.testing.assert_array_equal(rounded, denormalise(values, raw.black, raw.white))


def test_a_clip_reads_what_the_folder_has(tmp_path: Path) -> None:
    clip = open_clip(write_video(tmp_path, tags={"dark": True, "fast_motion": False}))
    assert (clip.name, clip.tags, len(clip)) == ("clip", ("dark",), 5)
    assert clip.srgb(1).shape == (*SIZE, 3)
    assert clip.raw(1).size == SIZE
    half = open_clip(tmp_path, half=True)
    assert half.srgb(1).shape == (48, 64, 3)
    assert half.raw(1).size == half.reference.size == (48, 64)


def test_a_frame_of_another_size_is_named(tmp_path: Path) -> None:
    clip = open_clip(write_video(tmp_path))
    write_frame_raw(tmp_path, "clip", "000002", np.zeros((8, 8), np.uint16))
    with pytest.raises(MismatchError, match="frame 000002: RAW has 8×8"):
        clip.raw(2)


def test_another_first_frame_is_another_clip(tmp_path: Path) -> None:
    clip = open_clip(write_video(tmp_path))
    before = clip.fingerprint()
    assert open_clip(tmp_path).fingerprint() == before
    mosaic = clip.raw(0).mosaic.copy()
    mosaic[3, 3] += 1
    write_frame_raw(tmp_path, "clip", "000000", mosaic)
    assert open_clip(tmp_path).fingerprint() != before
