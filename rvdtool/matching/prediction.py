"""Predict a video frame's colours from a RAW frame, robustly to content that differs.

The ISP is modelled as a smooth function: a polynomial in the square roots of the camera's colours
(roughly gamma-coded), with low-order variation over the picture for lens shading. It is fitted by
iteratively reweighted ridge regression with Geman and McClure's weights, which suppress outliers;
up to half of the frame may be outliers.
"""

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

Colors = NDArray[np.float32]
"""Gamma-coded colours [H, W, 3], 0..1."""
Map = NDArray[np.float32]
"""One value per pixel or cell, [H, W]."""

_SAMPLES = 20_000
"""Largest number of cells used in a fit."""
_SCALES = (0.15, 0.08, 0.05, 0.035, 0.035)
"""For each iteration, the error in code values (0..1) at which a cell's weight is a quarter."""
_COLOR_TERMS = 20
_RIDGE, _RIDGE_PLACE = 1e-4, 1e-2
"""Ridge penalties of the colour terms and of the position terms, as fractions of the total weight
of all cells."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """A video frame predicted from the RAW.

    Attributes:
        colors: the predicted colours.
        unsure: standard error of the prediction, in units of the error of one cell; large for
            colours that the fit had no samples of.
    """

    colors: Colors
    unsure: Map


def predict(sensed: Colors, shown: Colors, weights: Map) -> Prediction:
    """Fit the function from the RAW's colours to the video's, and apply it to all cells.

    Args:
        sensed: square roots of the RAW's normalised camera RGB.
        shown: the video's colours.
        weights: initial weight of each cell, 0..1; cells with weight 0 are never used.
    """
    basis = _basis(sensed)
    flat, target = basis.reshape(-1, basis.shape[-1]), shown.reshape(-1, 3)
    usable = np.flatnonzero(weights > 0)
    chosen = usable[:: -(-len(usable) // _SAMPLES) or 1]
    features, codes = flat[chosen].astype(np.float64), target[chosen].astype(np.float64)
    start = weights.ravel()[chosen] * _rarity(sensed.reshape(-1, 3)[chosen])
    ridge = np.full(basis.shape[-1], _RIDGE)
    ridge[0], ridge[_COLOR_TERMS:] = 1e-9, _RIDGE_PLACE
    weight = start
    for scale in _SCALES:
        weighted = features * weight[:, None]
        normal = weighted.T @ features + np.diag(ridge * (weight.sum() + 1))
        solved = np.linalg.solve(normal, weighted.T @ codes)
        error = np.abs(features @ solved - codes).max(1)
        weight = start * (scale**2 / (scale**2 + error**2)) ** 2
    colors = np.clip(flat @ solved.astype(np.float32), 0, 1).reshape(shown.shape)
    spread = np.linalg.inv(normal).astype(np.float32)
    unsure = np.sqrt(np.maximum(((flat @ spread) * flat).sum(1), 0)).reshape(shown.shape[:2])
    return Prediction(colors, unsure)


def _basis(sensed: Colors) -> NDArray[np.float32]:
    """The terms [H, W, terms]: 20 in colour (up to cubic), then colour × low-order position."""
    height, width = sensed.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    radius = np.float32(np.hypot(height, width) / 2)
    x, y = (x - (width - 1) / 2) / radius, (y - (height - 1) / 2) / radius
    rgb = [sensed[..., channel] for channel in range(3)]
    colors = [np.ones_like(x), *rgb]
    colors += [p * q for p, q in combinations_with_replacement(rgb, 2)]
    colors += [p * q * s for p, q, s in combinations_with_replacement(rgb, 3)]
    distance = x * x + y * y
    places = [distance, distance * distance, x, y]
    return np.stack([*colors, *(c * p for c in rgb for p in places)], -1).astype(np.float32)


def _rarity(colors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Weights that favour rare colours, so that a few bright colours in a grey picture count."""
    level = colors.sum(-1) + 1e-3
    bins = np.stack([level / 3 * 8, colors[:, 0] / level * 24, colors[:, 2] / level * 24], -1)
    _, which, counts = np.unique(bins.astype(int), axis=0, return_inverse=True, return_counts=True)
    weights = 1 / np.sqrt(counts[which.ravel()])
    return np.asarray(weights / weights.mean())
