"""Where a RAW frame and a video frame show different things.

The video frame is predicted from the RAW (`prediction`) and compared with what it shows, at a
few scales. Blind to what ISPs and codecs do: any curve, lens shading, local tone mapping (slow
changes of brightness are forgiven, those of colour are not), sharpening, chroma at half size,
noise, clipping, and two pixels of misregistration. Strict about content: structure that only
one of them has, or a surface of another colour or clearly another brightness.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.matching.prediction import Colors, Map, Prediction, predict
from rvdtool.raw.frame import RawFrame
from rvdtool.video.frame import Rgb

_WORK = 640
"""Cells along the longer side at most: what is compared is averaged over cells of n×n pixels."""
_BAND = 3.0
"""Sigma, in cells, of the neighbourhood that structure is measured against."""
_WINDOW = 11
"""Cells along each side of the window in which structures are compared."""
_FAINT = 0.004
"""Structure, in codes, below which there is none."""
_SCALES = (1.5, 3.0, 6.0)
"""Sigmas, in cells, at which colours are compared."""
_FULL = 0.98
"""Of white: beyond, a photosite or a code says only that there was at least so much light."""
_TOLERANCE, _COLOR_TOLERANCE = 0.1, 0.04
"""Differences of brightness and of colour, in codes, that say nothing."""
_WEAK, _STRONG = 0.6, 1.0
"""Evidence, in tolerances, for a place that differs: all around, and …"""
_SMALLEST = 12
"""… in so many cells at least."""
_RIM = 7
"""Width, in cells, of the outline of such a place."""
_OUTLINE = 0.06
"""The outline's share that only one of the two has × strength of evidence, at least. Of 58 pairs
that agree, developed and coded at random, places had up to 0.04; of 90 objects, 0.04 to 1.2."""
_PLAIN = 2.5
"""Strength that needs no outline: another colour, as bright as what is beside it."""
_BT709 = np.array([0.2126, 0.7152, 0.0722], np.float32)


def disagreement(rgb: Rgb, raw: RawFrame) -> Map:
    """How surely the two show different things, pixel by pixel.

    Args:
        rgb: the video frame, uint8 or uint16 [H, W, 3].
        raw: the RAW frame on the video's grid, [H, W].

    Returns:
        float32 [H, W], 0 (they agree, or nothing says otherwise) .. 1, with soft edges.
    """
    block = 2 * -(-max(raw.size) // (2 * _WORK))
    sensed, full = _camera_colors(raw, block)
    largest = 255 if rgb.dtype == np.uint8 else 65535
    shown = _means(rgb, block) / np.float32(largest)
    clipped = (full > 0) | (_means(rgb.max(-1) > _FULL * largest, block) > 0)
    likeness, telling = _likeness(np.ascontiguousarray(sensed[..., 1]), _luma(shown))
    surely = _as_map((likeness > 0.8) & (telling > 0.3) & ~clipped)
    weights = surely if surely.mean() > 0.02 else _as_map(~clipped)
    if not weights.any():
        return np.zeros(raw.size, np.float32)
    first = predict(sensed, shown, weights)
    prediction = predict(sensed, shown, _agreeing(first, shown, likeness, telling, clipped))
    apart = _apart(prediction, shown, clipped)
    seen = np.clip(1 - 3 * _box(_as_map(clipped)), 0, 1)
    unlike = np.clip((0.5 - likeness) * 2, 0, 1) * telling**2 * seen
    like = np.clip((likeness - 0.6) / 0.3, 0, 1) * telling
    mask = _grown(apart * (1 - 0.5 * like) + unlike, _own(likeness, telling))
    return np.clip(_enlarged(mask, block, raw.size), 0, 1)


def _camera_colors(raw: RawFrame, block: int) -> tuple[Colors, Map]:
    """Square roots of the RAW's mean colours per block×block, and which share of sites is full."""
    planes: list[Map] = [np.zeros((), np.float32) for _ in range(3)]
    full: Map = np.zeros((1, 1), np.float32)
    size = raw.size[0] // 2 * 2, raw.size[1] // 2 * 2
    for (row, column), color in np.ndenumerate(raw.phase.pattern):
        black = np.float32(raw.black[2 * row + column])
        sites = raw.mosaic[row : size[0] : 2, column : size[1] : 2]
        light = (sites - black) / (np.float32(raw.white) - black)
        means = _means(light, block // 2)
        planes[color] = planes[color] + means * (0.5 if color == 1 else 1)
        full = np.asarray(full + _means((light > _FULL).astype(np.float32), block // 2) / 4)
    return np.sqrt(np.clip(np.stack(planes, -1), 0, 1)).astype(np.float32), full


def _means(values: NDArray[np.generic], block: int) -> NDArray[np.float32]:
    """Means over block×block; a rest at the far sides is left out."""
    height, width = values.shape[0] // block, values.shape[1] // block
    whole = np.ascontiguousarray(values[: height * block, : width * block], np.float32)
    if block == 1:
        return whole
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))


def _luma(colors: Colors) -> Map:
    return colors @ _BT709


def _as_map(mask: NDArray[np.bool_]) -> Map:
    return mask.astype(np.float32)


def _blur(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))


def _box(values: Map) -> Map:
    return np.asarray(cv2.blur(values, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT))


