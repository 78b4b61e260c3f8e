"""Predicting a video frame's colours from the RAW frame's, where half of them may not belong.

What an ISP does is fitted as a smooth map: a polynomial in the camera's colours (in square roots,
about where video's codes are) and a low-order change over the picture, which takes lens shading.
The fit starts from given weights, and goes on from what it explains well: iteratively reweighted
ridge regression with Geman and McClure's weights, which fall off fast enough that what is far off
counts for nothing.
"""

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

Colors = NDArray[np.float32]
"""[H, W, 3], 0..1, gamma-coded."""
Map = NDArray[np.float32]
"""[H, W]."""

_SAMPLES = 20_000
"""Cells that are fitted at most."""
_SCALES = (0.15, 0.08, 0.05, 0.035, 0.035)
"""Error, in codes, at which a cell's weight is a quarter; smaller from round to round."""
_COLOR_TERMS = 20
_RIDGE, _RIDGE_PLACE = 1e-4, 1e-2
"""Shares of all cells' weight that terms have to be worth: of the colour, and of the place."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the RAW says the video shows.

    Attributes:
        colors: the predicted codes.
        unsure: standard error of the prediction, in units of the error of one cell: large for
            colours that nothing was fitted to.
    """

    colors: Colors
    unsure: Map


def predict(sensed: Colors, shown: Colors, weights: Map) -> Prediction:
    """Fit the map from the RAW's colours to the video's, and apply it everywhere.

    Args:
        sensed: square roots of the RAW's normalised camera RGB.
        shown: the video's codes.
        weights: 0..1, how far each cell can be trusted; cells at 0 are never fitted.
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
    """[H, W, terms]: 20 of the colour (up to cubic), then the colour times low orders of place."""
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
    """Weights that let rare colours count, else a grey picture's few bright things are lost."""
    level = colors.sum(-1) + 1e-3
    bins = np.stack([level / 3 * 8, colors[:, 0] / level * 24, colors[:, 2] / level * 24], -1)
    _, which, counts = np.unique(bins.astype(int), axis=0, return_inverse=True, return_counts=True)
    weights = 1 / np.sqrt(counts[which.ravel()])
    return np.asarray(weights / weights.mean())
