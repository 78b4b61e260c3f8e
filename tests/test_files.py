"""No file of the user's is overwritten, no link followed, nothing half-written or left behind."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from rvdtool.errors import OutputError
from rvdtool.files import create_part, exclusive, lock_of, remove_leftovers, write_beside

LEFT = ".rvdtool-0123456789abcdef.part"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_only_looks_temporary_is_the_users(tmp_path: Path, overwrite: bool) -> None:
    mine = ["clip.part", ".clip.part", ".rvdtool-mine.part", f"{LEFT}.dng"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    with write_beside(tmp_path / "clip", overwrite=overwrite) as file:
        file.write(b"new")
    assert names(tmp_path) == sorted(["clip", *mine])
    assert all((tmp_path / name).read_text() == "mine" for name in mine)


@pytest.mark.parametrize("exists", [True, False])
def test_links_are_not_followed(tmp_path: Path, exists: bool) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link"
    if exists:
        victim.write_text("mine")
    link.symlink_to(victim)
    with pytest.raises(OutputError, match="already exists"), write_beside(link):
        pass
    with write_beside(link, overwrite=True) as file:
        file.write(b"new")
    assert (link.is_symlink(), link.read_text()) == (False, "new")
    assert victim.exists() == exists
    assert not exists or victim.read_text() == "mine"


def test_what_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    writing = write_beside(path)
    writing.__enter__().write(b"new")
    path.write_text("somebody else's")
    with pytest.raises(OutputError, match="already exists"):
        writing.__exit__(None, None, None)
    assert path.read_text() == "somebody else's"
    assert names(tmp_path) == ["clip"]


def test_only_what_nobody_writes_is_left_over(tmp_path: Path) -> None:
    (tmp_path / LEFT).write_text("of a killed process")
    part, file = create_part(tmp_path)
    with file:
        remove_leftovers(tmp_path)
        assert names(tmp_path) == [part.name]
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from rvdtool.files import exclusive, lock_of, write_beside
path = Path(sys.argv[1])
with exclusive(lock_of(path), "held"), write_beside(path) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_holds_no_lock_and_leaves_nothing_for_long(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert len(names(tmp_path)) == 2
    with exclusive(lock_of(path), "held"), write_beside(path) as file:
        file.write(b"whole")
    assert names(tmp_path) == ["clip"]


def test_one_at_a_time(tmp_path: Path) -> None:
    lock = lock_of(tmp_path / "clip")
    with exclusive(lock, "held"):
        with pytest.raises(OutputError, match="held"), exclusive(lock, "held"):
            pass
        assert lock.exists()
    assert not lock.exists()
    with exclusive(lock, "held"):
        pass


def test_a_lock_file_that_holds_something_is_kept(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("mine")
    with exclusive(lock, "held"):
        pass
    assert lock.read_text() == "mine"


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refused)
    for again in range(2):
        with suppress(OutputError), write_beside(tmp_path / "clip") as file:
            file.write(bytes([again]))
    assert (tmp_path / "clip").read_bytes() == b"\0"
    assert names(tmp_path) == ["clip"]
