"""`rvdtool derender`: its output; each failure is one line and leaves only complete frames."""

import errno
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import require_one_line, run

from rvdtool.cli.frames import parse_frames
from rvdtool.delivery import folder as delivery
from rvdtool.delivery.output import STATE_FILE
from rvdtool.raw.read import read_raw
from rvdtool.raw.sequence import list_sequence
from rvdtool.reconstruct.chain import Chain
from rvdtool.video.decode import probe
from rvdtool.video.source import FileSource

FRAMES = 6
NAMES = {*(f"clip_{index:06d}.dng" for index in range(FRAMES)), "clip_timestamps.csv"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def flows(shot: Any, tmp_path: Path) -> Path:
    """Flows of the shot in RVD's format."""
    folder = tmp_path / "flows"
    folder.mkdir()
    for index in range(FRAMES - 1):
        flow = np.full((*shot.frame.size, 2), (index, 0), np.float32)
        np.save(folder / f"{index:04d}.npy", flow)
    return folder


PROGRESS = ("De-rendering: ", "first run ")


def without_progress(text: str) -> str:
    """The lines on stderr, without the progress lines that a slow run prints."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(PROGRESS))


def test_a_bundle_becomes_a_sequence(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "raws"
    assert run("derender", shot.bundle, "-o", out) == 0
    printed = capsys.readouterr()
    # After a few frames, what all will take.
    assert re.fullmatch(
        rf"{FRAMES} frames: about \d+ s, 0 MB \([\d.]+ GB free\)\n", without_progress(printed.err)
    )
    assert printed.out.startswith(f"{out}: {FRAMES} DNGs; brightness ")
    _, labels = printed.out.splitlines()
    assert labels.startswith("clip: 29.97 frames per second from 00:00:00:00 (assumed, ")
    assert labels.endswith("; no sound")
    assert {path.name for path in out.iterdir()} == NAMES
    first = read_raw(list_sequence(out)[0])
    assert np.array_equal(first.mosaic, shot.frame.mosaic)
    assert first.profile == shot.frame.profile


def test_a_range_of_frames(shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "raws"
    assert run("derender", shot.bundle, "-o", out, "--frames", "2:3") == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{out}: 2 DNGs, frames 2 to 3; ")
    assert "from 00:00:00:02 (" in printed
    frames = {"clip_000002.dng", "clip_000003.dng"}
    assert {path.name for path in out.iterdir()} == frames | {"clip_timestamps.csv"}


def test_a_preview_is_written_after_the_frames(shot: Any, tmp_path: Path) -> None:
    options = ["--preview", tmp_path / "look.mp4", "--side-by-side", "--frames", "1:2"]
    assert run("derender", shot.bundle, "-o", tmp_path / "raws", *options) == 0
    info = probe(FileSource(tmp_path / "look.mp4"))
    assert (info.width, info.height, info.frame_count) == (2 * 64, 48, 2)


def test_a_dry_run_writes_nothing(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "raws"
    assert run("derender", shot.bundle, "-o", out, "--dry-run", "--frames", "1:4") == 0
    assert re.match(r"4 frames: about \d+ s, 0 MB \([\d.]+ GB free\)\n", capsys.readouterr().out)
    assert run("derender", shot.bundle, "-o", out, "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["frames"] == FRAMES
    assert told["seconds"] > 0
    assert 10_000 < told["bytes"] < 60_000
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [("2:4", 2, 4), ("2:", 2, 5), (":2", 0, 2), ("5", 5, 5), ("0:5", 0, 5)],
)
def test_how_a_range_is_written(text: str, first: int, last: int) -> None:
    assert parse_frames(text, FRAMES) == range(first, last + 1)


def test_json_is_for_programs(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("derender", shot.bundle, "-o", tmp_path / "raws", "--json") == 0
    printed = capsys.readouterr()
    assert without_progress(printed.err).count("\n") == 1
    report = json.loads(printed.out)
    assert report["folder"] == str(tmp_path / "raws")
    assert (report["frames"], report["resumed_at"]) == (FRAMES, 0)
    assert 0.5 < report["brightness"]["min"] <= 1 <= report["brightness"]["max"] < 2
    assert report["exposure"] == report["brightness"]  # nobody else has brightened it
    assert report["tracks_gain"] is False
    assert 0 <= report["trusted"] <= 1
    assert set(report["expected_psnr"]) == {str(index) for index in range(1, FRAMES)}
    assert all(20 < psnr < 90 for psnr in report["expected_psnr"].values())
    assert report["differing"] == {}
    assert report["doubtful_light"] == {}
    assert report["local_tone"] == {}


def test_options_reach_the_work(
    shot: Any, tmp_path: Path, flows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, small, moved, tracked = (
        tmp_path / name for name in ("plain", "small", "moved", "tracked")
    )
    assert run("derender", shot.bundle, "-o", small) == 0
    assert run("derender", shot.bundle, "-o", plain, "--compression", "none") == 0
    assert run("derender", shot.bundle, "-o", moved, "--flow", flows) == 0
    capsys.readouterr()
    assert run("derender", shot.bundle, "-o", tracked, "--gain", "track", "--json") == 0
    assert json.loads(capsys.readouterr().out)["tracks_gain"] is True
    last = [list_sequence(folder)[-1] for folder in (small, plain, moved)]
    assert last[0].stat().st_size < last[1].stat().st_size
    assert np.array_equal(read_raw(last[0]).mosaic, read_raw(last[1]).mosaic)
    assert not np.array_equal(read_raw(last[0]).mosaic, read_raw(last[2]).mosaic)


def test_an_earlier_run_is_replaced_on_purpose_only(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "raws"
    assert run("derender", shot.bundle, "-o", out) == 0
    whole = contents(out)
    (out / "clip_000003.dng").write_text("damaged since")
    before = contents(out)
    capsys.readouterr()
    assert run("derender", shot.bundle, "-o", out) == 5
    printed = capsys.readouterr()
    require_one_line(printed, "has files in it")
    assert "--resume" in printed.err
    assert "--overwrite" in printed.err
    assert contents(out) == before
    assert run("derender", shot.bundle, "-o", out, "--overwrite") == 0
    assert contents(out) == whole


def test_an_interrupted_run_is_resumed(
    shot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "raws"
    assert run("derender", shot.bundle, "-o", whole) == 0
    capsys.readouterr()
    answer = Chain.answer

    def until(chain: Chain, step: Any, rgb: Any) -> Any:
        if step.state.index == 5:
            raise KeyboardInterrupt
        return answer(chain, step, rgb)

    monkeypatch.setattr(delivery, "CHECKPOINT_EVERY", 2)
    with monkeypatch.context() as patch:
        patch.setattr(Chain, "answer", until)
        assert run("derender", shot.bundle, "-o", out) == 130
    require_one_line(capsys.readouterr(), "interrupted; the same command with --resume")
    assert run("derender", shot.bundle, "-o", out, "--resume", "--compression", "none") == 5
    require_one_line(capsys.readouterr(), "other options")
    assert run("derender", shot.bundle, "-o", out, "--resume") == 0
    assert f"{FRAMES} DNGs, resumed at frame 5;" in capsys.readouterr().out
    assert contents(out) == contents(whole)
    assert run("derender", shot.bundle, "-o", out, "--resume") == 5
    require_one_line(capsys.readouterr(), "nothing to resume")


@pytest.fixture
def clips(shot: Any, tmp_path: Path) -> list[Path]:
    """Three bundles, of which the second is truncated."""
    data = shot.bundle.read_bytes()
    paths = [tmp_path / f"{name}.rvd" for name in "abc"]
    for path in paths:
        path.write_bytes(data[:-1000] if path.stem == "b" else data)
    return paths


def test_several_clips_go_on_after_a_bad_one(
    clips: list[Path], shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, one = tmp_path / "raws", tmp_path / "one"
    assert run("derender", *clips, "-o", out) == 6
    printed = capsys.readouterr()
    assert [line.split(":")[0] for line in printed.out.splitlines() if " DNGs; " in line] == [
        str(out / "a"),
        str(out / "c"),
    ]
    *_, last = printed.err.splitlines()
    assert last == f"error: 1 of 3 failed: {clips[1]}"
    assert f"{clips[0]}: {FRAMES} frames: about " in printed.err
    assert run("derender", clips[0], "-o", one) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a", "c"]
    for name in "ac":
        assert contents(out / name) == contents(one)


def test_several_clips_are_resumed(
    clips: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Complete ones are kept, the others are made."""
    out = tmp_path / "raws"
    assert run("derender", clips[0], "-o", out / "a") == 0
    before = {path: path.stat().st_mtime_ns for path in (out / "a").iterdir()}
    good = [clips[0], clips[2]]
    capsys.readouterr()
    assert run("derender", *good, "-o", out, "--resume", "--json") == 0
    printed = capsys.readouterr()
    assert [report["folder"] for report in json.loads(printed.out)] == [str(out / "c")]
    assert f"{out / 'a'}: is complete" in printed.err
    assert printed.err.endswith("all 2 done\n")
    assert {path: path.stat().st_mtime_ns for path in (out / "a").iterdir()} == before
    assert run("derender", *good, "-o", tmp_path / "later", "--dry-run", "--json") == 0
    assert [one["frames"] for one in json.loads(capsys.readouterr().out)] == [FRAMES, FRAMES]
    assert not (tmp_path / "later").exists()


def test_several_clips_need_folders_of_their_own(
    clips: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "raws"
    assert run("derender", *clips, "-o", out, "--name", "x") == 2
    require_one_line(capsys.readouterr(), "--name is for a single clip")
    assert run("derender", clips[0], clips[0], "-o", out) == 2
    require_one_line(capsys.readouterr(), "both would go into a folder a;")
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--overwrite", "--resume"], "can't be combined"),
        (["--side-by-side"], "name one with --preview"),
        (["--preview", "look.gif"], ".mp4, .mov, .mkv"),
        (["--compression", "zip"], "'ljpeg', 'none'"),
        (["--gain", "up"], "'auto', 'track', 'fixed'"),
        (["--quality", "9"], "--quality"),
        (["--frames", "2-4"], "100:200"),
        (["--frames", ":"], "100:200"),
        (["--frames", "4:2"], "--frames 4:2"),
        (["--frames", "4:6"], "frames 0 to 5"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    shot: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    told: str,
) -> None:
    assert run("derender", shot.bundle, "-o", tmp_path / "raws", *options) == 2
    require_one_line(capsys.readouterr(), told)
    assert list(tmp_path.iterdir()) == []


def test_an_output_has_to_be_named(shot: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("derender", shot.bundle) == 2
    require_one_line(capsys.readouterr(), "--output")


def missing(folder: Path, shot: Any) -> Path:
    return folder / "none.rvd"


def a_folder(folder: Path, shot: Any) -> Path:
    path = folder / "clip.rvd"
    path.mkdir()
    return path


def empty(folder: Path, shot: Any) -> Path:
    path = folder / "clip.rvd"
    path.touch()
    return path


def the_video(folder: Path, shot: Any) -> Path:
    path: Path = shot.video
    return path


def some_zip(folder: Path, shot: Any) -> Path:
    path = folder / "clip.rvd"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
    return path


def truncated(folder: Path, shot: Any) -> Path:
    path = folder / "clip.rvd"
    data = shot.bundle.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def damaged(member: str) -> Callable[[Path, Any], Path]:
    """The bundle with a range of one member's bytes inverted."""

    def make(folder: Path, shot: Any) -> Path:
        path = folder / "clip.rvd"
        data = bytearray(shot.bundle.read_bytes())
        with zipfile.ZipFile(shot.bundle) as archive:
            [info] = [entry for entry in archive.infolist() if member in entry.filename]
        local = info.header_offset
        lengths = int.from_bytes(data[local + 26 : local + 28], "little") + int.from_bytes(
            data[local + 28 : local + 30], "little"
        )
        middle = local + 30 + lengths + info.file_size // 2
        for place in range(middle, middle + 40):
            data[place] ^= 0xFF
        path.write_bytes(bytes(data))
        return path

    return make


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (missing, "none.rvd: no such file"),
        (a_folder, "a folder"),
        (empty, "clip.rvd"),
        (the_video, "clip.mp4"),
        (some_zip, "clip.rvd"),
        (truncated, "clip.rvd"),
        (damaged("manifest.json"), "manifest"),
        (damaged("planes.tiff"), "planes.tiff"),
    ],
)
def test_unusable_bundles_are_one_line(
    shot: Any,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    make: Callable[[Path, Any], Path],
    told: str,
) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    assert run("derender", make(inputs, shot), "-o", tmp_path / "raws") == 3
    require_one_line(capfd.readouterr(), told)
    assert list(tmp_path.iterdir()) == [inputs]


def test_a_damaged_video_is_one_line_and_leaves_whole_frames_only(
    shot: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    assert run("derender", shot.bundle, "-o", good) == 0
    capfd.readouterr()
    bundle = damaged("video/")(tmp_path, shot)
    assert run("derender", bundle, "-o", bad) == 3
    require_one_line(capfd.readouterr(), "is damaged")
    left = contents(bad) if bad.exists() else {}
    assert left.keys() < NAMES - {"clip_timestamps.csv"}
    for name in left:
        assert read_raw(bad / name).size == shot.frame.size


@pytest.mark.parametrize("name", ["mine", "mine/raws", "mine/deeper/raws"])
def test_an_output_that_can_be_no_folder(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "mine").write_text("mine")
    assert run("derender", shot.bundle, "-o", tmp_path / name, "--overwrite") == 5
    require_one_line(capsys.readouterr(), name)
    assert contents(tmp_path) == {"mine": b"mine"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows other names")
def test_an_output_name_that_is_too_long(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("derender", shot.bundle, "-o", tmp_path / ("x" * 300)) == 5
    require_one_line(capsys.readouterr(), "can't be used as output folder")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux has such a place")
def test_a_place_where_nobody_may_write(shot: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("derender", shot.bundle, "-o", "/proc/raws") == 5
    require_one_line(capsys.readouterr(), "can't be used as output folder")


@pytest.mark.parametrize("call", [1, 3, 7])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails(
    shot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    call: int,
    code: int,
) -> None:
    sync = os.fsync
    calls = iter(range(1, 1000))

    def fail(file: int) -> None:
        if next(calls) >= call:
            raise OSError(code, os.strerror(code))
        sync(file)

    out = tmp_path / "raws"
    monkeypatch.setattr(os, "fsync", fail)
    assert run("derender", shot.bundle, "-o", out) == 5
    require_one_line(capsys.readouterr(), os.strerror(code))
    assert {path.name for path in out.iterdir()} - {STATE_FILE} < NAMES
    for path in out.glob("*.dng"):
        assert read_raw(path).size == shot.frame.size


def too_few(flows: Path) -> None:
    (flows / "0000.npy").unlink()


def not_an_array(flows: Path) -> None:
    (flows / "0002.npy").write_text("not an array")


def not_a_flow(flows: Path) -> None:
    np.save(flows / "0002.npy", np.zeros((48, 64)))


@pytest.mark.parametrize(
    ("spoil", "code", "told"),
    [
        (too_few, 4, "4 flows for a video of 6 frames"),
        (not_an_array, 3, "0002.npy"),
        (not_a_flow, 4, "0002.npy"),
    ],
)
def test_unusable_flows_are_one_line(
    shot: Any,
    tmp_path: Path,
    flows: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    code: int,
    told: str,
) -> None:
    spoil(flows)
    assert run("derender", shot.bundle, "-o", tmp_path / "raws", "--flow", flows) == code
    require_one_line(capsys.readouterr(), told)


def test_flows_that_do_not_exist(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("derender", shot.bundle, "-o", tmp_path / "raws", "--flow", tmp_path / "no") == 3
    require_one_line(capsys.readouterr(), "no such folder")
    assert list(tmp_path.iterdir()) == []


def test_help_comes_without_the_heavy_libraries(shot: Any) -> None:
    """Help must not wait for OpenCV, FFmpeg and the like to be imported."""
    program = (
        "import sys; from rvdtool.cli import main; main(['derender', '--help']);"
        "print(sorted({'numpy', 'cv2', 'av', 'rawpy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.rstrip().endswith("[]")
    assert "Example: rvdtool derender clip.rvd -o raws/" in done.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--timecode", "noon"], "14:23:11:05"),
        (["--timecode", "10:00:00:30"], "23:59:59:29"),
        (["--rate", "25"], "constant rate, 29.97 frames per second"),
        (["--rate", "0"], "--rate 0"),
        (["--name", "../x"], "--name"),
    ],
)
def test_labels_that_do_not_fit(
    options: list[str], told: str, shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("derender", shot.bundle, "-o", tmp_path / "raws", "--model", "none", *options) == 2
    require_one_line(capsys.readouterr(), told)
    assert not (tmp_path / "raws").exists()


def test_labels_from_options(shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "raws"
    options = ["--model", "none", "--name", "B7", "--timecode", "10:00:00;02", "--json"]
    assert run("derender", shot.bundle, "-o", out, *options) == 0
    report = json.loads(capsys.readouterr().out)
    labels = {name: report[name] for name in ("name", "rate", "time_code", "sound")}
    assert labels == {
        "name": "B7", "rate": "30000/1001", "time_code": "10:00:00;02", "sound": []
    }  # fmt: skip
    assert (out / "B7_000005.dng").exists()
