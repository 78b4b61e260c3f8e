"""Exposures from a CSV file: read exactly, or refused with the line number."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from rvdtool.bundle.store import open_bundle
from rvdtool.capture.exposures import read_exposures
from rvdtool.capture.pack import pack
from rvdtool.errors import InputError
from rvdtool.video.frame import ColorInterpretation, ColorTag, VideoInfo

INFO = VideoInfo(
    64, 48, (100, 140, 190), Fraction(1, 1000), Fraction(25), 0, "h264", "yuv420p", 8,
    ColorInterpretation(*(ColorTag("bt709", "stream"),) * 4),
)  # fmt: skip


def csv(folder: Path, text: str) -> Path:
    path = folder / "exposures.csv"
    path.write_text(text)
    return path


def test_all_columns_in_any_order(tmp_path: Path) -> None:
    said = read_exposures(
        csv(
            tmp_path,
            "iso,frame,exposure_time,wb_blue,wb_green,wb_red,gain\n"
            "400,2,0.02,1.5,1,2,1.25\n100,0,1/50,1.6,1,2.1,1\n200,1,1/100,1.6,1,2.1,1\n",
        ),
        INFO,
    )
    assert said.time == (0.02, 0.01, 0.02)
    assert said.iso == (100, 200, 400)
    assert said.gain == (1, 1, 1.25)
    assert said.white_balance == ((2.1, 1, 1.6), (2.1, 1, 1.6), (2, 1, 1.5))


def test_frames_named_by_their_timestamp(tmp_path: Path) -> None:
    said = read_exposures(csv(tmp_path, "pts,iso\n190,400\n100,100\n140,200\n"), INFO)
    assert said.iso == (100, 200, 400)
    assert (said.time, said.gain, said.white_balance) == (None, None, None)


def test_semicolons_come_with_decimal_commas(tmp_path: Path) -> None:
    text = "frame;exposure_time;iso;gain\n0;0,02;100;1\n1;1/50;200;1,25\n2;0.01;400;1\n"
    said = read_exposures(csv(tmp_path, text), INFO)
    assert said.time == (0.02, 0.02, 0.01)
    assert said.iso == (100, 200, 400)
    assert said.gain == (1, 1.25, 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "header"),
        ("frame\n0\n1\n2\n", "header"),
        ("iso\n100\n", "header"),
        ("frame,pts,iso\n0,100,100\n", "header"),
        ("frame,iso,ISO\n0,100,100\n", "header"),
        ("frame,iso,iso\n0,100,100\n", "header"),
        ("frame,wb_red\n0,2\n", "wb_green"),
        ("frame,iso\n0,100\n2,100\n", "no row for frame 1"),
        ("frame,iso\n0,100\n1,100\n1,100\n", "line 4: frame 1 is listed twice"),
        ("frame,iso\n0,100\n1,100\n3,100\n", "line 4: no frame has frame '3'"),
        ("frame,iso\n0,100\n1.5,100\n", "line 3: no frame has frame '1.5'"),
        ("pts,iso\n0,100\n", "line 2: no frame has pts '0'"),
        ("frame,iso\n0,100,7\n", "line 2: needs one value for each column"),
        ("frame,gain\n0,1,02\n", "separate columns by semicolons"),
        ("frame;iso\n0;1,600\n", "line 2: iso '1,600'"),
        ("frame,iso\n0\n", "line 2: needs one value for each column"),
        ("frame,iso\n0,auto\n", "line 2: iso 'auto'"),
        ("frame,iso\n0,0\n", "line 2: iso '0'"),
        ("frame,iso\n0,-100\n", "line 2: iso '-100'"),
        ("frame,exposure_time\n0,1/0\n", "line 2: exposure_time '1/0'"),
        ("frame,gain\n0,nan\n", "line 2: gain 'nan'"),
        ("frame,gain\n0,1e400\n", "line 2: gain"),
        ("frame,gain\n0,1e999999999\n", "line 2: gain"),  # not to be written out
        ("frame,gain\n0,1e-10\n", "line 2: gain"),
        ("frame,exposure_time\n0,1/50/2\n", "line 2: exposure_time '1/50/2'"),
        ('frame,gain\n0,"1\n', "not a CSV"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=r"exposures\.csv") as error:
        read_exposures(csv(tmp_path, text), INFO)
    assert told in str(error.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "exposures.csv"
    path.write_bytes(b"frame,iso\n0,\xff\xfe\n")
    with pytest.raises(InputError, match="not a CSV"):
        read_exposures(path, INFO)


def test_a_bundle_knows_how_strongly_each_frame_was_exposed(shot: Any, tmp_path: Path) -> None:
    rows = "".join(f"{i},1/{50 * 2**i},{100 * 4**i},{1 + i}\n" for i in range(6))
    table = csv(tmp_path, "frame,exposure_time,iso,gain\n" + rows)
    bundle = open_bundle(pack(shot.video, shot.raw, tmp_path / "a.rvd", exposures=table))
    assert bundle.exposures == pytest.approx([2**i * (1 + i) for i in range(6)])
    assert bundle.exposures is not None
    assert bundle.exposures[0] == 1


def test_white_balance_alone_says_nothing_about_exposure(shot: Any, tmp_path: Path) -> None:
    rows = "".join(f"{i},2,1,1.5\n" for i in range(6))
    table = csv(tmp_path, "frame,wb_red,wb_green,wb_blue\n" + rows)
    bundle = open_bundle(pack(shot.video, shot.raw, tmp_path / "a.rvd", exposures=table))
    assert bundle.exposures is None
    assert bundle.manifest.exposures is not None
    assert open_bundle(shot.bundle).exposures is None
