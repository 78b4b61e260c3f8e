"""DNGs of all variants (pairwise), read back bit for bit by rawpy, dcraw and Adobe's DNG SDK."""

from fractions import Fraction

import numpy as np
import pytest
import rawpy
import tifffile
from pairwise import pairwise
from raw_samples import make_frame

from rvdtool.errors import RawError
from rvdtool.raw import jpegxl
from rvdtool.raw.companding import companding_curve
from rvdtool.raw.dng import encode_dng, write_dng
from rvdtool.raw.frame import CfaPhase
from rvdtool.raw.read import read_raw

SIZES = ((22, 34), (23, 34), (22, 35), (23, 35))
VARIANTS = [
    pytest.param(
        make_frame(size, phase, bits),
        compression,
        id=f"{size[0]}x{size[1]}-{phase.value}-{bits}bit-{compression}",
    )
    for size, phase, bits, compression in pairwise(
        SIZES, CfaPhase, (10, 12, 14, 16), ("ljpeg", "none")
    )
]
every_variant = pytest.mark.parametrize(("frame", "compression"), VARIANTS)


@pytest.fixture
def path(tmp_path, frame, compression):
    """The variant as a file."""
    path = tmp_path / "CLIP_000000.dng"
    write_dng(frame, path, compression=compression, rate=Fraction(25), reel="CLIP")
    return path


@every_variant
def test_rawpy_reads(path, frame, compression):
    with rawpy.imread(str(path)) as raw:
        assert np.array_equal(raw.raw_image, frame.mosaic)
        assert raw.raw_image_visible.shape == frame.size
        colors = np.array(list("RGBG"))[raw.raw_colors_visible[:2, :2]]
        assert "".join(colors.flat) == frame.phase.value
        assert raw.white_level == frame.white
        by_position = np.array(raw.black_level_per_channel)[raw.raw_colors_visible[:2, :2]]
        assert by_position.ravel().tolist() == list(frame.black)
        neutral = np.array(frame.profile.as_shot_neutral)
        np.testing.assert_allclose(raw.camera_whitebalance[:3] * neutral, 1, rtol=1e-5)


@every_variant
def test_dcraw_reads(dcraw, path, frame, compression):
    assert np.array_equal(dcraw(path), frame.mosaic)


@every_variant
def test_adobe_reads(adobe, path, frame, compression):
    dng = adobe(path)
    assert np.array_equal(dng.raw_pixels[..., 0], frame.mosaic)
    assert dng.get_bayer_pattern() == frame.phase.value
    np.testing.assert_allclose(dng.get_white_balance(), frame.profile.as_shot_neutral, rtol=1e-5)
    assert (dng.image_info.height, dng.image_info.width) == frame.size


@every_variant
def test_we_read_all_of_it_back(path, frame, compression):
    read = read_raw(path)
    assert np.array_equal(read.mosaic, frame.mosaic)
    for name in ("phase", "black", "white", "bits", "profile", "orientation", "exposure"):
        assert getattr(read, name) == getattr(frame, name), name


@pytest.mark.parametrize("compression", ["ljpeg", "none"])
def test_extreme_pixels_survive(tmp_path, dcraw, adobe, compression):
    """Neighbours that differ in all 16 bits, at which lossless JPEG coders may fail."""
    mosaic = np.zeros((24, 40), np.uint16)
    mosaic[::2, 2::4] = 65535
    mosaic[1::2] = np.random.default_rng(0).choice([0, 32767, 32768, 65535], (12, 40))
    path = tmp_path / "a.dng"
    write_dng(make_frame(mosaic=mosaic, bits=16), path, compression=compression)
    with rawpy.imread(str(path)) as raw:
        assert np.array_equal(raw.raw_image, mosaic)
    assert np.array_equal(dcraw(path), mosaic)
    assert np.array_equal(adobe(path).raw_pixels[..., 0], mosaic)


