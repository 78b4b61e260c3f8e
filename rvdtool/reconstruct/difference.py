"""Differences between a frame's fit and the warped fit of another frame."""

import numpy as np

from rvdtool.reconstruct.brightness import BLOCK, Shading, shading_terms
from rvdtool.reconstruct.buffers import empty
from rvdtool.reconstruct.candidates import shade_strip, square_strip
from rvdtool.reconstruct.compiled import in_strips
from rvdtool.reconstruct.fit import Fit
from rvdtool.reconstruct.flow import Flow, coordinates, leaves
from rvdtool.reconstruct.statistics import Array, Curve, box

WINDOW = 7
"""Side in pixels of the window over which photometric errors are averaged."""


def shading_delta(flow: Flow, size: tuple[int, int]) -> Array:
    """Difference of `shading_terms` between each block and its source, [H//8, W//8, 3].

    Sources outside the frame are moved to its border, since the terms grow without limit.

    Args:
        flow: mean flow of each block.
        size: (height, width) of the frame.
    """
    own = coordinates(np.zeros_like(flow)) * np.float32(BLOCK) + np.float32((BLOCK - 1) / 2)
    corner = np.array([size[1] - 1, size[0] - 1], np.float32)
    return shading_terms(own, size) - shading_terms(np.clip(own + flow, 0, corner), size)


def shade_of(flow: Flow, shading: Shading) -> Array:
    """Ratio of the lens shading at a pixel to that at its source in the other frame, [H, W]."""
    shade = empty((flow.shape[0], flow.shape[1]))
    terms = shading.terms.astype(np.float32)
    in_strips(shade.shape[0], lambda first, last: shade_strip(first, last, flow, terms, shade))
    return shade


def squares(value: Array, other: Array, shade: Array) -> Array:
    """Local mean squared difference of two fits, [H, W], after `other` is multiplied by `shade`."""
    squared = empty(value.shape)

    def strip(first: int, last: int) -> None:
        square_strip(first, last, value, other, shade, squared)

    in_strips(value.shape[0], strip)
    return box(squared, WINDOW, empty(value.shape))


def floor_of(fit: Fit, squared: Array, flow: Flow) -> Curve:
    """The noise floor of a mean squared difference, by intensity.

    It is estimated from the best-matching quarter of the frame. Most of a frame is matched
    correctly, so the difference there is the noise of both frames. For intensities that are rare in
    the other frame, this fails; `NOISIEST` limits the floor there.
    """
    # An odd step reaches all positions of the cell.
    some = np.arange(0, squared.size, 5 * max(1, squared.size // 250_000 // 2 * 2 + 1))
    rows, columns = np.divmod(some, squared.shape[1])
    usable = some[~leaves(flow, (rows, columns)) & (fit.clipped.reshape(-1)[some] == 0)]
    return Curve.quantile(fit.value.reshape(-1)[usable], squared.reshape(-1)[usable], 0.25)
