"""Measure the brightness of a frame relative to the reference frame.

LibRaw's auto-brightness changes the ISP's gain in every frame; the camera's exposure or the light
may change, too. In both cases, the fits of the same object in the two frames differ by a ratio. It
is measured in areas that certainly show the same in both frames, as the *mode* of many ratios,
since the ratios of moving shadows and wrong matches are widely spread. If most ratios are, local
tone mapping has changed, and their mode says little: a change of exposure or light that is smaller
than their spread is ignored, and so is what their median doesn't show. Objects that move towards
the corners are darkened by the lens; this shading is estimated at the same time, and kept from
frame to frame.

Light may change by more than eight stops. The weight of each ratio, the width of the search and the
error of the result depend on the noise. Changes within this error are ignored.

The sRGB video doesn't show whether a frame became brighter through the ISP or through exposure or
light, and only the latter change the RAW. Cameras' ISPs change their gain only where exposure can't
be changed, so brightness is attributed to the ISP only in videos rendered by LibRaw's defaults.
"""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.dng import SMALLEST
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.render import default_render
from rvdtool.reconstruct.compiled import kernel
from rvdtool.reconstruct.statistics import Array, Curve, median_deviation
from rvdtool.video.frame import Rgb

BLOCK = 8
ENOUGH_BLOCKS = 40
DARKEST = 0.01
"""Blocks darker than this (normalised) aren't used, since their ratios are inaccurate."""
DEAD_ZONE = 0.004
"""Smaller changes (log) relative to the previous frame are ignored, since errors would add up."""
CERTAIN = 1.5
"""Changes within this many standard errors are ignored; much larger ones are used in full."""
BLOCKS_PER_SAMPLE = 4
"""Number of blocks that count as one with independent noise."""
NOISIEST_RATIO = 0.25
"""A block isn't used if the logarithm of its ratio has at least this standard deviation."""
NOTABLE = 0.05
"""Logarithm of a change of brightness that is worth mentioning."""
MOST_UNEVEN = 0.25
"""Largest deviation of ratios (log) that is attributed to local tone mapping; in very different
light, ratios deviate because the inverse ISP is less exact."""
JUMP = 0.5
"""A ratio that differs (log) from the expected one by more than this must fulfil UNEXPECTED."""
UNEXPECTED = 1.5
"""It must have this many times as many blocks as others, since a lamp may light half of a scene."""

_SHADING_PRIOR = 0.3
_MEMORY = 0.95
_SLOPES = np.arange(-1.0, 0.45, 0.05)
_WIDEST = 6.0
"""Ratios are searched from exp(−_WIDEST) to exp(_WIDEST): more than eight stops each way."""
_BIN = 0.004
_NEAR = 0.015
"""Ratios within this distance (log) of the mode are averaged; more if noise explains it."""
_MUCH_DARKER = 0.5
SAME_RENDERING = 0.02
"""Mean difference of coded block means, 0..1, up to which a frame counts as rendered by LibRaw's
defaults. LibRaw's rendering is below it even after a codec; cameras differ more."""


def has_auto_brightness(reference: RawFrame, rgb: Rgb, agreement: Array | None = None) -> bool:
    """Whether LibRaw's defaults (the paper's protocol) rendered the reference frame from its RAW.

    Args:
        reference: the true RAW of the reference frame, on the video's grid.
        rgb: the reference frame, [H, W, 3].
        agreement: confidence that both show the same, 0..1, [H, W]; None if everywhere 1.
    """
    if min(reference.size) < SMALLEST:
        return False
    rendered = default_render(replace(reference, orientation=1))
    coded = rgb.astype(np.float32) / np.float32(np.iinfo(rgb.dtype).max)
    difference = block_means(coded) - block_means(rendered.astype(np.float32) / np.float32(255))
    if agreement is not None:
        difference = difference[block_means(agreement) == 1]
    return bool(difference.size and np.abs(difference).mean() < SAME_RENDERING)


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
    """Lens shading (darkening towards the corners), estimated frame by frame.

    Its logarithm is a·x² + b·y² + c·(x² + y²)², with coordinates from the frame's centre and the
    corners at distance 1; `shading_terms` gives the three terms.

    Attributes:
        evidence: float64 [3, 4], the normal equations of (a, b, c): matrix, and right-hand side in
            the last column; older frames have lower weights.
    """

    evidence: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, 4)))

    @property
    def terms(self) -> NDArray[np.float64]:
        """The coefficients (a, b, c); 0 as long as nothing is known."""
        information = self.evidence[:, :3] + _SHADING_PRIOR * np.eye(3)
        return np.asarray(np.linalg.solve(information, self.evidence[:, 3]))

    def learn(self, evidence: NDArray[np.float64]) -> "Shading":
        """Add one frame's evidence."""
        return Shading(_MEMORY * self.evidence + evidence)


