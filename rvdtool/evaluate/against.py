"""Several reconstructions of one clip against each other: which is better, and how surely."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from rvdtool.errors import UsageError
from rvdtool.evaluate.compare import Comparison
from rvdtool.evaluate.metrics import Scores

FIGURES = tuple(field.name for field in fields(Scores))
"""All of them are better if they are larger."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """Mean difference of two reconstructions, frame by frame.

    Attributes:
        mean: first − second; NaN without frames.
        low, high: its 95 % confidence interval; infinite for fewer than three frames.
        frames: how many frames it is from: those where both figures are finite.
    """

    mean: float
    low: float
    high: float
    frames: int

    def words(self, digits: int) -> tuple[str, str]:
        """Mean and interval for a table."""
        if not self.frames:
            return "unknown", "unknown"
        interval = f"{self.low:.{digits}f} to {self.high:.{digits}f}"
        return f"{self.mean:.{digits}f}", interval if math.isfinite(self.low) else "unknown"

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Row:
    """One figure of all reconstructions.

    Attributes:
        figure: its name in `Scores`.
        means: over the counted frames, by name.
        winner: the name with the largest mean.
        second: the name with the next largest.
        lead: winner − second.
        wins: in how many counted frames each is the best alone.
    """

    figure: str
    means: Mapping[str, float]
    winner: str
    second: str
    lead: Difference
    wins: Mapping[str, int]


def rank(comparisons: Mapping[str, Comparison]) -> list[Row]:
    """Compare reconstructions of one clip figure by figure.

    Args:
        comparisons: by name, all with the same true frames.

    Raises:
        UsageError: fewer than two.
    """
    if len(comparisons) < 2:
        raise UsageError(f"two reconstructions or more can be ranked; got {len(comparisons)}")
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
    """Who has the largest value; None if several have."""
    top = max(values.values())
    names = [name for name, value in values.items() if value == top]
    return names[0] if len(names) == 1 else None


def counted_values(comparison: Comparison, figure: str) -> list[float]:
    """A figure of each counted frame."""
    return [getattr(frame.scores, figure) for frame in comparison.frames if frame.counted]


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Mean of first − second over frames, with its 95 % confidence interval.

    Neighbouring frames err alike, so they count for less than as many independent ones: the
    variance of the mean is Newey and West's (1987), Bartlett weights, 4 · (n/100)^(2/9) lags
    (Newey and West 1994), with Student's t for n − 1 degrees of freedom.

    Args:
        first, second: a figure of the same frames; where one is infinite, the frame is left out.
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
