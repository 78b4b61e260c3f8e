"""`rvdtool pack`: its output; each failure is one line and leaves nothing behind."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import tifffile
from command_line import require_one_line, run

from rvdtool import files
from rvdtool.bundle.store import open_bundle
from rvdtool.raw.dng import write_dng
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.png import write_png
from rvdtool.video.source import FileSource

LEVELS = ["--black", "64.25,64,64,64.25", "--white", "1023", "--phase", "grbg", "--bits", "10"]


def test_the_bundle_lies_beside_the_video(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = Path(shutil.copy(shot.video, tmp_path))
    assert run("pack", video, shot.raw) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith(f"{tmp_path / 'clip.rvd'}: 6 frames of 64×48, RAW matches")
    assert (tmp_path / "clip.rvd").read_bytes() == shot.bundle.read_bytes()


def test_a_raw_given_before_the_video_is_told_the_right_order(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pack", shot.raw, shot.video, "-o", tmp_path / "clip.rvd") == 2
    require_one_line(capsys.readouterr(), f"rvdtool pack {shot.video} {shot.raw}")
    assert list(tmp_path.iterdir()) == []
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "a_0001.dng").write_bytes(shot.raw.read_bytes())
    assert run("pack", folder, shot.video) == 2
    require_one_line(capsys.readouterr(), f"rvdtool pack {shot.video} {folder}")


def test_the_current_folder_is_an_output(
    shot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("pack", shot.video, shot.raw, "-o", ".") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["clip.rvd"]


def test_levels_of_a_plain_mosaic_come_from_options(shot: Any, tmp_path: Path) -> None:
    raw, out = tmp_path / "first.tiff", tmp_path / "clip.rvd"
    tifffile.imwrite(raw, shot.frame.mosaic)
    assert run("pack", shot.video, raw, "-o", out, *LEVELS) == 0
    frame = open_bundle(out).references[0].frame
    assert (frame.black, frame.white, frame.phase.value) == (shot.frame.black, 1023, "GRBG")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--rate", "fast"], "--rate fast"),
        (["--rate", "25/0"], "--rate 25/0"),
        (["--rate", "25"], "has its own frame rate"),
        (["--assume", "matrix"], "NAME=VALUE"),
        (["--assume", "matrix=bt000"], "bt709"),
        (["--black", "64"], "all of --black, --white, --phase and --bits"),
        (LEVELS, "states its own levels"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    shot: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    told: str,
) -> None:
    assert run("pack", shot.video, shot.raw, "-o", tmp_path / "clip.rvd", *options) == 2
    require_one_line(capsys.readouterr(), told)
    assert list(tmp_path.iterdir()) == []


def text_as_video(folder: Path, shot: Any) -> tuple[Path, Path]:
    video = folder / "clip.mp4"
    video.write_text("not a video\n" * 100)
    return video, shot.raw


def video_without_frames(folder: Path, shot: Any) -> tuple[Path, Path]:
    video = folder / "clip.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return video, shot.raw


def sound_only(folder: Path, shot: Any) -> tuple[Path, Path]:
    video = folder / "clip.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return video, shot.raw


def truncated_video(folder: Path, shot: Any) -> tuple[Path, Path]:
    video = folder / "clip.mp4"
    video.write_bytes(shot.video.read_bytes()[:-300])
    return video, shot.raw


def folder_without_pngs(folder: Path, shot: Any) -> tuple[Path, Path]:
    video = folder / "frames"
    video.mkdir()
    return video, shot.raw


def empty_video(folder: Path, shot: Any) -> tuple[Path, Path]:
    video = folder / "clip.mp4"
    video.touch()
    return video, shot.raw


def x_trans(folder: Path, shot: Any) -> tuple[Path, Path]:
    """A DNG whose colours repeat every six pixels."""
    raw = folder / "first.dng"
    tags = [
        (33421, 3, 2, (6, 6)),
        (33422, 1, 36, (1, 1, 0, 1, 1, 2, 1, 1, 2, 1, 1, 0, 2, 0, 1, 0, 2, 1) * 2),
        (50706, 1, 4, (1, 4, 0, 0)),
        (50708, 2, 0, "Acme"),
        (50714, 3, 1, 64),
        (50717, 3, 1, 1023),
        (50721, 10, 9, (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)),
        (50728, 5, 3, (1, 2, 1, 1, 1, 2)),
    ]
    tifffile.imwrite(
        raw,
        shot.frame.mosaic,
        photometric="CFA",
        extratags=[(*tag, True) for tag in tags],
        metadata=None,
    )
    return shot.video, raw


def truncated_raw(folder: Path, shot: Any) -> tuple[Path, Path]:
    raw = folder / "first.dng"
    raw.write_bytes(shot.raw.read_bytes()[:-500])
    return shot.video, raw


def jpeg_as_raw(folder: Path, shot: Any) -> tuple[Path, Path]:
    raw = folder / "first.jpg"
    raw.write_bytes(b"\xff\xd8\xff\xe0" + bytes(1000))
    return shot.video, raw


@pytest.mark.parametrize(
    ("make", "code", "told"),
    [
        (lambda folder, shot: (folder / "none.mp4", shot.raw), 3, "none.mp4: no such file"),
        (lambda folder, shot: (shot.video, folder / "none.dng"), 3, "none.dng: no such file"),
        (text_as_video, 3, "can't be opened as a video"),
        (video_without_frames, 3, "clip.mp4"),
        (sound_only, 3, "clip.mp4"),
        (truncated_video, 3, "clip.mp4"),
        (folder_without_pngs, 3, "no PNG"),
        (empty_video, 3, "empty"),
        (x_trans, 3, "X-Trans"),
        (truncated_raw, 3, "first.dng"),
        (jpeg_as_raw, 3, "JPEG"),
    ],
)
def test_unusable_inputs_are_one_line(
    shot: Any,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    make: Callable[[Path, Any], tuple[Path, Path]],
    code: int,
    told: str,
) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    video, raw = make(inputs, shot)
    out = tmp_path / "clip.rvd"
    assert run("pack", video, raw, "-o", out) == code
    require_one_line(capfd.readouterr(), told)
    assert list(tmp_path.iterdir()) == [inputs]


def test_sizes_that_differ_are_both_named(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "first.tiff"
    tifffile.imwrite(raw, shot.frame.mosaic[:, :-8])
    assert run("pack", shot.video, raw, "-o", tmp_path / "clip.rvd", *LEVELS) == 4
    printed = capsys.readouterr()
    require_one_line(printed, "56×48")
    assert "64×48" in printed.err
    assert list(tmp_path.iterdir()) == [raw]


@pytest.mark.parametrize(
    ("out", "where"),
    [
        ("missing/clip.rvd", "missing/clip.rvd"),
        ("missing/and/another/", "missing/and/another/clip.rvd"),
        ("folder", "folder/clip.rvd"),
        ("folder/", "folder/clip.rvd"),
        (".", "clip.rvd"),
    ],
)
def test_an_output_may_be_a_folder_or_lie_in_one_to_be_made(
    shot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, where: str
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run("pack", shot.video, shot.raw, "-o", out) == 0
    assert (tmp_path / where).is_file()


def test_a_refused_raw_leaves_no_folder_behind(shot: Any, tmp_path: Path) -> None:
    other = shot.frame.with_mosaic(shot.frame.mosaic[::-1, ::-1].copy())
    write_dng(other, tmp_path / "other.dng")
    out = tmp_path / "missing" / "clip.rvd"
    assert run("pack", shot.video, tmp_path / "other.dng", "-o", out) == 4
    assert not out.parent.exists()


@pytest.mark.parametrize("out", ["file/clip.rvd", "x" * 300])
def test_an_output_that_cannot_be_written_is_one_line(
    shot: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    out: str,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert run("pack", shot.video, shot.raw, "-o", out, "--overwrite") == 5
    require_one_line(capsys.readouterr(), f"error: {out.split('/')[0]}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_read_only_folder_is_one_line(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o555)
    assert run("pack", shot.video, shot.raw, "-o", tmp_path / "clip.rvd") == 5
    require_one_line(capsys.readouterr(), "Permission denied")
    tmp_path.chmod(0o755)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_when_the_system_writes_is_one_line(
    shot: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many file systems report it only when buffers are written to the disk."""

    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", fsync)
    old = tmp_path / "clip.rvd"
    old.write_text("mine")
    assert run("pack", shot.video, shot.raw, "-o", old, "--overwrite") == 5
    require_one_line(capsys.readouterr(), os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_text() == "mine"


@pytest.mark.parametrize("room", [0, 100, 2000, -60, -1])
def test_a_disk_that_fills_up_anywhere_is_one_line(shot: Any, tmp_path: Path, room: int) -> None:
    """The system's limit on file size takes the place of a full disk: writing fails in the same
    way."""
    resource = pytest.importorskip("resource")
    limit = room if room >= 0 else shot.bundle.stat().st_size + room

    def shrink_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-B", "-m", "rvdtool", "pack", str(shot.video), str(shot.raw)]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "clip.rvd")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=shrink_disk,
    )
    assert done.returncode == 5
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_really_full_disk_is_one_line(shot: Any, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tiny file system needs root")
    try:
        command = [sys.executable, "-m", "rvdtool", "pack", str(shot.video), str(shot.raw)]
        command += ["-o", str(disk / "clip.rvd")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        left = list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert done.returncode == 5
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr
    assert left == []


def test_raws_of_given_frames(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index, frame in ((0, shot.frame), (4, shot.later)):
        write_dng(frame, tmp_path / f"still{index}.dng")
    out = tmp_path / "clip.rvd"
    one, other = (f"{index}={tmp_path / f'still{index}.dng'}" for index in (0, 4))
    assert run("pack", shot.video, "--raw", one, "--raw", other, "-o", out) == 0
    assert "2 RAWs match frames 0 to 4 by 0." in capsys.readouterr().out
    again = tmp_path / "again.rvd"
    assert run("pack", shot.video, "--raw", f"*={tmp_path / 'still*.dng'}", "-o", again) == 0
    assert again.read_bytes() == out.read_bytes()


def test_without_any_raw_it_says_how_to_name_one(
    shot: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pack", shot.video) == 2
    require_one_line(capsys.readouterr(), "--raw FRAME=FILE")


def test_exposures_are_packed_and_shown(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = tmp_path / "exposures.csv", tmp_path / "clip.rvd"
    table.write_text("frame,iso\n" + "".join(f"{i},{100 + 50 * i}\n" for i in range(6)))
    assert run("pack", shot.video, shot.raw, "-o", out, "--exposures", table) == 0
    assert run("info", out) == 0
    assert "ISO        100 to 350, given for each frame" in capsys.readouterr().out
    table.write_text("frame,iso\n0,100\n")
    assert run("pack", shot.video, shot.raw, "-o", out, "--exposures", table, "--overwrite") == 3
    require_one_line(capsys.readouterr(), "no row for frame 1")


def test_what_is_assumed_of_a_folder_is_one_line(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for frame in read_frames(FileSource(shot.video), probe(FileSource(shot.video))):
        write_png(frame.rgb, frames / f"{3 * frame.index}.png")
    out = tmp_path / "clip.rvd"
    assert run("pack", frames, shot.raw, "-o", out) == 3
    require_one_line(capsys.readouterr(), "a gap: 3.png follows 0.png")
    assert run("pack", frames, shot.raw, "-o", out, "--as-listed") == 0
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert "so 30 per second is assumed; --rate sets it" in printed.err
    told = ["--overwrite", "--as-listed", "--rate", "29.97"]
    assert run("pack", frames, shot.raw, "-o", out, *told) == 0
    assert capsys.readouterr().err == ""
    assert open_bundle(out).video_info.rate == Fraction(30000, 1001)


def test_a_stream_that_is_not_there(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pack", shot.video, shot.raw, "-o", tmp_path / "a.rvd", "--stream", "1") == 2
    require_one_line(capsys.readouterr(), "stream 1 is not a video stream; it has 0 (64×48)")


def test_a_list_of_clips(
    shot: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips.csv").write_text(
        "video;raw;options\n"
        f"{shot.video};{shot.raw};-o one.rvd\n"
        f"none.mp4;{shot.raw};\n"
        f'{shot.video};;"-o two.rvd --raw ""0={shot.raw}"""\n'
    )
    assert run("pack", "--list", "clips.csv") == 6
    printed = capsys.readouterr()
    assert [line.split(":")[0] for line in printed.out.splitlines()] == ["one.rvd", "two.rvd"]
    assert printed.err.splitlines() == [
        f"1 of 3: {shot.video}",
        "2 of 3: none.mp4",
        "error: none.mp4: no such file (a video was expected)",
        f"3 of 3: {shot.video}",
        "error: 1 of 3 failed: none.mp4",
    ]
    assert (tmp_path / "one.rvd").read_bytes() == (tmp_path / "two.rvd").read_bytes()


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("video\na.mp4\n", "give video, and raw or options"),
        ("video,raw,gain\na.mp4,b.dng,1\n", "give video, and raw or options"),
        ("video,raw\na.mp4\n", "line 2: needs a video"),
        ("video,options\na.mp4,--raw 'b\n", "line 2: options: No closing quotation"),
        ("video,raw\n", "lists no clips"),
        ("video,raw\n" + 10_001 * "a.mp4,b.dng\n", "line 10002: 10,000 clips are the most"),
    ],
    ids=["nothing", "column", "value", "quote", "empty", "too many"],
)
def test_lists_that_make_no_sense(
    table: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clips.csv").write_text(table)
    assert run("pack", "--list", tmp_path / "clips.csv") == 3
    require_one_line(capsys.readouterr(), told)
    for beside in ("clip.mp4", "--overwrite"):
        assert run("pack", beside, "--list", tmp_path / "clips.csv") == 2
        require_one_line(capsys.readouterr(), f"leave out {beside.replace('clip.mp4', 'video')};")
    assert run("pack") == 2
    require_one_line(capsys.readouterr(), "no video given")
