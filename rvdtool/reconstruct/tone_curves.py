"""Tone curves that cameras use: for light outside of what the reference frame shows of its own.

A regression on one frame can't tell how the ISP's tone curve goes on. But tone curves belong to a
few families (standard transfer functions, powers, logarithms, those with a shoulder or an S); the
one that explains the reference frame best is continued.
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
"""By these factors must a curve explain the reference frame better than BT.709's, which the
regression uses: sRGB's and powers, and those that bend otherwise. Within the reference frame's
range they may all look alike."""


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
    """Light, 0..1, by code in equal steps from 0 to 1, [curves, codes], and what each curve's
    error is multiplied by when they are compared."""
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
    """Light by an inverse curve, of the coded channels' shape.

    Args:
        coded: 0..1.
        inverse: one of `inverse_curves`.
    """
    at = coded * np.float32(inverse.size - 1)
    low = np.minimum(at.astype(np.int32), inverse.size - 2)
    share = at - low
    return inverse[low] + share * (inverse[low + 1] - inverse[low])


def choose_curve(pairs: Sequence[tuple[Array, Array, Array]]) -> Array:
    """The inverse curve after which RAW is best explained by a mix of the channels.

    Args:
        pairs: by CFA position: coded channels [N, 3], normalised RAW [N], and weight of the
            squared error [N].
    """
    curves, factors = inverse_curves()
    missed = [sum(_missed(light_of(c, curve), y, w) for c, y, w in pairs) for curve in curves]
    best: Array = curves[int(np.argmin(factors * missed))]
    return best


def _missed(light: Array, raw: Array, weight: Array) -> float:
    """Weighted squared error of the best mix."""
    x, y = light.astype(np.float64), raw.astype(np.float64)
    mix = mix_of(x, y, weight)
    return float(weight @ (y - x @ mix) ** 2)


def mix_of(
    light: NDArray[np.float64], raw: Array | NDArray[np.float64], weight: Array
) -> NDArray[np.float64]:
    """Weights of the channels by which they make RAW, [3]: weighted least squares."""
    gram = (light * weight[:, None]).T @ light
    gram += 1e-6 * (np.trace(gram) + 1) * np.eye(3)
    return np.linalg.solve(gram, light.T @ (weight * raw)).astype(np.float64)
