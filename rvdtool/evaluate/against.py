"""Compares several reconstructions of a clip: which is better, and how certain that is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from rvdtool.errors import UsageError
from rvdtool.evaluate.compare import Comparison
from rvdtool.evaluate.metrics import Scores

FIGURES = tuple(field.name for field in fields(Scores))
"""Names of all metrics. For each of them, larger is better."""

CONFIDENCE = 0.95
"""Level of the confidence intervals."""


@dataclass(frozen=True)
class Difference:
    """Mean difference between two reconstructions over their frames.

    Attributes:
        mean: mean of first − second; NaN without frames.
        low, high: 95 % confidence interval of the mean; infinite for fewer than three frames.
        frames: number of frames used: those for which both values are finite.
    """

    mean: float
    low: float
    high: float
    frames: int

    def words(self, digits: int) -> tuple[str, str]:
        """Mean and interval as text for a table."""
        if not self.frames:
            return "unknown", "unknown"
        interval = f"{self.low:.{digits}f} to {self.high:.{digits}f}"
        return f"{self.mean:.{digits}f}", interval if math.isfinite(self.low) else "unknown"

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Row:
    """One metric of all reconstructions.

    Attributes:
        figure: name of the metric in `Scores`.
        means: mean over the counted frames, by reconstruction.
        winner: reconstruction with the largest mean.
        second: reconstruction with the second largest mean.
        lead: difference winner − second.
        wins: number of counted frames in which a reconstruction alone is best, by reconstruction.
    """

    figure: str
    means: Mapping[str, float]
    winner: str
    second: str
    lead: Difference
    wins: Mapping[str, int]


def rank(comparisons: Mapping[str, Comparison]) -> list[Row]:
    """Compare reconstructions of a clip by each metric.

    Args:
        comparisons: comparisons with the same true frames, by name of the reconstruction.

    Raises:
        UsageError: there are fewer than two.
    """
    if len(comparisons) < 2:
        raise UsageError(f"a ranking needs at least two reconstructions; got {len(comparisons)}")
    rows = []
    for figure in FIGURES:
        means = {name: float(getattr(one.mean, figure)) for name, one in comparisons.items()}
        winner, second, *_ = sorted(means, key=lambda name: -means[name])
        values = {name: counted_values(one, figure) for name, one in comparisons.items()}
        lead = paired_difference(values[winner], values[second])
        best = [
            best_of(dict(zip(values, frame, strict=True)))
            for frame in zip(*values.values(), strict=True)
        ]
        wins = {name: best.count(name) for name in comparisons}
        rows.append(Row(figure, means, winner, second, lead, wins))
    return rows


def best_of(values: Mapping[str, float]) -> str | None:
    """Name of the largest value; None if several are equally large."""
    top = max(values.values())
    names = [name for name, value in values.items() if value == top]
    return names[0] if len(names) == 1 else None


def counted_values(comparison: Comparison, figure: str) -> list[float]:
    """The values of a metric in the counted frames."""
    return [getattr(frame.scores, figure) for frame in comparison.frames if frame.counted]


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Mean of first − second over frames, with its 95 % confidence interval.

    Errors of neighbouring frames are correlated, so the variance of the mean is estimated as in
    Newey and West (1987), with Bartlett weights and 4 · (n/100)^(2/9) lags (Newey and West 1994),
    and the interval uses Student's t with n − 1 degrees of freedom.

    Args:
        first, second: values of a metric in the same frames. Frames in which one is infinite are
            left out.
    """
    from scipy.stats import t

    pairs = [(a, b) for a, b in zip(first, second, strict=True) if math.isfinite(a - b)]
    count = len(pairs)
    if count == 0:
        return Difference(math.nan, -math.inf, math.inf, 0)
    values = np.array([a - b for a, b in pairs])
    mean = float(values.mean())
    if count < 3:
        return Difference(mean, -math.inf, math.inf, count)
    rest = values - mean
    variance = float(rest @ rest) / (count - 1)
    lags = min(count - 2, int(4 * (count / 100) ** (2 / 9)))
    for lag in range(1, lags + 1):
        weight = 1 - lag / (lags + 1)
        variance += 2 * weight * float(rest[lag:] @ rest[:-lag]) / (count - 1)
    reach = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * math.sqrt(max(variance, 0) / count)
    return Difference(mean, mean - reach, mean + reach, count)
