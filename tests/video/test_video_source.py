"""Sources: files, ranges of files, folders; a range must read like a file."""

import gc
import io
import warnings
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from video_clips import B_FRAMES, make_clip, picture

from rvdtool.errors import InputError, UsageError, VideoError
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.png import write_png
from rvdtool.video.source import (
    DEFAULT_IMAGE_RATE,
    FileSource,
    ImageSource,
    SliceSource,
    open_bytes,
    open_source,
)

DATA = bytes(range(200))
STEP = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 150)),
    st.tuples(st.just("readinto"), st.integers(0, 150)),
    st.tuples(st.just("set"), st.integers(0, 150)),
    st.tuples(st.just("current"), st.integers(-5, 50)),
    st.tuples(st.just("end"), st.integers(-100, 20)),
)


def play(file: io.RawIOBase | io.BytesIO, steps: list[tuple[str, int]]) -> list[object]:
    """The results of reading a source."""
    answers: list[object] = []
    for what, number in steps:
        if what == "read":
            answers.append(file.read(number))
        elif what == "readinto":
            buffer = bytearray(number)
            answers.append((file.readinto(buffer), bytes(buffer)))
        elif what != "current" or file.tell() + number >= 0:
            whence = {"set": io.SEEK_SET, "current": io.SEEK_CUR, "end": io.SEEK_END}[what]
            answers.append(file.seek(number, whence))
        answers.append(file.tell())
    return answers


@given(steps=st.lists(STEP, max_size=12))
def test_a_slice_reads_like_a_file_of_its_bytes(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "data"
    path.write_bytes(DATA)
    with open_bytes(SliceSource(path, 30, 100)) as part:
        assert play(part, steps) == play(io.BytesIO(DATA[30:130]), steps)
        with pytest.raises(ValueError, match="seek"):
            part.seek(-1)
    with open_bytes(FileSource(path)) as whole:
        assert play(whole, steps) == play(io.BytesIO(DATA), steps)


def test_closing_a_slice_closes_the_file_under_it(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ResourceWarning)
        with open_bytes(SliceSource(path, 30, 100)) as part:
            part.read(1)
        del part
        gc.collect()
    assert [str(w.message) for w in seen] == []


def stored_member(archive: Path, name: str) -> SliceSource:
    """Offset and length of a stored member's bytes (APPNOTE.TXT, 4.3.7: the local header's
    length)."""
    with zipfile.ZipFile(archive) as file:
        entry = file.getinfo(name)
    header = archive.read_bytes()[entry.header_offset :][:30]
    length = 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return SliceSource(archive, entry.header_offset + length, entry.file_size)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_stored_zip_member_is_read_in_place(suffix: str, tmp_path: Path) -> None:
    codec = "mjpeg" if suffix == ".avi" else "libx264"
    pixel_format = "yuvj420p" if suffix == ".avi" else "yuv420p"
    path = make_clip(tmp_path / f"clip{suffix}", codec, pixel_format)
    archive = tmp_path / "bundle.rvd"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as bundle:
        bundle.writestr("mimetype", "application/x-test")
        bundle.write(path, f"video/clip{suffix}")
        bundle.writestr("after.bin", bytes(5000))
    member, plain = stored_member(archive, f"video/clip{suffix}"), FileSource(path)

    info = probe(member)

    assert info == probe(plain)
    pairs = list(zip(read_frames(member, info), read_frames(plain, info), strict=True))
    assert len(pairs) == 12
    for from_member, from_file in pairs:
        assert from_member.pts == from_file.pts
        np.testing.assert_array_equal(from_member.rgb, from_file.rgb)


def test_a_slice_beyond_the_files_end_is_cut_off(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", options=B_FRAMES)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2])
    with pytest.raises(VideoError):
        probe(SliceSource(path, 0, size))


def test_ffmpeg_does_not_interpret_file_names(tmp_path: Path) -> None:
    """`%03d` or `name:` must not be read as a pattern or protocol."""
    for name in ("clip%03d.mp4", "concat:clip.mp4", "ü日本.mp4", "clip", "clip.txt"):
        path = tmp_path / name
        make_clip(tmp_path / "clip.mp4").rename(path)
        assert probe(open_source(path)).frame_count == 12


def test_a_file_is_opened_as_a_file(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4")
    assert open_source(path) == FileSource(path)
    with pytest.raises(UsageError, match="frame rate"):
        open_source(path, rate=Fraction(25))
    with pytest.raises(InputError, match="no such file"):
        open_source(tmp_path / "none.mp4")


def test_a_folder_is_opened_in_natural_order(tmp_path: Path) -> None:
    names = ["a2.png", "a10.png", "a1.PNG", "a007.png", "B3.png", "b.png", "._a1.png", "notes.txt"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "c.png.part").write_bytes(b"")
    source = open_source(tmp_path, as_listed=True)
    assert isinstance(source, ImageSource)
    assert source.rate == DEFAULT_IMAGE_RATE
    assert [f.path.name for f in source.frames] == [
        "a1.PNG",
        "a2.png",
        "a007.png",
        "a10.png",
        "B3.png",
        "b.png",
    ]
    rate = Fraction(24000, 1001)
    assert open_source(tmp_path, rate=rate, as_listed=True) == ImageSource(source.frames, rate)


def test_a_folder_needs_pngs_and_a_rate_above_zero(tmp_path: Path) -> None:
    (tmp_path / "frame.gif").write_bytes(b"")
    with pytest.raises(VideoError, match="no PNG"):
        open_source(tmp_path)
    write_png(picture(0), tmp_path / "1.png")
    with pytest.raises(UsageError, match="above 0"):
        open_source(tmp_path, rate=Fraction(0))
