"""Cameras' own RAW files, here TIFF/EP without DNG tags: levels and phase come from LibRaw."""

import numpy as np
import pytest
import rawpy
from raw_samples import write_camera_dng

from rvdtool.errors import RawError
from rvdtool.raw.frame import CfaPhase, Exposure
from rvdtool.raw.read import _require_flat, read_raw

MOSAIC = np.random.default_rng(0).integers(64, 4096, (48, 60)).astype(np.uint16)
DNG_ONLY = (50706, 50707, 50708)


@pytest.fixture
def write(tmp_path):
    def write(*tags, mosaic=MOSAIC, without=(), make="PENTAX", model="PENTAX K10D"):
        camera = (271, 2, 0, make), (272, 2, 0, model)
        without = (*DNG_ONLY, *without)
        return write_camera_dng(tmp_path / "a.pef", mosaic, *camera, *tags, without=without)

    return write


@pytest.mark.parametrize("phase", CfaPhase)
def test_a_makers_raw(write, phase):
    frame = read_raw(write((33422, 1, 4, tuple(phase.pattern.ravel().tolist()))))
    assert np.array_equal(frame.mosaic, MOSAIC)
    assert frame.phase == phase
    assert frame.profile.tags == ()
    assert frame.black == (64, 64, 64, 64)
    assert (frame.white, frame.bits) == (4095, 12)
    assert frame.profile.unique_model == "PENTAX PENTAX K10D"
    assert frame.profile.as_shot_neutral == pytest.approx((0.473, 1, 0.6295), rel=1e-3)
    assert frame.exposure == Exposure()
    assert frame.profile.color_matrix[0] == pytest.approx((0.9679, -0.2965, -0.0811))  # LibRaw's


@pytest.mark.parametrize(("flip", "orientation"), [(n, n) for n in range(1, 9)])
def test_orientation(write, flip, orientation):
    assert read_raw(write((274, 3, 1, flip))).orientation == orientation


def test_levels_by_colour_become_levels_by_position(write):
    """LibRaw's black levels are per colour R, G, B, second G."""
    pattern = (33422, 1, 4, (1, 2, 0, 1))
    frame = read_raw(write(pattern, (50713, 3, 2, (2, 2)), (50714, 3, 4, (60, 61, 62, 63))))
    assert frame.black == (60, 61, 62, 63)


def test_without_matrix(write):
    assert read_raw(write(make="Acme", model="Filmer")).profile.color_matrix is None


def test_xtrans(write):
    pattern = (1, 1, 0, 1, 1, 2, 1, 1, 2, 1, 1, 0, 2, 0, 1, 0, 2, 1) * 2
    with pytest.raises(RawError, match=r"\(X-Trans\) isn't 2×2 RGB Bayer"):
        read_raw(write((33421, 3, 2, (6, 6)), (33422, 1, 36, pattern)))


def test_photosites_that_are_not_square(write):
    """Photosites of Nikon's D1X are twice as high as wide; LibRaw recognises it by its name."""
    frame = read_raw(write(make="NIKON CORPORATION", model="NIKON D1X"))
    (scale,) = frame.profile.tags
    assert (scale.code, scale.value) == (50718, (1, 1, 2, 1))


def test_greens_in_a_column(write):
    with pytest.raises(RawError, match=r"\(RGBG\) isn't 2×2 RGB Bayer"):
        read_raw(write((33422, 1, 4, (0, 1, 2, 1))))


def test_without_white_balance(write):
    with pytest.raises(RawError, match="no as-shot white balance"):
        read_raw(write(without=(50728,)))


def test_full_colours(tmp_path):
    """As small RAWs (sRAW) are decoded; here only a DNG makes LibRaw do so."""
    image = np.zeros((48, 60, 3), np.uint16)
    options = {"without": (33421, 33422), "photometric": 34892}
    path = write_camera_dng(tmp_path / "a.dng", image, **options)
    with (
        rawpy.imread(str(path)) as raw,
        pytest.raises(RawError, match="full colours at every pixel"),
    ):
        _require_flat(raw)


def test_missing_rows(write):
    """LibRaw reads rows beyond the file's end as zeros."""
    mosaic = MOSAIC.copy()
    mosaic[-3:] = 0
    with pytest.raises(RawError, match="last row is all zeros"):
        read_raw(write(mosaic=mosaic))


def test_cut_short(write):
    path = write()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RawError, match="cut short"):
        read_raw(path)
