"""An output folder: the owner of its files, and one run at a time."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import FRAMES, Shot

from rvdtool.bundle.store import Bundle, open_bundle
from rvdtool.delivery.folder import derender_to_folder
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.output import writing_alone
from rvdtool.errors import OutputError
from rvdtool.raw.sequence import frame_name

DROPPINGS = [".DS_Store", "._clip_000000.dng", ".directory", "Thumbs.db", "desktop.ini"]


@pytest.fixture
def bundle(shot: Shot) -> Bundle:
    return open_bundle(shot.bundle)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stop(_: int) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("what", ["refuse", "overwrite", "resume"])
def test_what_file_managers_leave_there_neither_blocks_nor_changes(
    bundle: Bundle, tmp_path: Path, what: Any
) -> None:
    folder, maps = tmp_path / "raws", tmp_path / "maps"
    if what != "refuse":
        with pytest.raises(KeyboardInterrupt):
            derender_to_folder(bundle, folder, DerenderOptions(confidence=maps), advance=stop)
    for place in (folder, maps):
        place.mkdir(exist_ok=True)
        for name in DROPPINGS:
            (place / name).write_text("theirs")
    derender_to_folder(bundle, folder, DerenderOptions(existing=what, confidence=maps))
    for place in (folder, maps):
        assert all((place / name).read_text() == "theirs" for name in DROPPINGS)
        assert len(list(place.glob("clip_0*"))) == FRAMES


@pytest.mark.parametrize("content", [b"II*\0 of a camera", b"MM\0* of a camera"])
def test_frames_that_a_camera_wrote_are_not_overwritten(
    bundle: Bundle, tmp_path: Path, content: bytes
) -> None:
    """A camera's own sequence may have the same names, if its video does."""
    derender_to_folder(bundle, tmp_path)
    (tmp_path / frame_name("clip", 3)).write_bytes(content)
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"clip_000003\.dng isn't from an earlier run"):
        derender_to_folder(bundle, tmp_path, DerenderOptions(existing="overwrite"))
    assert contents(tmp_path) == before


def test_frames_of_the_video_are_no_maps(bundle: Bundle, tmp_path: Path) -> None:
    mine = tmp_path / "maps" / "clip_000000.png"
    mine.parent.mkdir()
    mine.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(16) + b"\x08\x02")
    options = DerenderOptions(existing="overwrite", confidence=mine.parent)
    with pytest.raises(OutputError, match="is not a map"):
        derender_to_folder(bundle, tmp_path / "raws", options)
    assert len(mine.read_bytes()) == 26


@pytest.mark.parametrize("what", ["refuse", "overwrite", "resume"])
def test_a_second_run_into_a_folder_is_refused(bundle: Bundle, tmp_path: Path, what: Any) -> None:
    """The message names the first run, whose files don't change."""
    with pytest.raises(KeyboardInterrupt):
        derender_to_folder(bundle, tmp_path, advance=stop)
    with writing_alone(tmp_path, "output folder"):
        before = contents(tmp_path)
        with pytest.raises(OutputError, match="another run of rvdtool is writing into it") as found:
            derender_to_folder(bundle, tmp_path, DerenderOptions(existing=what))
        assert contents(tmp_path) == before
    assert str(found.value).startswith(str(tmp_path))


def test_a_killed_run_keeps_nobody_out(bundle: Bundle, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from rvdtool.delivery.output import writing_alone\n"
        "with writing_alone(Path(sys.argv[1]), 'output folder'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert len(contents(tmp_path)) == 1
    derender_to_folder(bundle, tmp_path)
    assert len(contents(tmp_path)) == FRAMES + 1


def test_two_runs_do_not_share_a_folder_of_maps(bundle: Bundle, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    with (
        writing_alone(maps, "folder for --confidence"),
        pytest.raises(OutputError, match="another run"),
    ):
        derender_to_folder(bundle, tmp_path / "raws", DerenderOptions(confidence=maps))
