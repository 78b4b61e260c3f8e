from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_samples import make_frame

from rvdtool.errors import RawError
from rvdtool.raw.bayer import (
    color_index,
    crop,
    denormalise,
    from_planes,
    normalise,
    orient,
    to_planes,
)
from rvdtool.raw.frame import CfaPhase, Rect
from rvdtool.raw.render import render

phases = st.sampled_from(CfaPhase)
sides = st.integers(2, 9)

POSITIONS = {"R": 0, "Gr": 1, "Gb": 2, "B": 3}


def site_names(phase, size):
    """[H, W], the plane number of each photosite, found from the colours around it."""
    colors = np.array(list("RGB"))[color_index(phase, (size[0] + 1, size[1] + 1))]
    in_red_row = (colors[:-1, :-1] == "R") | (colors[:-1, 1:] == "R")
    here = colors[:-1, :-1]
    names = np.where(here == "G", np.where(in_red_row, "Gr", "Gb"), here)
    return np.vectorize(POSITIONS.get)(names).astype(np.uint16)


@given(phases, sides, sides, st.sampled_from(["uint16", "float32", "int8", "bool"]))
def test_planes_give_back_every_mosaic(phase, height, width, dtype):
    mosaic = np.random.default_rng(height * width).integers(0, 2, (height, width)).astype(dtype)
    planes = to_planes(mosaic, phase)
    assert planes.dtype == dtype
    assert np.array_equal(from_planes(planes, phase, (height, width)), mosaic)


@given(phases, sides, sides)
def test_each_plane_has_one_kind_of_site_padding_included(phase, height, width):
    planes = to_planes(site_names(phase, (height, width)), phase)
    for number, plane in enumerate(planes):
        assert (plane == number).all()


