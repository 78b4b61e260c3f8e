"""Nothing that goes into a bundle is overwritten by it, whatever path it is given by."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from mlv_samples import Clip, mlv_bytes, random_mosaics
from pairwise import pairwise

from rvdtool.bundle.store import open_bundle
from rvdtool.bundle.verify import verify
from rvdtool.capture.pack import pack
from rvdtool.capture.stills import parse_stills
from rvdtool.errors import UsageError
from rvdtool.raw.dng import write_dng


@pytest.fixture
def place(shot: Any, tmp_path: Path) -> Path:
    """All that people pack: each kind of video and RAW, and exposures."""
    shutil.copy(shot.video, tmp_path / "clip.mp4")
    shutil.copy(shot.raw, tmp_path / "first.dng")
    (tmp_path / "clip.mlv").write_bytes(mlv_bytes(random_mosaics(2), Clip(file_count=2)))
    (tmp_path / "clip.M00").write_bytes(b"frames")
    for folder in ("cinema", "stills", "frames"):
        (tmp_path / folder).mkdir()
        for index in (0, 4):
            if folder == "frames":
                picture = imagecodecs.png_encode(np.zeros((48, 64, 3), np.uint8))
                (tmp_path / folder / f"{index // 4}.png").write_bytes(picture)
            else:
                write_dng(shot.frame, tmp_path / folder / f"{folder}_{index}.dng")
    rows = "".join(f"{index},100\n" for index in range(6))
    (tmp_path / "exposures.csv").write_text("frame,iso\n" + rows)
    return tmp_path


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


VICTIMS = [
    ("clip.mp4", ["0=first.dng"], "clip.mp4"),
    ("clip.mp4", ["0=first.dng"], "first.dng"),
    ("clip.mp4", ["0=first.dng"], "exposures.csv"),
    ("clip.mp4", ["0=clip.mlv"], "clip.mlv"),
    ("clip.mp4", ["0=clip.mlv"], "clip.M00"),
    ("clip.mp4", ["0=cinema"], "cinema/cinema_0.dng"),
    ("clip.mp4", ["0=cinema"], "cinema/cinema_4.dng"),
    ("clip.mp4", ["0=first.dng", "4=stills/stills_4.dng"], "stills/stills_4.dng"),
    ("clip.mp4", ["*=stills/*.dng"], "stills/stills_4.dng"),
    ("frames", ["0=first.dng"], "frames/1.png"),
]


WAYS = ["itself", "symlink", "hard link", "dots", "folder"]


@pytest.mark.parametrize(
    ("inputs", "option", "way"), pairwise(VICTIMS, ["bundle", "preview"], WAYS)
)
def test_an_input_is_never_an_output(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    inputs: tuple[str, list[str], str],
    option: str,
    way: str,
) -> None:
    monkeypatch.chdir(place)
    video, raws, victim = inputs
    out = Path("link")
    match way:
        case "itself":
            out = Path(victim)
        case "symlink":
            out.symlink_to(place / victim)
        case "hard link":
            out.hardlink_to(place / victim)
        case "dots":
            out = Path("stills", "..", victim)
        case "folder":
            out.symlink_to(place)
            out = out / victim
    outputs = {"out": Path("new.rvd"), "preview": Path("new.png")}
    outputs["out" if option == "bundle" else "preview"] = out
    before = contents(place)
    told = f"one of the files to be packed; choose another name for the {option}"
    with pytest.raises(UsageError, match=told):
        pack(
            Path(video),
            parse_stills(raws),
            exposures=Path("exposures.csv"),
            force=True,
            overwrite=True,
            **outputs,
        )
    assert contents(place) == before


def test_bundle_and_preview_are_two_files(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    before = contents(place)
    with pytest.raises(UsageError, match="another one for the preview"):
        pack(Path("clip.mp4"), Path("first.dng"), Path("a.rvd"), preview=place / "a.rvd")
    assert contents(place) == before


def test_a_bundle_beside_its_inputs_may_be_replaced(place: Path) -> None:
    """In the folder of a recording's frames, too."""
    out = place / "cinema" / "clip.rvd"
    out.write_text("an older bundle")
    pack(place / "clip.mp4", place / "cinema", out, overwrite=True)
    assert out.stat().st_size > (place / "clip.mp4").stat().st_size


def test_two_packs_to_one_name_at_once_leave_a_whole_bundle(place: Path) -> None:
    """Whichever is first; the other one is refused, during the first or after it."""
    command = [sys.executable, "-m", "rvdtool", "pack", "clip.mp4", "--raw", "0=first.dng"]
    runs = [
        subprocess.Popen([*command, "-o", "one.rvd"], cwd=place, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [run.communicate()[1] for run in runs]
    assert sorted(run.returncode == 0 for run in runs) == [False, True], said
    assert any("one.rvd" in text for run, text in zip(runs, said, strict=True) if run.returncode)
    checks = verify(open_bundle(place / "one.rvd"))
    assert checks
    assert all(check.ok for check in checks)
    assert not [path.name for path in place.iterdir() if path.name.startswith(".")]
