"""Which RAW belongs to which frame, as given by the user; several in one bundle."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rvdtool.bundle.store import open_bundle
from rvdtool.bundle.unpack import unpack
from rvdtool.bundle.verify import verify
from rvdtool.capture.pack import pack
from rvdtool.capture.stills import Still, parse_stills
from rvdtool.errors import InputError, UsageError
from rvdtool.raw.dng import write_dng
from rvdtool.video.frame import ColorInterpretation, ColorTag, VideoInfo

INFO = VideoInfo(
    64, 48, tuple(range(0, 3000, 40)), Fraction(1, 1000), Fraction(25), 0, "h264", "yuv420p", 8,
    ColorInterpretation(*(ColorTag("bt709", "stream"),) * 4),
)  # fmt: skip


def test_a_frame_or_a_time_names_a_file() -> None:
    one, other = parse_stills(["7=a=b.dng", "1.2s=c.dng"])
    assert (one.path, one.index(INFO)) == (Path("a=b.dng"), 7)
    assert (other.path, other.index(INFO)) == (Path("c.dng"), 30)
    assert Still(Path("d.dng")).index(INFO) is None


@pytest.mark.parametrize("absolute", [True, False])
def test_a_pattern_takes_frames_or_times_from_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absolute: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path if absolute else Path()
    for name in ("IMG2_0010.dng", "IMG2_0002.dng", "T0.400.raw", "T1.2.raw"):
        (tmp_path / name).touch()
    frames = parse_stills([f"*={folder / 'IMG*.dng'}"])
    assert [(s.path.name, s.index(INFO)) for s in frames] == [
        ("IMG2_0002.dng", 2),
        ("IMG2_0010.dng", 10),
    ]
    times = parse_stills([f"*s={folder / 'T*.raw'}"])
    assert [s.index(INFO) for s in times] == [10, 30]


@pytest.mark.parametrize(
    "text", ["a.dng", "0=", "=a.dng", "-1=a.dng", "1.5=a.dng", "x=a.dng", "1ss=a.dng", "s=a.dng"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="FRAME=FILE"):
        parse_stills([text])


def test_patterns_that_find_nothing_usable_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such files"):
        parse_stills([f"*={tmp_path / '*.dng'}"])
    (tmp_path / "still.dng").touch()
    with pytest.raises(UsageError, match="no number"):
        parse_stills([f"*={tmp_path / '*.dng'}"])


def test_frames_that_the_video_does_not_have_are_refused() -> None:
    with pytest.raises(UsageError, match="0 to 74"):
        Still(Path("a.dng"), frame=75).index(INFO)
    with pytest.raises(UsageError, match="no frame is shown"):
        Still(Path("a.dng"), seconds=Fraction(5)).index(INFO)


def test_several_raws_are_references_in_order_of_their_frames(shot: Any, tmp_path: Path) -> None:
    later = tmp_path / "later.dng"
    write_dng(shot.later, later)
    stills = [Still(later, frame=4), Still(shot.raw, frame=0)]
    path = pack(shot.video, stills, tmp_path / "clip.rvd")
    bundle = open_bundle(path)
    assert [reference.index for reference in bundle.references] == [0, 4]
    assert np.array_equal(bundle.references[0].frame.mosaic, shot.frame.mosaic)
    assert all(check.ok for check in verify(bundle))
    names = {written.name for written in unpack(bundle, tmp_path / "out")}
    assert names == {"clip.mp4", "First Frame.dng", "later.dng"}
    again = pack(shot.video, stills[::-1], tmp_path / "again.rvd")
    assert again.read_bytes() == path.read_bytes()


def test_one_frame_has_one_raw(shot: Any, tmp_path: Path) -> None:
    copy = tmp_path / "copy.dng"
    copy.write_bytes(shot.raw.read_bytes())
    with pytest.raises(UsageError, match="both belong to frame 0"):
        pack(shot.video, [Still(shot.raw), Still(copy, frame=0)], tmp_path / "clip.rvd")
    with pytest.raises(UsageError, match="same name"):
        pack(shot.video, [Still(shot.raw), Still(shot.raw, frame=3)], tmp_path / "clip.rvd")
