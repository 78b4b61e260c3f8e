"""Convert between a frame's DN and normalised values at the reference frame's exposure.

The same as `raw.bayer.normalise` and `denormalise` with a factor, but in one pass.
"""

import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.frame import Mosaic, RawFrame
from rvdtool.reconstruct.buffers import empty
from rvdtool.reconstruct.compiled import in_strips, kernel
from rvdtool.reconstruct.statistics import Array

_0 = np.float32(0)


def in_reference_light(mosaic: Mosaic, exposure: float, reference: RawFrame) -> Array:
    """Convert DN to normalised values divided by the exposure, [H, W].

    Args:
        mosaic: DN, uint16 [H, W].
        exposure: exposure of the frame relative to the reference frame.
        reference: the reference frame, for its levels.
    """
    black, white = _levels(reference)
    result = empty(mosaic.shape)
    factor = np.float32(1 / exposure)

    def strip(first: int, last: int) -> None:
        _normalise_strip(first, last, mosaic, black, white, factor, result)

    in_strips(mosaic.shape[0], strip)
    return result


def quantised(value: Array, exposure: float, reference: RawFrame) -> Mosaic:
    """Convert normalised values times the exposure to DN, rounded and clipped to 0..white.

    Args:
        value: normalised values, float32 [H, W].
        exposure, reference: see `in_reference_light`.
    """
    black, white = _levels(reference)
    result = np.empty(value.shape, np.uint16)
    factor = np.float32(exposure)

    def strip(first: int, last: int) -> None:
        _denormalise_strip(first, last, value, factor, black, white, result)

    in_strips(value.shape[0], strip)
    return result


def _levels(frame: RawFrame) -> tuple[Array, np.float32]:
    """Black levels by position in the cell, [2, 2], and the white level."""
    return np.array(frame.black, np.float32).reshape(2, 2), np.float32(frame.white)


@kernel
def _normalise_strip(
    first: int,
    last: int,
    mosaic: NDArray[np.uint16],
    black: Array,
    white: np.float32,
    factor: np.float32,
    result: Array,
) -> None:
    """Rows of `raw.bayer.normalise` times a factor; `black` holds the cell's levels, [2, 2]."""
    for y in range(first, last):
        for dx in range(2):
            level = black[y % 2, dx]
            scale = factor / (white - level)
            for x in range(dx, result.shape[1], 2):
                result[y, x] = (np.float32(mosaic[y, x]) - level) * scale


@kernel
def _denormalise_strip(
    first: int,
    last: int,
    value: Array,
    factor: np.float32,
    black: Array,
    white: np.float32,
    result: NDArray[np.uint16],
) -> None:
    """Rows of `raw.bayer.denormalise`, with the values multiplied by a factor first."""
    for y in range(first, last):
        for dx in range(2):
            level = black[y % 2, dx]
            scale = factor * (white - level)
            for x in range(dx, value.shape[1], 2):
                result[y, x] = np.uint16(np.rint(min(max(value[y, x] * scale + level, _0), white)))
