"""Start time code and date, as ffmpeg writes them into containers that have them."""

import struct
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_clips import make_clip, picture

from rvdtool.delivery.labels import _of_file
from rvdtool.video.clip import ClipTags, read_clip_tags
from rvdtool.video.png import write_png
from rvdtool.video.sound import list_tracks
from rvdtool.video.source import FileSource, open_source

pytestmark = pytest.mark.usefixtures("programs")


def rewritten(tmp_path: Path, suffix: str, *options: str, inputs: Sequence[str] = ()) -> FileSource:
    path = tmp_path / f"clip.{suffix}"
    picture = "testsrc2=size=64x48:rate=30000/1001:duration=0.2"
    codec = "mpeg2video" if suffix == "mxf" else "libx264"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture, *inputs, "-c:v", codec]
    subprocess.run([*command, *options, str(path)], check=True)
    return FileSource(path)


@pytest.mark.parametrize("suffix", ["mov", "mp4", "mkv", "mxf"])
@pytest.mark.parametrize("code", ["14:23:11:05", "14:23:11;05"])
def test_time_code(suffix: str, code: str, tmp_path: Path) -> None:
    source = rewritten(tmp_path, suffix, "-timecode", code)
    for stream in (None, 0):
        assert read_clip_tags(source, stream).time_code == code


@pytest.mark.parametrize("suffix", ["mov", "mp4", "mkv"])
def test_date(suffix: str, tmp_path: Path) -> None:
    source = rewritten(tmp_path, suffix, "-metadata", "creation_time=2026-01-02T03:04:05.000000Z")
    assert read_clip_tags(source, None) == ClipTags(recorded="2026-01-02 03:04:05")


def test_files_without_metadata(tmp_path: Path) -> None:
    assert read_clip_tags(FileSource(make_clip(tmp_path / "clip.ts")), None) == ClipTags()
    (tmp_path / "frames").mkdir()
    write_png(np.ascontiguousarray(picture(0)), tmp_path / "frames" / "1.png")
    assert read_clip_tags(open_source(tmp_path / "frames"), None) == ClipTags()


def test_other_content(tmp_path: Path) -> None:
    """As in the file; time code and sound aren't listed, as they are delivered."""
    (tmp_path / "words.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    (tmp_path / "places.bin").write_bytes(bytes(64))
    chapter = "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=100\n"
    (tmp_path / "tags.txt").write_text(f";FFMETADATA1\nlocation=+52.5+013.4/\n{chapter}")
    extra = ["-f", "lavfi", "-i", "sine=d=0.2", "-i", str(tmp_path / "words.srt")]
    extra += ["-f", "data", "-i", str(tmp_path / "places.bin"), "-i", str(tmp_path / "tags.txt")]
    maps = [part for number in range(4) for part in ("-map", str(number))]
    maps += ["-map_metadata", "4", "-map_chapters", "4", "-metadata:s:a:0", "language=eng"]
    codes = ["-c:a", "pcm_s16le", "-c:s", "mov_text", "-c:d", "copy", "-tag:d", "gpmd"]
    options = [*maps, *codes, "-timecode", "01:00:00:00"]
    source = rewritten(tmp_path, "mov", *options, inputs=extra)
    tags = read_clip_tags(source, None)
    assert tags.time_code == "01:00:00:00"
    subtitles, data, *_, chapters, position = tags.others  # chapters without names have no stream
    assert subtitles.startswith("stream 2 (subtitles, ")
    assert data == "stream 3 (data, GoPro MET)"
    assert (chapters, position) == ("1 chapter", "GPS position")
    ((track,), unknown) = list_tracks(source)
    assert (track.title, unknown) == ("eng", [])


def test_pictures_and_files_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("scene 3")
    extra = ["-attach", str(tmp_path / "notes.txt"), "-metadata:s:t", "mimetype=text/plain"]
    source = rewritten(tmp_path, "mkv", *extra)
    assert read_clip_tags(source, None).others == ("stream 1 (attachment, notes.txt)",)
    write_png(np.ascontiguousarray(picture(0)), tmp_path / "cover.png")
    options = ["-map", "0", "-map", "1", "-c:v:1", "copy", "-disposition:v:1", "attached_pic"]
    source = rewritten(tmp_path, "mp4", *options, inputs=["-i", str(tmp_path / "cover.png")])
    assert read_clip_tags(source, None).others == ("stream 1 (cover art)",)


def paired(path: Path) -> None:
    """Make a MOV's time code track number pairs of frames, as some cameras of 60 a second do."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = next(container.demux(container.streams.data[0]))
        place, counter = packet.pos, int.from_bytes(bytes(packet))
    data[place : place + 4] = (counter // 2).to_bytes(4)
    entry = data.index(b"tmcd", data.index(b"stsd", data.index(b"gmhd"))) + 4 + 16
    timescale, duration, frames = struct.unpack_from(">IIB", data, entry)
    assert (timescale, duration, frames) == (60000, 1001, 60)
    struct.pack_into(">IIB", data, entry, timescale, 2 * duration, 30)
    path.write_bytes(data)


@pytest.mark.parametrize("mark", [":", ";"])
def test_labels_may_number_pairs_of_frames(mark: str, tmp_path: Path) -> None:
    code = f"14:23:11{mark}10"
    source = rewritten(tmp_path, "mov", "-r", "60000/1001", "-timecode", code)
    assert (read_clip_tags(source, 0).time_code, read_clip_tags(source, 0).base) == (code, 60)
    paired(source.path)
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "stream_tags=timecode", "-of", "csv=p=0",
         str(source.path)],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert set(shown) == {f"14:23:11{mark}05"}
    tags = read_clip_tags(source, 0)
    assert (tags.time_code, tags.base) == (f"14:23:11{mark}05", 30)
    assert str(_of_file(tags, tags.time_code, Fraction(60000, 1001))) == code
