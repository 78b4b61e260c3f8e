"""Small files that would take much memory or time are refused first."""

import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from rvdtool.raw.dng import encode_dng
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from tests.bombs import claiming_mosaics, endless_tiffs, measure, require_cheap, tiff

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures with /proc")


def bombs(folder: Path) -> dict[str, str]:
    """File → part of the message that refuses it."""
    said = {}

    def bomb(name: str, data: bytes, message: str) -> None:
        (folder / name).write_bytes(data)
        said[name] = message

    for name, data in endless_tiffs().items():
        bomb(name, data, "is a loop")
    shared = [(40_000 + index, 3, 200_000, 8) for index in range(4000)]
    bomb("shared.dng", tiff((shared, 0)) + bytes(9_000_000), "again and again")

    for name, side in (("huge", 30_000), ("large", 16_000)):
        for suffix, data in claiming_mosaics(side).items():
            bomb(f"{name}.{suffix}", data, f"{side}×{side} photosites")
    tile = np.zeros((16, 16), np.uint16)
    tifffile.imwrite(folder / "tile.tif", tile, tile=(16_000, 16_000), compression="zlib")
    said["tile.tif"] = "16000×16000 photosites"
    return said


def test_bombs_are_refused_before_they_take_memory(tmp_path: Path) -> None:
    said = bombs(tmp_path)
    imports = (
        "from rvdtool.raw.frame import CfaPhase\n"
        "from rvdtool.raw.read import MosaicLevels, read_raw\n"
        "plain = MosaicLevels((0.0,) * 4, 4095, CfaPhase.RGGB, 12)"
    )
    use = "read_raw(Path(name), levels=None if name.endswith('dng') else plain)"
    costs = measure([str(tmp_path / name) for name in said], imports, use)
    require_cheap(costs, list(said.values()))


def test_dark_frames_in_lossy_jpeg_xl_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lossy compression removes the noise of a covered lens: a kilobyte per megapixel."""
    dark = np.random.default_rng(1).integers(60, 69, (4000, 6000)).astype(np.uint16)
    options = {"lossless": False, "distance": 3, "effort": 1, "bitspersample": 16}
    monkeypatch.setattr(
        "rvdtool.raw.jpegxl.encode", lambda mosaic: imagecodecs.jpegxl_encode(mosaic, **options)
    )
    camera = CameraProfile("Acme", (0.5, 1.0, 0.6))
    frame = RawFrame(dark, CfaPhase.RGGB, (60.0,) * 4, 16_383, 14, camera)
    path = tmp_path / "dark.dng"
    path.write_bytes(encode_dng(frame, compression="jxl"))
    assert path.stat().st_size < dark.size // 100
    use = "assert abs(read_raw(Path(name)).mosaic.mean() - 64) < 10"
    (cost,) = measure([str(path)], "from rvdtool.raw.read import read_raw", use)
    require_cheap([cost], ["accepted"])


def test_large_pictures_of_little_content_are_read(tmp_path: Path) -> None:
    """The limits must not refuse real files, such as a dark frame, well compressed."""
    path = tmp_path / "dark.tif"
    noise = np.random.default_rng(1).integers(64, 66, (4500, 6000)).astype(np.uint16)
    tifffile.imwrite(path, noise, compression="zlib", predictor=True)
    (cost,) = measure(
        [str(path)],
        "from rvdtool.raw.frame import CfaPhase\n"
        "from rvdtool.raw.read import MosaicLevels, read_raw",
        "read_raw(Path(name), levels=MosaicLevels((64.0,) * 4, 4095, CfaPhase.RGGB, 12))",
    )
    assert cost.said == "accepted"
