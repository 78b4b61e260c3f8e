"""Time codes: labels, binary codes, and drop-frame compared with counting."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice

import pytest

from rvdtool.errors import UsageError
from rvdtool.raw.timecode import TimeCode

NTSC = Fraction(30000, 1001)


def counted_labels(base: int) -> Iterator[str]:
    """All labels of drop-frame time code, one by one (ST 12-1, 5.2.2)."""
    for minutes in range(24 * 60):
        for seconds in range(60):
            for frame in range(base):
                if frame >= base // 15 or seconds or minutes % 10 == 0:
                    yield f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d};{frame:02d}"


@pytest.mark.parametrize("rate", [NTSC, 2 * NTSC, 4 * NTSC])
def test_drop_frame_leaves_out_what_it_should(rate: Fraction) -> None:
    base = round(rate)
    for number, label in enumerate(islice(counted_labels(base), 22 * 60 * base)):
        code = TimeCode(number, rate, drop=True)
        assert str(code) == label
        if number % 7 == 0:
            assert TimeCode.parse(label, rate) == code
            assert TimeCode.decode(code.encode(), rate) == code
    # After a day, it is behind the clock by three frames, and begins anew.
    last = TimeCode.parse(f"23:59:59;{base - 1}", rate)
    assert 0 < 86400 - (last.number + 1) / rate < Fraction(1, 10)
    assert str(last.after(1)) == "00:00:00;00"
    assert str(TimeCode.parse("00:00:00;00", rate).after(-1)) == str(last)


def test_drop_frame_is_marked_as_exiftool_and_ffmpeg_read_it() -> None:
    code = TimeCode.parse("14:23:11;05", NTSC)
    assert code.encode().hex() == "4511231400000000"
    assert TimeCode.parse("14:23:11:05", NTSC).encode().hex() == "0511231400000000"
    assert code.number == 1_552_181  # from FFmpeg's av_timecode_init_from_string, in a tmcd track


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(25), Fraction(50), 2 * NTSC, 4 * NTSC])
def test_labels_come_back(rate: Fraction) -> None:
    for number in (0, 1, 23, 59, 86399 * round(rate) + round(rate) - 1):
        code = TimeCode(number, rate)
        assert TimeCode.parse(str(code), rate) == code
        assert TimeCode.decode(code.encode(), rate) == code
    assert str(code.after(1)) == "00:00:00:00"


@pytest.mark.parametrize(
    ("label", "rate", "says"),
    [
        ("14:23:11", Fraction(25), "HH:MM:SS:FF"),
        ("noon", Fraction(25), "HH:MM:SS:FF"),
        ("14:23:11:25", Fraction(25), "23:59:59:24"),
        ("24:00:00:00", Fraction(25), "23:59:59:24"),
        ("14:23:11;05", Fraction(25), "drop-frame exists at 29.97"),
        ("14:23:11;05", Fraction(30), "drop-frame exists at 29.97"),
        ("00:01:00;01", NTSC, "skips this number"),
        ("00:01:00;03", 2 * NTSC, "skips this number"),
    ],
)
def test_labels_that_are_none(label: str, rate: Fraction, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        TimeCode.parse(label, rate)
    assert str(TimeCode.parse("00:10:00;00", NTSC)) == "00:10:00;00"


@pytest.mark.parametrize(
    ("index", "rate", "code"),
    [
        (0, Fraction(24), "00000000 00000000"),
        (23, Fraction(24000, 1001), "23000000 00000000"),
        (24, Fraction(24000, 1001), "00010000 00000000"),
        (25 * (3600 * 13 + 60 * 45 + 59) + 24, Fraction(25), "24594513 00000000"),
        (30 * 86400 + 1, Fraction(30000, 1001), "01000000 00000000"),  # a day later
        (60 + 58, Fraction(60), "29010000 00000000"),  # pairs: 58 is the first of pair 29,
        (60 + 59, Fraction(60), "29010000 01000000"),  # 59 the second
        (50 + 49, Fraction(50), "24010000 01000000"),
        (119, Fraction(120), "29000000 03000000"),
        (7, Fraction(1, 2), "00070000 00000000"),
    ],
)
def test_binary_time_codes(index: int, rate: Fraction, code: str) -> None:
    assert TimeCode(index, rate).encode().hex() == code.replace(" ", "")


@pytest.mark.parametrize(
    "rate", [Fraction(24), Fraction(30), Fraction(50), Fraction(120), Fraction(240)]
)
def test_no_two_frames_of_a_clip_have_the_same_time_code(rate: Fraction) -> None:
    codes = [TimeCode(index, rate).encode() for index in range(1000)]
    assert len(set(codes)) == len(codes)
    assert all(byte & 0x0F <= 9 and byte >> 4 <= 5 for code in codes for byte in code)
    assert all(code[0] >> 4 <= 2 or rate == 30 for code in codes)
