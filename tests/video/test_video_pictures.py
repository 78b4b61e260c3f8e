"""Folders of JPEGs and TIFFs, and which pictures of a folder form a sequence."""

import struct
import subprocess
import zlib
from fractions import Fraction
from pathlib import Path

import av
import imagecodecs
import numpy as np
import pytest
import tifffile
from video_clips import picture

from rvdtool.errors import VideoError
from rvdtool.video.decode import Assume, probe, read_frames
from rvdtool.video.png import write_png
from rvdtool.video.source import FileSource, open_source


def write_jpeg(path: Path, index: int, pixel_format: str = "yuvj420p") -> None:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, pixel_format
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qscale": "2"}
    frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24").reformat(format=pixel_format)
    frame.pts = 0
    path.write_bytes(b"".join(map(bytes, [*encoder.encode(frame), *encoder.encode(None)])))


@pytest.mark.parametrize("pixel_format", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_jpegs_equal_motion_jpeg_of_the_same_bytes(pixel_format: str, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for k in range(3):
        write_jpeg(folder / f"{k}.jpg", k, pixel_format)
    source = open_source(folder)
    info = probe(source)
    assert (info.codec, info.bits, info.frame_count, info.rotation) == ("mjpeg", 8, 3, 0)
    assert (info.color.matrix.value, info.color.range.value) == ("bt601", "full")
    with av.open(str(tmp_path / "clip.mov"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        for k in range(3):
            packet = av.Packet((folder / f"{k}.jpg").read_bytes())
            packet.stream, packet.pts, packet.dts = stream, k, k
            packet.time_base, packet.is_keyframe = 1 / info.rate, True
            container.mux(packet)
    clip = FileSource(tmp_path / "clip.mov")
    for one, other in zip(read_frames(source, info), read_frames(clip, probe(clip)), strict=True):
        np.testing.assert_array_equal(one.rgb, other.rgb)


@pytest.mark.usefixtures("programs")
def test_the_orientation_of_jpegs_is_the_videos_rotation(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "1.jpg", 0)
    subprocess.run(
        ["exiftool", "-q", "-overwrite_original", "-Orientation#=6", str(tmp_path / "1.jpg")],
        check=True,
    )
    source = open_source(tmp_path)
    assert probe(source).rotation == 90
    assert len(list(read_frames(source, probe(source)))) == 1
    write_jpeg(tmp_path / "2.jpg", 0)
    with pytest.raises(VideoError, match=r"2\.jpg: 64×48.*1\.jpg.*rotated by 90°"):
        probe(open_source(tmp_path))


def test_a_damaged_jpeg_is_named(tmp_path: Path) -> None:
    """Decoders of stills fill in what is missing, but a frame must not be half grey."""
    for k in range(2):
        write_jpeg(tmp_path / f"{k}.jpg", k)
    source, info = open_source(tmp_path), probe(open_source(tmp_path))
    path = tmp_path / "1.jpg"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(VideoError, match=r"1\.jpg.*cut off"):
        list(read_frames(source, info))
    for content in (b"", whole[:2], whole[:30], b"\xff\xd8\xff\xda" + bytes(40)):
        path.write_bytes(content)
        with pytest.raises(VideoError, match=r"1\.jpg"):
            probe(source)


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 16)])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "byteorder": ">"}])
def test_tiffs_are_read_exactly(
    dtype: type, bits: int, options: dict[str, str], tmp_path: Path
) -> None:
    peak = np.iinfo(dtype).max
    frames = np.random.default_rng(0).integers(0, peak, (2, 13, 17, 3), dtype, endpoint=True)
    byteorder = options.pop("byteorder", "<") if options else "<"
    for k, rgb in enumerate(frames):
        with tifffile.TiffWriter(tmp_path / f"f{k}.tif", byteorder=byteorder) as writer:
            writer.write(rgb, photometric="rgb", **options)
    source = open_source(tmp_path)
    info = probe(source)
    assert (info.codec, info.bits, info.width, info.height) == ("tiff", bits, 17, 13)
    for frame, rgb in zip(read_frames(source, info), frames, strict=True):
        assert frame.rgb.dtype == dtype
        np.testing.assert_array_equal(frame.rgb, rgb)


