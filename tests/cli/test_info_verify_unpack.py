"""`rvdtool info`, `verify` and `unpack`: their output, and failures in one line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import run

from rvdtool.bundle.store import open_bundle


@pytest.fixture
def damaged(shot: Any, tmp_path: Path) -> Path:
    """One bit of the RAW frame is flipped."""
    path = Path(shutil.copy(shot.bundle, tmp_path / "damaged.rvd"))
    data = bytearray(path.read_bytes())
    data[open_bundle(path).slices["reference/000000.dng"].offset + 700] ^= 4
    path.write_bytes(data)
    return path


@pytest.fixture
def truncated(shot: Any, tmp_path: Path) -> Path:
    path = tmp_path / "truncated.rvd"
    path.write_bytes(shot.bundle.read_bytes()[:-1000])
    return path


def test_info_says_what_is_inside(shot: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", shot.bundle) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    facts = dict(line.split(maxsplit=1) for line in printed.out.splitlines())
    assert facts["frames"] == "6 in 0.200 s, 29.97 frames per second"
    assert facts["video"] == f"clip.mp4 ({shot.video.stat().st_size:,} bytes)"
    assert facts["matrix"] == "bt709 (stated by the stream)"
    assert facts["levels"] == "black 64.25, 64, 64, 64.25, white 1023, 10 bit"
    assert "Acme Filmer 3000" in printed.out
    assert "First Frame.dng" in printed.out


def test_info_as_json_is_the_manifest(shot: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", shot.bundle, "--json") == 0
    manifest = open_bundle(shot.bundle).manifest
    assert json.loads(capsys.readouterr().out) == manifest.model_dump(mode="json")


def test_verify_lists_what_it_checked(shot: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", shot.bundle) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "ok  decoding clip.mp4: all 6 frames decode" in printed.out.splitlines()


def test_verify_quickly_decodes_nothing(shot: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", shot.bundle, "--quick", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is True
    assert len(result["checks"]) == 5


def test_verify_names_what_is_damaged(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", damaged) == 3
    printed = capsys.readouterr()
    bad = [line for line in printed.out.splitlines() if line.startswith("BAD")]
    assert bad == ["BAD reference/000000.dng: its bytes were altered"]
    assert printed.err.startswith(f"error: {damaged}: damaged: reference/000000.dng")
    assert printed.err.count("\n") == 1


def test_verify_as_json_says_so_too(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", damaged, "--json") == 3
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is False
    assert [c["name"] for c in result["checks"] if not c["ok"]] == ["reference/000000.dng"]


def test_verify_goes_on_after_a_bad_bundle(
    shot: Any, damaged: Path, truncated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = (truncated, damaged, shot.bundle)
    assert run("verify", *paths, "--quick") == 6
    printed = capsys.readouterr()
    first, second, last = printed.err.splitlines()
    assert first.startswith(f"error: {truncated}: ")
    assert second.startswith(f"error: {damaged}: damaged: ")
    assert last == f"error: 2 of 3 failed: {truncated}, {damaged}"
    assert f"BAD {damaged}: reference/000000.dng: its bytes were altered" in printed.out
    assert f"ok  {shot.bundle}: " in printed.out
    assert run("verify", *paths, "--quick", "--json") == 6
    assert [one["ok"] for one in json.loads(capsys.readouterr().out)] == [False, False, True]
    assert run("verify", shot.bundle, shot.bundle, "--quick") == 0


def test_unpack_says_what_it_wrote(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("unpack", shot.bundle, "-o", out) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.read_bytes() for path in written] == [
        shot.video.read_bytes(),
        shot.raw.read_bytes(),
    ]


def test_unpack_keeps_what_is_there(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "clip.mp4"
    mine.write_text("mine")
    assert run("unpack", shot.bundle, "-o", tmp_path) == 5
    assert "already exists" in capsys.readouterr().err
    assert mine.read_text() == "mine"
    assert run("unpack", shot.bundle, "-o", tmp_path, "--overwrite") == 0
    assert mine.read_bytes() == shot.video.read_bytes()


def test_unpack_never_writes_a_damaged_file(
    damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("unpack", damaged, "-o", tmp_path / "out") == 3
    assert "reference/000000.dng was altered" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clip.mp4"]


def test_unpack_into_a_file_is_one_line(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    assert run("unpack", shot.bundle, "-o", tmp_path / "file") == 5
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("command", ["info", "verify", "unpack"])
def test_unusable_bundles_are_one_line(
    command: str,
    shot: Any,
    truncated: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["-o", tmp_path / "out"] if command == "unpack" else []
    for bundle, told in (
        (truncated, "cut short"),
        (shot.video, "not a bundle"),
        (shot.raw, "not a bundle"),
        (tmp_path, "a folder"),
        (tmp_path / "none.rvd", "no such file"),
    ):
        assert run(command, bundle, *options) == 3
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith(f"error: {bundle}: ")
        assert told in printed.err
        assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
