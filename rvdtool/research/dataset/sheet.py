"""Contact sheets of sequences, for a quick visual check.

A sheet has one row each for the first, middle and last frame: sRGB, RAW (rendered by LibRaw without
auto-brightness), and flow to the next frame as colour (hue: direction; saturation: speed, relative
to the fastest pixel of the sheet).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.frame import RawFrame
from rvdtool.raw.render import render
from rvdtool.research.dataset.rvd import Flow, Rgb8, make_folder
from rvdtool.video.png import write_png

TILE_WIDTH = 400


@dataclass(frozen=True, eq=False)
class SheetFrame:
    """One row of a contact sheet; `flow` is None if unknown."""

    raw: RawFrame
    rgb: Rgb8
    flow: Flow | None


def sheet_indices(count: int) -> tuple[int, ...]:
    """Indices of the first, middle and last of `count` frames, without repetition."""
    return tuple(sorted({0, count // 2, count - 1}))


def write_sheet(path: Path, rows: Sequence[SheetFrame]) -> None:
    """Write the contact sheet as PNG.

    Raises:
        OutputError: the file can't be written.
    """
    fastest = max((_speed(row.flow).max() for row in rows if row.flow is not None), default=0.0)
    pictures = [
        np.hstack([_tile(row.rgb), _tile(render(row.raw, upright=False)), _flow_tile(row, fastest)])
        for row in rows
    ]
    make_folder(path.parent)
    write_png(np.ascontiguousarray(np.vstack(pictures)), path, overwrite=True)


def _tile(picture: Rgb8) -> Rgb8:
    height = round(picture.shape[0] * TILE_WIDTH / picture.shape[1])
    return np.asarray(cv2.resize(picture, (TILE_WIDTH, height), interpolation=cv2.INTER_AREA))


def _flow_tile(row: SheetFrame, fastest: float) -> Rgb8:
    if row.flow is None:
        return _tile(np.full_like(row.rgb, 40))
    return _tile(flow_picture(row.flow, fastest))


def flow_picture(flow: Flow, fastest: float) -> Rgb8:
    """Flow as colour: hue is direction, saturation is speed relative to `fastest` pixels."""
    hue = np.rad2deg(np.arctan2(flow[..., 1], flow[..., 0])) % 360
    strength = np.clip(_speed(flow) / max(fastest, 1e-6), 0, 1)
    hsv = np.stack([hue, strength, np.ones_like(hue)], axis=-1).astype(np.float32)
    return np.asarray(np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255), np.uint8)


def _speed(flow: Flow) -> NDArray[np.float32]:
    return np.hypot(flow[..., 0], flow[..., 1])
