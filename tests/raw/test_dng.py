"""The DNGs we write, as ExifTool, tifffile and rawpy read them."""

from dataclasses import replace
from fractions import Fraction
from io import BytesIO

import numpy as np
import pytest
import rawpy
import tifffile
from raw_samples import CAMERA, make_frame, write_camera_dng

from rvdtool.errors import OutputError, RawError
from rvdtool.raw.bayer import orient
from rvdtool.raw.dng import encode_dng, write_dng
from rvdtool.raw.frame import CameraProfile, CfaPhase, Exposure, Rect
from rvdtool.raw.read import read_raw
from rvdtool.raw.timecode import TimeCode


@pytest.fixture
def tags(tmp_path, exiftool):
    """Write a frame and return the tags that ExifTool reads."""

    def write(frame, **options):
        path = tmp_path / "CLIP_000000.dng"
        write_dng(frame, path, overwrite=True, **options)
        return exiftool(path)

    return write


def test_every_tag_of_a_frame(tags):
    frame = make_frame(phase=CfaPhase.GBRG, orientation=6, default_crop=Rect(2, 4, 16, 24), bits=14)
    found = tags(frame, rate=Fraction(24000, 1001), reel="CLIP")
    expected = {
        "IFD0:SubfileType": 0,
        "IFD0:ImageWidth": 34,
        "IFD0:ImageHeight": 22,
        "IFD0:BitsPerSample": 16,
        "IFD0:Compression": 7,
        "IFD0:PhotometricInterpretation": 32803,
        "IFD0:Make": "Acme",
        "IFD0:Model": "Filmer 3000",
        "IFD0:UniqueCameraModel": "Acme Filmer 3000",
        "IFD0:Orientation": 6,
        "IFD0:SamplesPerPixel": 1,
        "IFD0:RowsPerStrip": 22,
        "IFD0:PlanarConfiguration": 1,
        "IFD0:ModifyDate": "2024:02:29 23:59:58",
        "IFD0:CFARepeatPatternDim": "2 2",
        "IFD0:CFAPattern2": "1 2 0 1",
        "IFD0:CFAPlaneColor": "0 1 2",
        "IFD0:CFALayout": 1,
        "IFD0:DNGVersion": "1 4 0 0",
        "IFD0:DNGBackwardVersion": "1 3 0 0",
        "IFD0:BlackLevelRepeatDim": "2 2",
        "IFD0:BlackLevel": "16 17 18 19",
        "IFD0:WhiteLevel": 16383,
        "IFD0:DefaultScale": "1 1",
        "IFD0:ActiveArea": "0 0 22 34",
        "IFD0:DefaultCropOrigin": "4 2",
        "IFD0:DefaultCropSize": "24 16",
        "IFD0:ColorMatrix1": "0.7564 -0.2316 -0.0731 -0.4118 1.2246 0.2101 -0.063 0.1484 0.5814",
        "IFD0:CalibrationIlluminant1": 21,
        "IFD0:AsShotNeutral": "0.473 1 0.6295",
        "IFD0:ReelName": "CLIP",
        "ExifIFD:ExposureTime": pytest.approx(1 / 48),
        "ExifIFD:FNumber": 2.8,
        "ExifIFD:ISO": 800,
        "ExifIFD:FocalLength": 35,
        "ExifIFD:LensModel": "Acme 35mm F1.4",
        "ExifIFD:DateTimeOriginal": "2024:02:29 23:59:58",
    }
    assert {name: found[name] for name in expected} == expected
    assert found["IFD0:FrameRate"] == pytest.approx(24000 / 1001)
    assert found["IFD0:Software"].startswith("rvdtool ")


def test_exiftool_understands_the_time_code(tmp_path, exiftool):
    path = tmp_path / "a.dng"
    write_dng(make_frame(), path, time_code=TimeCode(24 * 3723 + 5, Fraction(24)))
    assert exiftool(path, numbers=False)["IFD0:TimeCodes"] == "01:02:03.05"


def test_fractions_of_black_levels_are_kept(tags):
    assert (
        tags(make_frame(black=(63.25, 64.5, 64.0, 63.9)))["IFD0:BlackLevel"] == "63.25 64.5 64 63.9"
    )


def test_levels_with_long_fractions(tmp_path):
    """A rational's parts have 32 bits, so large numbers have coarser fractions."""
    black = (2048.123456, 8191.1234567, 65000.1234567, 0.3333333333)
    path = tmp_path / "a.dng"
    write_dng(make_frame(bits=16, black=black), path)
    assert read_raw(path).black == pytest.approx(black, abs=1e-4)


