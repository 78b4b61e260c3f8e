"""Plain 16-bit mosaics with levels given by the user."""

from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
import tifffile
from raw_samples import make_frame

from rvdtool.errors import RawError, UsageError
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CfaPhase
from rvdtool.raw.read import MosaicLevels, read_raw

MOSAIC = np.random.default_rng(0).integers(0, 1024, (23, 31)).astype(np.uint16)
LEVELS = MosaicLevels(black=(25.0, 25.5, 26.0, 25.0), white=959, phase=CfaPhase.GRBG, bits=10)


def write_png(path, image):
    path.write_bytes(imagecodecs.png_encode(image))


def write_big_endian_tiff(path, image):
    tifffile.imwrite(path, image, byteorder=">")


def write_packed_tiff(path, image):
    tifffile.imwrite(path, image, compression="deflate", predictor=True)


WRITERS = [tifffile.imwrite, write_big_endian_tiff, write_packed_tiff, write_png]


@pytest.mark.parametrize("write", WRITERS)
def test_a_plain_mosaic(tmp_path, write):
    path = tmp_path / "mosaic"
    write(path, MOSAIC)
    frame = read_raw(path, levels=LEVELS)
    assert np.array_equal(frame.mosaic, MOSAIC)
    assert (frame.phase, frame.black, frame.white, frame.bits) == (
        CfaPhase.GRBG,
        (25.0, 25.5, 26.0, 25.0),
        959,
        10,
    )
    assert frame.profile.as_shot_neutral == (1, 1, 1)
    assert frame.profile.color_matrix is None


@pytest.mark.parametrize(
    ("write", "image", "message"),
    [
        (write_png, np.zeros((24, 24), np.uint8), "uint8"),
        (write_png, np.zeros((24, 24, 3), np.uint16), r"this one is uint16 \[24, 24, 3\]"),
        (tifffile.imwrite, np.zeros((24, 24), np.float32), "float32"),
        (tifffile.imwrite, np.zeros((2, 24, 24), np.uint16), "one channel"),
        (tifffile.imwrite, np.full((24, 24), 1024, np.uint16), "up to 1024, but 10 bits"),
    ],
)
def test_images_that_are_no_mosaic(tmp_path, write, image, message):
    path = tmp_path / "mosaic"
    write(path, image)
    with pytest.raises(RawError, match=message):
        read_raw(path, levels=LEVELS)


def test_levels_that_make_no_sense(tmp_path):
    path = tmp_path / "mosaic.tif"
    tifffile.imwrite(path, MOSAIC)
    with pytest.raises(RawError, match="black ≤ white − 1 and white < 2"):
        read_raw(path, levels=replace(LEVELS, white=1024))


@pytest.mark.parametrize("write", WRITERS)
def test_cut_short(tmp_path, write):
    path = tmp_path / "mosaic"
    write(path, MOSAIC)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(RawError, match="damaged or incomplete"):
        read_raw(path, levels=LEVELS)


def test_levels_only_for_files_without_their_own(tmp_path):
    path = tmp_path / "a.dng"
    write_dng(make_frame(), path)
    with pytest.raises(UsageError, match="states its own levels"):
        read_raw(path, levels=LEVELS)
    path.write_bytes(b"\xff\xd8\xff" + bytes(100))
    with pytest.raises(RawError, match="neither a TIFF, a PNG nor a FITS"):
        read_raw(path, levels=LEVELS)
