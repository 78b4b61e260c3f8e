"""`rvdtool research dataset`: its output, and errors in one line."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mlv_samples import random_mosaics, write_mlv

from rvdtool.cli import main
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from rvdtool.research.dataset.rvd import open_rvd

RECIPE = """{"name": "clip", "seed": 1, "width": 64, "height": 48, "frames": 2,
 "background": {"kind": "photo", "path": "photo.png"},
 "sensor": {"name": "Test", "neutral": [0.5, 1, 0.7],
 "color_matrix": [[0.7, -0.08, -0.1], [-0.44, 1.26, 0.2], [-0.09, 0.2, 0.58]]}}"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    cv2.imwrite(str(folder / "photo.png"), np.full((200, 200, 3), 120, np.uint8))
    (folder / "recipe.json").write_text(RECIPE)
    return folder


def test_simulate_makes_a_folder(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "set"
    arguments = ["research", "dataset", "simulate", str(photos / "recipe.json"), "-s", str(photos)]
    assert main([*arguments, "-o", str(output), "-j", "1"]) == 0
    assert capsys.readouterr().out == f"{output}: 1 videos\n"
    assert (output / "RAW" / "clip" / "000001.tiff").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["-s", "{photos}"], 2, "--rvd-sim"),
        (["{photos}/none.json", "-s", "{photos}"], 3, "none.json: no such file"),
        (["{photos}/photo.png", "-s", "{photos}"], 3, "photo.png: not a recipe"),
        (["{photos}/recipe.json", "-s", "{photos}/elsewhere"], 3, "photo.png: source not found"),
        (["{photos}/recipe.json", "-s", "{photos}", "--part", "test"], 2, "--part needs --rvd-sim"),
        (["--rvd-sim", "--part", "tset", "-s", "{photos}"], 2, "tset: RVD-Sim has train, valid"),
        # Nothing of any other part is looked for.
        (["--rvd-sim", "--part", "photographs", "-s", "{photos}"], 3, "photographs/"),
    ],
)
def test_simulate_says_what_is_wrong(
    arguments: list[str],
    code: int,
    says: str,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [argument.format(photos=photos) for argument in arguments]
    assert main(["research", "dataset", "simulate", *given, "-o", str(tmp_path / "set")]) == code
    lines = capsys.readouterr().err.splitlines()
    assert says in lines[-1]
    assert not (tmp_path / "set").exists()


def test_an_unwritable_folder(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set").write_text("a file, where a folder should be")
    arguments = ["research", "dataset", "simulate", str(photos / "recipe.json"), "-s", str(photos)]
    assert main([*arguments, "-o", str(tmp_path / "set"), "-j", "1"]) == 5
    assert str(tmp_path / "set") in capsys.readouterr().err


def test_build_makes_train_and_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        mosaic = np.random.default_rng(1).integers(200, 3000, (48, 64)).astype(np.uint16)
        profile = CameraProfile("Test", (0.5, 1.0, 0.6))
        frame = RawFrame(mosaic, CfaPhase.RGGB, (128,) * 4, 4095, 12, profile)
        write_dng(frame, tmp_path / name / f"{name}_000000.dng")
    folders = [str(tmp_path / name) for name in ("one", "two")]
    output = tmp_path / "set"
    arguments = ["research", "dataset", "build", *folders, "-o", str(output), "--test-share", "0.5"]
    assert main([*arguments, "--keep", "1"]) == 0
    assert capsys.readouterr().out == f"{output / 'train'}: 1 videos\n{output / 'test'}: 1 videos\n"
    assert main([*arguments, "--keep", "5", "--overwrite"]) == 3
    assert "one: 1 frames" in capsys.readouterr().err


def test_build_takes_magic_lantern_videos_and_flows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_mlv(tmp_path / "clip.mlv", random_mosaics(2))
    output = tmp_path / "set"
    arguments = ["research", "dataset", "build", str(path), "-o", str(output), "--keep", "2"]
    train = [*arguments, "--test-share", "0"]
    assert main([*train, "--flow", "npy", "--flow-folder", str(tmp_path)]) == 3
    assert capsys.readouterr().err.splitlines() == [
        f"error: {tmp_path}/clip/000000_flow.npy: no such file (a flow field was expected)"
    ]
    assert main([*train, "--flow", "npy"]) == 2
    assert "folder of flows" in capsys.readouterr().err
    assert not output.exists()
    (tmp_path / "clip").mkdir()
    np.save(tmp_path / "clip" / "000000_flow.npy", np.ones((24, 32, 2), np.float32))
    assert main([*train, "--flow", "npy", "--flow-folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{output / 'train'}: 1 videos\n"
    root = open_rvd(output / "train")
    assert root.read_flow(root.videos[0], 0).min() == 1

    path.write_bytes(path.read_bytes()[:-1])
    assert main([*train, "--overwrite"]) == 3
    assert capsys.readouterr().err.startswith(f"error: {path}: clip.mlv is cut short at byte")


def test_recipes_from_photos_can_be_simulated(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "research",
        "dataset",
        "recipes",
        str(photos / "photo.png"),
        "-o",
        str(tmp_path / "recipes"),
    ]
    options = ["--count", "1", "--frames", "2", "--size", "64x48"]
    assert main([*arguments, *options]) == 0
    drawn = [str(path) for path in (tmp_path / "recipes").iterdir()]
    simulate = [
        "research",
        "dataset",
        "simulate",
        *drawn,
        "-s",
        str(photos),
        "-o",
        str(tmp_path / "set"),
    ]
    assert main([*simulate, "-j", "1"]) == 0
    assert len(list((tmp_path / "set" / "sRGB").rglob("*.png"))) == 2
    capsys.readouterr()
    assert main([*arguments, "--size", "64"]) == 2
    assert "--size 64" in capsys.readouterr().err
