"""Short versions of what `make fuzz` does at length, and packs that must be alike to the byte."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rvdtool.bundle.store import open_bundle

ROOT = Path(__file__).parents[2]


def run(*command: object, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_mutated_files_end_in_typed_errors_and_write_nothing() -> None:
    counts = {"bundles": 120, "raws": 50, "recordings": 30, "videos": 20, "states": 12}
    counts |= {"models": 20, "kills": 0}
    options = [f"--{name}={count}" for name, count in counts.items()]
    report = run("tests.fuzz.run", *options)
    assert report["failures"] == 0
    assert report["bundle"]["cases"] == 120
    assert {"homography.rvd", "several.rvd", "recording.rvd"} <= report["bundle"]["of"].keys()
    for kind in ("bundle", "raw", "plain", "mlv", "video", "state", "model"):
        assert report[kind]["refused"] > report[kind]["cases"] / 3


def test_a_pack_killed_at_any_write_leaves_nothing_that_is_not_whole(
    shot: Any, tmp_path: Path
) -> None:
    report = run("tests.fuzz.kill", shot.video, shot.raw, tmp_path)
    assert report["failures"] == 0, report
    assert report["what was there before"] > 50
    assert report["the whole bundle"] > 0


PACK = """
import os, sys, time
from pathlib import Path
shift = float(sys.argv[1])
real = time.time, time.localtime, time.gmtime
time.time = lambda: real[0]() + shift
time.localtime = lambda seconds=None: real[1](time.time() if seconds is None else seconds)
time.gmtime = lambda seconds=None: real[2](time.time() if seconds is None else seconds)
os.umask(int(sys.argv[2], 8))
os.chdir(sys.argv[3])
from rvdtool.capture.pack import pack
pack(*map(Path, sys.argv[4:]))
"""


@pytest.mark.parametrize(
    ("shift", "umask", "environment"),
    [
        (0, "022", {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"}),
        (1e8, "077", {"TZ": "Pacific/Chatham", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2"}),
        (-1e9, "000", {"TZ": "America/St_Johns", "PYTHONUTF8": "0", "OMP_NUM_THREADS": "2"}),
    ],
)
def test_packing_again_anywhere_at_any_time_gives_the_same_bytes(
    shot: Any, tmp_path: Path, shift: float, umask: str, environment: dict[str, str]
) -> None:
    """The inputs are copies with other dates and permissions, named relative to another folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for path in (shot.video, shot.raw):
        copy = folder / path.name
        copy.write_bytes(path.read_bytes())
        copy.chmod(0o400)
        os.utime(copy, (1e9 + shift, 1e9 + shift))
    arguments = [str(shift), umask, str(folder), shot.video.name, shot.raw.name, "../again.rvd"]
    subprocess.run(
        [sys.executable, "-c", PACK, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        check=True,
    )
    assert (tmp_path / "again.rvd").read_bytes() == shot.bundle.read_bytes()
    assert open_bundle(tmp_path / "again.rvd").manifest == open_bundle(shot.bundle).manifest
