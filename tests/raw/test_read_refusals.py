"""Files that can't be read as RAW frames are refused with the kind of file and what to do."""

import contextlib

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_samples import make_frame, write_camera_dng

from rvdtool.errors import InputError, RawError
from rvdtool.raw import read as read_module
from rvdtool.raw.dng import encode_dng
from rvdtool.raw.read import read_raw

MOSAIC = np.random.default_rng(0).integers(64, 4096, (48, 48)).astype(np.uint16)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "camera.dng"


def refused(path, message):
    with pytest.raises(RawError, match=message) as caught:
        read_raw(path)
    assert str(caught.value).startswith(f"{path}: ")


XTRANS = (1, 1, 0, 1, 1, 2, 1, 1, 2, 1, 1, 0, 2, 0, 1, 0, 2, 1) * 2


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([(33421, 3, 2, (6, 6)), (33422, 1, 36, XTRANS)], "6×6 .X-Trans.; only 2×2"),
        (
            [(33421, 3, 2, (4, 4)), (33422, 1, 16, (0, 0, 1, 1) * 2 + (1, 1, 2, 2) * 2)],
            "4×4 .quad-Bayer.; only 2×2",
        ),
        ([(33422, 1, 4, (0, 1, 2, 1))], "CFA pattern is RGBG"),
        ([(33422, 1, 4, (3, 4, 5, 1))], r"CFA pattern is \?\?\?G"),
        ([(50710, 1, 3, (3, 4, 5))], r"colours \[3, 4, 5\]"),
        ([(50711, 3, 1, 2)], "layout 2"),
        ([(50728, 5, 1, (1, 1))], "no usable AsShotNeutral"),
        ([(50728, 5, 3, (0, 1, 1, 1, 0, 1))], "no usable AsShotNeutral"),
        ([(50717, 3, 1, 60)], "black ≤ white"),
        ([(50717, 3, 3, (4095, 4095, 4095))], "WhiteLevel has 3 values instead of 1"),
        ([(50721, 10, 2, (1, 1, 1, 1))], "ColorMatrix1 has 2 values instead of 9"),
        ([(50829, 4, 4, (0, 0, 49, 48))], "active area .* isn't inside"),
        ([(50829, 4, 4, (9, 0, 10, 48))], "active area .* isn't inside"),
        ([(50714, 3, 2, (1, 2))], "BlackLevel has 2 values instead of 1"),
        ([(50713, 3, 2, (60_000, 60_000))], "black level repeats after 60000×60000"),
    ],
)
def test_dngs_that_are_not_what_is_needed(path, tags, message):
    write_camera_dng(path, MOSAIC, *tags)
    refused(path, message)


def test_quad_bayer_really_is_misread_by_libraw(path):
    """Why tags are checked first: LibRaw silently reads 4×4 as 2×2 with two colours."""
    import rawpy

    pattern = (0, 0, 1, 1) * 2 + (1, 1, 2, 2) * 2
    write_camera_dng(path, MOSAIC, (33421, 3, 2, (4, 4)), (33422, 1, 16, pattern))
    with rawpy.imread(str(path)) as raw:
        assert set(raw.raw_pattern.flat) != {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("code", "message"),
    [(50717, "IFD0:WhiteLevel="), (50728, "IFD0:AsShotNeutral=")],
)
def test_missing_white_level_and_neutral(path, code, message):
    write_camera_dng(path, MOSAIC, without=(code,))
    refused(path, message)


@pytest.mark.parametrize(
    ("missing", "advice"),
    [(50717, "-IFD0:WhiteLevel=4095"), (50728, "-IFD0:AsShotNeutral=0.473 1 0.6295")],
)
def test_following_the_advice_helps(path, exiftool_edit, missing, advice):
    write_camera_dng(path, MOSAIC, without=(missing,))
    exiftool_edit(path, advice)
    frame = read_raw(path)
    assert frame.white == 4095
    assert frame.profile.as_shot_neutral == pytest.approx((0.473, 1, 0.6295))
    assert np.array_equal(frame.mosaic, MOSAIC)


@pytest.mark.parametrize(
    ("image", "photometric", "message"),
    [
        (np.zeros((48, 48, 3), np.uint16), 34892, "linear RGB, already demosaiced"),
        (np.zeros((48, 48, 3), np.uint8), 2, "without a RAW image"),
    ],
    ids=["linear", "none"],
)
def test_dngs_without_a_mosaic(path, image, photometric, message):
    write_camera_dng(path, image, photometric=photometric, without=(33421, 33422))
    refused(path, message)


def test_monochrome_dngs(path):
    write_camera_dng(path, MOSAIC, without=(33421, 33422))
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags["PhotometricInterpretation"].overwrite(34892)
    refused(path, "monochrome")


def test_floating_point_mosaics(path):
    write_camera_dng(path, MOSAIC.astype(np.float32))
    refused(path, "floating point")


