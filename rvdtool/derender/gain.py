"""The gain of a frame: by how much the ISP brightened it against frame 1.

LibRaw's auto-brightness changes it in every frame; a camera's ISP may. The fit of frame 1 doesn't
know, so its result must be divided by it. The gain is measured on what surely shows the same thing
in both frames, as the *mode* of the ratios: moving shadows and mistaken matches spread out, the
gain doesn't.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.derender.statistics import Array

BLOCK = 8
ENOUGH_BLOCKS = 40
DARKEST = 0.01
"""Blocks darker than this (normalised) have no ratio worth having."""
DEAD_ZONE = 0.004
"""Against the previous frame, a smaller change of log gain counts as none: else errors add up."""


def block_means(mosaic: Array) -> Array:
    """Means over 8×8 photosites: [H, W] → [H//8, W//8]."""
    height, width = (side // BLOCK * BLOCK for side in mosaic.shape)
    return cv2.resize(
        np.ascontiguousarray(mosaic[:height, :width]),
        (width // BLOCK, height // BLOCK),
        interpolation=cv2.INTER_AREA,
    )


def ratio_mode(value: Array, reference: Array, trusted: NDArray[np.bool_]) -> float | None:
    """Mode of value / reference over trusted blocks; None if too few are left.

    Args:
        value, reference: block means, normalised RAW.
        trusted: bool, the same shape.
    """
    usable = trusted & (value > DARKEST / 2) & (reference > DARKEST)
    if usable.sum() < ENOUGH_BLOCKS:
        return None
    logs = np.log(value[usable] / reference[usable])
    width = 0.004
    edges = np.arange(-1.6, 1.6 + width, width)
    smooth = np.convolve(np.histogram(logs, edges)[0], [1, 2, 3, 2, 1], "same")
    mode = float(edges[smooth.argmax()]) + width / 2
    for _ in range(3):
        near = logs[np.abs(logs - mode) < 0.015]
        if near.size:
            mode = float(near.mean())
    return float(np.exp(mode))


def track(anchored: float | None, neighbour: float | None, previous: float) -> float:
    """This frame's gain: against frame 1 if that can be seen, else against the previous frame.

    Args:
        anchored: ratio to frame 1; None if too little of it is in view.
        neighbour: ratio to the previous frame's estimate (whose gain is already taken out).
        previous: the previous frame's gain.
    """
    if anchored is not None:
        return anchored
    if neighbour is None or abs(np.log(neighbour / previous)) < DEAD_ZONE:
        return previous
    return neighbour
