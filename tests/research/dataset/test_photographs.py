"""The photographs: each is listed once, and can be read from its repository's history."""

import subprocess
import sys
from pathlib import Path

import pytest

from rvdtool.research.dataset.photographs import read_photographs

SCRIPT = Path(__file__).parents[3] / "examples" / "collect_photographs.py"


def test_each_is_listed_once_and_large_enough() -> None:
    photographs = read_photographs() + read_photographs("phones")
    assert len({photograph.blob for photograph in photographs}) == len(photographs) == 77 + 11
    assert all(min(photograph.size) >= 1000 for photograph in photographs)


def test_what_no_clone_has_is_said(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "init", "--quiet", clone], check=True)
    command = [sys.executable, SCRIPT, clone, "-o", tmp_path / "sources"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert all(
        photograph.blob in done.stderr
        for photograph in read_photographs() + read_photographs("phones")
    )


def test_those_in_a_clone_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import collect_photographs

    clone = tmp_path / "clone"
    subprocess.run(["git", "init", "--quiet", clone], check=True)
    (clone / "one.jpg").write_bytes(b"a picture")
    store = ["git", "-C", clone, "hash-object", "-w", "one.jpg"]
    blob = subprocess.run(store, capture_output=True, text=True, check=True).stdout.strip()
    one = read_photographs()[0].model_copy(update={"blob": blob})
    monkeypatch.setattr(collect_photographs, "all_photographs", lambda: (one,))
    assert collect_photographs.collect([tmp_path, clone], tmp_path / "sources") == []
    assert (tmp_path / "sources" / one.path).read_bytes() == b"a picture"
