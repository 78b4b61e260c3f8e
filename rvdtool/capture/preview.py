"""Draws a picture for judging an alignment by eye: video frame, aligned RAW and difference."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvdtool.capture.compare import block_means
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.render import render
from rvdtool.video.frame import Rgb

Rgb8 = NDArray[np.uint8]

_WIDEST = 960
"""Largest width of a panel, in pixels."""


def preview_row(frame: RawFrame, rgb: Rgb) -> Rgb8:
    """Draw three panels: the video frame, the RAW as developed by LibRaw, and their difference.

    The RAW's channels are fitted to the video's by a gain and an offset. The difference is grey
    (128) where they agree; displacement shows as edges in relief.

    Args:
        frame: the RAW frame on the video's grid.
        rgb: the video frame, uint8 or uint16 [H, W, 3].

    Returns:
        uint8 [H', 3·W', 3], reduced by a whole factor to at most 960 pixels per panel.

    Raises:
        RawError: the frame is smaller than LibRaw allows.
    """
    block = -(-rgb.shape[1] // _WIDEST)
    shown = _shrunk(rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8), block)
    developed = _shrunk(render(frame, upright=False), block)
    difference = np.empty_like(shown)
    for channel in range(3):
        one, other = shown[..., channel].ravel(), developed[..., channel].ravel()
        centred = other - other.mean()
        slope = float(centred @ (one - one.mean())) / max(float(centred @ centred), 1.0)
        fitted = one.mean() + slope * (developed[..., channel] - other.mean())
        difference[..., channel] = 128 + shown[..., channel] - fitted
    panels = np.concatenate([shown, developed, difference], 1)
    picture: Rgb8 = np.clip(np.rint(panels), 0, 255).astype(np.uint8)
    return picture


def _shrunk(rgb: NDArray[Any], block: int) -> NDArray[np.float32]:
    return np.stack([block_means(rgb[..., channel], block) for channel in range(3)], -1)