@dataclass(frozen=True)
class Ratio:
    """A frame's brightness relative to another frame, and the current estimate of the shading.

    Attributes:
        value: the ratio.
        shading: the lens shading.
        error: standard error of the ratio's logarithm.
        unevenness: median absolute deviation of its logarithm over the frame, if the ISP may map
            tones locally; else 0.
        median: the frame's median ratio, if the ISP may map tones locally; else None.
    """

    value: float
    shading: Shading
    error: float = 0.0
    unevenness: float = 0.0
    median: float | None = None


def shading_terms(at: Array, size: tuple[int, int]) -> Array:
    """The terms x², y² and (x² + y²)² at positions in a frame, see `Shading`.

    Args:
        at: positions (x, y) in pixels, [h, w, 2].
        size: (height, width) of the frame.

    Returns:
        The terms, [h, w, 3].
    """
    height, width = size
    middle = np.array([(width - 1) / 2, (height - 1) / 2], np.float32)
    square = (at - middle) ** 2 / np.float32((middle**2).sum())
    return np.concatenate([square, square.sum(axis=-1, keepdims=True) ** 2], axis=-1)


def ratio_mode(
    value: Array,
    reference: Array,
    trusted: NDArray[np.bool_],
    shading_delta: Array,
    shading: Shading,
    noise: Curve,
    expected: float,
    tone_mapped: bool,
) -> Ratio | None:
    """Mode of value / reference over trusted blocks; None if too few are usable.

    Args:
        value, reference: block means, normalised RAW, [H, W].
        trusted: which blocks to use, bool, [H, W].
        shading_delta: difference of a block's `shading_terms` to those at its source, [H, W, 3].
        shading: the previous estimate of the shading.
        noise: variance of a photosite's noise in `value` and `reference`, by intensity.
        expected: the ratio if nothing but a known exposure has changed.
        tone_mapped: whether the ISP may map tones locally, so that ratios also differ by place.
    """
    if trusted.sum() < ENOUGH_BLOCKS:
        return None
    darker = float(np.median(value[trusted])) / max(float(np.median(reference[trusted])), 1e-6)
    # Blocks that became much darker may be dark now, and vice versa.
    darkest = DARKEST / 2 * (darker if darker < _MUCH_DARKER else 1)
    darkest_reference = DARKEST / (darker if darker > 1 / _MUCH_DARKER else 1)
    usable = trusted & (value > max(darkest, 1e-5)) & (reference > max(darkest_reference, 1e-5))
    spread = _log_deviation(value, reference, noise)
    usable &= spread < NOISIEST_RATIO
    if usable.sum() < ENOUGH_BLOCKS:
        return None
    logs = np.log(value[usable] / reference[usable]).astype(np.float64)
    far, spread = shading_delta[usable].astype(np.float64), spread[usable].astype(np.float64)
    weights = 1 / (1 + (spread / _BIN) ** 2)
    terms, mode = _start(logs, far, shading, weights, float(np.median(spread)), expected)
    evidence, error = np.zeros((3, 4)), NOISIEST_RATIO
    reach = np.maximum(_NEAR, 3 * spread)
    for _ in range(4):
        around, sums = np.array([*terms, mode]), np.zeros((5, 5))
        near = np.empty(logs.size, np.bool_)
        _add_up(logs, far, weights, reach, around, near, sums)
        count, total = float(near.sum()), sums[4, 4]
        if not count:
            break
        means = sums[4, :4] / total
        moments = sums[:4, :4] / total - np.outer(means, means)
        evidence = count * moments[:3]
        terms = Shading(shading.evidence + evidence).terms
        mode = float(means[3] - means[:3] @ terms)
        # Neighbouring blocks aren't independent: demosaicing and codecs reach across them.
        residuals = (logs - (far * terms).sum(axis=1) - mode) * weights
        error = float(np.sqrt(BLOCKS_PER_SAMPLE * (residuals[near] ** 2).sum())) / float(total)
    ratio = Ratio(float(np.exp(mode)), shading.learn(evidence), error)
    if not tone_mapped:
        return ratio
    logs -= far @ terms
    unevenness = min(median_deviation(logs), MOST_UNEVEN)
    return replace(ratio, unevenness=unevenness, median=float(np.exp(np.median(logs))))


