"""A folder of PNGs: lossless, in order, and uniform."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from video_clips import picture

from rvdtool.errors import OutputError, UsageError, VideoError
from rvdtool.video.decode import Assume, probe, read_frames
from rvdtool.video.png import write_png
from rvdtool.video.source import ImageSource, SliceSource, open_source

SIGNATURE_AND_IHDR = 8 + 25


def noise(dtype: type[np.unsignedinteger], seed: int = 0) -> NDArray[np.unsignedinteger]:
    peak = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, peak, (13, 17, 3), dtype, endpoint=True)


def insert_chunk(path: Path, kind: bytes, data: bytes) -> None:
    """Insert a chunk after IHDR."""
    png = path.read_bytes()
    chunk = struct.pack(">I", len(data)) + kind + data
    chunk += struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(png[:SIGNATURE_AND_IHDR] + chunk + png[SIGNATURE_AND_IHDR:])


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 16)])
def test_written_pngs_are_read_unchanged(
    dtype: type[np.unsignedinteger], bits: int, tmp_path: Path
) -> None:
    frames = [noise(dtype, seed) for seed in range(3)]
    for name, rgb in zip(("7.png", "9.png", "100.png"), frames, strict=True):  # gaps are no frames
        write_png(rgb, tmp_path / name)
    source = open_source(tmp_path, rate=Fraction(24), as_listed=True)
    info = probe(source)
    assert (info.width, info.height, info.bits, info.codec) == (17, 13, bits, "png")
    assert (info.frame_count, info.rate, info.rotation) == (3, 24, 0)
    assert [t * info.time_base for t in info.timestamps] == [0, Fraction(1, 24), Fraction(2, 24)]
    read = list(read_frames(source, info))
    assert [(f.index, f.pts) for f in read] == [(0, 0), (1, 1), (2, 2)]
    for frame, rgb in zip(read, frames, strict=True):
        assert frame.rgb.dtype == dtype
        np.testing.assert_array_equal(frame.rgb, rgb)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_programs_read_our_pngs(dtype: type[np.unsignedinteger], tmp_path: Path) -> None:
    rgb = noise(dtype)
    write_png(rgb, tmp_path / "frame.png")
    with av.open(str(tmp_path / "frame.png")) as container:
        (frame,) = container.decode(video=0)
        pixels = frame.to_ndarray(format="rgb24" if dtype == np.uint8 else "rgb48le")
    np.testing.assert_array_equal(pixels, rgb)


def test_pngs_in_an_archive(tmp_path: Path) -> None:
    archive, slices, frames = tmp_path / "all", [], [noise(np.uint8, seed) for seed in range(3)]
    with archive.open("wb") as file:
        for k, rgb in enumerate(frames):
            write_png(rgb, tmp_path / f"{k}.png")
            data = (tmp_path / f"{k}.png").read_bytes()
            file.write(bytes(k + 1))
            slices.append(SliceSource(archive, file.tell(), len(data)))
            file.write(data)
    source = ImageSource(tuple(slices), Fraction(30))
    for frame, rgb in zip(read_frames(source, probe(source)), frames, strict=True):
        np.testing.assert_array_equal(frame.rgb, rgb)


def test_untagged_pngs_are_assumed_to_be_srgb(tmp_path: Path) -> None:
    write_png(picture(0), tmp_path / "1.png")
    color = probe(open_source(tmp_path)).color
    found = [(t.value, t.source) for t in (color.matrix, color.range, color.transfer)]
    assert found == [("rgb", "stream"), ("full", "stream"), ("iec61966-2-1", "assumed")]
    insert_chunk(tmp_path / "1.png", b"sRGB", b"\0")
    assert probe(open_source(tmp_path)).color.transfer.source == "stream"


def test_a_png_may_leave_its_colour_unspecified(tmp_path: Path) -> None:
    write_png(picture(0), tmp_path / "1.png")
    insert_chunk(tmp_path / "1.png", b"cICP", bytes([2, 2, 0, 1]))
    assert probe(open_source(tmp_path)).color.transfer.source == "assumed"


@pytest.mark.parametrize(
    ("cicp", "says"), [((1, 16), "smpte2084"), ((1, 18), "HLG"), ((12, 13), "P3"), ((9, 1), "wide")]
)
def test_hdr_and_wide_pngs_are_refused(cicp: tuple[int, int], says: str, tmp_path: Path) -> None:
    """As FFmpeg writes them when it turns an HDR clip into PNGs (PNG 3rd edition, 11.3.2.6)."""
    write_png(picture(0), tmp_path / "1.png")
    insert_chunk(tmp_path / "1.png", b"cICP", bytes([*cicp, 0, 1]))
    source = open_source(tmp_path)
    with pytest.raises(VideoError, match=says):
        probe(source)
    assert probe(source, Assume(transfer="bt709", primaries="bt709")).frame_count == 1


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((13, 17), "is grey;"),
        ((13, 17, 2), "is grey with an alpha channel"),
        ((13, 17, 4), "is RGB with an alpha channel"),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_kinds_of_png(
    shape: tuple[int, ...], says: str, dtype: type[np.unsignedinteger], tmp_path: Path
) -> None:
    write_png(noise(dtype), tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(imagecodecs.png_encode(np.zeros(shape, dtype)))
    with pytest.raises(VideoError, match=rf"2\.png.*{says}.*plain RGB"):
        probe(open_source(tmp_path))


def test_palette_and_transparent_pngs(tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    write_png(picture(0), path)
    png = bytearray(path.read_bytes())
    png[25] = 3  # IHDR: colour type
    path.write_bytes(png)
    with pytest.raises(VideoError, match="is of colours from a palette"):
        probe(open_source(tmp_path))
    write_png(picture(0), path, overwrite=True)
    insert_chunk(path, b"tRNS", bytes(6))
    with pytest.raises(VideoError, match="is RGB with a transparent colour"):
        probe(open_source(tmp_path))


def test_mixed_sizes_and_depths_are_named(tmp_path: Path) -> None:
    write_png(noise(np.uint8), tmp_path / "1.png")
    write_png(noise(np.uint8)[1:], tmp_path / "2.png")
    with pytest.raises(VideoError, match=r"2\.png: 17×12, 8 bit.*1\.png: 17×13, 8 bit"):
        probe(open_source(tmp_path))
    write_png(noise(np.uint16), tmp_path / "2.png", overwrite=True)
    with pytest.raises(VideoError, match=r"17×13, 16 bit.*17×13, 8 bit"):
        probe(open_source(tmp_path))


def test_damaged_pngs(tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    write_png(noise(np.uint8), path)
    whole = path.read_bytes()
    source, info = open_source(tmp_path), probe(open_source(tmp_path))
    for content in (b"", b"no PNG at all", whole[:8], whole[:30], whole[:8] + b"\0\0\0\0IDAT"):
        path.write_bytes(content)
        with pytest.raises(VideoError, match=r"1\.png"):
            probe(source)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match=r"1\.png: damaged"):
        list(read_frames(source, info))


def test_frames_that_differ_from_the_probed_ones(tmp_path: Path) -> None:
    write_png(noise(np.uint8), tmp_path / "1.png")
    write_png(noise(np.uint8), tmp_path / "2.png")
    source = open_source(tmp_path)
    info = probe(source)
    write_png(noise(np.uint8)[1:], tmp_path / "2.png", overwrite=True)
    with pytest.raises(VideoError, match=r"2\.png"):
        list(read_frames(source, info))
    (tmp_path / "2.png").unlink()
    with pytest.raises(VideoError, match="1 pictures, but 2"):
        list(read_frames(open_source(tmp_path), info))


def test_write_png_overwrites_only_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    write_png(picture(0), path)
    with pytest.raises(OutputError, match="already exists"):
        write_png(picture(1), path)
    write_png(picture(1), path, overwrite=True)
    np.testing.assert_array_equal(imagecodecs.png_decode(path.read_bytes()), picture(1))


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))]
)
def test_write_png_takes_frames_only(array: NDArray[np.generic], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="uint8 or uint16"):
        write_png(array, tmp_path / "1.png")
    assert not list(tmp_path.iterdir())
