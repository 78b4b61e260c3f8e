"""Start time code and date, as ffmpeg writes them into the containers that have them."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from video_clips import make_clip, picture

from rvdtool.video.clip import ClipTags, read_clip_tags
from rvdtool.video.png import write_png
from rvdtool.video.source import FileSource, open_source

pytestmark = pytest.mark.usefixtures("programs")


def rewritten(tmp_path: Path, suffix: str, *options: str) -> FileSource:
    path = tmp_path / f"clip.{suffix}"
    picture = "testsrc2=size=64x48:rate=30000/1001:duration=0.2"
    codec = "mpeg2video" if suffix == "mxf" else "libx264"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture, "-c:v", codec]
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
    assert read_clip_tags(source, None) == ClipTags(None, "2026-01-02 03:04:05")


def test_nothing_said(tmp_path: Path) -> None:
    assert read_clip_tags(FileSource(make_clip(tmp_path / "clip.ts")), None) == ClipTags()
    (tmp_path / "frames").mkdir()
    write_png(np.ascontiguousarray(picture(0)), tmp_path / "frames" / "1.png")
    assert read_clip_tags(open_source(tmp_path / "frames"), None) == ClipTags()
