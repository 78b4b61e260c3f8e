"""Frames on the grid of the packed planes (half the video's size), for the peers' networks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rvdtool.fagdn.chain import half_size
from rvdtool.raw.bayer import from_planes, normalise, to_planes
from rvdtool.raw.frame import RawFrame
from rvdtool.research.dataset.rvd import Rgb8

Planes = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PackedFrame:
    """sRGB and RAW of one frame, in RGGB geometry.

    Attributes:
        srgb: gamma-coded, 0..1, means of 2×2 pixels, [3, h, w].
        raw: normalised R, Gr, Gb, B, [4, h, w].
    """

    srgb: Planes
    raw: Planes


def pack(picture: Rgb8, raw: RawFrame) -> PackedFrame:
    """Pack a frame, with the same padding as `to_planes` for the picture.

    Args:
        picture: uint8 [H, W, 3].
        raw: a RAW frame of the same size.
    """
    planes = to_planes(normalise(raw.mosaic, raw.black, raw.white), raw.phase)
    return PackedFrame(half_size(picture, raw.phase), planes)


def unpack(planes: Planes, raw: RawFrame) -> NDArray[np.float32]:
    """Unpack planes [4, h, w] to a mosaic [H, W] of the frame's size and phase; same unit."""
    return from_planes(planes, raw.phase, raw.size)
