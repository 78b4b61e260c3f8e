"""The position of a RAW frame on the video's grid: by size first, then by the picture."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rvdtool.bundle.convert import UPRIGHT_AFTER, on_grid
from rvdtool.bundle.convert import lens as lens_of
from rvdtool.bundle.transform import CropAndTurn, Homography
from rvdtool.capture.align import MATCH, align, frame_picture, match_score
from rvdtool.raw.bayer import color_index, orient
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame, Rect, Tag
from rvdtool.raw.lens import Lens
from rvdtool.raw.move import DEFAULT_SCALE
from rvdtool.video.frame import ColorInterpretation, ColorTag, VideoInfo

COLOR = ColorInterpretation(*(ColorTag("bt709", "stream"),) * 4)
BLACK = (60.0, 61.0, 62.0, 63.0)
AREA = Rect(3, 5, 40, 56)
"""An odd corner: the CFA phase there is another than the mosaic's."""
SENSOR = (360, 480)


def info(size: tuple[int, int], rotation: int = 0) -> VideoInfo:
    rate = Fraction(25)
    return VideoInfo(size[1], size[0], (0,), 1 / rate, rate, rotation, "h264", "yuv420p", 8, COLOR)


def light_at(x: NDArray[np.float64], y: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Linear light, 0..1: waves in all directions, defined between pixels, too."""
    rng = np.random.default_rng(seed)
    total = np.zeros(np.broadcast(x, y).shape)
    for length in np.geomspace(7, 90, 60):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        wave = (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / length + phase
        total += np.sin(wave)
    return np.asarray(np.clip(0.3 + 0.035 * total, 0.02, 0.95))


def light(size: tuple[int, int], seed: int = 0) -> NDArray[np.float64]:
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    return light_at(x, y, seed)


def raw(shade: NDArray[np.float64], phase: CfaPhase = CfaPhase.RGGB, **changes: Any) -> RawFrame:
    cell = np.tile(np.reshape(BLACK, (2, 2)), (shade.shape[0] // 2 + 1, shade.shape[1] // 2 + 1))
    black = cell[: shade.shape[0], : shade.shape[1]]
    mosaic = np.rint(black + shade * (4000 - black)).astype(np.uint16)
    profile = CameraProfile("Acme", (0.5, 1.0, 0.6))
    return replace(RawFrame(mosaic, phase, BLACK, 4095, 12, profile), **changes)


def video(shade: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.repeat(np.rint(255 * shade**0.45).astype(np.uint8)[..., None], 3, -1)


def look(frame: RawFrame, shown: NDArray[np.float64], rotation: int = 0) -> tuple[Any, RawFrame]:
    """Align with one video frame; returns the alignment and the RAW on the grid."""
    size = shown.shape[0], shown.shape[1]
    found = align(frame, info(size, rotation), {0: frame_picture(video(shown))})
    return found, on_grid(frame, found.transform, rotation)


def turned(image: NDArray[Any], mirror: bool, quarter_turns: int) -> NDArray[Any]:
    return np.rot90(image[:, ::-1] if mirror else image, -quarter_turns)


@pytest.mark.parametrize("phase", CfaPhase)
def test_the_whole_active_area_stays_as_it_is(phase: CfaPhase) -> None:
    shade = light((44, 62))
    frame = raw(shade, phase)
    found, placed = look(frame, shade)
    assert np.array_equal(placed.mosaic, frame.mosaic)
    assert (placed.phase, placed.black) == (phase, BLACK)
    assert found.transform.quarter_turns == 0
    assert found.score > 0.99


@pytest.mark.parametrize("phase", CfaPhase)
def test_an_odd_default_crop_moves_the_phase_and_the_levels(phase: CfaPhase) -> None:
    shade = light((44, 62))
    frame = raw(shade, phase, default_crop=AREA)
    found, placed = look(frame, shade[3:43, 5:61])
    assert np.array_equal(placed.mosaic, frame.mosaic[3:43, 5:61])
    colors = color_index(phase, (44, 62))[3:43, 5:61]
    assert np.array_equal(color_index(placed.phase, placed.size), colors)
    assert placed.black == (63.0, 62.0, 61.0, 60.0)
    assert placed.default_crop is None
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
    found, placed = look(frame, seen)
    assert np.array_equal(placed.mosaic, upright.mosaic)
    assert (placed.phase, placed.black) == (upright.phase, upright.black)
    assert placed.orientation == 1
    assert found.score > 0.99
    # What the manifest says gives the same, without TIFF's numbers
    transform = found.transform
    by_hand = turned(frame.mosaic, transform.mirror, transform.quarter_turns)
    assert np.array_equal(by_hand, placed.mosaic)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_both_as_the_sensor_has_them_need_no_turn(rotation: int) -> None:
    """A phone held upright: both files have the sensor's pixels and a tag for the rotation."""
    shade = light((44, 62))
    frame = raw(shade, orientation=UPRIGHT_AFTER[rotation])
    _, placed = look(frame, shade, rotation)
    assert np.array_equal(placed.mosaic, frame.mosaic)
    assert placed.orientation == UPRIGHT_AFTER[rotation]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_grids_orientation_shows_it_as_the_video_is_shown(rotation: int) -> None:
    """The RAW's tag says which side is up; the video's pixels are rotated in another way."""
    shade = light((44, 62))
    frame = raw(shade, orientation=1)
    pixels = np.rot90(shade, rotation // 90)  # counter-clockwise: a player turns it back
    found, placed = look(frame, pixels, rotation)
    assert np.array_equal(orient(placed).mosaic, frame.mosaic)
    assert found.score > 0.99


def test_where_several_fit_the_picture_decides() -> None:
    """A tag says 180°, but the video's pixels are as on the sensor, or the other way round."""
    shade = light((44, 62))
    frame = raw(shade, orientation=3)
    as_is, _ = look(frame, shade)
    upside_down, _ = look(frame, shade[::-1, ::-1])
    assert as_is.transform.quarter_turns == 0
    assert upside_down.transform.quarter_turns == 2
    assert min(as_is.score, upside_down.score) > 0.99


def test_the_frame_that_shows_the_same_is_found() -> None:
    """The scene slides by a pixel a frame; the RAW is of frame 4, and none of it is moved."""
    shades = [light((96, 128 + 9))[:, k : k + 128] for k in range(9)]
    pictures = {index: frame_picture(video(shade)) for index, shade in enumerate(shades)}
    found = align(raw(shades[4]), info((96, 128)), pictures)
    assert found.index == 4
    assert isinstance(found.transform, CropAndTurn)


def test_frames_that_cannot_be_told_apart_count_as_the_first() -> None:
    shade = light((96, 128))
    rng = np.random.default_rng(0)
    pictures = {
        index: frame_picture(video(np.clip(shade + rng.normal(0, 0.003, shade.shape), 0, 1)))
        for index in (2, 3, 4)
    }
    assert align(raw(shade), info((96, 128)), pictures).index == 2


def onto(scale: float, degrees: float, size: tuple[int, int], at: tuple[float, float]) -> Any:
    """(x, y, 1) on a grid of `size` → on the sensor, where the grid's centre is at (x, y)."""
    turn = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shift = np.array(at) - linear @ ((size[1] - 1) / 2, (size[0] - 1) / 2)
    return np.vstack([np.column_stack([linear, shift]), [0, 0, 1]])


def shown_through(
    matrix: Any, size: tuple[int, int], lens: Lens | None = None
) -> NDArray[np.float64]:
    """The light on a video's grid, averaged over 4×4 points of each pixel."""
    total = np.zeros(size)
    for dy, dx in np.ndindex(4, 4):
        y, x = np.mgrid[: size[0], : size[1]] + np.array([dy, dx])[:, None, None] / 4 - 0.375
        there = tuple(a * x + b * y + c for a, b, c in matrix[:2])
        total += light_at(*(there if lens is None else lens.bend(*there)))
    return total / 16


def error(found: Any, matrix: Any, size: tuple[int, int], lens: Lens | None = None) -> float:
    """Mean distance on the grid from the true position, in video pixels, by the similarity's
    scale."""
    y, x = np.mgrid[: size[0] : 9, : size[1] : 9]
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])

    def there(onto: Any, bent: Lens | None) -> Any:
        column, row, w = np.array(onto) @ points
        return np.stack((column / w, row / w) if bent is None else bent.bend(column / w, row / w))

    apart = there(found.transform.matrix, lens_of(found.transform)) - there(matrix, lens)
    return float(np.hypot(*apart).mean() / np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))


