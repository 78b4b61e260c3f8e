"""A range of a clip's frames: the same bytes as in the whole clip, and nothing else."""

import csv
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run
from small_movies import NTSC, Sound, counting, make_movie
from small_shots import RATE, make_bundle, pan, raw_frame, render

from rvdtool.bundle.store import Bundle, open_bundle
from rvdtool.capture.pack import pack
from rvdtool.capture.stills import Still
from rvdtool.delivery import folder as delivery
from rvdtool.delivery import run as delivery_run
from rvdtool.delivery.folder import derender_to_folder
from rvdtool.delivery.options import DerenderOptions
from rvdtool.errors import OutputError, UsageError
from rvdtool.raw.dng import write_dng
from rvdtool.raw.sequence import frame_name
from rvdtool.reconstruct.chain import Chain
from rvdtool.video.encode import encode_video
from rvdtool.video.wav import originator

FRAMES = 12
SCENES = pan(FRAMES)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """RAWs of frames 3 and 7."""
    folder = tmp_path_factory.mktemp("clip")
    stills = [Still(folder / f"{index}.dng", index) for index in (3, 7)]
    for still in stills:
        assert still.frame is not None
        write_dng(raw_frame(SCENES[still.frame], seed=still.frame), still.path)
    video = folder / "clip.mkv"
    encode_video((render(scene) for scene in SCENES), video, rate=RATE, codec="ffv1")
    return open_bundle(pack(video, stills))


