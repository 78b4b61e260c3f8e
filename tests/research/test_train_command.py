"""`rvdtool research train`: it makes a model; errors are one line."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import require_one_line, run

from rvdtool.network.checkpoint import load_model
from rvdtool.research.dataset.rvd import (
    RvdVideo,
    RvdWriter,
    VideoCamera,
    frame_names,
    write_frame_raw,
    write_frame_srgb,
)

ALWAYS = ("--accelerator", "cpu", "--batch", 1, "--crop", 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One video of three frames, RGGB."""
    root, names = tmp_path / "train", frame_names(3)
    noise = np.random.default_rng(0).uniform(0, 1, (80, 96)).astype(np.float32)
    for index, name in enumerate(names):
        light = np.roll(cv2.GaussianBlur(noise, (0, 0), 2), index, axis=1)
        write_frame_raw(root, "v", name, (16383 * light).astype(np.uint16))
        rgb = np.repeat((255 * light).astype(np.uint8)[..., None], 3, axis=2)
        write_frame_srgb(root, "v", name, rgb)
    RvdWriter(root).finish(RvdVideo(video_name="v", frames=names), VideoCamera())
    return root


def test_trains_and_goes_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = (
        "research",
        "train",
        folder,
        "--preset",
        "cam",
        "--validation",
        folder,
        *ALWAYS,
        "-o",
        out,
    )
    command = (*command, "--without", "meta", "--steps", 2, "--json")
    assert run(*command, "--minutes", 0) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["step"], first["finished"]) == (1, False)
    assert run(*command) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["step"], summary["finished"]) == (2, True)
    assert 0 < summary["validation"]["psnr"] < 120
    model = load_model(out)
    assert model.kind == "cam"
    assert model.training["meta"] is False
    assert model.training["data"] == {"train": {"videos": 1, "frames": 3}}
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    validation = (out / "validation.csv").read_text().splitlines()
    assert validation[0] == "step,video,psnr"
    assert [line.split(",")[:2] for line in validation[1:]] == [["1", "v"], ["2", "v"]]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--preset", "papers"), "fagdn-code"),
        (("--preset", "cam", "--without", "gla"), "meta"),
        (("--preset", "cam", "--precision", "8-bit"), "bf16-mixed"),
        (("--preset", "cam", "--devices", "none"), "devices"),
        (("--preset", "paper", "--crop", 70), "multiples of 64"),
    ],
)
def test_wrong_usage_is_one_line(
    folder: Path,
    tmp_path: Path,
    options: tuple[object, ...],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("research", "train", folder, *ALWAYS, *options, "-o", tmp_path / "run") == 2
    require_one_line(capsys.readouterr(), told)
    assert not (tmp_path / "run").exists()


def test_a_crop_larger_than_the_frames_is_wrong_usage(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--accelerator", "cpu", "--preset", "paper", "--steps", 1)
    assert run("research", "train", folder, *options, "-o", tmp_path / "run") == 2
    require_one_line(capsys.readouterr(), "doesn't fit")
