import csv
from fractions import Fraction

import pytest

from rvdtool.errors import InputError, OutputError, RawError
from rvdtool.raw.sequence import frame_name, list_sequence, write_timestamps


@pytest.fixture
def folder(tmp_path):
    def fill(*names):
        for name in names:
            (tmp_path / name).touch()
        return tmp_path

    return fill


def names(folder):
    return [path.name for path in list_sequence(folder)]


def test_frame_names():
    assert frame_name("CLIP", 0) == "CLIP_000000.dng"
    assert frame_name("A.B_1", 1234567) == "A.B_1_1234567.dng"


def test_frames_come_in_the_order_of_their_numbers(folder):
    written = [frame_name("CLIP", index) for index in (2, 0, 1_000_000, 999_999, 10)]
    assert names(folder(*written)) == [
        "CLIP_000000.dng",
        "CLIP_000002.dng",
        "CLIP_000010.dng",
        "CLIP_999999.dng",
        "CLIP_1000000.dng",
    ]


@pytest.mark.parametrize("name", ["9.tiff", "f9.TIF", "f-9.DNG"])
def test_other_peoples_names(folder, name):
    other = name.replace("9", "10")
    assert names(folder(other, name)) == [name, other]


def test_what_lies_beside_the_frames_is_left_alone(folder):
    path = folder(
        "CLIP_000000.dng",
        "CLIP_timestamps.csv",
        "._CLIP_000000.dng",
        ".DS_Store",
        "notes.txt",
        "CLIP_000001.dng.part",
        "sheet.png",
    )
    (path / "older").mkdir()
    (path / "folder_000001.dng").mkdir()
    assert names(path) == ["CLIP_000000.dng"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ((), "no RAW frames"),
        (("a.csv",), "no RAW frames"),
        (("A_000000.dng", "B_000000.dng"), "A_000000.dng and B_000000.dng belong to different"),
        (("A_000000.dng", "A_000001.tif"), "different clips"),
        (("A_000000.dng", "A_0.dng"), "A_0.dng and A_000000.dng have the same number|and A_0"),
        (("A_000000.dng", "notes.dng"), "notes.dng: its name doesn't end in a number"),
    ],
)
def test_folders_that_hold_no_clip(folder, written, message):
    with pytest.raises(RawError, match=message):
        list_sequence(folder(*written))


def test_missing_folders(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        list_sequence(tmp_path / "nothing")


def test_timestamps_are_exact(tmp_path):
    rate = Fraction(30000, 1001)
    times = [Fraction(0), 1 / rate, Fraction(-1, 3), 10**6 / rate]
    path = write_timestamps(tmp_path, "CLIP", times, rate=rate)
    assert path == tmp_path / "CLIP_timestamps.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["frame"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["file"] for row in rows] == [frame_name("CLIP", index) for index in range(4)]
    assert [Fraction(row["exact"]) for row in rows] == times
    assert [row["seconds"] for row in rows] == [
        "0.000000000",
        "0.033366667",
        "-0.333333333",
        "33366.666666667",
    ]
    assert {row["rate"] for row in rows} == {"30000/1001"}


def test_timestamps_without_rate(tmp_path):
    path = write_timestamps(tmp_path, "CLIP", [Fraction(1, 25)])
    assert path.read_text() == (
        "frame,file,seconds,exact,rate\n0,CLIP_000000.dng,0.040000000,1/25,\n"
    )
    with pytest.raises(OutputError, match="already exists"):
        write_timestamps(tmp_path, "CLIP", [Fraction(0)])
    assert "1/25" in path.read_text()
    write_timestamps(tmp_path, "CLIP", [Fraction(0)], overwrite=True)
    assert "1/25" not in path.read_text()