def _likeness(one: Map, other: Map) -> tuple[Map, Map]:
    """Correlation of structure in a window (-1..1, best of shifts by a cell), and its share.

    The second is how much of it isn't noise, 0..1, in the one of them that has more. Noise is
    what the two don't have in common where they have most in common.
    """
    bands = [_blur(grey, 0.7) - _blur(grey, _BAND) for grey in (one, other)]
    energies = [_box(band * band) for band in bands]
    best = np.full(one.shape, -1, np.float32)
    around = np.pad(bands[1], 1, mode="edge")
    for dy in range(3):
        for dx in range(3):
            moved = around[dy : dy + one.shape[0], dx : dx + one.shape[1]]
            both = _box(bands[0] * moved)
            size = np.sqrt(np.maximum(energies[0] * _box(moved * moved), 1e-18))
            best = np.maximum(best, both / size)
    rest = 1 - np.maximum(best, 0)
    noises = [np.float32(np.percentile(e * rest, 20) + _FAINT**2) for e in energies]
    telling = np.maximum(*(e / (e + 8 * n) for e, n in zip(energies, noises, strict=True)))
    return best, telling


def _agreeing(
    first: Prediction, shown: Colors, likeness: Map, telling: Map, clipped: NDArray[np.bool_]
) -> Map:
    """What the second fit is made from: all that the first explains and that isn't unlike."""
    error = np.abs(first.colors - shown).max(-1)
    near = 1 / (1 + (error / (0.05 + 0.1 * first.unsure)) ** 2) ** 2
    like = np.clip((likeness - 0.2) / 0.4, 0.02, 1) * telling + 1 - telling
    alike = np.clip((likeness - 0.7) / 0.2, 0, 1) * telling
    return np.asarray(np.maximum(0.1 * near * like, alike) * ~clipped, np.float32)


def _apart(prediction: Prediction, shown: Colors, clipped: NDArray[np.bool_]) -> Map:
    """How far the two are apart in tolerances, at the worst of a few scales.

    Colour is compared after the gain that makes both equally bright.
    """
    worst = np.zeros(shown.shape[:2], np.float32)
    sure, unsure = _as_map(~clipped), np.float32(0.15) * prediction.unsure
    for sigma in _SCALES:
        seen = _blur(sure, sigma) + np.float32(1e-3)
        own, other = (
            _blur(colors * sure[..., None], sigma) / seen[..., None]
            for colors in (prediction.colors, shown)
        )
        dark, light = _luma(own), _luma(other)
        tolerance = _TOLERANCE + 0.1 * dark + unsure
        gain = np.clip((light + 0.02) / (dark + 0.02), 0.5, 2)[..., None]
        own_color, other_color = gain * (own - dark[..., None]), other - light[..., None]
        strength = np.maximum(np.ptp(own, -1), np.ptp(other, -1))
        allowed = _COLOR_TOLERANCE + (unsure + 0.1 * strength)[..., None]
        ratio = np.maximum(
            _beyond(light, dark) / tolerance, (_beyond(other_color, own_color) / allowed).max(-1)
        )
        worst = np.maximum(worst, np.clip(2 * seen, 0, 1) * ratio)
    return worst


def _beyond(values: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """By how much values are outside of what is expected at their place or a cell beside it."""
    around = np.ones((3, 3), np.uint8)
    low, high = cv2.erode(expected, around), cv2.dilate(expected, around)
    return np.asarray(np.maximum(np.maximum(low - values, values - high), 0))


def _own(likeness: Map, telling: Map) -> Map:
    """How surely there is structure that only one of the two has, 0..1."""
    return np.asarray(telling * np.clip((0.8 - likeness) / 0.4, 0, 1))


def _grown(evidence: Map, own: Map) -> Map:
    """Connected places of evidence that hold enough strong evidence, and whose edge isn't shared.

    What only one of the two shows has an outline that the other doesn't have. Where the outline
    is the same in both, the colours were predicted badly.
    """
    weak = (evidence > _WEAK).astype(np.uint8)
    count, labels = cv2.connectedComponents(weak, connectivity=8)
    around = np.ones((_RIM, _RIM), np.uint8)
    near = cv2.dilate(labels.astype(np.float32), around).astype(int)
    rim = (cv2.erode(weak, around) == 0) & (near > 0)

    def total(where: NDArray[np.int_], values: NDArray[Any]) -> NDArray[Any]:
        return np.bincount(where.ravel(), values.ravel(), minlength=count)

    strength = total(labels, evidence) / np.maximum(total(labels, weak), 1)
    outline = total(near, own * rim) / np.maximum(total(near, rim), 1)
    keep = total(labels, evidence > _STRONG) >= _SMALLEST
    keep &= (outline * (strength - _WEAK) > _OUTLINE) | (strength > _PLAIN)
    keep[0] = False
    mask = cv2.dilate(keep[labels].astype(np.uint8), np.ones((3, 3), np.uint8))
    return _blur(mask.astype(np.float32), 1.2)


def _enlarged(mask: Map, block: int, size: tuple[int, int]) -> Map:
    """On the pixels; a rest at the far sides as beside it."""
    height, width = mask.shape
    whole = cv2.resize(mask, (width * block, height * block), interpolation=cv2.INTER_LINEAR)
    rest = [(0, size[0] - whole.shape[0]), (0, size[1] - whole.shape[1])]
    return np.asarray(np.pad(whole, rest, mode="edge"), np.float32)
