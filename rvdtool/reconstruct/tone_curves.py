"""Usual tone curves of cameras, for light outside the reference frame's range.

A regression on one frame doesn't show the ISP's tone curve outside that frame's range. But tone
curves belong to a few families (standard transfer functions, powers, logarithms, curves with a
shoulder or an S shape). The one that fits the reference frame best is used.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.curves import encode_srgb
from rvdtool.reconstruct.isp_features import linearise
from rvdtool.reconstruct.statistics import Array

_LIGHT = np.linspace(0, 1, 2049) ** 2
_CODES = np.linspace(0, 1, 4097)

COMMON, BENT = 1.03, 1.1
"""A curve replaces BT.709's, which the regression uses, only if its error on the reference frame is
smaller by this factor: COMMON for sRGB's and powers, BENT for the others. Within the reference
frame's range, they may all look alike."""


def _power(gamma: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda x: x ** (1 / gamma)


def _logarithm(strength: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda x: np.log1p(strength * x) / np.log1p(strength)


def _shoulder(knee: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda x: encode_srgb(x * (1 + knee) / (x + knee))


def _s_shaped(share: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda x: (lambda g: (1 - share) * g + share * g * g * (3 - 2 * g))(encode_srgb(x))


@cache
def inverse_curves() -> tuple[Array, NDArray[np.float64]]:
    """Light, 0..1, by code in equal steps from 0 to 1, [curves, codes], and the factor by which
    each curve's error is multiplied when they are compared, [curves]."""
    common: list[Callable[[NDArray[np.float64]], NDArray[np.float64]]]
    common = [encode_srgb, *(_power(gamma / 20) for gamma in range(28, 53))]
    bent = [
        *map(_logarithm, (10, 20, 40, 80, 160, 320)),
        *map(_shoulder, (0.5, 1, 2)),
        *map(_s_shaped, (0.25, 0.5, 0.75, 1)),
    ]
    inverse = [np.interp(_CODES, curve(_LIGHT), _LIGHT) for curve in (*common, *bent)]
    curves = np.stack([linearise(_CODES.astype(np.float32)), *inverse]).astype(np.float32)
    return curves, np.repeat((1, COMMON, BENT), (1, len(common), len(bent)))


def light_of(coded: Array, inverse: Array) -> Array:
    """Apply an inverse curve to coded channels of any shape.

    Args:
        coded: 0..1.
        inverse: one of `inverse_curves`.
    """
    at = coded * np.float32(inverse.size - 1)
    low = np.minimum(at.astype(np.int32), inverse.size - 2)
    share = at - low
    return inverse[low] + share * (inverse[low + 1] - inverse[low])


def choose_curve(pairs: Sequence[tuple[Array, Array, Array]]) -> Array:
    """The inverse curve after which a weighted sum of the channels fits RAW best.

    Args:
        pairs: by CFA position: coded channels [N, 3], normalised RAW [N], and weight of the
            squared error [N].
    """
    curves, factors = inverse_curves()
    errors = [
        sum(_squared_error(light_of(c, curve), y, w) for c, y, w in pairs) for curve in curves
    ]
    best: Array = curves[int(np.argmin(factors * errors))]
    return best


def _squared_error(light: Array, raw: Array, weight: Array) -> float:
    """Weighted squared error of the best weighted sum of the channels."""
    x, y = light.astype(np.float64), raw.astype(np.float64)
    mix = mix_of(x, y, weight)
    return float(weight @ (y - x @ mix) ** 2)


def mix_of(
    light: NDArray[np.float64], raw: Array | NDArray[np.float64], weight: Array
) -> NDArray[np.float64]:
    """Weights with which the channels are summed to RAW, [3], by weighted least squares."""
    gram = (light * weight[:, None]).T @ light
    gram += 1e-6 * (np.trace(gram) + 1) * np.eye(3)
    return np.linalg.solve(gram, light.T @ (weight * raw)).astype(np.float64)