@pytest.fixture(scope="module")
def whole(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole") / "raws"
    derender_to_folder(bundle, folder)
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def frames_of(whole: dict[str, bytes], span: range) -> dict[str, bytes]:
    return {(name := frame_name("clip", index)): whole[name] for index in span}


@pytest.mark.parametrize(
    "span",
    [range(1), range(1, 3), range(2, 6), range(3, 4), range(4, 9), range(6, 8), range(9, 11)],
    ids=str,
)
def test_its_frames_are_those_of_the_whole_clip(
    bundle: Bundle, whole: dict[str, bytes], tmp_path: Path, span: range
) -> None:
    advanced: list[int] = []
    report = derender_to_folder(bundle, tmp_path, DerenderOptions(frames=span), advanced.append)
    assert (report.first, report.frames) == (span.start, len(span))
    assert report.references == sum(index in span for index in (3, 7))
    assert sum(advanced) == span.stop
    left = contents(tmp_path)
    table = left.pop("clip_timestamps.csv").decode().splitlines()
    assert left == frames_of(whole, span)
    rows = whole["clip_timestamps.csv"].decode().splitlines()
    assert table == [rows[0], *rows[span.start + 1 : span.stop + 1]]


def test_no_chain_runs_further_than_it_must(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fused = []
    fuse = Chain.fuse

    def counted(chain: Chain, seen: Any) -> Any:
        fused.append(seen)
        return fuse(chain, seen)

    monkeypatch.setattr(Chain, "fuse", counted)
    derender_to_folder(bundle, tmp_path, DerenderOptions(frames=range(9, 10)))
    # From frame 7 to 9; one more frame for each thread that looks ahead.
    assert 2 <= len(fused) <= 2 + 2


class StoppedError(Exception):
    """The run was interrupted."""


@pytest.mark.parametrize("at", [5, 6, 9, 10])
def test_a_resumed_range_gives_the_same_bytes(
    bundle: Bundle,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
) -> None:
    span = range(5, 12)
    monkeypatch.setattr(delivery, "CHECKPOINT_EVERY", 2)
    write = delivery_run.write_beside

    def until(path: Path, **options: Any) -> Any:
        if path.name == frame_name("clip", at + 1):
            raise StoppedError
        return write(path, **options)

    with monkeypatch.context() as patch, pytest.raises(StoppedError):  # noqa: PT012
        patch.setattr(delivery_run, "write_beside", until)
        derender_to_folder(bundle, tmp_path, DerenderOptions(frames=span))
    resume = DerenderOptions(frames=span, existing="resume")
    other = DerenderOptions(frames=range(5, 11), existing="resume")
    with pytest.raises(OutputError, match=r"other options|isn't one of the frames"):
        derender_to_folder(bundle, tmp_path, other)
    assert derender_to_folder(bundle, tmp_path, resume).resumed_at > span.start
    left = contents(tmp_path)
    del left["clip_timestamps.csv"]
    assert left == frames_of(whole, span)


def test_frames_of_the_whole_clip_are_not_removed_for_a_range(
    bundle: Bundle, whole: dict[str, bytes], tmp_path: Path
) -> None:
    for name, data in whole.items():
        (tmp_path / name).write_bytes(data)
    options = DerenderOptions(frames=range(4, 6), existing="overwrite")
    with pytest.raises(OutputError, match=r"clip_000000\.dng isn't one of the frames 4 to 5"):
        derender_to_folder(bundle, tmp_path, options)
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("span", [range(0), range(4, 13), range(-1, 4), range(0, 4, 2)], ids=str)
def test_frames_that_are_not_there(bundle: Bundle, tmp_path: Path, span: range) -> None:
    with pytest.raises(UsageError, match="frames 0 to 11"):
        derender_to_folder(bundle, tmp_path / "raws", DerenderOptions(frames=span))
    assert not (tmp_path / "raws").exists()


def test_sound_and_time_code_are_those_of_the_range(tmp_path: Path) -> None:
    samples = counting(48000 * FRAMES // 25)
    movie = make_movie(
        tmp_path / "clip.mov",
        [render(scene) for scene in SCENES],
        sounds=[Sound(samples)],
        time_code="10:00:00:28",
    )
    write_dng(raw_frame(SCENES[0]), tmp_path / "first.dng")
    packed = open_bundle(pack(movie, tmp_path / "first.dng"))
    out = tmp_path / "raws"
    report = derender_to_folder(packed, out, DerenderOptions(frames=range(3, 8)))
    assert str(report.labels.time_code(report.first)) == "10:00:01:01"
    [path] = report.sound
    assert originator(path)
    begin, end = (round(index / NTSC * 48000) for index in (3, 8))
    data = path.read_bytes()
    wanted = (samples[begin:end] >> 8).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3]
    place = data.index(b"data") + 8
    found = np.frombuffer(data[place:], np.uint8)[: wanted.size].reshape(-1, 3)
    assert int.from_bytes(data[place - 4 : place], "little") == wanted.size
    assert np.array_equal(found, wanted)
    midnight = Fraction(36000 * 30 + 31) / NTSC * 48000
    time_reference = data.index(b"bext") + 8 + 338
    assert int.from_bytes(data[time_reference : time_reference + 8], "little") == round(midnight)
    with (out / "clip_timestamps.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == list(range(3, 8))


def test_frames_made_by_the_inverse_isp_alone_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same, others = pan(2), pan(2, seed=5)
    bundle = make_bundle(tmp_path, [*same, *others])
    report = derender_to_folder(open_bundle(bundle), tmp_path / "raws")
    assert report.alone == (2, 3)
    assert run("derender", bundle, "-o", tmp_path / "again", "--model", "none") == 0
    assert (
        "In 2 of 4 frames, the first being 2, nothing in the RAW could be matched: "
        "the result there is the inverse ISP alone, which is calibrated on the RAW\n"
    ) in capsys.readouterr().out


def test_frames_in_unknown_light_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *later = pan(3)
    bundle = make_bundle(tmp_path, [0.05 * first, *later])
    assert run("derender", bundle, "-o", tmp_path / "raws", "--model", "none") == 0
    assert (
        "In 2 of 3 frames, the first being 1, light differs so much from the RAW's that brightness "
        "may be wrong in up to 100% of the frame: give `rvdtool pack --raw FRAME=FILE` a RAW in "
        "that light; or, if the exposure was changed, `--exposures`\n"
    ) in capsys.readouterr().out
