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

EXIFTOOL = "exiftool (apt install libimage-exiftool-perl)"


@pytest.fixture
def adobe() -> Any:
    """Adobe's DNG SDK (dngpy): opens a DNG given as a path."""
    _need(importlib.util.find_spec("dngpy") is not None, "dngpy (pip install dngpy)")
    import dngpy

    return lambda path: dngpy.Dng(str(path))


@pytest.fixture
def dcraw() -> Callable[[Path], np.ndarray[Any, Any]]:
    """Coffin's dcraw: the mosaic as stored, uint16."""
    _need(shutil.which("dcraw") is not None, "dcraw (apt install dcraw)")

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
    _need(shutil.which("exiftool") is not None, EXIFTOOL)

    def read(path: Path, *, numbers: bool = True) -> dict[str, Any]:
        command = ["exiftool", "-json", "-G1", *(["-n"] if numbers else []), str(path)]
        output = subprocess.run(command, capture_output=True, check=True).stdout
        tags: dict[str, Any] = json.loads(output)[0]
        return tags

    return read


@pytest.fixture
def exiftool_edit() -> Callable[..., None]:
    """ExifTool changes tags in a file."""
    _need(shutil.which("exiftool") is not None, EXIFTOOL)

    def edit(path: Path, *options: str) -> None:
        subprocess.run(["exiftool", "-overwrite_original", *options, str(path)], check=True)

    return edit


def _need(found: bool, what: str) -> None:
    if found:
        return
    if os.environ.get("RVDTOOL_REQUIRE_READERS") == "1":
        pytest.fail(f"{what} is not installed, but RVDTOOL_REQUIRE_READERS=1 requires it")
    pytest.skip(f"{what} is not installed, so nothing can be said about reading with it")
