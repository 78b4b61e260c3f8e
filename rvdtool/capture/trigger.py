"""Decides on a camera, while it films, at which frames it keeps a RAW.

Needs NumPy only, and only the frames so far. `rvdtool plan` knows the whole clip, and chooses
better (docs/method/plan.md).
"""

from collections import deque

import numpy as np

from rvdtool.errors import UsageError
from rvdtool.video.frame import Rgb
from rvdtool.video.tones import Tones, loss, tones

_HASTE = 0.25
"""Part of the interval by which a RAW comes earlier if the loss is twice the usual one."""

_TINY = 1e-6


class RawTrigger:
    """Keeps the RAW of frame 0, and then of one frame in `interval`: earlier if the loss
    (`rvdtool.video.tones.loss`) is larger than is usual in this clip after an interval, later if it
    is smaller.

    One that came early delays the next. Up to frame i there are never more than 2 + i / interval.
    """

    def __init__(self, interval: int) -> None:
        """Begin a clip.

        Args:
            interval: frames per RAW, on average, 1 at least.

        Raises:
            UsageError: it is below 1.
        """
        if interval < 1:
            raise UsageError(f"a RAW every {interval} frames? Give an interval of 1 at least")
        self._interval = interval
        self._recent: deque[Tones] = deque(maxlen=interval)
        self._kept: Tones | None = None
        self._age = 0
        self._credit = 0.0
        self._losses: tuple[float, int] = (0.0, 0)

    def __call__(self, rgb: Rgb) -> bool:
        """Whether to keep the RAW of the next frame.

        Args:
            rgb: the frame, uint8 or uint16 [H, W, 3].
        """
        now, self._age = tones(rgb), self._age + 1
        keep = self._kept is None or self._is_due(now, self._kept)
        self._recent.append(now)
        if keep:
            self._kept, self._age = now, 0
        return keep

    def _is_due(self, now: Tones, kept: Tones) -> bool:
        self._credit += 1 / self._interval
        if len(self._recent) == self._interval:
            total, count = self._losses
            self._losses = total + _loss(self._interval, now, self._recent[0]), count + 1
        total, count = self._losses
        usual = total / count if count else _loss(self._interval, now, now)
        change = _loss(self._age, now, kept) / usual
        # Tolerances, since a credit of tenths never adds up to exactly 0 or 1.
        due = self._credit > _TINY and self._credit + _HASTE * (change - 1) > 1 - _TINY
        self._credit -= due
        return due


def _loss(frames: int, now: Tones, other: Tones) -> float:
    return float(loss(np.array([frames]), now[None], other)[0])
