"""Reconstruct lights that are clipped in sRGB: lamps, reflections of the sun, stars.

A clipped sRGB frame only shows that a light exceeds the limit. The reference RAW shows more: if a
photosite is saturated there and still shows the same object, it is saturated now, too. For clip
states that few photosites of the reference frame have, a learned estimate (`highlights.py`) is
corrected by its error at those photosites.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.bayer import color_index
from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.compiled import in_strips, kernel
from rvdtool.reconstruct.estimate import MIN_VARIANCE, Estimate
from rvdtool.reconstruct.flow import Flow
from rvdtool.reconstruct.highlights import Highlights, highlight_inputs
from rvdtool.reconstruct.inverse_isp import SATURATED
from rvdtool.reconstruct.isp_features import CLIP, Features
from rvdtool.reconstruct.statistics import POSITIONS, Array, Where
from rvdtool.video.frame import Rgb

BLIND = np.float32(0.45)
"""RMS error of the fit at photosites whose clip state doesn't occur in the reference frame and
whose own colour isn't clipped: half of this fraction of the range up to white (0.19 to 0.26 were
measured)."""
CERTAIN = np.float32(1e-6)
"""Variance of saturated photosites, due to rounding only."""
HEADROOM = 1.25
"""Factor by which light may decrease before saturated lights count as unsaturated; most lights
exceed saturation by far."""
SHOWN = np.float32(CLIP - 0.05)
"""Smallest coded sRGB value, 0..1, of a saturated light; below `CLIP`, as codecs blur lights."""
FEW = 10
"""Number of photosites with as much weight as the learned estimate."""


def lights(raw: Array, rgb: Rgb, phase: CfaPhase) -> Array:
    """Photosites whose RAW is saturated and whose sRGB is (nearly) clipped: 0 or 1, [H, W].

    Args:
        raw: the frame's normalised RAW, [H, W].
        rgb, phase: the frame's sRGB and CFA phase.
    """
    return ((raw >= SATURATED) & _shows_full(rgb, phase)).astype(np.float32)


def still_full(first: Array, rgb: Rgb, phase: CfaPhase, far: Flow) -> NDArray[np.bool_]:
    """Photosites saturated in the reference frame and (nearly) clipped in sRGB now, [H, W].

    Args:
        first: the result of `lights` for the reference frame.
        rgb, phase: the current frame's sRGB and CFA phase.
        far: the current frame's flow to the reference frame, [H, W, 2].
    """
    full = np.zeros((rgb.shape[0], rgb.shape[1]), np.bool_)
    if not first.any():
        return full
    rgb = rgb if rgb.flags.c_contiguous else rgb.copy()
    pattern, limit = phase.pattern, _limit(rgb)

    def strip(top: int, bottom: int) -> None:
        _still_full(top, bottom, first, rgb, pattern, limit, far, full)

    in_strips(full.shape[0], strip)
    return full


@kernel
def _still_full(
    top: int,
    bottom: int,
    first: Array,
    rgb: Rgb,
    pattern: NDArray[np.uint8],
    limit: int,
    far: Flow,
    full: NDArray[np.bool_],
) -> None:
    """Compute rows of `still_full`; `first` is sampled as in `sample_mosaics`."""
    height, width = full.shape
    for y in range(top, bottom):
        odd_row = y % 2
        most_y = (height - odd_row - 1) // 2
        for x in range(width):
            odd_column = x % 2
            if rgb[y, x, pattern[odd_row, odd_column]] < limit:
                continue
            to_x, to_y = x + far[y, x, 0], y + far[y, x, 1]
            if to_x < -0.5 or to_y < -0.5 or to_x > width - 0.5 or to_y > height - 0.5:
                continue
            most_x = (width - odd_column - 1) // 2
            across = min(max((to_x - odd_column) / 2, 0.0), most_x)
            down = min(max((to_y - odd_row) / 2, 0.0), most_y)
            left, above = int(across), int(down)
            right, below = min(left + 1, most_x), min(above + 1, most_y)
            one, other = first[2 * above + odd_row], first[2 * below + odd_row]
            left, right = 2 * left + odd_column, 2 * right + odd_column
            share = across - 0.5 * (left - odd_column)
            upper = one[left] + share * (one[right] - one[left])
            lower = other[left] + share * (other[right] - other[left])
            full[y, x] = upper + (down - above) * (lower - upper) > 0.5


def _limit(rgb: Rgb) -> int:
    """Smallest code of a saturated light."""
    return int(np.ceil(SHOWN * np.iinfo(rgb.dtype).max))


def _shows_full(rgb: Rgb, phase: CfaPhase) -> NDArray[np.bool_]:
    """Where the photosite's own colour is as bright as that of a saturated light, [H, W]."""
    limit = _limit(rgb)
    bright = np.empty((rgb.shape[0], rgb.shape[1]), bool)
    for row, column in POSITIONS:
        own = rgb[row::2, column::2, phase.pattern[row, column]]
        bright[row::2, column::2] = own >= limit
    return bright


