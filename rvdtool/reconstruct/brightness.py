"""The brightness of a frame: how much brighter its estimate is than frame 1's, for the same things.

LibRaw's auto-brightness changes the ISP's gain in every frame; a camera's exposure, or the light,
may change too. Either way the fit of frame 1 gives another number for the same thing. The ratio is
measured on what surely shows the same thing in both frames, as the *mode* of many ratios: moving
shadows and mistaken matches spread out, the frame's brightness doesn't. A lens darkens what moves
towards the corners; that shading is estimated along with it, and remembered.

The sRGB video can't tell whether the ISP or the exposure (or the light) brightened a frame; RAW
changes with the latter only. A camera's ISP holds its gain where its exposure can do the work, so
brightness is put down to the ISP only in videos that LibRaw's defaults have rendered.
"""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.dng import SMALLEST
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.render import default_render
from rvdtool.reconstruct.isp_features import Rgb
from rvdtool.reconstruct.statistics import Array

BLOCK = 8
ENOUGH_BLOCKS = 40
DARKEST = 0.01
"""Blocks darker than this (normalised) have no ratio worth having."""
DEAD_ZONE = 0.004
"""Against the previous frame, smaller changes (log) count as none: else errors add up."""


_SHADING_PRIOR = 0.3
_MEMORY = 0.95
_SLOPES = np.arange(-1.0, 0.45, 0.05)
SAME_RENDERING = 0.02
"""Mean difference of coded block means, 0..1: LibRaw's own rendering stays below it through a
codec, a camera's differs more."""


def has_auto_brightness(reference: RawFrame, rgb: Rgb) -> bool:
    """Whether frame 1 looks as LibRaw's defaults (the paper's protocol) render its RAW.

    Args:
        reference: the true RAW of frame 1, on the video's grid.
        rgb: frame 1, [H, W, 3].
    """
    if min(reference.size) < SMALLEST:
        return False
    rendered = default_render(replace(reference, orientation=1))
    coded = rgb.astype(np.float32) / np.float32(np.iinfo(rgb.dtype).max)
    difference = block_means(coded) - block_means(rendered.astype(np.float32) / np.float32(255))
    return bool(np.abs(difference).mean() < SAME_RENDERING)


def block_means(mosaic: Array) -> Array:
    """Means over 8×8 pixels: [H, W] or [H, W, C] → [H//8, W//8(, C)]."""
    height, width = (side // BLOCK * BLOCK for side in mosaic.shape[:2])
    return cv2.resize(
        np.ascontiguousarray(mosaic[:height, :width]),
        (width // BLOCK, height // BLOCK),
        interpolation=cv2.INTER_AREA,
    )


@dataclass(frozen=True, eq=False)
class Shading:
    """How much darker the lens makes things towards the corners, learned frame by frame.

    log brightness is a·x² + b·y² + c·(x² + y²)², from the frame's centre, its corners at distance
    1; `shading_terms` gives these three.

    Attributes:
        evidence: float64 [3, 4], the normal equations of (a, b, c): information, and moment in
            the last column; older frames count less.
    """

    evidence: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, 4)))

    @property
    def terms(self) -> NDArray[np.float64]:
        """(a, b, c); 0 as long as nothing is known."""
        information = self.evidence[:, :3] + _SHADING_PRIOR * np.eye(3)
        return np.asarray(np.linalg.solve(information, self.evidence[:, 3]))

    def learn(self, evidence: NDArray[np.float64]) -> "Shading":
        """Add one frame's evidence."""
        return Shading(_MEMORY * self.evidence + evidence)


@dataclass(frozen=True)
class Ratio:
    """How one frame's brightness compares, and the shading as known now."""

    value: float
    shading: Shading


def shading_terms(at: Array) -> Array:
    """x², y² and (x² + y²)² of places in a frame, measured from its centre, its corners at 1.

    Args:
        at: absolute pixels (x, y), [H, W, 2], of a frame of H×W.

    Returns:
        [H, W, 3].
    """
    height, width = at.shape[:2]
    middle = np.array([(width - 1) / 2, (height - 1) / 2], np.float32)
    square = (at - middle) ** 2 / np.float32((middle**2).sum())
    return np.concatenate([square, square.sum(axis=-1, keepdims=True) ** 2], axis=-1)


def ratio_mode(
    value: Array,
    reference: Array,
    trusted: NDArray[np.bool_],
    shading_delta: Array,
    shading: Shading,
) -> Ratio | None:
    """Mode of value / reference over trusted blocks; None if too few are left.

    Args:
        value, reference: block means, normalised RAW, [H, W].
        trusted: bool, [H, W].
        shading_delta: by how much the `shading_terms` of a block's place exceed those of the
            place it came from, [H, W, 3].
        shading: as known before.
    """
    usable = trusted & (value > DARKEST / 2) & (reference > DARKEST)
    if usable.sum() < ENOUGH_BLOCKS:
        return None
    logs = np.log(value[usable] / reference[usable]).astype(np.float64)
    far = shading_delta[usable].astype(np.float64)
    terms, mode = _start(logs, far, shading)
    evidence = np.zeros((3, 4))
    for _ in range(4):
        near = np.abs(logs - far @ terms - mode) < 0.015
        if not near.any():
            break
        x, y = far[near] - far[near].mean(axis=0), logs[near] - logs[near].mean()
        evidence = np.column_stack([x.T @ x, x.T @ y])
        terms = Shading(shading.evidence + evidence).terms
        mode = float((logs[near] - far[near] @ terms).mean())
    return Ratio(float(np.exp(mode)), shading.learn(evidence))


def _start(
    logs: NDArray[np.float64], far: NDArray[np.float64], shading: Shading
) -> tuple[NDArray[np.float64], float]:
    """The shading under which most ratios agree, and the ratio they agree on."""
    candidates = [shading.terms]
    if far[:, :2].sum(axis=1).std() > 0.01:  # else shading doesn't show
        candidates += [np.array([slope, slope, 0.0]) for slope in _SLOPES]
    peaks = [_peak(logs - far @ terms) for terms in candidates]
    heights = np.array([height for _, height in peaks], np.float64)
    heights[0] *= 1.1  # what is known is given up only for something clearly better
    best = int(heights.argmax())
    return candidates[best], peaks[best][0]


def _peak(logs: NDArray[np.float64]) -> tuple[float, float]:
    """Where a smoothed histogram is highest, and how high."""
    width = 0.004
    edges = np.arange(-1.6, 1.6 + width, width)
    smooth = np.convolve(np.histogram(logs, edges)[0], [1, 2, 3, 2, 1], "same")
    return float(edges[smooth.argmax()]) + width / 2, float(smooth.max())


def track(anchored: Ratio | None, neighbour: Ratio | None, previous: Ratio) -> Ratio:
    """This frame's brightness: against frame 1 if that can be seen, else by the previous frame.

    Args:
        anchored: ratio to frame 1; None if too little of it is in view.
        neighbour: ratio to the previous frame's estimate (whose brightness is taken out already).
        previous: of the previous frame.
    """
    if anchored is not None:
        return anchored
    if neighbour is None or abs(np.log(neighbour.value / previous.value)) < DEAD_ZONE:
        return previous
    return neighbour