def test_jpeg_xl_mosaics(path):
    """One strip is read; tiles, which cameras may write, aren't."""
    write_camera_dng(path, MOSAIC, compression=52546)
    assert np.array_equal(read_raw(path).mosaic, MOSAIC)
    write_camera_dng(path, MOSAIC, compression=52546, tile=(16, 16))
    refused(path, "JPEG XL.*Adobe DNG Converter")


def test_jpeg_xl_linear_rgb(path):
    image = np.zeros((48, 48, 3), np.uint16)
    write_camera_dng(path, image, photometric=34892, compression=52546, without=(33421, 33422))
    refused(path, "linear RGB, already demosaiced, in JPEG XL .as from ProRAW, Expert RAW")


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"", "an empty file"),
        (b"\xff\xd8\xff\xe1", "a JPEG"),
        (b"\x89PNG\r\n\x1a\n", "a PNG; .* if its levels"),
        (b"FOVb\0\0\0\2", "Foveon"),
        (b"MLVI\0\0\0\0", "only v2.0 is known"),
        (b"\0\0\0\x18ftypmp42", "MP4/MOV video or HEIF"),
        (b"\0\0\0\x18ftypheic", "MP4/MOV video or HEIF"),
        (b"\x1aE\xdf\xa3", "Matroska"),
        (b"PK\3\4", "ZIP archive or bundle"),
        (b"just some text", "not a RAW file that LibRaw can read"),
        (b"II*\0\x08\0\0\0", "damaged: its tags can't be read"),
    ],
)
def test_files_that_are_something_else(path, start, message):
    path.write_bytes(start + bytes(1000) if start and start[:2] != b"II" else start)
    refused(path, message)


def test_lossy_dngs(path):
    image = np.zeros((48, 48, 3), np.uint8)
    write_camera_dng(path, image, photometric=34892, without=(33421, 33422))
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags["Compression"].overwrite(34892)
    refused(path, "a lossy DNG, as Lightroom and DNG Converter make")


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a Canon CR3"),
        (b"FUJIFILMCCD-RAW 0201FF179502X-T3", "a Fujifilm RAF"),
    ],
)
@pytest.mark.parametrize("size", [40, 5000])
def test_stubs_of_makers_files_are_called_what_they_are(path, start, kind, size):
    path.write_bytes(start.ljust(size, b"\0"))
    refused(path, f"{kind} that LibRaw can't open: it is cut short or damaged")


def test_tiffs_that_are_not_raw(path):
    for image in (MOSAIC, np.zeros((48, 48, 3), np.uint8)):
        tifffile.imwrite(path, image)
        refused(path, "isn't RAW; a 16-bit mosaic can be read if its levels")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_raw(tmp_path / "nothing.dng")
    with pytest.raises(InputError, match="no RAW frames in it"):
        read_raw(tmp_path)


@pytest.mark.parametrize("compression", ["ljpeg", "none"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_files_cut_short(path, compression, kept):
    """LibRaw may read missing data as zeros."""
    data = encode_dng(make_frame(mosaic=MOSAIC), compression=compression)
    path.write_bytes(data[: int(kept * len(data))])
    refused(path, "cut short|damaged")


def test_dngs_with_missing_tiles(path):
    """ExifTool's own sample has one tile of 140; LibRaw reads the others as zeros."""
    write_camera_dng(path, MOSAIC, tile=(16, 16))
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages.first.tags["TileByteCounts"]
        tag.overwrite([*tag.value[:-1], 0])
    refused(path, "parts of its pixels are missing")


@pytest.mark.parametrize("compression", ["ljpeg", "none"])
@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((65_000, 4_000), "65000×4000|4000×65000 photosites can't be in .* bytes"),
        ((10**9, 10**9), "claims 1000000000×1000000000 photosites"),
        ((60_000, 60_000), "claims 60000×60000 photosites"),
    ],
)
def test_sizes_that_cannot_be_are_refused_before_anything_is_allocated(
    path, compression, size, message, monkeypatch
):
    data = encode_dng(make_frame(mosaic=MOSAIC), compression=compression)
    path.write_bytes(data)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name, side in zip(("ImageLength", "ImageWidth"), size, strict=True):
            tiff.pages.first.tags[name].overwrite(side, dtype="I")
        tiff.pages.first.tags["RowsPerStrip"].overwrite(size[0], dtype="I")

    def decode(_):
        raise AssertionError("was asked to decode")

    monkeypatch.setattr(read_module.rawpy, "imread", decode)
    refused(path, message)


DNG = encode_dng(make_frame(mosaic=MOSAIC))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_headers_never_raise_anything_else(path, damage):
    data = bytearray(DNG)
    for place, value in damage:
        data[place] = value
    path.write_bytes(data)
    with contextlib.suppress(RawError):
        assert read_raw(path).mosaic.dtype == np.uint16
