"""The planes member: all phases and odd sizes survive, and other programs can open it."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile

from rvdtool.bundle.planes import decode_planes, encode_planes, padding, planes_size
from rvdtool.errors import BundleError
from rvdtool.raw.bayer import from_planes, to_planes
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame

PROFILE = CameraProfile("Acme", (0.5, 1.0, 0.6))


def frame(phase: CfaPhase, size: tuple[int, int]) -> RawFrame:
    mosaic = np.arange(size[0] * size[1], dtype=np.uint16).reshape(size)
    return RawFrame(mosaic, phase, (0.0,) * 4, 65535, 16, PROFILE)


@pytest.mark.parametrize("phase", CfaPhase)
@pytest.mark.parametrize("size", [(6, 8), (7, 8), (6, 9), (7, 9)])
def test_planes_and_their_padding_give_the_mosaic(phase: CfaPhase, size: tuple[int, int]) -> None:
    data = encode_planes(frame(phase, size))
    planes = decode_planes(data, planes_size(phase, size))
    assert np.array_equal(from_planes(planes, phase, size), frame(phase, size).mosaic)

    cells = tifffile.imread(io.BytesIO(data))
    assert np.array_equal(cells.transpose(2, 0, 1), to_planes(frame(phase, size).mosaic, phase))
    top, left, bottom, right = padding(phase, size)
    height, width, _ = cells.shape
    whole = cells.reshape(height, width, 2, 2).swapaxes(1, 2).reshape(2 * height, 2 * width)
    mosaic = whole[top : 2 * height - bottom, left : 2 * width - right]
    assert np.array_equal(mosaic, frame(phase, size).mosaic)


def test_the_same_frame_gives_the_same_bytes(tmp_path: Path) -> None:
    same = frame(CfaPhase.BGGR, (6, 8))
    assert encode_planes(same) == encode_planes(same)


def test_other_tiffs_are_refused() -> None:
    data = encode_planes(frame(CfaPhase.RGGB, (6, 8)))
    with pytest.raises(BundleError, match=r"ImageWidth is \[4\].*\[5\]"):
        decode_planes(data, (3, 5))
    with pytest.raises(BundleError):
        decode_planes(data[:-1], (3, 4))
    with pytest.raises(BundleError):
        decode_planes(b"", (3, 4))
