"""A prior for the weights of the inverse ISP, for colours that the reference frame doesn't show.

A regression on one frame extrapolates badly to colours and brightnesses that the frame doesn't
have. But the weights that invert a camera's ISP aren't arbitrary. The prior is the mean and
covariance of the weights for 1200 simulated cameras and ISPs (`examples/learn_isp_prior.py`). Where
the reference frame has little information, the prior determines the weights (Bayesian linear
regression with an empirical prior: Efron and Morris, 1973).

RAW is first divided by its own channel's gain on the reference frame, so that the prior doesn't
depend on exposure and white balance.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.isp_features import COLUMNS, LINEAR
from rvdtool.reconstruct.statistics import Array

Matrix = NDArray[np.float64]

WIDENED = 4.0
"""Factor by which the covariance is widened, since real ISPs differ from simulated ones."""
MAX_SAMPLES = 4000
"""Largest number of photosites that count as independent: they are correlated, and ISPs aren't
linear."""
SHARE = 10
"""The number of photosites per independent one."""
_START, _LEAST = 0.02**2, 1e-7
"""Initial value and lower limit of the residual variance, in units of the own channel."""


@dataclass(frozen=True)
class Moments:
    """Means over photosites, sufficient for a regression.

    Attributes:
        gram: Gram matrix of `design` and a column of ones, [COLUMNS + 1, COLUMNS + 1].
        moment: their products with the target, [COLUMNS + 1].
        power: mean of the target's squares.
    """

    gram: Matrix
    moment: Matrix
    power: float

    @classmethod
    def of(cls, design: Array, target: Array, count: int, weight: Array | None = None) -> Self:
        """Sums over `design` [samples, COLUMNS] and `target` [samples], divided by `count`."""
        full, target = np.ones((len(design), design.shape[1] + 1)), target.astype(np.float64)
        full[:, :-1] = design
        if weight is not None:
            root = np.sqrt(weight.astype(np.float64))
            full *= root[:, None]
            target = target * root
        return cls(full.T @ full / count, full.T @ target / count, float(target @ target) / count)

    def __add__(self, other: Self) -> "Moments":
        return Moments(self.gram + other.gram, self.moment + other.moment, self.power + other.power)

    def squared_error(self, weights: Matrix) -> float:
        """Mean squared error of a regression's weights."""
        return float(self.power - 2 * weights @ self.moment + weights @ self.gram @ weights)


def own_gain(design: Array, target: Array, color: int) -> float:
    """Gain from the photosites' own linearised channel to RAW, by least squares."""
    own = design[:, LINEAR + color].astype(np.float64)
    return max(float(own @ target) / max(float(own @ own), 1e-9), 1e-3)


@dataclass(frozen=True)
class IspPrior:
    """Prior of the weights for `isp_features.design` and a constant, by colour, for RAW of gain 1.

    Attributes:
        mean: mean weights, [3, COLUMNS + 1].
        precision: inverse of the widened covariance, [3, COLUMNS + 1, COLUMNS + 1].
    """

    mean: Matrix
    precision: Matrix

    @classmethod
    @cache
    def load(cls) -> Self:
        """Load the prior that comes with rvdtool."""
        with (
            (files("rvdtool.reconstruct") / "isp_prior.npz").open("rb") as file,
            np.load(file) as arrays,
        ):
            mean, factor = arrays["mean"].astype(np.float64), arrays["factor"].astype(np.float64)
        if mean.shape != (3, COLUMNS + 1):
            raise ValueError(
                "isp_prior.npz was fitted for other features; run examples/learn_isp_prior.py"
            )
        inverse = np.linalg.inv(factor)  # of the covariance's Cholesky factor
        return cls(mean, inverse.transpose(0, 2, 1) @ inverse / WIDENED)

    def weights(self, moments: Moments, color: int, samples: int) -> Matrix:
        """Most likely weights, given the reference frame, [COLUMNS + 1].

        The residual variance, which determines the reference frame's influence, is estimated
        together with the weights, by iteration.

        Args:
            moments: the reference frame's moments, with RAW divided by `own_gain`.
            color: the CFA position's colour: 0, 1, 2 for R, G, B.
            samples: number of photosites in the moments.
        """
        precision, mean = self.precision[color], self.mean[color]
        independent, variance = min(MAX_SAMPLES, samples / SHARE), _START
        for _ in range(8):
            trust = independent / variance
            weights = np.linalg.solve(
                precision + trust * moments.gram, precision @ mean + trust * moments.moment
            )
            variance = max(_LEAST, moments.squared_error(weights))
        return weights