@dataclass(frozen=True)
class RareStates:
    """Corrections for clip states that few photosites of the reference frame have.

    Attributes:
        missing: mean of RAW minus the fit with `beyond_limit` there, [8, 3] by clip state and
            colour; shrunk towards 0 if there are few photosites.
        variance: variance of the remaining error, [8, 3].
        share: weight of the reference frame's photosites, 0..1, [8, 3].
        colors: colours of the photosites, [H, W].
    """

    missing: Array
    variance: Array
    share: Array
    colors: NDArray[np.uint8]

    @classmethod
    def measure(
        cls,
        raw: Array,
        phase: CfaPhase,
        estimate: Estimate,
        rare: Where,
        learned: Array,
        tracked: bool,
    ) -> Self:
        """Measure the corrections on the reference frame.

        Args:
            raw, phase, estimate: the reference frame's RAW, CFA phase and estimate.
            rare, learned, tracked: see `beyond_limit`.
        """
        step, _ = beyond_limit(
            phase,
            estimate.features,
            estimate.value,
            estimate.lower_bound,
            rare,
            learned,
            1,
            tracked,
        )
        error = raw[rare] - np.minimum(estimate.value[rare] + step, 1)
        colors = color_index(phase, (raw.shape[0], raw.shape[1]))
        group = 3 * estimate.clipped[rare].astype(np.intp) + colors[rare]

        def total(quantity: Array) -> Array:
            sums = np.bincount(group, quantity, minlength=24)
            return sums.reshape(8, 3).astype(np.float32)

        count = total(np.ones_like(error))
        missing: Array = total(error) / (count + np.float32(FEW))
        squared = (error - missing.reshape(-1)[group]) ** 2
        variance = total(squared) / np.maximum(count, np.float32(1))
        return cls(missing, variance.astype(np.float32), count / (count + np.float32(FEW)), colors)

    def __call__(
        self, clipped: NDArray[np.uint8], rare: Where, blind: Array
    ) -> tuple[Array, Array, Array]:
        """Correction of a frame's fit, variance of the remaining error, and `share`, [photosites].

        Args:
            clipped: the frame's clip state, [H, W].
            rare: photosites in a rare clip state.
            blind: variance from `beyond_limit`, [photosites].
        """
        at = clipped[rare], self.colors[rare]
        return self.missing[at], np.maximum(blind, self.variance[at]), self.share[at]


def beyond_limit(
    phase: CfaPhase,
    features: Features,
    value: Array,
    lower_bound: Array,
    rare: Where,
    learned: Array,
    white: float,
    tracked: bool,
) -> tuple[Array, Array]:
    """Correction of the fit at clipped photosites whose clip state is rare or unseen in the
    reference frame, and the variance of the remaining error, [photosites] each.

    Args:
        phase: CFA phase of the mosaic.
        features: the current frame's features.
        value: the fit, [H, W].
        lower_bound: lowest possible value of a clipped photosite, [H, W].
        rare: photosites in a rare clip state, in reading order.
        learned: variance of the fit there, [photosites]; see `ErrorModel.of_rare_states`.
        white: largest value of a photosite, at the reference frame's brightness.
        tracked: whether changes of brightness are attributed to the ISP.
    """
    value, bound = value[rare], lower_bound[rare]
    blind = _both((BLIND / 2 * np.maximum(np.float32(white) - value, 0)) ** 2, learned)
    correction, own = np.zeros_like(value), bound > 0
    if own.any():
        where = np.stack(rare, axis=1)[own]
        share, error = Highlights.load()(
            highlight_inputs(features, phase, lower_bound, white, tracked, where)
        )
        above, learned = np.maximum(np.float32(white) - bound[own], 0), learned[own]
        # Relative to the limit, which the fit may exceed or not.
        guess, variance = bound[own] + share * above, (error * above) ** 2
        correction[own] = (guess - value[own]) * learned / (learned + variance + MIN_VARIANCE)
        blind[own] = _both(variance, learned)
    return correction, blind


def _both(one: Array, other: Array) -> Array:
    """Variance of the combination of two independent estimates with these variances."""
    return one * other / (one + other + np.float32(MIN_VARIANCE))
