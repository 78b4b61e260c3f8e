"""Developing a RAW frame into an sRGB picture with LibRaw."""

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import rawpy
from numpy.typing import NDArray

from rvdtool.raw.dng import encode_dng
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.move import DEFAULT_SCALE

RGB8 = NDArray[np.uint8]


def render(
    frame: RawFrame,
    *,
    auto_bright: bool = False,
    upright: bool = True,
    half: bool = False,
    brightness: float = 1.0,
) -> RGB8:
    """Develop with the as-shot white balance, steadily: uint8 [H, W, 3], gamma-coded sRGB.

    Args:
        frame: any RAW frame of at least 22×22.
        auto_bright: brighten until 1 % clips. It differs from frame to frame, so a video flickers.
        upright: turn the picture by the frame's orientation; else it lies as the mosaic does.
        half: at half the size, without demosaicing.
        brightness: factor on the light.

    Raises:
        RawError: the frame is smaller than LibRaw allows.
    """
    return _develop(
        frame,
        half_size=half,
        bright=brightness,
        use_camera_wb=True,
        no_auto_bright=not auto_bright,
        adjust_maximum_thr=0.0,
        user_flip=None if upright else 0,
    )


def default_render(frame: RawFrame) -> RGB8:
    """Develop with all of rawpy's defaults, as Zhang et al. (CVPR 2024) do: uint8 [H, W, 3].

    That is daylight white balance, AHD, and auto-brightness that clips 1 % of each frame.

    Raises:
        RawError: the frame is smaller than LibRaw allows.
    """
    return _develop(frame)


def _develop(frame: RawFrame, **options: Any) -> RGB8:
    # LibRaw would stretch pixels that aren't square; a picture has the mosaic's size here.
    tags = tuple(tag for tag in frame.profile.tags if tag.code != DEFAULT_SCALE)
    frame = replace(frame, profile=replace(frame.profile, tags=tags))
    dng = encode_dng(frame, compression="none")
    with rawpy.imread(BytesIO(dng)) as raw:
        picture: RGB8 = raw.postprocess(**options)
    return picture
