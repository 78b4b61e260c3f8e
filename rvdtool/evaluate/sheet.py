"""Draws the contact sheet: a few frames as pictures, with maps of the reconstruction's error.

Each row shows a frame: the video's frame (if a video is given), the reconstructed RAW and the true
RAW, both rendered by LibRaw with the same fixed settings, and the error map. All error maps share a
linear scale, which is drawn below them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.evaluate.compare import FramePair, FrameScores, read_frame
from rvdtool.evaluate.shown import video_frames
from rvdtool.raw.bayer import normalise, orient
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.read import MosaicLevels
from rvdtool.raw.render import render

Picture = NDArray[np.uint8]
"""RGB, uint8 [H, W, 3]."""

TILE_WIDTH = 480
GAP = 8
LINE = 32
"""Height of a line of text, in pixels."""

BACKGROUND = (20, 20, 20)
INK = (232, 232, 232)
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_SCALE = 0.5
COLORMAP = cv2.COLORMAP_INFERNO

LEAST_SCALE = 1e-4
"""Smallest full scale of the error map, in normalised units: about one DN of a 14-bit camera."""


@dataclass(frozen=True, eq=False)
class SheetRow:
    """A frame on the sheet.

    Attributes:
        label: text above the row.
        pictures: tiles of equal size, from left to right.
        error: mean |error| of the photosites below each pixel, normalised; float32 of a tile's
            size.
    """

    label: str
    pictures: tuple[Picture, ...]
    error: NDArray[np.float32]


def contact_sheet(
    frames: Sequence[FrameScores], *, levels: MosaicLevels | None = None, video: Path | None = None
) -> Picture:
    """Draw the first, the middle and the last counted frame of a comparison.

    Args:
        frames: all frames, from `compare`.
        levels: levels of TIFF mosaics, as for `compare`.
        video: the sRGB video (or folder of pictures) that the frames belong to, to show beside
            them.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        InputError: a frame or the video can't be read, or a frame is too small for LibRaw.
        MismatchError: the video has another number of frames.
    """
    chosen = _choose([index for index, frame in enumerate(frames) if frame.counted])
    inputs = dict(video_frames(video, chosen, len(frames))) if video else {}
    rows = [_row(index, frames[index], levels, inputs.get(index)) for index in chosen]
    titles = ["reconstructed RAW, rendered", "true RAW, rendered", "error map"]
    return draw_sheet(["video frame", *titles] if video else titles, rows)


def draw_sheet(titles: Sequence[str], rows: Sequence[SheetRow]) -> Picture:
    """Draw rows below column titles, with error maps on a common scale, and the scale itself."""
    scale = error_scale([row.error for row in rows])
    height, width = rows[0].error.shape
    sheet = np.full(
        (
            LINE + len(rows) * (LINE + height) + 2 * LINE + GAP,
            len(titles) * (width + GAP) + GAP,
            3,
        ),
        BACKGROUND,
        np.uint8,
    )
    lefts = [GAP + column * (width + GAP) for column in range(len(titles))]
    for left, title in zip(lefts, titles, strict=True):
        _write(sheet, title, left, LINE)
    top = LINE
    for row in rows:
        _write(sheet, row.label, GAP, top + LINE)
        top += LINE
        tiles = (*row.pictures, color_error(row.error, scale))
        for left, tile in zip(lefts, tiles, strict=True):
            sheet[top : top + height, left : left + width] = tile
        top += height
    _draw_legend(sheet[top + GAP :, lefts[-1] : lefts[-1] + width], scale)
    return sheet


def error_scale(errors: Sequence[NDArray[np.float32]]) -> float:
    """Full scale for error maps: their 99.5 % quantile, rounded up to 1, 2 or 5 · 10^n."""
    top = max(LEAST_SCALE, float(np.quantile(np.concatenate([e.ravel() for e in errors]), 0.995)))
    power = 10.0 ** math.floor(math.log10(top))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= top * (1 - 1e-6))


def color_error(error: NDArray[np.float32], scale: float) -> Picture:
    """Colour an error map [H, W] as RGB: 0 is black; `scale` and more is bright."""
    codes = np.clip(np.rint(error / scale * 255), 0, 255).astype(np.uint8)
    bgr = cv2.applyColorMap(codes, COLORMAP)
    return np.ascontiguousarray(bgr[..., ::-1])


@dataclass(frozen=True, eq=False)
class Loaded:
    """A pair of upright frames.

    Attributes:
        predicted, true: the frames.
        values: normalised values of both, [H, W].
    """

    predicted: RawFrame
    true: RawFrame
    values: tuple[NDArray[np.float32], NDArray[np.float32]]

    @classmethod
    def read(cls, pair: FramePair, levels: MosaicLevels | None) -> Self:
        """Read a pair from its files.

        Raises:
            InputError: a file can't be read.
        """
        predicted, true = (orient(read_frame(file, levels)) for file in (pair.predicted, pair.true))
        values = (
            normalise(predicted.mosaic, predicted.black, predicted.white),
            normalise(true.mosaic, true.black, true.white),
        )
        return cls(predicted, true, values)

    @property
    def error(self) -> NDArray[np.float32]:
        """Absolute error in normalised units, [H, W]."""
        return np.abs(self.values[0] - self.values[1])


def _choose(indices: Sequence[int]) -> list[int]:
    """The first, middle and last index, without duplicates."""
    return sorted({indices[0], indices[len(indices) // 2], indices[-1]})


def _row(
    index: int, frame: FrameScores, levels: MosaicLevels | None, shown: Picture | None
) -> SheetRow:
    pair = Loaded.read(frame.pair, levels)
    pictures = [render(pair.predicted), render(pair.true)]
    if shown is not None:
        pictures.insert(0, shown)
    size = (TILE_WIDTH, round(TILE_WIDTH * pair.true.size[0] / pair.true.size[1]))
    return SheetRow(
        label=f"frame {index}, {frame.pair.true.name}: PSNR {frame.scores.psnr:.2f} dB, "
        f"SSIM {frame.scores.ssim:.4f}",
        pictures=tuple(fit(picture, size) for picture in pictures),
        error=fit(pair.error, size),
    )


def fit(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize an image to (width, height), averaging if it shrinks."""
    shrinks = image.shape[1] >= size[0]
    resized: NDArray[Any] = cv2.resize(
        image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    )
    return resized


def _draw_legend(area: Picture, scale: float) -> None:
    """Draw a colour bar from 0 to `scale`, with its meaning below."""
    width = area.shape[1]
    bar = np.linspace(0, scale, width, dtype=np.float32)[None].repeat(LINE // 2, axis=0)
    area[: LINE // 2] = color_error(bar, scale)
    top = f"{100 * scale:g} %"
    for text, place in (("0", 0.0), ("mean |error| / (white - black)", 0.5), (top, 1.0)):
        _write(area, text, round(place * (width - _text_width(text))), LINE // 2 + LINE)


def _write(sheet: Picture, text: str, left: int, bottom: int) -> None:
    """Write a line of text (ASCII only, as OpenCV's fonts) into the LINE pixels above `bottom`."""
    origin = (left, bottom - LINE // 3)
    cv2.putText(sheet, text, origin, FONT, FONT_SCALE, INK, 1, cv2.LINE_AA)


def _text_width(text: str) -> int:
    (width, _), _ = cv2.getTextSize(text, FONT, FONT_SCALE, 1)
    return int(width)
