"""Find where a RAW frame and a video frame show different content.

The video frame is predicted from the RAW (`prediction`) and compared with the real one at several
scales. The effects of ISPs and codecs are tolerated: tone curves, lens shading, local tone mapping
(gradual changes of brightness, but not of colour), sharpening, chroma subsampling, noise, clipping,
and misregistration of up to two pixels. Differences of content are detected: structure that only
one of the frames has, or a surface whose colour differs, or whose brightness differs clearly.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.matching.prediction import Colors, Map, Prediction, predict
from rvdtool.raw.frame import RawFrame
from rvdtool.video.frame import Rgb

_WORK = 640
"""Largest number of cells along the longer side; a cell is the mean of n×n pixels."""
_WINDOW = 11
"""Side in cells of the window in which structures are correlated."""
_FAINT = 0.004
"""Structure below this amplitude, in code values (0..1), is ignored."""
_SCALES = (1.5, 3.0, 6.0)
"""Sigmas, in cells, at which colours are compared."""
_FULL = 0.98
"""Fraction of white above which a photosite or code value counts as clipped."""
_TOLERANCE, _COLOR_TOLERANCE = 0.1, 0.04
"""Tolerated differences of brightness and of colour, in code values."""
_WEAK, _STRONG = 0.6, 1.0
"""Thresholds of a differing region, in units of the tolerance: the region is connected above the
weak one, and must contain _SMALLEST cells above the strong one."""
_SMALLEST = 12
"""Smallest number of cells above the strong threshold in a differing region."""
_RIM = 7
"""Width in cells of the outline of a differing region."""
_OUTLINE = 0.06
"""Smallest product of the fraction of the outline that only one frame has and the strength of the
evidence. In 58 matching pairs, developed and coded at random, regions had up to 0.04; 90 objects
that only one frame showed had 0.04 to 1.2."""
_SAME, _STRUCTURED = 0.5, 0.05
"""Mean correlation of a region's structure above which both frames show the same there, however
bright, and the mean signal that this needs. Of 113 objects that only one frame showed, none had a
correlation above 0.40."""
_EXPLAINED = 0.45
"""Fraction of a region's structure that its own mix of the RAW's colours explains above which both
frames show the same there. Of 249 matching pairs by phone-like and other ISPs, 12 had regions that
were taken for differences, and 2 with this; of 498 objects that only one frame showed, 400 were
found with it, and 410 without."""
_OCTAVES = ((0.7, 3.0), (1.5, 6.0))
"""Bands of structure: sigmas in cells of a blur, and of one that is subtracted. Both are used for
`_EXPLAINED`; correlations are those of the first one."""
_FEWEST = 12
"""Smallest number of independent samples for it."""
_PLAIN = 2.5
"""Strength above which no outline is needed: a region of another colour but equal brightness."""
_BT709 = np.array([0.2126, 0.7152, 0.0722], np.float32)


def disagreement(rgb: Rgb, raw: RawFrame) -> Map:
    """Confidence, for each pixel, that the RAW and the video frame show different content.

    Args:
        rgb: the video frame, uint8 or uint16 [H, W, 3].
        raw: the RAW frame on the video's grid, [H, W].

    Returns:
        float32 [H, W], 0 (no evidence of a difference) to 1, with soft edges.
    """
    block = 2 * -(-max(raw.size) // (2 * _WORK))
    sensed, full = _camera_colors(raw, block)
    largest = 255 if rgb.dtype == np.uint8 else 65535
    shown = _means(rgb, block) / np.float32(largest)
    clipped = (full > 0) | (_means(rgb.max(-1) > _FULL * largest, block) > 0)
    similarity, signal = _similarity(np.ascontiguousarray(sensed[..., 1]), _luma(shown))
    certain = _as_map((similarity > 0.8) & (signal > 0.3) & ~clipped)
    weights = certain if certain.mean() > 0.02 else _as_map(~clipped)
    if not weights.any():
        return np.zeros(raw.size, np.float32)
    first = predict(sensed, shown, weights)
    prediction = predict(sensed, shown, _agreeing(first, shown, similarity, signal, clipped))
    difference = _difference(prediction, shown, clipped)
    visible = np.clip(1 - 3 * _box(_as_map(clipped)), 0, 1)
    unlike = np.clip((0.5 - similarity) * 2, 0, 1) * signal**2 * visible
    like = np.clip((similarity - 0.6) / 0.3, 0, 1) * signal
    regions = _regions(difference * (1 - like) + unlike, similarity, signal)
    if not regions.any():
        return np.zeros(raw.size, np.float32)
    mask = _unexplained(regions, sensed, shown, ~clipped)
    return np.clip(_enlarged(mask, block, raw.size), 0, 1)


def _camera_colors(raw: RawFrame, block: int) -> tuple[Colors, Map]:
    """Square roots of the RAW's mean colours per block×block, and the fraction of clipped sites."""
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
    """Means over block×block; incomplete blocks at the right and bottom are left out."""
    height, width = values.shape[0] // block, values.shape[1] // block
    complete = np.ascontiguousarray(values[: height * block, : width * block], np.float32)
    if block == 1:
        return complete
    return np.asarray(cv2.resize(complete, (width, height), interpolation=cv2.INTER_AREA))


