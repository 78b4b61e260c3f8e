"""A camera's clip from end to end; the result is read by ffprobe, exiftool and tifffile."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from small_movies import NTSC, Sound, counting, make_movie
from small_shots import pan, raw_frame, render

from rvdtool.bundle.store import open_bundle
from rvdtool.capture.pack import pack
from rvdtool.capture.stills import Still
from rvdtool.delivery.folder import derender_to_folder
from rvdtool.delivery.labels import label
from rvdtool.delivery.options import DerenderOptions
from rvdtool.errors import OutputError, UsageError
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import Exposure
from rvdtool.raw.timecode import TimeCode

pytestmark = pytest.mark.usefixtures("programs")

FRAMES = 6
LENGTH = 9610  # 6 frames of 1601.6 samples, rounded
UNEVEN = (0, 1001, 2002, 4004, 5005, 6206)
"""Ticks of 1/30000 s: one frame is left out, and the last one late."""


@dataclass(frozen=True)
class Delivered:
    folder: Path
    said: list[str]

    def frame(self, index: int) -> Path:
        return self.folder / f"A001_C003_{index:06d}.dng"

    @property
    def wav(self) -> Path:
        return self.folder / "A001_C003.wav"

    def time_codes(self) -> list[str]:
        found = []
        for index in range(FRAMES):
            with tifffile.TiffFile(self.frame(index)) as tiff:
                data = bytes(tiff.pages.first.tags[51043].value)
            found.append(str(TimeCode.decode(data, NTSC)))
        return found


def deliver(folder: Path, ticks: Sequence[int] | None = None, **options: Any) -> Delivered:
    scenes = pan(FRAMES)
    sound = Sound(counting(12_000), start=Fraction(0))
    movie = make_movie(
        folder / "A001_C003.MOV",
        [render(scene) for scene in scenes],
        ticks=ticks,
        sounds=[sound],
        time_code="14:23:11;05",
        rotation=90,
    )
    write_dng(raw_frame(scenes[0]), folder / "still.dng")
    bundle = open_bundle(pack(movie, folder / "still.dng", folder / "packed.rvd"))
    said: list[str] = []
    out = folder / "raws"
    derender_to_folder(bundle, out, DerenderOptions(**options), say=said.append)
    return Delivered(out, said)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    return deliver(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    return deliver(tmp_path_factory.mktemp("uneven"), ticks=UNEVEN)


def exiftool(path: Path) -> dict[str, Any]:
    shown = subprocess.run(
        ["exiftool", "-j", "-G1", "-a", str(path)], check=True, capture_output=True, text=True
    ).stdout
    (tags,) = json.loads(shown)
    return tags


def ffprobe(path: Path) -> dict[str, Any]:
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(path)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return json.loads(shown)


def samples(path: Path) -> np.ndarray:
    """[n, 2] int32, as ffmpeg decodes them."""
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-f", "s32le", "-c:a", "pcm_s32le", "-"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    return np.frombuffer(raw, "<i4").reshape(-1, 2)


def test_frames_say_what_the_camera_said(delivered: Delivered) -> None:
    for index, seconds in ((0, "11.05"), (5, "11.10")):
        tags = exiftool(delivered.frame(index))
        assert tags["IFD0:TimeCodes"].startswith(f"14:23:{seconds}")
        assert tags["IFD0:FrameRate"] == pytest.approx(29.97, abs=0.001)
        assert tags["IFD0:ReelName"] == "A001_C003"
        assert tags["IFD0:Orientation"] == "Rotate 90 CW"
        with tifffile.TiffFile(delivered.frame(index)) as tiff:
            tags = tiff.pages.first.tags
            assert tags[51044].value == (30000, 1001)
            assert (tags[51081].value, tags["Orientation"].value) == ("A001_C003", 6)
    assert delivered.time_codes() == [f"14:23:11;{5 + k:02d}" for k in range(FRAMES)]
    assert delivered.said == [
        "A001_C003.wav: sound of stream 1 ends 0.050 s after the picture (cut off)"
    ]


def test_what_is_left_out_is_named(delivered: Delivered, tmp_path: Path) -> None:
    folder = delivered.folder.parent
    (tmp_path / "gps.bin").write_bytes(bytes(64))
    command = ["ffmpeg", "-v", "error", "-i", str(folder / "A001_C003.MOV"), "-f", "data", "-i"]
    command += [str(tmp_path / "gps.bin"), "-map", "0:v", "-map", "1", "-c", "copy"]
    subprocess.run([*command, "-tag:d", "gpmd", str(tmp_path / "clip.mov")], check=True)
    bundle = open_bundle(pack(tmp_path / "clip.mov", folder / "still.dng"))
    said: list[str] = []
    label(bundle, time_code="01:00:00:00", span=range(FRAMES), say=said.append)
    assert said == [
        "clip.mov: left out: stream 1 (data, GoPro MET); `rvdtool unpack` gives back the whole file"
    ]


def test_sound_is_a_broadcast_wav_as_long_as_the_picture(delivered: Delivered) -> None:
    (stream,) = ffprobe(delivered.wav)["streams"]
    assert (stream["codec_name"], stream["sample_rate"]) == ("pcm_s24le", "48000")
    assert (stream["channels"], stream["duration_ts"]) == (2, LENGTH)
    np.testing.assert_array_equal(samples(delivered.wav), counting(12_000)[:LENGTH])
    midnight = round(TimeCode.parse("14:23:11;05", NTSC).number / NTSC * 48000)
    assert ffprobe(delivered.wav)["format"]["tags"]["time_reference"] == str(midnight)
    tags = {name.split(":")[-1]: value for name, value in exiftool(delivered.wav).items()}
    assert tags["TimeReference"] == midnight
    assert tags["Originator"].startswith("rvdtool ")


def test_ixml_says_rate_and_place(delivered: Delivered) -> None:
    data = delivered.wav.read_bytes()
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    document = data[data.index(b"iXML") + 8 :].decode()
    for said in (
        "<TIMECODE_RATE>30000/1001</TIMECODE_RATE>",
        "<TIMECODE_FLAG>DF</TIMECODE_FLAG>",
        "<FILE_SAMPLE_RATE>48000</FILE_SAMPLE_RATE>",
        "<TRACK_COUNT>2</TRACK_COUNT>",
        "<TAPE>A001_C003</TAPE>",
    ):
        assert said in document


def test_uneven_frames_keep_their_times(uneven: Delivered) -> None:
    assert uneven.time_codes() == [f"14:23:11;{5 + k:02d}" for k in (0, 1, 2, 4, 5, 6)]
    assert exiftool(uneven.frame(3))["IFD0:FrameRate"] == pytest.approx(29.97, abs=0.001)
    assert uneven.said[0] == (
        "A001_C003.MOV: variable frame rate, 14.99 to 29.97 per second; the median is 29.97, "
        "which is used as the frames' rate (--rate changes it). Time codes and the timestamps "
        "table keep each frame's own time. Played at a constant rate, the frames last 0.20 s "
        "instead of 0.24 s"
    )
    table = (uneven.folder / "A001_C003_timestamps.csv").read_text().splitlines()
    assert table[6].startswith("5,A001_C003_000005.dng,0.206866667,3103/15000,30000/1001")
    # In time with the frames' own times, and not shorter than them.
    length = round((Fraction(UNEVEN[-1], 30000) + 1 / NTSC) * 48000)
    np.testing.assert_array_equal(samples(uneven.wav), counting(12_000)[:length])


def test_options_count_before_the_clip(tmp_path: Path) -> None:
    options = {"name": "B", "time_code": "01:00:00:00", "audio": False}
    found = deliver(tmp_path, ticks=UNEVEN, rate=Fraction(15), **options)
    assert sorted(path.name for path in found.folder.iterdir()) == [
        *(f"B_{index:06d}.dng" for index in range(FRAMES)),
        "B_timestamps.csv",
    ]
    assert found.said == []
    tags = exiftool(found.folder / "B_000005.dng")
    assert (tags["IFD0:ReelName"], tags["IFD0:FrameRate"]) == ("B", 15)
    assert tags["IFD0:TimeCodes"].startswith("01:00:00.03")


def test_time_code_without_dropped_numbers(delivered: Delivered, tmp_path: Path) -> None:
    bundle = open_bundle(delivered.folder.parent / "packed.rvd")
    options = DerenderOptions(time_code="14:23:11:05", frames=range(2), audio=False)
    derender_to_folder(bundle, tmp_path / "raws", options)
    for index in range(2):
        path = tmp_path / "raws" / f"A001_C003_{index:06d}.dng"
        assert exiftool(path)["IFD0:TimeCodes"].startswith(f"14:23:11.{5 + index:02d}")
        with tifffile.TiffFile(path) as tiff:
            data = bytes(tiff.pages.first.tags[51043].value)
        assert data[0] == 5 + index  # SMPTE ST 12-1: bit 6 would say that numbers are dropped


def test_options_that_do_not_fit_are_refused(delivered: Delivered, tmp_path: Path) -> None:
    bundle = open_bundle(delivered.folder.parent / "packed.rvd")
    for options, says in (
        ({"rate": Fraction(25)}, "constant rate, 29.97 frames per second"),
        ({"time_code": "14:23:11:30"}, "23:59:59:29"),
        ({"name": "a/b"}, "--name"),
        ({"name": "n" * 201}, "at most 200 bytes"),
    ):
        with pytest.raises(UsageError, match=says):
            derender_to_folder(bundle, tmp_path / "raws", DerenderOptions(**options))
    assert not (tmp_path / "raws").exists()
    again = DerenderOptions(name="B", existing="overwrite")
    with pytest.raises(OutputError, match=r"A001_C003.* isn't from an earlier run of B.*--name"):
        derender_to_folder(bundle, delivered.folder, again)


def test_the_raws_time_code_counts_where_the_video_has_none(tmp_path: Path) -> None:
    scenes = pan(3)
    movie = make_movie(tmp_path / "clip.mov", [render(scene) for scene in scenes])
    late = TimeCode.parse("23:59:59:29", NTSC).after(1)
    write_dng(raw_frame(scenes[1]), tmp_path / "still.dng", rate=NTSC, time_code=late)
    stills = [Still(tmp_path / "still.dng", 1)]
    bundle = open_bundle(pack(movie, stills, tmp_path / "clip.rvd"))
    report = derender_to_folder(bundle, tmp_path / "raws")
    assert (str(report.labels.start), report.labels.origin) == ("23:59:59:29", "from still.dng")
    assert report.sound == ()


def test_each_frame_says_its_own_exposure(tmp_path: Path) -> None:
    """Time and ISO as given; ISO times gain; references keep their files' values."""
    scenes = pan(3)
    first = replace(raw_frame(scenes[0]), exposure=Exposure(time=Fraction(1, 50), iso=200))
    write_dng(first, tmp_path / "still.dng")
    movie = make_movie(tmp_path / "clip.mov", [render(scene) for scene in scenes])
    for number, (table, expected) in enumerate(
        (
            ("exposure_time,iso,gain\n0,0.02,200,1\n1,1/50,200,2\n2,1/100,400,1", (400, 400)),
            ("gain\n0,2\n1,4\n2,1", (400, 100)),
        )
    ):
        (tmp_path / "e.csv").write_text(f"frame,{table}\n")
        bundle = open_bundle(
            pack(movie, tmp_path / "still.dng", tmp_path / f"{number}.rvd",
                 exposures=tmp_path / "e.csv")
        )  # fmt: skip
        out = tmp_path / f"raws{number}"
        derender_to_folder(bundle, out)
        tags = [exiftool(out / f"clip_{index:06d}.dng") for index in range(3)]
        assert [tag["ExifIFD:ISO"] for tag in tags] == [200, *expected]
        last = "1/100" if number == 0 else "1/50"
        assert [tag["ExifIFD:ExposureTime"] for tag in tags] == ["1/50", "1/50", last]


