"""Reading cameras' DNGs: pitfalls of LibRaw and of the format (tifffile writes the files)."""

import struct
from fractions import Fraction

import numpy as np
import pytest
import rawpy
import tifffile
from raw_samples import CAMERA, CAMERA_TAGS, MATRIX, make_frame, write_camera_dng

from rvdtool.errors import RawError
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CfaPhase, Exposure, Rect
from rvdtool.raw.read import read_raw

MOSAIC = np.random.default_rng(0).integers(0, 4096, (30, 40)).astype(np.uint16)

PATTERNS = {phase: (33422, 1, 4, tuple(phase.pattern.ravel().tolist())) for phase in CfaPhase}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "camera.dng"


def active_area(top, left, bottom, right):
    return 50829, 4, 4, (top, left, bottom, right)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_plain_dng(path, byteorder):
    frame = read_raw(write_camera_dng(path, MOSAIC, byteorder=byteorder))
    assert np.array_equal(frame.mosaic, MOSAIC)
    assert frame.mosaic.dtype == np.uint16
    assert frame.phase == CfaPhase.RGGB
    assert frame.black == (64.0, 64.0, 64.0, 64.0)
    assert (frame.white, frame.bits) == (4095, 12)
    assert frame.profile == CAMERA
    assert (frame.orientation, frame.default_crop) == (1, None)
    assert frame.exposure == Exposure()


@pytest.mark.parametrize("phase", CfaPhase)
@pytest.mark.parametrize(("top", "left"), [(0, 0), (1, 0), (0, 1), (1, 1), (3, 2)])
def test_odd_active_areas_lose_nothing_and_keep_the_phase(path, phase, top, left):
    """LibRaw drops a row or column at odd origins; the pattern starts at the area's corner."""
    write_camera_dng(path, MOSAIC, PATTERNS[phase], active_area(top, left, 29, 39))
    frame = read_raw(path)
    assert np.array_equal(frame.mosaic, MOSAIC[top:29, left:39])
    assert frame.phase == phase
    with rawpy.imread(str(path)) as raw:  # LibRaw agrees about the colours
        colors = ["RGBG"[raw.raw_color(top + y, left + x)] for y in (0, 1) for x in (0, 1)]
    assert "".join(colors) == phase.value


@pytest.mark.parametrize("phase", CfaPhase)
def test_fractions_of_black_are_kept_per_position(path, phase):
    """LibRaw truncates them, and has them per colour."""
    levels = (50714, 5, 4, (2561, 10, 2579, 10, 1023, 4, 256, 1))
    write_camera_dng(path, MOSAIC, PATTERNS[phase], (50713, 3, 2, (2, 2)), levels)
    assert read_raw(path).black == (256.1, 257.9, 255.75, 256.0)


@pytest.mark.parametrize(
    ("repeat", "levels", "expected"),
    [
        ((1, 1), (7,), (7, 7, 7, 7)),
        ((1, 2), (7, 9), (7, 9, 7, 9)),
        ((2, 1), (7, 9), (7, 7, 9, 9)),
        ((4, 2), (1, 2, 3, 4) * 2, (1, 2, 3, 4)),
        ((3, 1), (5, 5, 5), (5, 5, 5, 5)),
    ],
)
def test_black_level_patterns(path, repeat, levels, expected):
    tags = (50713, 3, 2, repeat), (50714, 3, len(levels), levels)
    assert read_raw(write_camera_dng(path, MOSAIC, *tags)).black == expected


def test_no_black_level_is_zero(path):
    write_camera_dng(path, MOSAIC, without=(50714,))
    assert read_raw(path).black == (0, 0, 0, 0)


def test_black_deltas_that_the_four_positions_can_hold(path):
    across = (50715, 10, 40, (1, 2, -1, 2) * 20)  # 0.5, −0.5, 0.5, …
    down = (50716, 10, 30, (3, 1) * 30)
    write_camera_dng(path, MOSAIC, across, down)
    assert read_raw(path).black == (67.5, 66.5, 67.5, 66.5)


ROWS = (50716, 10, 30, tuple(v for y in range(30) for v in (10 * y + 3, 4)))
COLUMNS = (50715, 10, 40, tuple(v for x in range(40) for v in (7 * x, 2)))
REPEAT = (50713, 3, 2, (3, 1)), (50714, 10, 3, (60, 1, 70, 1, 641, 10))