@kernel
def _add_up(
    logs: NDArray[np.float64],
    far: NDArray[np.float64],
    weights: NDArray[np.float64],
    reach: NDArray[np.float64],
    around: NDArray[np.float64],
    near: NDArray[np.bool_],
    sums: NDArray[np.float64],
) -> None:
    """Weighted sums of all products of two of (the three terms, the logarithm, 1).

    Args:
        logs, far, weights: per block; far: [blocks, 3].
        reach: blocks count if their ratio is within this distance (log) of the mode.
        around: the shading's terms and the mode, [4].
        near: which blocks count, a result.
        sums: the result, [5, 5]; 0 at the start.
    """
    for i in range(logs.size):
        shading = far[i, 0] * around[0] + far[i, 1] * around[1] + far[i, 2] * around[2]
        near[i] = abs(logs[i] - shading - around[3]) < reach[i]
        if not near[i]:
            continue
        weight = weights[i]
        for j in range(5):
            one = weight * (far[i, j] if j < 3 else logs[i] if j == 3 else 1.0)
            for k in range(5):
                sums[j, k] += one * (far[i, k] if k < 3 else logs[i] if k == 3 else 1.0)


def _log_deviation(value: Array, reference: Array, noise: Curve) -> Array:
    """Standard deviation of log(value / reference) due to the photosites' noise, [H, W]."""
    relative = [noise(x) / np.maximum(x, 1e-6) ** 2 for x in (value, reference)]
    return np.sqrt((relative[0] + relative[1]) / np.float32(BLOCK * BLOCK))


def _start(
    logs: NDArray[np.float64],
    far: NDArray[np.float64],
    shading: Shading,
    weights: NDArray[np.float64],
    spread: float,
    expected: float,
) -> tuple[NDArray[np.float64], float]:
    """The terms of the shading with which most ratios agree, and their mode (log)."""
    candidates = [shading.terms]
    if far[:, :2].sum(axis=1).std() > 0.01:  # otherwise shading has no effect
        candidates += [np.array([slope, slope, 0.0]) for slope in _SLOPES]
    peaks = [_peak(logs - far @ terms, weights, spread, expected) for terms in candidates]
    heights = np.array([height for _, height in peaks], np.float64)
    heights[0] *= 1.1  # keep the known shading unless another one is clearly better
    best = int(heights.argmax())
    return candidates[best], peaks[best][0]


def _peak(
    logs: NDArray[np.float64],
    weights: NDArray[np.float64],
    spread: float,
    expected: float,
) -> tuple[float, float]:
    """Position and height of the maximum of a histogram, smoothed according to the noise."""
    bins, reach = round(2 * _WIDEST / _BIN), (-_WIDEST, _WIDEST)
    counts, edges = np.histogram(logs, bins, reach, weights=weights)
    smooth = np.convolve(counts, [1, 2, 3, 2, 1], "same")
    if spread > 2 * _BIN:
        smooth = cv2.GaussianBlur(smooth[None], (0, 0), spread / _BIN / 2)[0]
    unlikely = np.abs(edges[:-1] + _BIN / 2 - np.log(expected)) > JUMP
    smooth = np.where(unlikely, smooth / UNEXPECTED, smooth)
    return float(edges[smooth.argmax()]) + _BIN / 2, float(smooth.max())


def track(anchored: Ratio | None, neighbour: Ratio | None, previous: Ratio) -> Ratio:
    """A frame's brightness relative to the reference frame, measured directly or through the
    previous frame.

    Args:
        anchored: ratio to the reference frame; None if too little of it is in view.
        neighbour: ratio to the previous frame's estimate (from which its brightness is removed).
        previous: expected brightness if nothing changed: the previous frame's, times the change of
            a known exposure.
    """
    if anchored is not None:
        return _shrunk(anchored, previous, 0.0)
    if neighbour is None:
        return previous
    return _shrunk(neighbour, previous, DEAD_ZONE)


def ignores_unevenness(measured: Ratio, used: Ratio) -> bool:
    """Whether a notable part of a measured change was ignored since it is uneven."""
    ignored = abs(float(np.log(measured.value / used.value)))
    return measured.unevenness > measured.error and ignored >= NOTABLE


def _shrunk(measured: Ratio, previous: Ratio, dead_zone: float) -> Ratio:
    """Shrink a measured ratio towards the previous one: part of the change may be an error, or due
    to local tone mapping."""
    change = float(np.log(measured.value / previous.value))
    if measured.median is not None:
        middle = float(np.log(measured.median / previous.value))
        if abs(change - middle) >= NOTABLE:  # light changes both, and tone mapping each differently
            change = min(change, middle, key=abs) if change * middle > 0 else 0.0
    error, uneven = CERTAIN * measured.error, CERTAIN * measured.unevenness
    if abs(change) <= max(error, uneven, dead_zone):
        return replace(measured, value=previous.value)
    change *= (1 - (error / change) ** 2) * (1 - (uneven / change) ** 4)
    return replace(measured, value=previous.value * float(np.exp(change)))