def _luma(colors: Colors) -> Map:
    return colors @ _BT709


def _as_map(mask: NDArray[np.bool_]) -> Map:
    return mask.astype(np.float32)


def _blur(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))


def _band(values: NDArray[np.float32], octave: tuple[float, float]) -> NDArray[np.float32]:
    fine, coarse = octave
    return _blur(values, fine) - _blur(values, coarse)


def _box(values: Map) -> Map:
    return np.asarray(cv2.blur(values, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT))


def _similarity(one: Map, other: Map) -> tuple[Map, Map]:
    """Correlation of structure in a window, and how much of the structure is signal.

    The correlation (-1..1) is the best over shifts by one cell. The second map (0..1) is the
    fraction of the structure that isn't noise, of the frame that has more. The noise is estimated
    from the differences where the frames agree best.
    """
    bands = [_band(grey, _OCTAVES[0]) for grey in (one, other)]
    energies = [_box(band * band) for band in bands]
    best = np.full(one.shape, -1, np.float32)
    around = np.pad(bands[1], 1, mode="edge")
    for dy in range(3):
        for dx in range(3):
            moved = around[dy : dy + one.shape[0], dx : dx + one.shape[1]]
            both = _box(bands[0] * moved)
            size = np.sqrt(np.maximum(energies[0] * _box(moved * moved), 1e-18))
            best = np.maximum(best, both / size)
    noise_share = 1 - np.maximum(best, 0)
    noises = [np.float32(np.percentile(e * noise_share, 20) + _FAINT**2) for e in energies]
    signal = np.maximum(*(e / (e + 8 * n) for e, n in zip(energies, noises, strict=True)))
    return best, signal


def _agreeing(
    first: Prediction, shown: Colors, similarity: Map, signal: Map, clipped: NDArray[np.bool_]
) -> Map:
    """Weights of cells for the second fit: those with a small error and agreeing structure."""
    error = np.abs(first.colors - shown).max(-1)
    near = 1 / (1 + (error / (0.05 + 0.1 * first.unsure)) ** 2) ** 2
    like = np.clip((similarity - 0.2) / 0.4, 0.02, 1) * signal + 1 - signal
    alike = np.clip((similarity - 0.7) / 0.2, 0, 1) * signal
    return np.asarray(np.maximum(0.1 * near * like, alike) * ~clipped, np.float32)


def _difference(prediction: Prediction, shown: Colors, clipped: NDArray[np.bool_]) -> Map:
    """Difference between prediction and video frame in tolerances, the largest of several scales.

    Colours are compared after a gain that makes both equally bright.
    """
    worst = np.zeros(shown.shape[:2], np.float32)
    unclipped, unsure = _as_map(~clipped), np.float32(0.15) * prediction.unsure
    for sigma in _SCALES:
        visible = _blur(unclipped, sigma) + np.float32(1e-3)
        own, other = (
            _blur(colors * unclipped[..., None], sigma) / visible[..., None]
            for colors in (prediction.colors, shown)
        )
        dark, light = _luma(own), _luma(other)
        tolerance = _TOLERANCE + 0.1 * dark + unsure
        gain = np.clip((light + 0.02) / (dark + 0.02), 0.5, 2)[..., None]
        own_color, other_color = gain * (own - dark[..., None]), other - light[..., None]
        strength = np.maximum(np.ptp(own, -1), np.ptp(other, -1))
        allowed = _COLOR_TOLERANCE + (unsure + 0.1 * strength)[..., None]
        ratio = np.maximum(
            _outside(light, dark) / tolerance, (_outside(other_color, own_color) / allowed).max(-1)
        )
        worst = np.maximum(worst, np.clip(2 * visible, 0, 1) * ratio)
    return worst