@pytest.mark.parametrize(
    ("shape", "photometric", "says"),
    [
        ((13, 17), "minisblack", "1 × 16 bit"),
        ((13, 17, 4), "rgb", "4 × 16 bit.*rgb48le"),
        ((2, 13, 17, 3), "rgb", "2 pages"),
    ],
)
def test_other_tiffs(shape: tuple[int, ...], photometric: str, says: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "1.tiff", np.zeros(shape, np.uint16), photometric=photometric)
    with pytest.raises(VideoError, match=rf"1\.tiff.*{says}"):
        probe(open_source(tmp_path))


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_advice_for_transparent_pictures_works(
    dtype: type[np.unsignedinteger], tmp_path: Path
) -> None:
    peak = np.iinfo(dtype).max
    rgba = np.random.default_rng(0).integers(0, peak, (13, 17, 4), dtype, endpoint=True)
    for suffix in ("png", "tiff"):
        folder = tmp_path / suffix
        folder.mkdir()
        source = folder / f"1.{suffix}"
        if suffix == "png":
            source.write_bytes(imagecodecs.png_encode(rgba))
        else:
            tifffile.imwrite(source, rgba, photometric="rgb", extrasamples=["unassalpha"])
        with pytest.raises(VideoError) as refused:
            probe(open_source(folder))
        command = str(refused.value).split("(ffmpeg ")[1].split(")")[0].split()
        converted = folder / f"2.{suffix}"
        places = {f"IN.{suffix}": str(source), f"OUT.{suffix}": str(converted)}
        arguments = [places.get(word, word) for word in command]
        subprocess.run(["ffmpeg", "-v", "error", *arguments], check=True)
        source.unlink()
        opened = open_source(folder)
        (frame,) = read_frames(opened, probe(opened))
        np.testing.assert_array_equal(frame.rgb, rgba[..., :3])


def names_in(folder: Path, names: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        write_png(picture(0), folder / name)
    return folder


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a1.png", "a2.png", "a4.png"], r"a gap: a4\.png follows a2\.png"),
        (["1.png", "01.png"], "don't differ in exactly one number"),
        (["shot1_1.png", "shot1_2.png", "shot2_3.png"], "don't differ in exactly one number"),
        (["1.png", "2.png", "cover.png"], "different patterns"),
        (["a1.png", "b2.png"], "different patterns"),
    ],
)
def test_pictures_that_are_not_a_sequence(names: list[str], says: str, tmp_path: Path) -> None:
    folder = names_in(tmp_path / "clip", names)
    with pytest.raises(VideoError, match=f"{says}.*--as-listed"):
        open_source(folder)
    assert len(open_source(folder, as_listed=True).frames) == len(names)


@pytest.mark.parametrize(
    "names",
    [
        ["9.png", "10.png", "11.png"],
        ["shot2_0098.png", "shot2_0099.png", "shot2_0100.png"],
        ["f_7_1080p.png", "F_8_1080p.png"],
        ["only.png"],
    ],
)
def test_pictures_that_are_a_sequence(names: list[str], tmp_path: Path) -> None:
    source = open_source(names_in(tmp_path / "clip", names))
    assert [frame.path.name for frame in source.frames] == names


def test_pictures_of_several_kinds_and_an_assumed_rate(tmp_path: Path) -> None:
    folder = names_in(tmp_path / "clip", ["1.png", "2.png"])
    said: list[str] = []
    open_source(folder, say=said.append)
    assert len(said) == 1
    assert "30 per second is assumed; --rate" in said[0]
    said.clear()
    open_source(folder, rate=probe(open_source(folder)).rate, say=said.append)
    assert said == []
    write_jpeg(folder / "3.jpg", 0)
    with pytest.raises(VideoError, match="different kinds"):
        open_source(folder)


