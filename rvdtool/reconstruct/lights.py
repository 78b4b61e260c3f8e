"""Lights beyond what the sRGB frame can show: lamps, reflections of the sun, stars.

A clipped sRGB frame only says that a light is brighter than the limit. The reference RAW says more:
where a photosite was full there, and the same thing is as bright now, it is full now. Of a clip
state that the reference frame shows at a few photosites only, a learned guess stands in
(`highlights.py`), set right by what it misses at those few.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.bayer import color_index
from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.compiled import in_strips, kernel
from rvdtool.reconstruct.flow import Flow
from rvdtool.reconstruct.highlights import Highlights, describe
from rvdtool.reconstruct.inverse_isp import MIN_VARIANCE, SATURATED, Estimate, Where
from rvdtool.reconstruct.isp_features import CLIP, Rgb
from rvdtool.reconstruct.statistics import POSITIONS, Array

BLIND = np.float32(0.45)
"""Where a clip state is met that the reference frame doesn't show, another colour than the
photosite's own clipped, the fit is off by half of this share of the room up to white, RMS (0.19 to
0.26)."""
CERTAIN = np.float32(1e-6)
"""Variance of what is full: rounding, and nothing else."""
HEADROOM = 1.25
"""Lights are mostly far beyond full: with as much less light they would be full still."""
SHOWN = np.float32(CLIP - 0.05)
"""Coded sRGB, 0..1, that a full light shows at least: below the limit, as codecs blur lights."""
FEW = 10
"""Photosites whose say is as good as the learned guess's."""


def lights(raw: Array, rgb: Rgb, phase: CfaPhase) -> Array:
    """Where a frame's RAW is full, and its sRGB as bright as can be: 0 or 1, [H, W].

    Args:
        raw: normalised, [H, W].
        rgb, phase: of that frame.
    """
    return ((raw >= SATURATED) & _shows_full(rgb, phase)).astype(np.float32)


def still_full(first: Array, rgb: Rgb, phase: CfaPhase, far: Flow) -> NDArray[np.bool_]:
    """Photosites that are full in the reference frame and as bright as can be in sRGB now, [H, W].

    Args:
        first: `lights` of the reference frame.
        rgb, phase: of the current frame.
        far: its flow to the reference frame, [H, W, 2].
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
    """Rows of `still_full`: `first` is sampled as `sample_mosaics` does it."""
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
    """The least code that a full light shows."""
    return int(np.ceil(SHOWN * np.iinfo(rgb.dtype).max))


def _shows_full(rgb: Rgb, phase: CfaPhase) -> NDArray[np.bool_]:
    """Where an sRGB frame is as bright as a full light in the photosite's own colour, [H, W]."""
    limit = _limit(rgb)
    bright = np.empty((rgb.shape[0], rgb.shape[1]), bool)
    for row, column in POSITIONS:
        own = rgb[row::2, column::2, phase.pattern[row, column]]
        bright[row::2, column::2] = own >= limit
    return bright


@dataclass(frozen=True)
class RareStates:
    """What the reference frame says of the clip states of which it shows too little to learn from.

    Attributes:
        missed: by how much the fit with `beyond_limit` is too low there, [8, 3] by clip state and
            colour; drawn towards 0 by as much as photosites are few.
        variance: of what remains, likewise.
        tried: how much the reference frame has to say, 0..1, likewise.
        colors: of the photosites, [H, W].
    """

    missed: Array
    variance: Array
    tried: Array
    colors: NDArray[np.uint8]

    @classmethod
    def measure(
        cls,
        rgb: Rgb,
        raw: Array,
        phase: CfaPhase,
        estimate: Estimate,
        rare: Where,
        learned: Array,
        tracked: bool,
    ) -> Self:
        """From the reference frame.

        Args:
            rgb, raw, phase, estimate: of it.
            rare, learned, tracked: see `beyond_limit`.
        """
        step, _ = beyond_limit(
            phase, rgb, estimate.value, estimate.lower_bound, rare, learned, 1, tracked
        )
        rest = raw[rare] - np.minimum(estimate.value[rare] + step, 1)
        colors = color_index(phase, (raw.shape[0], raw.shape[1]))
        group = 3 * estimate.clipped[rare].astype(np.intp) + colors[rare]

        def total(quantity: Array) -> Array:
            sums = np.bincount(group, quantity, minlength=24)
            return sums.reshape(8, 3).astype(np.float32)

        count = total(np.ones_like(rest))
        missed: Array = total(rest) / (count + np.float32(FEW))
        left = (rest - missed.reshape(-1)[group]) ** 2
        variance = total(left) / np.maximum(count, np.float32(1))
        return cls(missed, variance.astype(np.float32), count / (count + np.float32(FEW)), colors)

    def __call__(
        self, clipped: NDArray[np.uint8], rare: Where, blind: Array
    ) -> tuple[Array, Array, Array]:
        """What to add to a frame's fit, variance of what remains, and `tried`, [photosites] each.

        Args:
            clipped: the frame's clip state, [H, W].
            rare: photosites where that is a rare one.
            blind: variance by `beyond_limit`, [photosites].
        """
        at = clipped[rare], self.colors[rare]
        return self.missed[at], np.maximum(blind, self.variance[at]), self.tried[at]


def beyond_limit(
    phase: CfaPhase,
    rgb: Rgb,
    value: Array,
    lower_bound: Array,
    rare: Where,
    learned: Array,
    white: float,
    tracked: bool,
) -> tuple[Array, Array]:
    """How far above the fit clipped photosites are to be put of which the reference frame says
    little, and the variance of what remains unknown, [photosites] each.

    Args:
        phase: of the mosaic.
        rgb: the current frame.
        value: the fit, [H, W].
        lower_bound: the least that a clipped photosite can have, [H, W].
        rare: photosites in a rare clip state, in reading order.
        learned: variance of the fit there, [photosites]; see `ErrorModel.of_rare_states`.
        white: the most that a photosite can have, as bright as the reference frame.
        tracked: whether the ISP made what brightness there is.
    """
    value, bound = value[rare], lower_bound[rare]
    blind = _both((BLIND / 2 * np.maximum(np.float32(white) - value, 0)) ** 2, learned)
    step, own = np.zeros_like(value), bound > 0
    if own.any():
        where = np.stack(rare, axis=1)[own]
        share, error = Highlights.load()(describe(rgb, phase, lower_bound, white, tracked, where))
        room, learned = np.maximum(np.float32(white) - bound[own], 0), learned[own]
        # From the limit, which the fit may be above or below.
        guess, doubt = bound[own] + share * room, (error * room) ** 2
        step[own] = (guess - value[own]) * learned / (learned + doubt + MIN_VARIANCE)
        blind[own] = _both(doubt, learned)
    return step, blind


def _both(one: Array, other: Array) -> Array:
    """Variance of what two independent estimates of these variances say together."""
    return one * other / (one + other + np.float32(MIN_VARIANCE))