def _outside(values: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance of values from the range of the expected values at the cell and its neighbours."""
    around = np.ones((3, 3), np.uint8)
    low, high = cv2.erode(expected, around), cv2.dilate(expected, around)
    return np.asarray(np.maximum(np.maximum(low - values, values - high), 0))


def _regions(evidence: Map, similarity: Map, signal: Map) -> NDArray[np.int_]:
    """Connected regions with enough strong evidence whose outline is in one frame only: their
    numbers, 0 elsewhere.

    An object that only one frame shows has an outline that the other frame doesn't have. If both
    frames have the outline, or the structure inside, the colours were only predicted badly.
    """
    weak = (evidence > _WEAK).astype(np.uint8)
    count, labels = cv2.connectedComponents(weak, connectivity=8)
    around = np.ones((_RIM, _RIM), np.uint8)
    near = cv2.dilate(labels.astype(np.float32), around).astype(int)
    outline_mask = (cv2.erode(weak, around) == 0) & (near > 0)

    def total(where: NDArray[np.int_], values: NDArray[Any]) -> NDArray[Any]:
        return np.bincount(where.ravel(), values.ravel(), minlength=count)

    cells, structure = np.maximum(total(labels, weak), 1), total(labels, signal)
    strength = total(labels, evidence) / cells
    one_sided = signal * np.clip((0.8 - similarity) / 0.4, 0, 1)
    outline = total(near, one_sided * outline_mask) / np.maximum(total(near, outline_mask), 1)
    keep = total(labels, evidence > _STRONG) >= _SMALLEST
    keep &= (outline * (strength - _WEAK) > _OUTLINE) | (strength > _PLAIN)
    same = total(labels, signal * similarity) > _SAME * structure
    keep &= ~(same & (structure > _STRUCTURED * cells))
    keep[0] = False
    return np.asarray(np.where(keep[labels], labels, 0))


def _unexplained(
    regions: NDArray[np.int_], sensed: Colors, shown: Colors, usable: NDArray[np.bool_]
) -> Map:
    """Keep the regions whose structure in the video frame isn't that of the RAW.

    Local tone mapping changes brightness and colour of an area, and reduces or even reverses its
    contrasts. But if both frames show the same, a mix of the RAW's colours, chosen for the area
    alone, still explains its structure.
    """
    colors = np.concatenate([sensed, sensed[..., 1:2] ** 2], axis=-1)
    bands = [(_band(colors, octave), _band(shown, octave)) for octave in _OCTAVES]
    mask = np.zeros(regions.shape, np.uint8)
    around = np.ones((_RIM, _RIM), np.uint8)
    for region in np.unique(regions[regions > 0]):
        inside = (regions == region).astype(np.uint8)
        where = (cv2.dilate(inside, around) > 0) & usable
        shares = [
            _explained(one[where], other[where], 1 / (4 * np.pi * fine * fine))
            for (one, other), (fine, _) in zip(bands, _OCTAVES, strict=True)
        ]
        measured = [share for share in shares if share is not None]
        if not measured or np.mean(measured) < _EXPLAINED:
            mask |= inside
    return _blur(cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(np.float32), 1.2)


def _explained(one: Colors, other: Colors, independent: float) -> float | None:
    """Fraction of the variance of `other`, [cells, 3], that a linear regression on `one`, [cells,
    4], explains, adjusted for its degrees of freedom; None for too few cells.

    Args:
        one, other: structure in a band, with mean 0.
        independent: independent samples per cell.
    """
    count, free = independent * len(one), one.shape[1]
    if count < _FEWEST:
        return None
    weights = np.linalg.lstsq(one, other, rcond=None)[0]
    left = float(((other - one @ weights) ** 2).sum()) / max(float((other**2).sum()), 1e-12)
    return float(1 - left * count / (count - free))


def _enlarged(mask: Map, block: int, size: tuple[int, int]) -> Map:
    """The map at pixel resolution; incomplete blocks at the edge get their neighbour's value."""
    height, width = mask.shape
    enlarged = cv2.resize(mask, (width * block, height * block), interpolation=cv2.INTER_LINEAR)
    missing = [(0, size[0] - enlarged.shape[0]), (0, size[1] - enlarged.shape[1])]
    return np.asarray(np.pad(enlarged, missing, mode="edge"), np.float32)
