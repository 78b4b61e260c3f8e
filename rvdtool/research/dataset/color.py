"""Linear sRGB ↔ camera RGB, and white points. All matrices act on column vectors."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rvdtool.raw.color import white_xy

Array = NDArray[np.float64]

XYZ_FROM_SRGB: Array = np.array(
    [
        [0.4123908, 0.3575843, 0.1804808],
        [0.2126390, 0.7151687, 0.0721923],
        [0.0193308, 0.1191948, 0.9505322],
    ]
)
"""Linear sRGB → XYZ (IEC 61966-2-1, white D65)."""

LUMA: Array = XYZ_FROM_SRGB[1]


def white_xyz(kelvin: float) -> Array:
    """XYZ (Y = 1) of daylight or of a black body, see `white_xy`."""
    x, y = white_xy(kelvin)
    return np.array([x / y, 1.0, (1 - x - y) / y])


def neutral_of(color_matrix: ArrayLike, kelvin: float) -> tuple[float, float, float]:
    """The camera's response (R, G, B) to white light of a colour temperature; the largest is 1."""
    response = np.asarray(color_matrix, np.float64) @ white_xyz(kelvin)
    r, g, b = (response / response.max()).tolist()
    return r, g, b


def balanced_from_srgb(color_matrix: ArrayLike) -> Array:
    """Matrix from linear sRGB to white-balanced camera RGB; rows sum to 1, so white stays white.

    This is the model of LibRaw and dcraw: one matrix for all illuminants, after white balance.
    """
    matrix = np.asarray(color_matrix, np.float64) @ XYZ_FROM_SRGB
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def camera_from_srgb(color_matrix: ArrayLike, neutral: ArrayLike) -> Array:
    """Matrix from linear sRGB to camera RGB, under light for which `neutral` is white."""
    return np.asarray(np.diag(np.asarray(neutral, np.float64)) @ balanced_from_srgb(color_matrix))
