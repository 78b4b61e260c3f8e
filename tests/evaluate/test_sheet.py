"""The contact sheet: the right pictures in the right places, and errors on a correct scale."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from small_clips import WHITE, disturbed, random_mosaic, small_frame, write_clip, write_pair

from rvdtool.errors import MismatchError
from rvdtool.evaluate.compare import Comparison, compare, match_frames
from rvdtool.evaluate.sheet import GAP, LINE, TILE_WIDTH, color_error, contact_sheet, error_scale
from rvdtool.raw.render import render
from rvdtool.video.encode import encode_video

TILE_HEIGHT = TILE_WIDTH * 32 // 48


def tile(sheet: np.ndarray, row: int, column: int, height: int = TILE_HEIGHT) -> np.ndarray:
    top = 2 * LINE + row * (LINE + height)
    left = GAP + column * (TILE_WIDTH + GAP)
    return sheet[top : top + height, left : left + TILE_WIDTH]


def comparison_of(folder: Path, count: int = 4) -> Comparison:
    return compare(match_frames(*write_pair(folder, count)))


@pytest.mark.parametrize(
    ("error", "scale"),
    [(0.0, 1e-4), (0.0009, 0.001), (0.001, 0.001), (0.0011, 0.002), (0.03, 0.05), (0.7, 1.0)],
)
def test_the_scale_is_the_next_round_number(error: float, scale: float) -> None:
    assert error_scale([np.full((4, 4), error, np.float32)]) == pytest.approx(scale)


def test_a_few_outliers_do_not_darken_the_map() -> None:
    error = np.full((100, 100), 0.001, np.float32)
    error[0, :40] = 0.5
    assert error_scale([error]) == pytest.approx(0.001)


def test_colours_get_brighter_with_the_error() -> None:
    ramp = np.linspace(0, 0.02, 32, dtype=np.float32)[None]
    brightness = color_error(ramp, 0.01).astype(int).sum(axis=2)[0]
    assert brightness[0] < 30
    assert (np.diff(brightness[:17]) > 0).all()
    assert (brightness[17:] == brightness[-1]).all()


def test_a_row_for_the_first_middle_and_last_counted_frame(tmp_path: Path) -> None:
    sheet = contact_sheet(comparison_of(tmp_path, count=6).frames)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 3 * (TILE_WIDTH + GAP) + GAP
    assert sheet.shape[0] == LINE + 3 * (LINE + TILE_HEIGHT) + 2 * LINE + GAP
    two = compare(match_frames(tmp_path / "predicted", tmp_path / "true")).frames[:2]
    assert contact_sheet(two).shape[0] == LINE + (LINE + TILE_HEIGHT) + 2 * LINE + GAP


def test_pictures_are_the_rendered_frames(tmp_path: Path) -> None:
    dark, bright = (np.full((32, 48), value, np.uint16) for value in (200, 2000))
    true = [small_frame(dark), small_frame(bright)]
    write_clip(tmp_path / "true", true)
    write_clip(tmp_path / "predicted", [small_frame(dark), small_frame(dark)])
    result = compare(match_frames(tmp_path / "predicted", tmp_path / "true"))
    sheet = contact_sheet(result.frames)
    expected = [render(small_frame(mosaic))[16, 24] for mosaic in (dark, bright)]
    for column, colour in enumerate(expected):
        middle = tile(sheet, 0, column)[TILE_HEIGHT // 2, TILE_WIDTH // 2].astype(int)
        assert np.abs(middle - colour).max() <= 2


def test_the_error_map_shows_where_the_error_is(tmp_path: Path) -> None:
    true = random_mosaic(0)
    predicted = true.copy()
    predicted[:16, :24] = disturbed(true, 1)[:16, :24]
    write_clip(tmp_path / "p", [small_frame(true), small_frame(predicted)])
    write_clip(tmp_path / "t", [small_frame(true)] * 2)
    sheet = contact_sheet(compare(match_frames(tmp_path / "p", tmp_path / "t")).frames)
    error = tile(sheet, 0, 2).astype(int).sum(axis=2)
    half = TILE_HEIGHT // 2, TILE_WIDTH // 2
    assert error[: half[0], : half[1]].mean() > 100
    assert error[half[0] :].max() < 30
    assert error[:, half[1] :].max() < 30


def test_frames_are_shown_upright(tmp_path: Path) -> None:
    """Orientation 6: the mosaic's left edge is the picture's top."""
    mosaic = np.full((32, 48), 100, np.uint16)
    mosaic[:, :12] = WHITE
    wrong = np.where(mosaic == WHITE, 3000, mosaic).astype(np.uint16)
    frames = [small_frame(mosaic, orientation=6)] * 2
    write_clip(tmp_path / "t", frames)
    write_clip(tmp_path / "p", [frames[0], small_frame(wrong, orientation=6)])
    sheet = contact_sheet(compare(match_frames(tmp_path / "p", tmp_path / "t")).frames)
    height = TILE_WIDTH * 48 // 32
    for column in (0, 1, 2):
        picture = tile(sheet, 0, column, height).astype(int).sum(axis=2)
        assert picture[: height // 8].mean() > picture[height // 2 :].mean() + 100


def test_the_videos_own_frames_are_shown(tmp_path: Path) -> None:
    result = comparison_of(tmp_path, count=4)
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40)]
    pictures = [np.full((32, 48, 3), colour, np.uint8) for colour in colours]
    video = tmp_path / "clip.mkv"
    encode_video(pictures, video, rate=Fraction(24), codec="ffv1")
    sheet = contact_sheet(result.frames, video=video)
    assert sheet.shape[1] == 4 * (TILE_WIDTH + GAP) + GAP
    for row, frame in enumerate((1, 2, 3)):
        middle = tile(sheet, row, 0)[TILE_HEIGHT // 2, TILE_WIDTH // 2].astype(int)
        assert np.abs(middle - colours[frame]).max() <= 3


def test_a_video_of_another_length_is_refused(tmp_path: Path) -> None:
    result = comparison_of(tmp_path, count=4)
    video = tmp_path / "clip.mkv"
    encode_video([np.zeros((32, 48, 3), np.uint8)] * 3, video, rate=Fraction(24), codec="ffv1")
    with pytest.raises(MismatchError, match="3 frames, but there are 4"):
        contact_sheet(result.frames, video=video)


def test_infinite_psnr_can_be_drawn(tmp_path: Path) -> None:
    result = comparison_of(tmp_path, count=2)
    first = replace(result.frames[0], counted=True)
    assert tile(contact_sheet([first]), 0, 2).astype(int).sum(axis=2).max() < 30