@given(phases, sides, sides)
def test_a_cell_of_the_planes_is_one_cell_of_the_sensor(phase, height, width):
    rows, columns = np.mgrid[:height, :width]
    top, left = np.argwhere(color_index(phase, (2, 2)) == 0)[0]
    red_rows, *_, blue_rows = to_planes(rows, phase)
    red_columns, *_, blue_columns = to_planes(columns, phase)
    inner = np.s_[top : top + (height - top) // 2, left : left + (width - left) // 2]
    assert (blue_rows[inner] - red_rows[inner] == 1).all()
    assert (blue_columns[inner] - red_columns[inner] == 1).all()


def test_rggb_needs_no_padding():
    mosaic = np.arange(24, dtype=np.uint16).reshape(4, 6)
    assert to_planes(mosaic, CfaPhase.RGGB).shape == (4, 2, 3)
    assert to_planes(mosaic, CfaPhase.RGGB)[:, 0, 0].tolist() == [0, 1, 6, 7]


def test_planes_of_another_size_are_refused():
    with pytest.raises(RawError, match=r"5×6 has planes of \[4, 3, 3\]; got \[4, 2, 3\]"):
        from_planes(np.zeros((4, 2, 3)), CfaPhase.RGGB, (5, 6))
    with pytest.raises(RawError, match="at least 2×2"):
        to_planes(np.zeros((1, 6)), CfaPhase.RGGB)


@given(st.tuples(*[st.floats(0, 1000) for _ in range(4)]), st.integers(1100, 65535), sides, sides)
def test_every_dn_survives_normalising(black, white, height, width):
    mosaic = np.random.default_rng(white).integers(0, white + 1, (height, width)).astype(np.uint16)
    assert np.array_equal(denormalise(normalise(mosaic, black, white), black, white), mosaic)


def test_normalised_values_follow_each_sites_own_black():
    black, white = (0.0, 64.5, 128.0, 100.25), 1023
    mosaic = np.array([[0, 1023, 2046], [128, 1023, 0]], np.uint16)
    values = normalise(mosaic, black, white)
    assert values.dtype == np.float32
    assert values[0, 0] == 0
    assert values[1, 0] == 0
    assert values[0, 1] == 1
    assert values[1, 1] == 1
    assert values[0, 2] == 2  # not clipped above white
    assert values[1, 2] == -128 / (1023 - 128)  # nor below black


def test_denormalising_rounds_and_clips():
    values = np.array([[-1.0, 2.0], [0.5006, 0.4994]])
    assert denormalise(values, (0, 0, 0, 0), 1000).tolist() == [[0, 1000], [501, 499]]


@given(phases, st.integers(1, 8), sides, sides)
def test_turning_moves_colours_levels_and_crop_with_the_pixels(phase, orientation, height, width):
    numbered = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    frame = make_frame(
        (height, width),
        phase,
        mosaic=numbered,
        orientation=orientation,
        default_crop=Rect(0, 1, height - 1, width - 1),
    )
    turned = orient(frame)
    came_from = np.divmod(turned.mosaic, width)

    assert turned.orientation == 1
    colors = color_index(phase, frame.size)[came_from]
    assert np.array_equal(color_index(turned.phase, turned.size), colors)
    levels = np.tile(np.reshape(frame.black, (2, 2)), (5, 5))[came_from]
    assert np.reshape(turned.black, (2, 2)).tolist() == levels[:2, :2].tolist()
    assert set(cut(turned).flat) == set(cut(frame).flat)


def cut(frame):
    rect = frame.default_crop
    return frame.mosaic[rect.top : rect.top + rect.height, rect.left : rect.left + rect.width]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_what_libraw_does(orientation):
    """LibRaw reads the orientation tag itself; both pictures must be equal."""
    ramp = np.add.outer(np.arange(40) ** 2, 3 * np.arange(60)).astype(np.uint16)
    frame = make_frame(
        (40, 60), mosaic=ramp, orientation=orientation, black=(0, 0, 0, 0), phase=CfaPhase.GBRG
    )
    by_tag, by_pixels = render(frame).astype(int), render(orient(frame)).astype(int)
    assert by_tag.shape == by_pixels.shape
    inner = np.s_[6:-6, 6:-6]
    assert np.abs(by_tag[inner] - by_pixels[inner]).mean() < 2


def test_orientations_are_those_of_tiff():
    """TIFF 6.0, tag 274: which side of the stored image is seen at the top and at the left."""
    frame = make_frame((2, 4), mosaic=np.array([[1, 1, 2, 2], [3, 3, 4, 4]], np.uint16))
    corners = {}
    for orientation in range(1, 9):
        mosaic = orient(replace(frame, orientation=orientation)).mosaic
        corners[orientation] = [int(mosaic[y, x]) for y in (0, -1) for x in (0, -1)]
    assert corners == {
        1: [1, 2, 3, 4],
        2: [2, 1, 4, 3],
        3: [4, 3, 2, 1],
        4: [3, 4, 1, 2],
        5: [1, 3, 2, 4],
        6: [3, 1, 4, 2],
        7: [4, 2, 3, 1],
        8: [2, 4, 1, 3],
    }


@settings(max_examples=50)
@given(phases, st.integers(0, 3), st.integers(0, 3))
def test_cropping_keeps_colours_and_levels_in_place(phase, top, left):
    frame = make_frame((9, 8), phase)
    part = crop(frame, Rect(top, left, 5, 4))
    assert np.array_equal(part.mosaic, frame.mosaic[top : top + 5, left : left + 4])
    whole = color_index(phase, (9, 8))
    assert np.array_equal(color_index(part.phase, (5, 4)), whole[top : top + 5, left : left + 4])
    a = normalise(frame.mosaic, frame.black, frame.white)[top : top + 5, left : left + 4]
    assert np.array_equal(normalise(part.mosaic, part.black, part.white), a)


def test_what_remains_of_the_default_crop():
    frame = make_frame((20, 20), default_crop=Rect(4, 6, 10, 10))
    assert crop(frame, Rect(2, 2, 8, 8)).default_crop == Rect(2, 4, 6, 4)
    assert crop(frame, Rect(0, 0, 4, 4)).default_crop is None


@pytest.mark.parametrize("rect", [Rect(-1, 0, 4, 4), Rect(0, 17, 4, 4), Rect(0, 0, 1, 4)])
def test_a_crop_beyond_the_mosaic_is_refused(rect):
    with pytest.raises(RawError, match="can't cut"):
        crop(make_frame((20, 20)), rect)
