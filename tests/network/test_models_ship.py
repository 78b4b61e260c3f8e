"""The models are part of the package, and `rvdtool models` shows them."""

import json
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from rvdtool.cli import main
from rvdtool.fagdn import authors
from rvdtool.fagdn.network import Fagdn, FagdnConfig
from rvdtool.network import checkpoint
from rvdtool.network.checkpoint import save_model

ROOT = Path(__file__).resolve().parents[2]
CONFIG = FagdnConfig(features=2)
WEIGHTS = sum(weight.numel() for weight in Fagdn(CONFIG).parameters())


def test_wheels_hold_every_package_and_the_models() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "rvdtool").rglob("__init__.py")}
    packages = {".".join(folder.parts) for folder in folders}
    assert set(tools["packages"]) == {"rvdtool.models", *packages}
    assert tools["package-dir"]["rvdtool.models"] == "models"
    patterns = tools["package-data"]["rvdtool.models"]
    for name in (checkpoint.CONFIG_FILE, checkpoint.WEIGHTS_FILE):
        assert f"*/{name}" in patterns


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped models with one model, called small."""
    monkeypatch.setattr(checkpoint, "shipped_models", lambda: tmp_path / "models")
    state = Fagdn(CONFIG).state_dict()
    folder = tmp_path / "models" / "small"
    folder.parent.mkdir()
    save_model(folder, "fagdn", asdict(CONFIG), state, training={"hours": 2})
    return folder.parent


def test_list_and_show(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    listed = capsys.readouterr().out
    assert listed.split()[:3] == ["small", "fagdn", f"{WEIGHTS:,}"]
    assert main(["models", "show", "small"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert ["config", "features", "2"] in [line.split() for line in shown]
    assert ["training", "hours", "2"] in [line.split() for line in shown]
    assert main(["models", "show", str(models / "small"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"] == asdict(CONFIG)


def test_import(
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(authors, "FagdnConfig", lambda: CONFIG)
    file, target = tmp_path / "RVD_Part1.pth", models / "rvd-part1"
    torch.save({"state_dict": Fagdn(CONFIG).state_dict(), "epoch": 60}, file)
    assert main(["models", "import", str(file), "-o", str(target)]) == 0
    assert capsys.readouterr().out.startswith("rvd-part1")
    assert main(["models", "import", str(file), "-o", str(target)]) == 5
    assert capsys.readouterr().err.startswith(f"error: {target}: already contains a model")
    assert main(["models", "import", str(file), "-o", str(target), "--overwrite"]) == 0


def test_derender_runs_a_model_by_its_name(
    models: Path, shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "raws"
    arguments = ["derender", str(shot.bundle), "-o", str(out), "--model", "small"]
    assert main([*arguments, "--device", "cpu", "--bf16"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 6 DNGs; by small\n")
    assert main([*arguments[:-1], "none", "--overwrite", "--bf16"]) == 2
    assert "--model" in capsys.readouterr().err
    assert main([*arguments, "--overwrite", "--device", "abacus"]) == 2
    assert "no device 'abacus'" in capsys.readouterr().err


def test_refusals_are_one_line(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "RVD_Part1.pth"
    file.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    for arguments in (
        ["models", "import", str(file), "-o", str(tmp_path / "m")],
        ["models", "show", "nothing"],
        ["models", "show", str(file)],
    ):
        assert main(arguments) == 3
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("error: ")
        assert printed.err.count("\n") == 1
