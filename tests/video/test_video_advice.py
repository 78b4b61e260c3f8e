"""The ffmpeg commands in messages work with the installed ffmpeg."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from video_clips import index_of, make_clip, rewrap

from rvdtool.errors import VideoError
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.source import FileSource

pytestmark = pytest.mark.usefixtures("programs")

INTERLACED = {"flags": "+ilme+ildct"}


def follow_advice(path: Path) -> FileSource:
    """Run the command in the message that refuses a video, on that video."""
    with pytest.raises(VideoError) as error:
        probe(FileSource(path))
    command = str(error.value).split("(ffmpeg ")[1].split(")")[0].split()
    out = path.parent / "OUT.mkv"
    places = {"IN": str(path), "OUT.mkv": str(out)}
    arguments = [places.get(word, word) for word in command]
    subprocess.run(["ffmpeg", "-v", "fatal", *arguments], check=True)
    return FileSource(out)


def indices(source: FileSource) -> list[int]:
    return [index_of(frame.rgb) for frame in read_frames(source, probe(source))]


def test_deinterlacing_keeps_the_count(tmp_path: Path) -> None:
    """By default, FFmpeg's deinterlacer makes a frame of every field."""
    path = make_clip(tmp_path / "tv.mp4", options=INTERLACED)
    assert indices(follow_advice(path)) == list(range(12))


def test_mirroring(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4")
    path = rewrap(whole, tmp_path / "mirrored.mp4", rotation=0, mirror=True)
    (right, *_), (left, *_) = (
        read_frames(source, probe(source)) for source in (FileSource(whole), follow_advice(path))
    )
    difference = right.rgb[:, ::-1].astype(int) - left.rgb
    assert np.abs(difference).mean() < 2


def test_rewrapping_a_truncated_matroska_file(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", "ffv1")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    rest = indices(follow_advice(path))
    assert 1 < len(rest) < 12
    assert rest == list(range(len(rest)))