@pytest.mark.parametrize(
    ("scale", "degrees", "size", "at"),
    [
        (1.0, 0.0, (270, 400), (233.3, 181.2)),  # a crop of unknown place
        (1.02, -1.5, (270, 400), (240.6, 179.1)),
        (2.0, 0.0, (150, 200), (239.5, 179.5)),
        (2.3, 3.0, (120, 180), (242.0, 170.0)),
        (1.6, 90.4, (250, 160), (238.0, 180.0)),
    ],
)
def test_registration_finds_scale_turn_and_crop(
    scale: float, degrees: float, size: tuple[int, int], at: tuple[float, float]
) -> None:
    matrix = onto(scale, degrees, size, at)
    found, placed = look(raw(light(SENSOR), CfaPhase.GBRG), shown_through(matrix, size))
    assert isinstance(found.transform, Homography)
    assert error(found, matrix, size) < 0.1
    assert found.score > 0.95
    assert (placed.size, placed.phase) == (size, CfaPhase.RGGB)
    assert found.outside == 0


def test_a_mirrored_raw_is_registered_if_its_tag_says_so() -> None:
    size = (150, 200)
    matrix = onto(2.0, 1.0, size, (239.5, 179.5))
    shown = shown_through(matrix, size)[:, ::-1]
    found, _ = look(raw(light(SENSOR), orientation=2), shown)
    swap = np.array([[-1, 0, size[1] - 1], [0, 1, 0], [0, 0, 1]])
    assert error(found, matrix @ swap, size) < 0.1
    assert found.score > 0.95


