"""Propose a video's tags by measurement; the user corrects them in tags.json."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.bayer import normalise
from rvdtool.raw.frame import RawFrame
from rvdtool.research.dataset.rvd import Flow, Rgb8, Tags

FAST = 0.015
"""Fast motion: the median pixel moves by more than this fraction of the width per frame."""

CUT = 0.4
"""Scene change: colour histograms of consecutive frames overlap by less than this."""

DARK = 0.03
"""Dark: the median normalised photosite is below this."""

BRIGHT = 0.02
"""Highlights: more than this fraction of all photosites is saturated."""

_WIDTH = 320
_BINS = 8


@dataclass
class TagMeter:
    """Measures a video frame by frame, and proposes its tags."""

    _medians: list[float] = field(default_factory=list)
    _clipped: list[float] = field(default_factory=list)
    _speeds: list[float] = field(default_factory=list)
    _overlaps: list[float] = field(default_factory=list)
    _previous: Rgb8 | None = None

    def watch(self, raw: RawFrame, rgb: Rgb8) -> None:
        """Measure the next frame."""
        values = normalise(raw.mosaic, raw.black, raw.white)
        self._medians.append(float(np.median(values)))
        self._clipped.append(float((values > 0.995).mean()))
        small = _small(rgb)
        if self._previous is not None:
            flow = dis_flow(self._previous, small)
            self._speeds.append(float(np.median(np.hypot(flow[..., 0], flow[..., 1]))) / _WIDTH)
            self._overlaps.append(_overlap(self._previous, small))
        self._previous = small

    def propose(self) -> Tags:
        """The tags, by the thresholds above.

        Flow across a scene change is ignored; fast motion is decided by the median over the video.
        """
        return {
            "fast_motion": bool(self._speeds) and float(np.median(self._speeds)) > FAST,
            "scene_change": bool(self._overlaps) and min(self._overlaps) < CUT,
            "dark": float(np.mean(self._medians)) < DARK,
            "high_light": float(np.mean(self._clipped)) > BRIGHT,
        }


def dis_flow(here: Rgb8, there: Rgb8) -> Flow:
    """OpenCV's DIS flow from `here` to `there`, float32 [H, W, 2]."""
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (here, there)]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    start = np.zeros((*grey[0].shape, 2), np.float32)
    return np.asarray(estimator.calc(grey[0], grey[1], start), np.float32)


def _small(rgb: Rgb8) -> Rgb8:
    height = max(32, round(rgb.shape[0] * _WIDTH / rgb.shape[1]))
    return np.asarray(cv2.resize(rgb, (_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)


def _overlap(one: Rgb8, two: Rgb8) -> float:
    return float(np.minimum(_histogram(one), _histogram(two)).sum())


def _histogram(rgb: Rgb8) -> NDArray[np.float64]:
    """Fraction of pixels in each of 8×8×8 colour bins."""
    cells = (rgb // (256 // _BINS)).astype(np.int64)
    index = (cells[..., 0] * _BINS + cells[..., 1]) * _BINS + cells[..., 2]
    return np.bincount(index.ravel(), minlength=_BINS**3) / index.size
