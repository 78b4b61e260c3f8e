"""What cameras' ISPs are like: keeps the inverse ISP sane where the reference frame shows nothing.

A regression on one frame knows only the colours and brightnesses in that frame; beyond them it
extrapolates wildly. But the weights that undo one camera's ISP are no arbitrary numbers. They were
learned for 1200 simulated cameras with ISPs of their own (`examples/learn_isp_prior.py`), and their
mean and covariance are the prior here: where the reference frame says much it decides, elsewhere
the prior does (empirical Bayes, Efron and Morris 1973, for Bayesian linear regression).

RAW is divided by the own channel's gain on the reference frame first, so that exposures and white
balances are the same to the prior.
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
"""The covariance is taken so much larger: real ISPs are no simulated ones."""
WITNESSES = 4000
"""Photosites are correlated and no ISP is linear: all together count as so many at most …"""
SHARE = 10
"""… and as this fraction of their number."""
_START, _LEAST = 0.02**2, 1e-7
"""Variance of what the regression misses, in units of the own channel: first guess, and least."""


@dataclass(frozen=True)
class Moments:
    """Sums over photosites, divided by their number: all that a regression needs.

    Attributes:
        gram: of `design` and a column of ones, [COLUMNS + 1, COLUMNS + 1].
        moment: with the target, [COLUMNS + 1].
        power: mean of the target's squares.
    """

    gram: Matrix
    moment: Matrix
    power: float

    @classmethod
    def of(cls, design: Array, target: Array, count: int, weight: Array | None = None) -> Self:
        """Of [samples, COLUMNS] and [samples], weighted, divided by `count`."""
        full = np.concatenate([design, np.ones((len(design), 1), np.float32)], axis=1)
        full, target = full.astype(np.float64), target.astype(np.float64)
        if weight is not None:
            root = np.sqrt(weight.astype(np.float64))
            full, target = full * root[:, None], target * root
        return cls(full.T @ full / count, full.T @ target / count, float(target @ target) / count)

    def __add__(self, other: Self) -> "Moments":
        return Moments(self.gram + other.gram, self.moment + other.moment, self.power + other.power)

    def missed(self, weights: Matrix) -> float:
        """Mean squared error of a regression's weights."""
        return float(self.power - 2 * weights @ self.moment + weights @ self.gram @ weights)


def own_gain(design: Array, target: Array, color: int) -> float:
    """The constant that makes RAW of the own linearised channel, on average."""
    own = design[:, LINEAR + color].astype(np.float64)
    return max(float(own @ target) / max(float(own @ own), 1e-9), 1e-3)


@dataclass(frozen=True)
class IspPrior:
    """Weights of inverse ISPs on `isp_features.design` and 1, for RAW of gain 1, by colour.

    Attributes:
        mean: [3, COLUMNS + 1].
        precision: inverse of their widened covariance, [3, COLUMNS + 1, COLUMNS + 1].
    """

    mean: Matrix
    precision: Matrix

    @classmethod
    @cache
    def load(cls) -> Self:
        """The one that comes with rvdtool."""
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
        """Most likely weights, given what the reference frame shows, [COLUMNS + 1].

        How much the reference frame is believed follows from what it misses: found together, by
            iteration.

        Args:
            moments: of the reference frame, RAW divided by `own_gain`.
            color: the CFA position's: 0, 1, 2 for R, G, B.
            samples: photosites behind them.
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
