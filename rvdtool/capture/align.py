"""Where a RAW frame lies on the video's grid.

So far the two share a geometry up to CFA phase, active area and orientation: the video shows all
of the RAW's active area, or its default crop, as the sensor has it or turned as the tags say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvdtool.bundle.convert import TURNS, crop_and_turn, on_grid
from rvdtool.bundle.manifest import Transform
from rvdtool.errors import MismatchError
from rvdtool.raw.frame import RawFrame, Rect
from rvdtool.video.frame import Rgb, VideoInfo

_LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of R, G, B (ITU-R BT.709)."""

_BLOCKS = 32
"""Blocks along the shorter side: few enough to forgive noise and codec, enough to tell a turn."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """A RAW frame on the video's grid, how it got there, and how well it matches (-1..1)."""

    frame: RawFrame
    transform: Transform
    score: float


def align(raw: RawFrame, info: VideoInfo, rgb: Rgb) -> Alignment:
    """Bring a RAW frame onto the video's grid without touching a pixel's value.

    Size decides; where several geometries have the video's size, the best match does.

    Args:
        raw: as read, with the active area's mosaic.
        info: the video.
        rgb: the video frame that the RAW belongs to, uint8 or uint16 [H, W, 3].

    Raises:
        MismatchError: no geometry has the video's size.
    """
    fitting = [t for t in candidates(raw, info) if t.grid_size == (info.height, info.width)]
    if not fitting:
        raise MismatchError(_explain(raw, info))
    frames = [on_grid(raw, transform, info.rotation) for transform in fitting]
    scores = [match_score(frame, rgb) for frame in frames]
    best = int(np.argmax(scores))
    return Alignment(frames[best], fitting[best], scores[best])


def candidates(raw: RawFrame, info: VideoInfo) -> Iterator[Transform]:
    """All geometries that the RAW's tags and the video's rotation suggest, the likeliest first.

    Each of the active area and the default crop, turned so that both look the same way when they
    are shown as their tags say, or left as the sensor has it (tags are often lost or wrong).
    """
    mirror, quarter_turns = TURNS[raw.orientation]
    turns = [(mirror, (quarter_turns - info.rotation // 90) % 4), (False, 0)]
    areas = [Rect(0, 0, *raw.size), raw.default_crop]
    for turn in dict.fromkeys(turns):
        for area in dict.fromkeys(areas):
            if area is not None:
                yield crop_and_turn(raw.size, area, turn)


def match_score(frame: RawFrame, rgb: Rgb) -> float:
    """How alike a RAW frame and a video frame of the same size are: -1..1, 1 is perfect.

    Pearson's correlation between block means of the RAW's greens and of the linearised luma. Block
    means forgive noise, the codec and demosaicing. 0 if either is flat.
    """
    column = frame.phase.value.index("G")
    green = frame.mosaic[::2, column::2]
    luma = _luma(rgb)
    height, width = min(green.shape[0], luma.shape[0]), min(green.shape[1], luma.shape[1])
    block = max(1, min(height, width) // _BLOCKS)
    first = _block_means(green[:height, :width], block)
    second = _block_means(luma[:height, :width], block)
    spread = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.clip(np.sum(first * second) / spread, -1, 1)) if spread else 0.0


def _luma(rgb: Rgb) -> NDArray[np.float32]:
    """Display R'G'B' → linear luma 0..1 of every other pixel; 8 bits are enough to compare."""
    levels = np.arange(256, dtype=np.float32) / 255
    curve = np.where(levels < 0.081, levels / 4.5, ((levels + 0.099) / 1.099) ** (1 / 0.45))
    coded = rgb[::2, ::2] if rgb.dtype == np.uint8 else (rgb[::2, ::2] >> 8).astype(np.uint8)
    luma = np.zeros(coded.shape[:2], np.float32)
    for channel, weight in enumerate(_LUMA):
        luma += (weight * curve).astype(np.float32)[coded[..., channel]]
    return luma


def _block_means(values: NDArray[Any], block: int) -> NDArray[np.float64]:
    """Means over block×block, minus their own mean; a rest at the far sides is left out."""
    height, width = values.shape[0] // block, values.shape[1] // block
    blocks = values[: height * block, : width * block].reshape(height, block, width, block)
    means = blocks.mean(axis=(1, 3), dtype=np.float64)
    centred: NDArray[np.float64] = means - means.mean()
    return centred


def _explain(raw: RawFrame, info: VideoInfo) -> str:
    height, width = raw.size
    sizes = f"its active area is {width}×{height}"
    if raw.default_crop is not None:
        sizes += f", its default crop {raw.default_crop.width}×{raw.default_crop.height}"
    return (
        f"{sizes}, orientation {raw.orientation}; the video is {info.width}×{info.height}, "
        f"rotation {info.rotation}°. One of the RAW's sizes, as it is or turned, must be the "
        "video's: shoot both at the same size, without crop or scaling"
    )