@pytest.mark.parametrize("tags", [[ROWS], [COLUMNS], [*REPEAT], [*REPEAT, ROWS, COLUMNS]])
def test_black_that_varies_over_the_image_is_levelled(path, tags):
    """Values above black are kept, noise below it too, and nothing becomes negative."""
    rows, columns = np.mgrid[:30, :40]
    black = 64.0 * np.ones((30, 40))
    if len(tags) > 1:
        black = np.array([60, 70, 64.1])[rows % 3]
    if ROWS in tags:
        black = black + (10 * rows + 3) / 4
    if COLUMNS in tags:
        black = black + 7 * columns / 2
    above = np.random.default_rng(1).integers(-50, 3900, black.shape)
    stored = np.minimum(np.rint(black + above), 4095).astype(np.uint16)
    write_camera_dng(path, stored, *tags)
    frame = read_raw(path)
    levels = np.tile(np.array(frame.black).reshape(2, 2), (15, 20))
    left = (frame.mosaic - levels) - (stored - black)
    saturated = frame.mosaic == frame.white
    assert np.abs(left[~saturated]).max() <= 0.6
    assert np.abs(left[::2, ::2][~saturated[::2, ::2]].mean()) < 0.1
    assert (stored - black)[saturated].min(initial=4095) > frame.white - levels.max() - 1
    assert (frame.white, frame.bits) == (4095, 12)


def test_sites_at_white_stay_there_when_black_is_levelled(path):
    stored = np.full((30, 40), 4095, np.uint16)
    write_camera_dng(path, stored, ROWS)
    assert (read_raw(path).mosaic == 4095).all()


def test_black_that_varies_beyond_sense_is_refused(path):
    wild = (50716, 9, 30, (0,) * 29 + (3000,))
    write_camera_dng(path, MOSAIC, wild)
    with pytest.raises(RawError, match="black level varies by 3000 DN over the image, of 4095"):
        read_raw(path)


def test_the_shape_of_pixels_is_read_whatever_its_type(path):
    write_camera_dng(path, MOSAIC, (50718, 3, 2, (1, 2)))
    (scale,) = read_raw(path).profile.tags
    assert (scale.code, scale.dtype, scale.value) == (50718, 5, (1, 1, 2, 1))