@pytest.mark.parametrize("size", [(22, 22), (23, 23)])
def test_the_smallest_size_that_opens_everywhere(tmp_path, dcraw, adobe, size):
    frame = make_frame(size)
    path = tmp_path / "a.dng"
    write_dng(frame, path)
    with rawpy.imread(str(path)) as raw:
        assert np.array_equal(raw.raw_image, frame.mosaic)
    assert np.array_equal(dcraw(path), frame.mosaic)
    assert np.array_equal(adobe(path).raw_pixels[..., 0], frame.mosaic)


def test_pixels_in_any_memory_order():
    frame = make_frame((24, 36))
    turned = frame.with_mosaic(np.asfortranarray(frame.mosaic))
    for compression in ("ljpeg", "none"):
        assert encode_dng(turned, compression=compression) == encode_dng(
            frame, compression=compression
        )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bits", [12, 14, 16])
def test_ten_bits_are_read_alike(tmp_path, dcraw, adobe, exiftool, size, bits):
    """LibRaw and dcraw apply the table; Adobe's SDK returns the codes, and ExifTool the table."""
    frame = make_frame(size, bits=bits)
    path = tmp_path / "a.dng"
    write_dng(frame, path, compression="log10")
    found = companding_curve(sum(frame.black) / 4, frame.white)
    codes = found.encode(frame.mosaic)
    with rawpy.imread(str(path)) as raw:
        assert np.array_equal(raw.raw_image, found.table[codes])
        assert raw.white_level == frame.white
        by_position = np.array(raw.black_level_per_channel)[raw.raw_colors_visible[:2, :2]]
        assert by_position.ravel().tolist() == list(frame.black)
    assert np.array_equal(dcraw(path), found.table[codes])
    assert np.array_equal(adobe(path).raw_pixels[..., 0], codes)
    tags = exiftool(path)
    assert tags["IFD0:BitsPerSample"] == 10
    assert tags["IFD0:LinearizationTable"].startswith("(Binary data ")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages.first.tags["LinearizationTable"].value == tuple(found.table.tolist())
    assert np.array_equal(read_raw(path).mosaic, found.table[codes])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bits", [10, 16])
def test_adobe_and_we_read_jpeg_xl(tmp_path, adobe, size, bits):
    """LibRaw, dcraw, darktable 4.2 and RawTherapee 5.9 can't."""
    frame = make_frame(size, CfaPhase.GBRG, bits)
    path = tmp_path / "a.dng"
    write_dng(frame, path, compression="jxl")
    dng = adobe(path)
    assert np.array_equal(dng.raw_pixels[..., 0], frame.mosaic)
    assert dng.get_bayer_pattern() == "GBRG"
    read = read_raw(path)
    assert np.array_equal(read.mosaic, frame.mosaic)
    for name in ("phase", "black", "white", "bits", "profile", "orientation", "exposure"):
        assert getattr(read, name) == getattr(frame, name), name


@pytest.mark.parametrize("cut", [0, 20, 200])
def test_damaged_jpeg_xl(tmp_path, cut):
    path = tmp_path / "a.dng"
    write_dng(make_frame(), path, compression="jxl")
    data = path.read_bytes()
    if cut:
        path.write_bytes(data[:-cut])
        message = "cut short"
    else:
        path.write_bytes(data[:-300] + bytes(300))
        message = "JPEG XL can't be decoded"
    with pytest.raises(RawError, match=message):
        read_raw(path)


def test_jpeg_xl_that_breaks_off_is_refused():
    """imagecodecs raises different errors depending on the position."""
    frame = make_frame()
    data = jpegxl.encode(frame.mosaic)
    for end in range(len(data) - 1):
        with pytest.raises(RawError, match="JPEG XL can't be decoded"):
            jpegxl.decode(data[:end], frame.size, quarters=True)


def test_jpeg_xl_of_another_size_is_refused(tmp_path):
    """Before more memory is allocated than the tags imply."""
    picture = jpegxl.encode(make_frame((400, 400)).mosaic)
    with pytest.raises(RawError, match="JPEG XL can't be decoded"):
        jpegxl.decode(picture, (40, 40), quarters=True)
