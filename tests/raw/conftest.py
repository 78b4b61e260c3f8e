"""Readers that rvdtool didn't write, which must open what it writes.

Where one isn't installed, its tests skip and say so; with RVDTOOL_REQUIRE_READERS=1 (the project's
own checks set it) they fail.
"""

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from readers import need

EXIFTOOL = "exiftool (apt install libimage-exiftool-perl)"


@pytest.fixture
def adobe() -> Any:
    """Adobe's DNG SDK (dngpy): opens a DNG given as a path."""
    need(importlib.util.find_spec("dngpy"), "dngpy (pip install dngpy)")
    import dngpy

    return lambda path: dngpy.Dng(str(path))


@pytest.fixture
def dcraw() -> Callable[[Path], np.ndarray[Any, Any]]:
    """Coffin's dcraw: the mosaic as stored, uint16."""
    need(shutil.which("dcraw"), "dcraw (apt install dcraw)")

    def read(path: Path) -> np.ndarray[Any, Any]:
        command = ["dcraw", "-c", "-E", "-4", "-t", "0", str(path)]
        output = subprocess.run(command, capture_output=True, check=True).stdout
        magic, size, peak, pixels = output.split(b"\n", 3)
        assert (magic, peak) == (b"P5", b"65535")
        width, height = map(int, size.split())
        return np.frombuffer(pixels, ">u2").reshape(height, width).astype(np.uint16)

    return read


@pytest.fixture
def exiftool() -> Callable[..., dict[str, Any]]:
    """ExifTool: all tags by `Group:Name`, as numbers or as it words them."""
    need(shutil.which("exiftool"), EXIFTOOL)

    def read(path: Path, *, numbers: bool = True) -> dict[str, Any]:
        command = ["exiftool", "-json", "-G1", *(["-n"] if numbers else []), str(path)]
        output = subprocess.run(command, capture_output=True, check=True).stdout
        tags: dict[str, Any] = json.loads(output)[0]
        return tags

    return read


@pytest.fixture
def exiftool_edit() -> Callable[..., None]:
    """ExifTool changes tags in a file."""
    need(shutil.which("exiftool"), EXIFTOOL)

    def edit(path: Path, *options: str) -> None:
        subprocess.run(["exiftool", "-overwrite_original", *options, str(path)], check=True)

    return edit


@pytest.fixture
def darktable(tmp_path: Path) -> Callable[[Path], np.ndarray[Any, Any]]:
    """darktable: the developed picture in linear sRGB, 0..1, [H, W, 3]."""
    need(shutil.which("darktable-cli"), "darktable-cli (apt install darktable)")
    options = ["--configdir", str(tmp_path / "config"), "--cachedir", str(tmp_path / "cache")]
    options += ["--library", ":memory:", "--disable-opencl"]
    options += ["--conf", "plugins/imageio/format/tiff/bpp=16"]
    options += ["--conf", "plugins/darkroom/workflow=none"]

    def develop(path: Path) -> np.ndarray[Any, Any]:
        out = path.with_name(f"{path.stem} darktable.tif")
        return _developed(["darktable-cli", str(path), str(out), "--core", *options], out, tmp_path)

    return develop


_RAWTHERAPEE = """
[Exposure]
Auto=false
HistogramMatching=false
[RAW]
CA=false
[RAW Bayer]
Method=fast
Border=4
[Color Management]
ToneCurve=false
ApplyLookTable=false
"""


@pytest.fixture
def rawtherapee(tmp_path: Path) -> Callable[[Path], np.ndarray[Any, Any]]:
    """RawTherapee: the developed picture in linear sRGB, 0..1, without 4 pixels at each side."""
    what = "rawtherapee-cli (apt install rawtherapee)"
    need(shutil.which("rawtherapee-cli"), what)
    profile = tmp_path / "plain.pp3"
    profile.write_text(_RAWTHERAPEE)

    def develop(path: Path) -> np.ndarray[Any, Any]:
        out = path.with_name(f"{path.stem} rawtherapee.tif")
        options = ["-o", str(out), "-t", "-b16", "-Y", "-p", str(profile), "-c", str(path)]
        return _developed(["rawtherapee-cli", *options], out, tmp_path)

    return develop


def _developed(command: list[str], out: Path, home: Path) -> np.ndarray[Any, Any]:
    """The linear picture that a developing program makes, without the user's settings."""
    fresh = {f"XDG_{name}_HOME": str(home / name) for name in ("CONFIG", "CACHE", "DATA")}
    environment = {**os.environ, **fresh, "HOME": str(home)}
    subprocess.run(command, capture_output=True, check=True, env=environment)
    encoded = tifffile.imread(out) / 65535
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
