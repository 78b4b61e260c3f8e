"""How a frame's fit differs from that of another frame, brought here along a flow."""

import numpy as np

from rvdtool.reconstruct.brightness import BLOCK, Shading, shading_terms
from rvdtool.reconstruct.candidates import shade_strip, square_strip
from rvdtool.reconstruct.compiled import in_strips
from rvdtool.reconstruct.fit import Fit
from rvdtool.reconstruct.flow import Flow, coordinates, leaves
from rvdtool.reconstruct.statistics import Array, Curve, box

WINDOW = 7
"""Photometric errors are averaged over this many pixels."""


def shading_delta(flow: Flow, size: tuple[int, int]) -> Array:
    """By how much a block's `shading_terms` exceed those of where it came from: [H//8, W//8, 3].

    What came from outside is sampled at the border; beyond it, the terms would grow without bound.

    Args:
        flow: a block's mean.
        size: of the frame, (H, W).
    """
    here = coordinates(np.zeros_like(flow)) * np.float32(BLOCK) + np.float32((BLOCK - 1) / 2)
    corner = np.array([size[1] - 1, size[0] - 1], np.float32)
    return shading_terms(here, size) - shading_terms(np.clip(here + flow, 0, corner), size)


def shade_of(flow: Flow, shading: Shading) -> Array:
    """By which factor the lens darkens a place more than the one it came from, [H, W]."""
    shade = np.empty((flow.shape[0], flow.shape[1]), np.float32)
    terms = shading.terms.astype(np.float32)
    in_strips(shade.shape[0], lambda first, last: shade_strip(first, last, flow, terms, shade))
    return shade


def squares(value: Array, other: Array, shade: Array) -> Array:
    """Local mean squared difference of two fits, [H, W]; the other one becomes shaded."""
    squared = np.empty_like(value)

    def strip(first: int, last: int) -> None:
        square_strip(first, last, value, other, shade, squared)

    in_strips(value.shape[0], strip)
    return box(squared, WINDOW)


def floor_of(fit: Fit, squared: Array, flow: Flow) -> Curve:
    """The noise floor of a mean squared difference, by intensity.

    It is the quarter of the frame that agrees best: most of a frame is matched rightly, and what is
    left there is the noise of both sides. Not so at intensities that the other frame hardly shows:
    hence `NOISIEST`.
    """
    # An odd step through the frame meets all positions of the cell.
    some = np.arange(0, squared.size, 5 * max(1, squared.size // 250_000 // 2 * 2 + 1))
    rows, columns = np.divmod(some, squared.shape[1])
    usable = some[~leaves(flow, (rows, columns)) & (fit.clipped.reshape(-1)[some] == 0)]
    return Curve.quantile(fit.value.reshape(-1)[usable], squared.reshape(-1)[usable], 0.25)