def test_nothing_is_said_that_nobody_knows(tags):
    found = tags(make_frame(exposure=Exposure()))
    unknown = {"ModifyDate", "ExposureTime", "FNumber", "ISO", "FrameRate", "TimeCodes", "ReelName"}
    assert not unknown & {name.split(":")[-1] for name in found}


def test_a_camera_without_matrix_gets_a_neutral_one(tmp_path, adobe, tags):
    """Adobe's SDK doesn't open colour DNGs without ColorMatrix1."""
    profile = CameraProfile(unique_model="unknown camera", as_shot_neutral=(1.0, 1.0, 1.0))
    frame = make_frame(profile=profile)
    assert tags(frame)["IFD0:ColorMatrix1"].startswith("3.2406 -1.5372")
    write_dng(frame, tmp_path / "a.dng")
    assert np.array_equal(adobe(tmp_path / "a.dng").raw_pixels[..., 0], frame.mosaic)


def test_exif_as_adobe_reads_it(tmp_path, adobe):
    write_dng(make_frame(), tmp_path / "a.dng")
    exif = adobe(tmp_path / "a.dng").exif
    assert (exif.iso, exif.f_number, exif.focal_length) == (800, 2.8, 35)
    assert exif.exposure_time == pytest.approx(1 / 48, rel=0.1)  # the SDK rounds it to 1/45
    assert exif.date_time_original == "2024-02-29T23:59:58"


@pytest.mark.parametrize("compression", ["ljpeg", "none"])
def test_the_raw_image_is_one_strip_in_the_only_ifd(compression):
    """Resolve looks only there; LibRaw fails on several strips of lossless JPEG."""
    with tifffile.TiffFile(BytesIO(encode_dng(make_frame(), compression=compression))) as tiff:
        assert len(tiff.pages) == 1
        page = tiff.pages.first
        assert page.pages is None
        assert len(page.dataoffsets) == 1
        assert page.dataoffsets[0] + page.databytecounts[0] == tiff.filehandle.size
        assert page.bitspersample == 16
        codes = [tag.code for tag in page.tags]
        assert codes == sorted(set(codes))  # TIFF 6.0: ascending, none twice
        assert np.array_equal(page.asarray().squeeze(), make_frame().mosaic)


def test_lossless_jpeg_is_smaller_on_pictures():
    ramp = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint16)
    frame = make_frame(mosaic=ramp, bits=12)
    assert len(encode_dng(frame)) < 0.5 * len(encode_dng(frame, compression="none"))


def test_the_same_frame_gives_the_same_bytes():
    assert encode_dng(make_frame()) == encode_dng(make_frame())


def test_what_is_carried_from_the_cameras_dng_and_what_is_not(tmp_path):
    carried = (
        (50722, 10, 9, (1, 2) * 9),  # ColorMatrix2
        (50779, 3, 1, 17),  # CalibrationIlluminant2
        (50723, 10, 9, (1, 1, 0, 1, 0, 1) * 3),  # CameraCalibration1
        (50727, 5, 3, (9, 10, 1, 1, 11, 10)),  # AnalogBalance
        (50964, 10, 9, (2, 5) * 9),  # ForwardMatrix1
        (50730, 10, 1, (-35, 100)),  # BaselineExposure
        (51041, 12, 2, (1e-4, 1e-8)),  # NoiseProfile
        (50734, 5, 1, (98, 100)),  # LinearResponseLimit
        (50936, 2, 0, "Acme Cinematic"),  # ProfileName
        (50937, 4, 3, (2, 2, 1)),  # ProfileHueSatMapDims
        (50938, 11, 12, (1.5, 0.25) * 6),  # ProfileHueSatMapData1
        (50940, 11, 4, (0.0, 0.0, 1.0, 1.0)),  # ProfileToneCurve
        (50736, 5, 4, (24, 1, 70, 1, 28, 10, 28, 10)),  # LensInfo
        (51022, 7, 4, bytes(4)),  # OpcodeList3
    )
    dropped = (
        (700, 1, 4, b"<x/>"),  # XMP
        (50712, 3, 4096, tuple(range(4096))),  # LinearizationTable
        (50740, 1, 8, b"Acme\0\1\2\3"),  # DNGPrivateData
        (50781, 1, 16, bytes(16)),  # RawDataUniqueID
        (50827, 2, 0, "IMG.ACM"),  # OriginalRawFileName
        (50830, 4, 4, (0, 0, 24, 4)),  # MaskedAreas
        (51111, 1, 16, bytes(range(16))),  # NewRawImageDigest
        (52525, 7, 4, bytes(4)),  # ProfileGainTableMap
    )
    area = (50829, 4, 4, (0, 4, 24, 40))
    source = tmp_path / "camera.dng"
    mosaic = np.full((24, 40), 1000, np.uint16)
    write_camera_dng(source, mosaic, area, *carried, *dropped)
    ours = tmp_path / "ours.dng"
    write_dng(read_raw(source), ours)
    assert read_raw(source).profile.dropped == ("ProfileGainTableMap",)
    with tifffile.TiffFile(ours) as after, tifffile.TiffFile(source) as before:
        found, given = after.pages.first.tags, before.pages.first.tags
        for code, dtype, *_ in carried:
            assert found[code].value == given[code].value, code
            assert found[code].dtype == dtype, code
        for code, *_ in dropped:
            assert code in given, code
            assert code not in found, code


