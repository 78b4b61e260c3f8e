"""Pictures of a page: WebP as data URIs, at the best quality that fits."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from rvdtool.evaluate.sheet import Picture, color_error, fit

MOST_FRAMES = 120
"""Largest number on a page; of longer clips, it has frames at even intervals."""

_SCALES = (1.0, 3 / 4, 1 / 2, 3 / 8, 1 / 4, 1 / 8)
_QUALITIES = (85, 75, 65, 50, 35, 20, 5)
_GOOD_ENOUGH = 2
"""How many of the qualities are tried before the pictures are made smaller."""


@dataclass(frozen=True)
class Room:
    """How large each picture of a page may be.

    Attributes:
        size: (width, height).
        share: bytes of its file.
    """

    size: tuple[int, int]
    share: int

    def place(self, picture: Picture) -> str:
        """A picture as a data URI; first its quality is lowered until it fits, then its size."""
        for scale in (1.0, 0.5, 0.25, 0.125):
            width, height = (max(1, round(side * scale)) for side in self.size)
            small = fit(picture, (width, height))
            for quality in _QUALITIES:
                data = _webp(small, quality)
                if len(data) <= self.share:
                    return data_uri(data)
        return data_uri(data)


def choose_frames(count: int) -> list[int]:
    """Which frames of a clip are shown: all, or `MOST_FRAMES`, evenly spaced from first to last."""
    shown = np.linspace(0, count - 1, min(count, MOST_FRAMES))
    return [round(index) for index in shown]


def share_room(samples: Sequence[Picture], pictures: int, room: int) -> Room:
    """The largest size at which all pictures fit with a good quality.

    Args:
        samples: one picture of each series, all of the same frame.
        pictures: how many there will be.
        room: bytes for all of them.
    """
    share = room // pictures
    height, width = samples[0].shape[:2]
    for scale in _SCALES:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        quality = _QUALITIES[_GOOD_ENOUGH]
        taken = sum(len(_webp(fit(sample, size), quality)) for sample in samples)
        if taken <= share * len(samples):
            break
    return Room(size, share)


def data_uri(data: bytes) -> str:
    """A WebP file as a data URI."""
    return "data:image/webp;base64," + b64encode(data).decode()


def color_bar(scale: float) -> str:
    """The colours of error maps from 0 to `scale`, left to right."""
    bar = np.linspace(0, scale, 256, dtype=np.float32)[None].repeat(8, axis=0)
    return data_uri(_webp(color_error(bar, scale), _QUALITIES[0]))


def _webp(picture: Picture, quality: int) -> bytes:
    bgr = np.ascontiguousarray(picture[..., ::-1])
    _, data = cv2.imencode(".webp", bgr, (cv2.IMWRITE_WEBP_QUALITY, quality))
    return data.tobytes()