def icc(name: str, version: int) -> bytes:
    """A profile that contains only its description."""
    if version == 2:
        text = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name.encode() + b"\0" * 80
    else:
        words = name.encode("utf-16-be")
        text = b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(words), 28) + words
    return bytes(128) + struct.pack(">I4sII", 1, b"desc", 144, len(text)) + text


def write_with_profile(folder: Path, suffix: str, profile: bytes) -> None:
    path = folder / f"1.{suffix}"
    if suffix == "tiff":
        tag = [(34675, "B", len(profile), profile, True)]
        tifffile.imwrite(path, picture(0), photometric="rgb", extratags=tag)
    elif suffix == "png":
        write_png(picture(0), path, overwrite=True)
        png = path.read_bytes()
        chunk = b"iCCPname\0\0" + zlib.compress(profile)
        head = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        path.write_bytes(png[:33] + head + png[33:])
    else:
        write_jpeg(path, 0)
        data = path.read_bytes()
        halves = [profile[:50], profile[50:]]
        for number, part in reversed(list(enumerate(halves, 1))):
            body = b"ICC_PROFILE\0" + bytes([number, 2]) + part
            data = data[:2] + b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body + data[2:]
        path.write_bytes(data)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff"])
@pytest.mark.parametrize("version", [2, 4])
def test_profiles_that_are_not_srgb_are_refused(suffix: str, version: int, tmp_path: Path) -> None:
    write_with_profile(tmp_path, suffix, icc("sRGB IEC61966-2.1", version))
    assert probe(open_source(tmp_path)).frame_count == 1
    write_with_profile(tmp_path, suffix, icc("Display P3", version))
    with pytest.raises(VideoError, match="ICC profile 'Display P3'") as refused:
        probe(open_source(tmp_path))
    assume = Assume.parse(str(refused.value).split("--assume ")[1])
    source = open_source(tmp_path)
    info = probe(source, assume)
    assert (info.color.primaries.value, info.color.primaries.source) == ("bt709", "user")
    assert len(list(read_frames(source, info))) == 1
    write_with_profile(tmp_path, suffix, icc("x", version)[:140])
    with pytest.raises(VideoError, match=r"ICC profile '(unnamed|name)'"):
        probe(open_source(tmp_path))


@pytest.mark.parametrize("kind", ["png", "jpg", "tiff"])
def test_a_picture_of_an_absurd_size_is_refused_by_its_header(tmp_path: Path, kind: str) -> None:
    """30000×30000: as the clip's first picture, and later in place of a probed one."""
    path = tmp_path / f"1.{kind}"
    if kind == "png":
        write_png(picture(0), path)
        where = path.read_bytes().index(b"IHDR") + 4
        places = {where: ">I", where + 4: ">I"}
    elif kind == "jpg":
        write_jpeg(path, 0)
        where = path.read_bytes().index(b"\xff\xc0") + 5
        places = {where: ">H", where + 2: ">H"}
    else:
        tifffile.imwrite(path, picture(0), photometric="rgb", compression="deflate")
        with tifffile.TiffFile(path) as tiff:
            tags = [tiff.pages.first.tags[name] for name in ("ImageWidth", "ImageLength")]
            places = {tag.valueoffset: "<H" for tag in tags}
    source, info = open_source(tmp_path), probe(open_source(tmp_path))
    data = bytearray(path.read_bytes())
    for where, form in places.items():
        struct.pack_into(form, data, where, 30_000)
    path.write_bytes(data)
    with pytest.raises(VideoError, match="30000×30000"):
        probe(source)
    with pytest.raises(VideoError, match="30000×30000"):
        list(read_frames(source, info))