class StoppedError(Exception):
    pass


def test_an_interrupted_run_keeps_its_sound(delivered: Delivered, tmp_path: Path) -> None:
    """Whatever happened to the file since."""
    bundle = open_bundle(delivered.folder.parent / "packed.rvd")
    whole = {path.name: path.read_bytes() for path in delivered.folder.iterdir()}

    def stop(done: int) -> None:
        raise StoppedError

    for left in ("whole", "cut short", "nothing"):
        out = tmp_path / left
        with pytest.raises(StoppedError):
            derender_to_folder(bundle, out, advance=stop)
        wav = out / "A001_C003.wav"
        assert wav.exists()
        if left == "cut short":
            wav.write_bytes(wav.read_bytes()[:-1000])
        if left == "nothing":
            wav.unlink()
        derender_to_folder(bundle, out, DerenderOptions(existing="resume"))
        assert {path.name: path.read_bytes() for path in out.iterdir()} == whole


def test_stopped_between_sound_and_frames(delivered: Delivered, tmp_path: Path) -> None:
    bundle = open_bundle(delivered.folder.parent / "packed.rvd")
    wav = tmp_path / "A001_C003.wav"
    wav.write_bytes(delivered.wav.read_bytes())
    report = derender_to_folder(bundle, tmp_path, DerenderOptions(existing="resume"))
    assert (report.resumed_at, report.sound) == (0, (wav,))
    assert wav.read_bytes() == delivered.wav.read_bytes()


@pytest.mark.parametrize("existing", ["overwrite", "resume"])
def test_somebodys_own_sound_is_left_alone(
    existing: Any, delivered: Delivered, tmp_path: Path
) -> None:
    """Such as a recorder's file that is named like the clip."""
    bundle = open_bundle(delivered.folder.parent / "packed.rvd")
    own = delivered.wav.read_bytes().replace(b"rvdtool 0", b"Recorder0")
    (tmp_path / "A001_C003.wav").write_bytes(own)
    with pytest.raises(OutputError, match=r"A001_C003\.wav isn't from an earlier run"):
        derender_to_folder(bundle, tmp_path, DerenderOptions(existing=existing))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [own]