def test_a_video_of_the_same_size_that_lies_elsewhere_is_registered() -> None:
    """Stabilised or corrected for its lens: pixel on pixel would be off by two pixels."""
    size = SENSOR
    matrix = onto(1.0, 0.0, size, (241.3, 180.5))
    found, _ = look(raw(light(SENSOR)), shown_through(matrix, size))
    assert isinstance(found.transform, Homography)
    assert error(found, matrix, size) < 0.1
    assert found.outside < 0.02


@pytest.mark.parametrize(
    ("photosite", "tag", "sample_aspect", "degrees"),
    [
        ((1, 2), (1, 1, 2, 1), None, 0.0),
        ((4, 2), (1, 1, 1, 1), Fraction(2), 0.0),  # behind a lens that only the video names
        ((2, 1), (2, 1, 1, 1), Fraction(2, 3), 90.0),
    ],
)
def test_photosites_of_another_shape_than_the_videos_pixels(
    photosite: tuple[int, int],
    tag: tuple[int, ...],
    sample_aspect: Fraction | None,
    degrees: float,
) -> None:
    """Both show a scene of 960×720, the RAW with photosites of this width and height."""
    wide, high = photosite
    scene = np.array([[wide, 0, (wide - 1) / 2], [0, high, (high - 1) / 2], [0, 0, 1]])
    y, x = np.mgrid[: 720 // high, : 960 // wide].astype(float)
    shade = light_at(wide * x + scene[0, 2], high * y + scene[1, 2])
    aspect = float(sample_aspect or 1)
    size = (round(300 / aspect), 240) if degrees else (240, round(300 / aspect))
    shown = onto(2.0, degrees, size, (470.0, 350.0)) @ np.diag([aspect, 1, 1])
    shown[:2, 2] += [470, 350] - (shown @ ((size[1] - 1) / 2, (size[0] - 1) / 2, 1))[:2]
    profile = CameraProfile("Acme", (0.5, 1.0, 0.6), tags=(Tag(DEFAULT_SCALE, 5, 2, tag),))
    lies = replace(info(size, round(degrees)), sample_aspect=sample_aspect)
    picture = frame_picture(video(shown_through(shown, size)))
    found = align(raw(shade, profile=profile), lies, {0: picture})
    assert found.score > 0.95
    assert error(found, np.linalg.inv(scene) @ shown, size) < 0.2


def test_registration_finds_the_frame_too_where_frames_differ() -> None:
    """The other frames show other scenes, so only one can be registered."""
    size = (150, 200)
    matrix = onto(2.0, 1.0, size, (239.5, 179.5))
    pictures = {k: frame_picture(video(light(size, seed=9 + k))) for k in range(7)}
    pictures[5] = frame_picture(video(shown_through(matrix, size)))
    found = align(raw(light(SENSOR)), info(size), pictures)
    assert found.index == 5
    assert error(found, matrix, size) < 0.1


def test_registering_twice_gives_the_same() -> None:
    size = (120, 180)
    shown = shown_through(onto(2.3, 3.0, size, (242.0, 170.0)), size)
    assert look(raw(light(SENSOR)), shown)[0] == look(raw(light(SENSOR)), shown)[0]


@pytest.mark.parametrize("terms", [(-0.12, 0.0), (0.08, 0.0), (-0.2, 0.06)])
def test_a_lens_that_only_the_video_was_corrected_for_is_found(terms: tuple[float, float]) -> None:
    size = (150, 200)
    matrix, lens = onto(2.0, 1.0, size, (239.5, 179.5)), Lens(terms, SENSOR)
    shown = shown_through(matrix, size, lens)
    found, placed = look(raw(light(SENSOR)), shown)
    assert found.score > 0.95
    assert error(found, matrix, size, lens) < 0.15
    assert match_score(placed, frame_picture(video(shown))) == found.score


@pytest.mark.parametrize("noise", [0, 12])
def test_no_lens_is_found_where_there_is_none(noise: float) -> None:
    size = (150, 200)
    shown = video(shown_through(onto(2.0, 1.0, size, (239.5, 179.5)), size))
    grain = np.random.default_rng(0).normal(0, noise, (*size, 1))
    noisy = np.clip(shown + grain, 0, 255).astype(np.uint8)
    found = align(raw(light(SENSOR)), info(size), {0: frame_picture(noisy)})
    assert isinstance(found.transform, Homography)
    assert found.transform.lens is None


@pytest.mark.parametrize("size", [SENSOR, (150, 200)])
def test_another_scene_scores_far_below_the_threshold(size: tuple[int, int]) -> None:
    """In a small video, the best of all positions, sizes and rotations fits a little by chance."""
    found, _ = look(raw(light(SENSOR)), light(size, seed=5))
    assert found.score < (MATCH / 2 if size == SENSOR else 0.7 * MATCH)


def test_what_the_raw_does_not_show_is_measured() -> None:
    """The grid's centre is on the right edge, so half of the grid has no RAW."""
    size = (150, 200)
    matrix = onto(1.0, 0.0, size, (SENSOR[1] - 60.0, 179.5))
    found, _ = look(raw(light(SENSOR)), shown_through(matrix, size))
    assert found.outside == pytest.approx(40 / 200, abs=0.02)


def test_the_score_tells_the_same_picture_from_another() -> None:
    shade = light((64, 96))
    frame = raw(shade)

    def score(rgb: NDArray[Any]) -> float:
        return match_score(frame, frame_picture(rgb))

    assert score(video(shade)) > 0.99
    assert score(video(1 - shade)) < -0.9
    assert score(video(light((64, 96), seed=1))) < 0.3
    deep = (video(shade).astype(np.uint16)) * 257
    assert score(deep) == pytest.approx(score(video(shade)), abs=1e-5)


def test_the_score_forgives_noise_and_an_isp_but_not_a_flat_picture() -> None:
    shade = light((64, 96))
    frame = raw(shade)
    rng = np.random.default_rng(0)
    noisy = np.clip(video(shade) + rng.normal(0, 15, (64, 96, 3)), 0, 255).astype(np.uint8)
    assert 0.8 < match_score(frame, frame_picture(noisy)) < 1
    falloff = 1 - 0.5 * (np.arange(96) / 95) ** 2
    assert match_score(frame, frame_picture(video(1.5 * shade * falloff / 1.5))) > 0.98
    assert match_score(frame, frame_picture(np.full((64, 96, 3), 128, np.uint8))) == 0
