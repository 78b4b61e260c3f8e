"""`rvdtool doctor`: the facts are right, and a broken part doesn't hide the others."""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from command_line import run

from rvdtool._version import __version__
from rvdtool.errors import ModelError
from rvdtool.network.checkpoint import list_models, load_model


def test_the_facts_agree_with_other_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "--json") == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told["rvdtool"] == __version__
    assert told["packages"]["numpy"] == np.__version__
    assert told["packages"]["opencv-python-headless"] == version("opencv-python-headless")
    assert "pytest" not in told["packages"]
    assert told["models"] == {
        name: {"sha256": load_model(name).sha256, "intact": True} for name in list_models()
    }
    assert {"libx264", "prores_ks"} <= set(told["ffmpeg"]["encoders"])
    assert told["problems"] == []


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="no /proc")
def test_processor_and_memory_are_the_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    flags = set(Path("/proc/cpuinfo").read_text().split())
    for ours in ("avx2", "fma", "avx512f"):
        assert (ours in told["cpu"]["features"]) == (ours in flags), ours
    kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    assert float(told["memory"].split()[0]) == pytest.approx(kilobytes * 1024 / 1e9, abs=0.1)


def test_the_text_names_no_folder_and_no_user(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("doctor") == 0
    printed = capsys.readouterr().out
    assert "GB free" in printed
    for private in (str(tmp_path), str(Path.home()), os.uname().nodename):
        assert private not in printed


def test_a_broken_part_is_named_and_the_rest_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(name: str) -> None:
        raise ModelError(f"{name}: its weights were altered")

    monkeypatch.setitem(sys.modules, "rawpy", None)  # importing it fails
    monkeypatch.setattr("rvdtool.network.checkpoint.load_model", damaged)
    assert run("doctor") == 1
    printed = capsys.readouterr()
    assert "libraw     unknown" in printed.out
    assert np.__version__ in printed.out
    assert printed.err.count("\n") == 1
    assert "libraw: " in printed.err
    assert "its weights were altered; install rvdtool again" in printed.err
