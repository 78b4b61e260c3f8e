"""Linear sRGB ↔ camera RGB, and white points. All matrices act on column vectors."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

XYZ_FROM_SRGB: Array = np.array(
    [
        [0.4123908, 0.3575843, 0.1804808],
        [0.2126390, 0.7151687, 0.0721923],
        [0.0193308, 0.1191948, 0.9505322],
    ]
)
"""IEC 61966-2-1, white D65."""

LUMA: Array = XYZ_FROM_SRGB[1]


def white_xyz(kelvin: float) -> Array:
    """XYZ (Y = 1) of daylight (4000 K and above) or of a black body (below).

    Source: CIE 15, daylight locus; Kim et al. (2002), cubic fit of the Planckian locus.
    """
    t = 1000 / kelvin
    if kelvin >= 7000:
        x = 0.237040 + 0.24748 * t + 1.9018 * t**2 - 2.0064 * t**3
    elif kelvin >= 4000:
        x = 0.244063 + 0.09911 * t + 2.9678 * t**2 - 4.6070 * t**3
    else:
        x = 0.179910 + 0.8776956 * t - 0.2343589 * t**2 - 0.2661239 * t**3
    if kelvin >= 4000:
        y = -3.000 * x**2 + 2.870 * x - 0.275
    elif kelvin >= 2222:
        y = -0.20219683 + 2.18555832 * x - 1.37418593 * x**2 - 0.9549476 * x**3
    else:
        y = -0.20219683 + 2.18555832 * x - 1.34811020 * x**2 - 1.1063814 * x**3
    return np.array([x / y, 1.0, (1 - x - y) / y])


def neutral_of(color_matrix: ArrayLike, kelvin: float) -> tuple[float, float, float]:
    """The camera's response to white light of that colour temperature, largest 1."""
    response = np.asarray(color_matrix, np.float64) @ white_xyz(kelvin)
    r, g, b = (response / response.max()).tolist()
    return r, g, b


def balanced_from_srgb(color_matrix: ArrayLike) -> Array:
    """Linear sRGB → white-balanced camera RGB: rows sum to 1, so white stays white.

    This is the model of LibRaw and dcraw: one matrix for all light, after white balance.
    """
    matrix = np.asarray(color_matrix, np.float64) @ XYZ_FROM_SRGB
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def camera_from_srgb(color_matrix: ArrayLike, neutral: ArrayLike) -> Array:
    """Linear sRGB → camera RGB under light in which the camera's white is `neutral`."""
    return np.asarray(np.diag(np.asarray(neutral, np.float64)) @ balanced_from_srgb(color_matrix))
