"""Where a RAW frame lies on the video's grid: size first, then the picture itself."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rvdtool.bundle.convert import UPRIGHT_AFTER, on_grid
from rvdtool.capture.align import align, match_score
from rvdtool.errors import MismatchError
from rvdtool.raw.bayer import color_index, orient
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame, Rect
from rvdtool.video.frame import ColorInterpretation, ColorTag, VideoInfo

COLOR = ColorInterpretation(*(ColorTag("bt709", "stream"),) * 4)
BLACK = (60.0, 61.0, 62.0, 63.0)
AREA = Rect(3, 5, 40, 56)
"""An odd corner: the CFA phase there is another than the mosaic's."""


def info(size: tuple[int, int], rotation: int = 0) -> VideoInfo:
    rate = Fraction(25)
    return VideoInfo(size[1], size[0], (0,), 1 / rate, rate, rotation, "h264", "yuv420p", 8, COLOR)


def light(size: tuple[int, int]) -> NDArray[np.float64]:
    """Linear light, 0..1: grey, different in every corner."""
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    return 0.1 + 0.5 * x * y + 0.2 * x + 0.1 * y * y


def raw(shade: NDArray[np.float64], phase: CfaPhase = CfaPhase.RGGB, **changes: Any) -> RawFrame:
    cell = np.tile(np.reshape(BLACK, (2, 2)), (shade.shape[0] // 2 + 1, shade.shape[1] // 2 + 1))
    black = cell[: shade.shape[0], : shade.shape[1]]
    mosaic = np.rint(black + shade * (4000 - black)).astype(np.uint16)
    profile = CameraProfile("Acme", (0.5, 1.0, 0.6))
    return replace(RawFrame(mosaic, phase, BLACK, 4095, 12, profile), **changes)


def video(shade: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.repeat(np.rint(255 * shade**0.45).astype(np.uint8)[..., None], 3, -1)


def turned(image: NDArray[Any], mirror: bool, quarter_turns: int) -> NDArray[Any]:
    return np.rot90(image[:, ::-1] if mirror else image, -quarter_turns)


@pytest.mark.parametrize("phase", CfaPhase)
def test_the_whole_active_area_stays_as_it_is(phase: CfaPhase) -> None:
    shade = light((44, 62))
    frame = raw(shade, phase)
    found = align(frame, info((44, 62)), video(shade))
    assert np.array_equal(found.frame.mosaic, frame.mosaic)
    assert (found.frame.phase, found.frame.black) == (phase, BLACK)
    assert found.transform.quarter_turns == 0
    assert found.score > 0.999


@pytest.mark.parametrize("phase", CfaPhase)
def test_an_odd_default_crop_moves_the_phase_and_the_levels(phase: CfaPhase) -> None:
    shade = light((44, 62))
    frame = raw(shade, phase, default_crop=AREA)
    part = shade[3:43, 5:61]
    found = align(frame, info(part.shape), video(part))
    assert np.array_equal(found.frame.mosaic, frame.mosaic[3:43, 5:61])
    colors = color_index(phase, (44, 62))[3:43, 5:61]
    assert np.array_equal(color_index(found.frame.phase, part.shape), colors)
    assert found.frame.black == (63.0, 62.0, 61.0, 60.0)
    assert found.frame.default_crop is None
    crop = found.transform.crop
    assert (crop.top, crop.left, crop.height, crop.width) == (3, 5, 40, 56)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(44, 62), (43, 61)])
def test_a_video_saved_upright_is_met_by_the_raws_orientation(
    orientation: int, size: tuple[int, int]
) -> None:
    shade = light(size)
    frame = raw(shade, CfaPhase.GRBG, orientation=orientation)
    upright = orient(frame)
    seen = orient(RawFrame(np.rint(shade * 65535).astype(np.uint16), CfaPhase.RGGB, (0.0,) * 4,
                           65535, 16, frame.profile, orientation)).mosaic / 65535  # fmt: skip
    found = align(frame, info(seen.shape), video(seen))
    assert np.array_equal(found.frame.mosaic, upright.mosaic)
    assert (found.frame.phase, found.frame.black) == (upright.phase, upright.black)
    assert found.frame.orientation == 1
    assert found.score > 0.999
    # What the manifest says gives the same, without TIFF's numbers
    transform = found.transform
    by_hand = turned(frame.mosaic, transform.mirror, transform.quarter_turns)
    assert np.array_equal(by_hand, found.frame.mosaic)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_both_as_the_sensor_has_them_need_no_turn(rotation: int) -> None:
    """A phone held upright: the sensor's pixels, and both files say how to turn them."""
    shade = light((44, 62))
    frame = raw(shade, orientation=UPRIGHT_AFTER[rotation])
    found = align(frame, info(shade.shape, rotation), video(shade))
    assert np.array_equal(found.frame.mosaic, frame.mosaic)
    assert found.frame.orientation == UPRIGHT_AFTER[rotation]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_grids_orientation_shows_it_as_the_video_is_shown(rotation: int) -> None:
    """The RAW knows which side is up; the video's pixels lie otherwise and say how to turn."""
    shade = light((44, 62))
    frame = raw(shade, orientation=1)
    pixels = np.rot90(shade, rotation // 90)  # counter-clockwise: a player turns it back
    found = align(frame, info(pixels.shape, rotation), video(pixels))
    assert np.array_equal(orient(found.frame).mosaic, frame.mosaic)
    assert found.score > 0.999


def test_where_several_fit_the_picture_decides() -> None:
    """A tag says 180° but the video's pixels are as the sensor has them, or the other way round."""
    shade = light((44, 62))
    frame = raw(shade, orientation=3)
    as_is = align(frame, info(shade.shape), video(shade))
    upside_down = align(frame, info(shade.shape), video(shade[::-1, ::-1]))
    assert as_is.transform.quarter_turns == 0
    assert upside_down.transform.quarter_turns == 2
    assert min(as_is.score, upside_down.score) > 0.999


def test_other_sizes_are_refused_and_named() -> None:
    frame = raw(light((44, 62)), default_crop=AREA, orientation=6)
    with pytest.raises(MismatchError, match=r"62×44.*56×40.*orientation 6.*video is 64×48"):
        align(frame, info((48, 64)), video(light((48, 64))))


def test_pixels_are_never_changed() -> None:
    frame = raw(light((44, 62)), CfaPhase.BGGR, default_crop=AREA, orientation=7)
    found = align(frame, info((56, 40)), video(light((56, 40))))
    crop = frame.mosaic[3:43, 5:61]
    assert np.array_equal(np.sort(crop, None), np.sort(found.frame.mosaic, None))
    assert np.array_equal(on_grid(frame, found.transform, 0).mosaic, found.frame.mosaic)


def test_the_score_tells_the_same_picture_from_another() -> None:
    shade = light((44, 62))
    frame = raw(shade)
    assert match_score(frame, video(shade)) > 0.999
    assert match_score(frame, video(0.8 - shade)) < -0.9
    deep = (video(shade).astype(np.uint16)) * 257
    assert match_score(frame, deep) == pytest.approx(match_score(frame, video(shade)), abs=1e-5)


def test_the_score_forgives_noise_but_not_a_flat_picture() -> None:
    shade = light((64, 96))
    rng = np.random.default_rng(0)
    noisy = np.clip(video(shade) + rng.normal(0, 20, (64, 96, 3)), 0, 255).astype(np.uint8)
    assert 0.8 < match_score(raw(shade), noisy) < 1
    assert match_score(raw(shade), np.full((64, 96, 3), 128, np.uint8)) == 0
