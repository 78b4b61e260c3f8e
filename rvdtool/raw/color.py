"""Convert a white point to the camera's neutral (Adobe DNG 1.7.1, chapter 6)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TEMPERATURES = {
    1: 5500, 2: 4150, 3: 2850, 4: 5500, 9: 5500, 10: 6500, 11: 7500, 12: 6400, 13: 5050, 14: 4150,
    15: 3525, 16: 2925, 17: 2850, 18: 5500, 19: 6500, 20: 5500, 21: 6500, 22: 7500, 23: 5000,
    24: 3200,
}  # fmt: skip
"""EXIF LightSource → kelvin, with the values of Adobe's DNG SDK."""

Array = NDArray[np.floating[Any]]


def white_xy(kelvin: float) -> tuple[float, float]:
    """Chromaticity of daylight (4000 K and above) or of a black body (below, from 1667 K).

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
    return x, y


def neutral_of_white(
    xy: tuple[float, float],
    matrices: Sequence[tuple[Array, int]],
    calibrations: Sequence[Array],
    balance: Array,
) -> list[float]:
    """The camera's response to the white `xy`: AnalogBalance · Calibration · Color · XYZ.

    Args:
        xy: chromaticity of the scene's white (AsShotWhiteXY).
        matrices: ColorMatrix1 (and 2), XYZ → camera [3, 3], with their EXIF LightSource.
        calibrations: CameraCalibration1 (and 2), [3, 3]; none for identity.
        balance: AnalogBalance, [3].

    Returns:
        (R, G, B), the largest 1; empty if `matrices` is empty or can't be used.
    """
    if not matrices or xy[1] <= 0:
        return []
    first = _weight(xy, [illuminant for _, illuminant in matrices])
    color = _blend([matrix for matrix, _ in matrices], first)
    calibration = _blend(calibrations or [np.eye(3)], first)
    white = np.array([xy[0], xy[1], 1 - xy[0] - xy[1]]) / xy[1]
    response = balance * (calibration @ color @ white)
    return [float(value) for value in response / response.max()]


def _weight(xy: tuple[float, float], illuminants: Sequence[int]) -> float:
    """Weight of the first of two matrices, linear in inverse temperature."""
    temperatures = [_TEMPERATURES.get(illuminant) for illuminant in illuminants]
    if len(temperatures) < 2 or None in temperatures or temperatures[0] == temperatures[1]:
        return 1.0
    # McCamy 1992: within 2 K of the Planckian locus between illuminant A and D65
    n = (xy[0] - 0.3320) / (0.1858 - xy[1])
    mired = 1 / (449 * n**3 + 3525 * n**2 + 6823.3 * n + 5520.33)
    one, two = (1 / float(t) for t in temperatures[:2] if t)
    return float(np.clip((mired - two) / (one - two), 0, 1))


def _blend(matrices: Sequence[Array], first: float) -> Array:
    if len(matrices) < 2:
        return matrices[0]
    return first * matrices[0] + (1 - first) * matrices[1]