def test_levels_count_after_the_linearization_table(path):
    """LibRaw applies the table when decoding; black and white refer to its output."""
    table = (np.arange(256) ** 2 // 16).astype(np.uint16)
    stored = np.random.default_rng(0).integers(0, 256, (30, 40)).astype(np.uint8)
    write_camera_dng(path, stored, (50712, 3, 256, tuple(table.tolist())))
    frame = read_raw(path)
    assert np.array_equal(frame.mosaic, table[stored])
    assert (frame.white, frame.bits) == (4095, 12)


def test_black_is_not_subtracted(path):
    frame = read_raw(write_camera_dng(path, np.full((30, 40), 64, np.uint16)))
    assert (frame.mosaic == 64).all()


def test_the_tags_matrix_counts_not_librawas_own(path):
    """LibRaw replaces the matrices of cameras it knows."""
    known = (271, 2, 0, "Canon"), (272, 2, 0, "Canon EOS 5D"), (50708, 2, 0, "Canon EOS 5D")
    frame = read_raw(write_camera_dng(path, MOSAIC, *known))
    assert frame.profile.color_matrix == CAMERA.color_matrix
    assert frame.profile.make == "Canon"
    assert read_raw(write_camera_dng(path, MOSAIC, without=(50721,))).profile.color_matrix is None


def test_default_crop_counts_from_the_active_area(path):
    crop = (50719, 5, 2, (4, 1, 2, 1)), (50720, 5, 2, (30, 1, 20, 1))
    frame = read_raw(write_camera_dng(path, MOSAIC, active_area(2, 1, 30, 40), *crop))
    assert frame.default_crop == Rect(top=2, left=4, height=20, width=30)


@pytest.mark.parametrize(
    "crop",
    [
        ((50719, 5, 2, (0, 1, 0, 1)), (50720, 5, 2, (40, 1, 30, 1))),  # all of it
        ((50719, 5, 2, (0, 1, 4, 1)), (50720, 5, 2, (40, 1, 30, 1))),  # beyond the edge
        ((50719, 5, 2, (0, 1, 0, 1)), (50720, 5, 2, (0, 1, 0, 1))),  # nothing
    ],
)
def test_a_default_crop_without_meaning_is_left_out(path, crop):
    assert read_raw(write_camera_dng(path, MOSAIC, *crop)).default_crop is None


@pytest.mark.parametrize(("stored", "read"), [*((n, n) for n in range(1, 9)), (0, 1), (9, 1)])
def test_orientation(path, stored, read):
    assert read_raw(write_camera_dng(path, MOSAIC, (274, 3, 1, stored))).orientation == read


@pytest.mark.parametrize(
    ("white", "bits"), [(1023, 10), (959, 10), (4095, 12), (15892, 14), (65535, 16)]
)
def test_depth_is_what_the_white_level_needs_and_not_how_wide_it_is_stored(path, white, bits):
    assert read_raw(write_camera_dng(path, MOSAIC, (50717, 4, 1, white))).bits == bits


@pytest.mark.parametrize(
    "options",
    [{"rowsperstrip": 7}, {"tile": (16, 16)}, {"bitspersample": 12}],
    ids=["strips", "tiles", "packed"],
)
def test_ways_to_store_the_pixels(path, options):
    write_camera_dng(path, MOSAIC, **options)
    assert np.array_equal(read_raw(path).mosaic, MOSAIC)


def test_the_mosaic_in_a_sub_ifd_behind_a_preview(path):
    """As Adobe DNG Converter and most cameras write it: camera tags in IFD0, the mosaic in a
    SubIFD."""
    raw_codes = {33421, 33422, 50714, 50717}
    tags = {code: (*tag, True) for code, tag in CAMERA_TAGS.items()}
    camera = [tag for code, tag in sorted(tags.items()) if code not in raw_codes]
    raw = [tag for code, tag in sorted(tags.items()) if code in raw_codes]
    with tifffile.TiffWriter(path) as tiff:
        common = {"metadata": None, "software": False}
        preview = np.zeros((8, 8, 3), np.uint8)
        tiff.write(preview, subifds=1, subfiletype=1, extratags=camera, **common)
        tiff.write(MOSAIC, photometric="CFA", extratags=raw, **common)
    frame = read_raw(path)
    assert np.array_equal(frame.mosaic, MOSAIC)
    assert frame.profile == CAMERA
    assert (frame.black[0], frame.white) == (64, 4095)


def test_exif_of_the_camera(path):
    write_dng(make_frame(), path)  # ExifTool reads the same: test_dng.py
    exposure = read_raw(path).exposure
    assert exposure.time == Fraction(1, 48)
    assert exposure.f_number == Fraction(14, 5)
    assert exposure.lens_model == "Acme 35mm F1.4"


def test_impossible_exif_is_unknown(path):
    """Some programs write 4294967295/1 where they don't know; RawFrame refuses that."""
    write_dng(make_frame(), path)
    known = struct.pack("<II", 1, 48)  # ExposureTime, in its only place
    data = path.read_bytes()
    assert data.count(known) == 1
    path.write_bytes(data.replace(known, struct.pack("<II", 2**32 - 1, 1)))
    exposure = read_raw(path).exposure
    assert exposure.time is None
    assert exposure.f_number == Fraction(14, 5)


def test_texts_end_at_their_first_nul(path):
    make = (271, 2, 0, b"Acme\0 and more\0")
    frame = read_raw(write_camera_dng(path, MOSAIC, make))
    assert frame.profile.make == "Acme"


def test_neutral_from_the_white_points_chromaticity(path):
    """AsShotWhiteXY, which LibRaw ignores: the camera's response to D65 (DNG 1.7.1, chapter 6)."""
    white = (50729, 5, 2, (3127, 10000, 3290, 10000))
    frame = read_raw(write_camera_dng(path, MOSAIC, white, without=(50728,)))
    response = np.array(CAMERA.color_matrix) @ [0.3127 / 0.329, 1, (1 - 0.3127 - 0.329) / 0.329]
    np.testing.assert_allclose(frame.profile.as_shot_neutral, response / response.max(), rtol=1e-6)


def test_the_carried_tags_survive_a_big_endian_source(path, tmp_path):
    second = (50722, *MATRIX[1:])
    curve = (50940, 11, 4, (0.0, 0.0, 1.0, 0.75))
    write_camera_dng(path, MOSAIC, second, curve, byteorder=">")
    ours = tmp_path / "ours.dng"
    write_dng(read_raw(path), ours)
    with tifffile.TiffFile(ours) as tiff:
        tags = tiff.pages.first.tags
        assert tags[50722].value == MATRIX[3]
        assert tags[50940].value == (0.0, 0.0, 1.0, 0.75)
