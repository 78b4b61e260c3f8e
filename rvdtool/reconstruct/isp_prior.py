"""A prior for the weights of the inverse ISP, for colours that the reference frame doesn't show.

A regression on one frame extrapolates badly to colours and brightnesses that the frame doesn't
have. But the weights that invert a camera's ISP aren't arbitrary. They were fitted for 1200
simulated cameras and ISPs (`examples/learn_isp_prior.py`), and their mean and covariance are the
prior here. The reference frame determines the weights where it has enough information, the prior
elsewhere (empirical Bayes, Efron and Morris 1973, for Bayesian linear regression).

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
WITNESSES = 4000
"""Largest effective number of independent photosites, since they are correlated and ISPs aren't
linear."""
SHARE = 10
"""The effective number is also at most the number of photosites divided by this."""
_START, _LEAST = 0.02**2, 1e-7
"""Initial value and lower limit of the residual variance, in units of the own channel."""


@dataclass(frozen=True)
class Moments:
    """Sums over photosites, divided by their number: all that a regression needs.

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
        """Compute from `design` [samples, COLUMNS] and `target` [samples], divided by `count`."""
        full, target = np.ones((len(design), design.shape[1] + 1)), target.astype(np.float64)
        full[:, :-1] = design
        if weight is not None:
            root = np.sqrt(weight.astype(np.float64))
            full *= root[:, None]
            target = target * root
        return cls(full.T @ full / count, full.T @ target / count, float(target @ target) / count)

    def __add__(self, other: Self) -> "Moments":
        return Moments(self.gram + other.gram, self.moment + other.moment, self.power + other.power)

    def missed(self, weights: Matrix) -> float:
        """Mean squared error of a regression's weights."""
        return float(self.power - 2 * weights @ self.moment + weights @ self.gram @ weights)


def own_gain(design: Array, target: Array, color: int) -> float:
    """Mean ratio of RAW to its own linearised channel."""
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
            np.load(file) as it,
        ):
            mean, factor = it["mean"].astype(np.float64), it["factor"].astype(np.float64)
        if mean.shape != (3, COLUMNS + 1):
            raise ValueError("isp_prior.npz: learned for other features; learn it again")
        inverse = np.linalg.inv(factor)  # of the covariance's Cholesky factor
        return cls(mean, inverse.transpose(0, 2, 1) @ inverse / WIDENED)

    def weights(self, moments: Moments, color: int, samples: int) -> Matrix:
        """Most likely weights, given the reference frame, [COLUMNS + 1].

        The residual variance, which determines the reference frame's influence, is found together
        with the weights, by iteration.

        Args:
            moments: the reference frame's moments, with RAW divided by `own_gain`.
            color: the CFA position's colour: 0, 1, 2 for R, G, B.
            samples: number of photosites in the moments.
        """
        precision, mean = self.precision[color], self.mean[color]
        witnesses, variance = min(WITNESSES, samples / SHARE), _START
        for _ in range(8):
            trust = witnesses / variance
            weights = np.linalg.solve(
                precision + trust * moments.gram, precision @ mean + trust * moments.moment
            )
            variance = max(_LEAST, moments.missed(weights))
        return weights