def test_opcodes_on_the_stored_image_go_with_its_border(tmp_path):
    """OpcodeList1 counts from the stored image's corner, which a cropped mosaic no longer has."""
    opcodes = (51008, 7, 24, bytes.fromhex("00000001 00000004 01030000 00000001 00000004 00000000"))
    mosaic = np.full((24, 40), 1000, np.uint16)
    whole = read_raw(write_camera_dng(tmp_path / "whole.dng", mosaic, opcodes))
    bordered = (50829, 4, 4, (0, 4, 24, 40))
    part = read_raw(write_camera_dng(tmp_path / "part.dng", mosaic, opcodes, bordered))
    assert [tag.code for tag in whole.profile.tags] == [51008]
    assert part.profile.tags == ()
    assert part.profile.dropped == ("FixBadPixelsConstant (OpcodeList1)",)


def test_too_small_a_frame_is_refused():
    with pytest.raises(RawError, match="21×34 opens in few programs"):
        encode_dng(make_frame((21, 34)))


def test_nothing_is_overwritten_unasked(tmp_path):
    path = tmp_path / "a.dng"
    write_dng(make_frame(), path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="already exists"):
        write_dng(make_frame(bits=14), path)
    assert path.read_bytes() == before
    write_dng(make_frame(bits=14), path, overwrite=True)
    assert read_raw(path).bits == 14


def test_a_turned_frame_looks_like_its_source(tmp_path):
    """Rotated pixels and an orientation tag give the same picture in an independent reader."""
    frame = make_frame((48, 64), mosaic=smooth((48, 64)), orientation=6)
    by_tag = develop(encode_dng(frame))
    by_pixels = develop(encode_dng(orient(frame)))
    assert by_tag.shape == (64, 48, 3)
    assert np.abs(by_tag.astype(int) - by_pixels.astype(int))[4:-4, 4:-4].mean() < 2


def test_our_frame_looks_like_the_cameras_own(tmp_path):
    """The camera's DNG and ours have the same colours, brightness and orientation."""
    border = np.pad(smooth((48, 64)), ((2, 2), (4, 4)))
    source = write_camera_dng(
        tmp_path / "camera.dng",
        border,
        (50829, 4, 4, (2, 4, 50, 68)),
        (274, 3, 1, 6),
        (50730, 10, 1, (50, 100)),
    )
    frame = read_raw(source)
    assert frame.profile.as_shot_neutral == CAMERA.as_shot_neutral
    for compression in ("ljpeg", "none"):
        ours = develop(encode_dng(frame, compression=compression))
        theirs = develop(source.read_bytes())
        assert ours.shape == (64, 48, 3)
        assert np.array_equal(ours, theirs)
    # The comparison can fail: other colours and another orientation are seen.
    other = replace(frame, profile=replace(frame.profile, as_shot_neutral=(1.0, 1.0, 1.0)))
    assert np.abs(develop(encode_dng(other)).astype(int) - theirs).mean() > 5
    assert develop(encode_dng(replace(frame, orientation=1))).shape == (48, 64, 3)


def smooth(size):
    """A mosaic of soft colour patches, brighter to the top left, 12 bits."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    light = 3800 - 20 * rows - 30 * columns
    color = np.choose((rows % 2) + (columns % 2), [0.6, 1.0, 0.4 + 0.3 * (columns > 30)])
    return (64 + light * color).astype(np.uint16)


def develop(dng):
    with rawpy.imread(BytesIO(dng)) as raw:
        return raw.postprocess(use_camera_wb=True, no_auto_bright=True, adjust_maximum_thr=0)
