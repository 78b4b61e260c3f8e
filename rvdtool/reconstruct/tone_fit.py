"""Measure the ISP's tone curve in the reference frame and in a frame in other light.

RAW is a weighted sum of the three channels after the inverse tone curve. The reference frame shows
this curve only for the codes that occur in it. A frame in other light shows the same scene with
other codes, and its RAW is the reference frame's times a ratio, so the two together show the curve
for the codes of both. The ratio is estimated at the same time: a code means the same light in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.statistics import Array
from rvdtool.reconstruct.tone_curves import light_of, mix_of

Doubles = NDArray[np.float64]

SAMPLES = 4000
"""Photosites per CFA position that are used."""
DARK = np.float32(0.02)
"""Errors are divided by RAW plus this, or plus half of the mean RAW if that is less."""
LEAST = np.float32(1e-4)
"""Smallest of these."""
KNOTS = 17
"""The curve is a usual one times factors, one at each of this many codes, linear in between."""
SMOOTHNESS = 2e-3
"""Weight of the factors' squared second differences."""
ROUNDS = 4
"""Number of alternating fits of curve and mixes."""
AS_GOOD = 1.5
"""A known ratio is used if its squared error is at most this many times the lowest one."""
INDEPENDENT = 4e4
"""Assumed number of independent pairs, for the ratio's error."""
SYSTEMATIC = 0.01
"""Error of the ratio's logarithm due to the small number of knots: RMS over nine tone curves in
five lights."""
GAP = 2.2
"""If the codes of the two frames don't overlap, the ratio depends on the usual curve in the gap
between them: the error of its logarithm is (GAP · gap)⁴, with a gap of 0..1 (measured: 0 to 0.035
at 0.2, 0.01 to 1.2 at 0.26 to 0.5)."""
STOPS = 5.8
"""If the frames' light doesn't overlap, the error also has a part of (gap / STOPS)⁴, with a gap in
stops: few codes show the light of an almost black reference frame (measured: 0.04 to 0.7 at 4 to 6
stops, if the reference frame's largest codes are 9 to 38)."""
LARGEST = 1.6
"""Upper limit of that error: the largest that was measured is a factor of five."""
_WIDE, _NARROW = np.arange(-6, 6.01, 0.02), np.arange(-0.1, 0.101, 0.002)
"""Logarithms of the ratios that are tried: at first, and around the best one so far."""
_BENDS = np.diff(np.eye(KNOTS), 2, axis=0)


class Pairs(NamedTuple):
    """Photosites of one CFA position whose sRGB and RAW are known.

    Attributes:
        coded: channels, 0..1, [N, 3].
        raw: normalised RAW, [N].
        weight: weight of the squared error, [N].
    """

    coded: Array
    raw: Array
    weight: Array

    @classmethod
    def of(cls, coded: Array, raw: Array, weight: Array) -> Self:
        """Use every n-th photosite. Here `weight` is that of the squared relative error, 0..1."""
        few = np.s_[:: len(raw) // SAMPLES + 1]
        coded, raw, weight = coded[few], raw[few], weight[few]
        dark = np.clip(raw.mean() / 2, LEAST, DARK) if raw.size else DARK
        return cls(coded, raw, weight / (np.maximum(raw, 0) + dark) ** 2)


@dataclass(frozen=True)
class ToneFit:
    """The inverse of an ISP's tone curve, and the weights with which channels are summed to RAW.

    Attributes:
        curve: light by code in equal steps from 0 to 1; see `light_of`.
        mixes: weights of the channels, one [3] per CFA position.
        ratio: light of the frame in other light, relative to the reference frame.
        error: standard error of the ratio's logarithm; 0 if it is known.
    """

    curve: Array
    mixes: list[Doubles]
    ratio: float
    error: float

    @classmethod
    def of(
        cls,
        usual: Array,
        first: Sequence[Pairs],
        now: Sequence[Pairs] = (),
        known: float | None = None,
    ) -> Self:
        """Fit to the pairs of all CFA positions.

        Args:
            usual: the curve to multiply by factors, one of `inverse_curves`.
            first: pairs of the reference frame.
            now: pairs of a frame in other light, with the RAW of the reference frame.
            known: the ratio if only a known exposure has changed.
        """
        shown, shown_now = ([_Shown.of(usual, one) for one in pairs] for pairs in (first, now))
        at_knots = light_of(np.linspace(0, 1, KNOTS, dtype=np.float32), usual)
        factors, ratio, error = np.ones(KNOTS), 1.0, 0.0
        mixes = _mixes(factors, shown, (), ratio)
        logs = _WIDE if now else np.zeros(1)
        for _ in range(ROUNDS):
            ratios = ratio * np.exp(logs)
            if known is not None:
                ratios = np.append(ratios, known)
            solved, squared_errors = _solve(
                _moments(shown, mixes), _moments(shown_now, mixes), ratios
            )
            decreasing = (np.diff(solved * at_knots) < 0).any(axis=1)
            squared_errors = np.where(decreasing & ~decreasing.all(), np.inf, squared_errors)
            best = int(squared_errors.argmin())
            if known is not None and squared_errors[-1] <= AS_GOOD * squared_errors[best]:
                best = len(ratios) - 1
            factors, ratio = solved[best], float(ratios[best])
            error = 0.0 if ratio == known or not now else _error(np.log(ratios), squared_errors)
            mixes = _mixes(factors, shown, shown_now, ratio)
            logs = _NARROW if now else logs
        # Beyond the codes that are shown, factors would go on along a line, to any value.
        coded = np.concatenate([pairs.coded.ravel() for pairs in (*first, *now)])
        ends = np.quantile(coded, (0.01, 0.99)) if coded.size else np.zeros(2)
        places = np.clip(np.linspace(0, 1, usual.size), *ends) * (KNOTS - 1)
        curve = (usual * np.interp(places, np.arange(KNOTS), factors)).astype(np.float32)
        if error:
            parts = error, *_errors_of_gaps(first, now, curve)
            error = min(float(np.linalg.norm(parts)), LARGEST)
        return cls(curve, mixes, ratio, error)


class _Shown(NamedTuple):
    """Pairs, and their channels' light split by the knots that it depends on, [N, 3, KNOTS]."""

    pairs: Pairs
    light: Doubles

    @classmethod
    def of(cls, usual: Array, pairs: Pairs) -> Self:
        places = pairs.coded * np.float32(KNOTS - 1)
        near = np.maximum(1 - np.abs(places[..., None] - np.arange(KNOTS, dtype=np.float32)), 0)
        return cls(pairs, (near * light_of(pairs.coded, usual)[..., None]).astype(np.float64))


class _Moments(NamedTuple):
    """Mean squared error as a polynomial of the factors: quadratic, linear and constant term."""

    gram: Doubles
    product: Doubles
    square: float


def _moments(shown: Sequence[_Shown], mixes: Sequence[Doubles]) -> _Moments:
    gram, product, square, count = np.zeros((KNOTS, KNOTS)), np.zeros(KNOTS), 0.0, 0
    for (pairs, light), mix in zip(shown, mixes, strict=False):
        rows, weight = mix @ light, pairs.weight.astype(np.float64)
        weighted = rows.T * weight
        gram += weighted @ rows
        product += weighted @ pairs.raw
        square += float(weight @ pairs.raw.astype(np.float64) ** 2)
        count += len(pairs.raw)
    count = max(count, 1)
    return _Moments(gram / count, product / count, square / count)


def _solve(first: _Moments, now: _Moments, ratios: Doubles) -> tuple[Doubles, Doubles]:
    """For each ratio, the best factors, [ratios, KNOTS], and their mean squared error, [ratios]."""
    per_ratio = 1 / ratios[:, None]
    gram = first.gram + SMOOTHNESS * _BENDS.T @ _BENDS + now.gram * per_ratio[..., None] ** 2
    product = first.product + now.product * per_ratio
    regular = gram + 1e-12 * np.eye(KNOTS)
    factors = np.linalg.solve(regular, product[..., None])[..., 0].astype(np.float64)
    return factors, first.square + now.square - (factors * product).sum(axis=1)


def _mixes(
    factors: Doubles, shown: Sequence[_Shown], shown_now: Sequence[_Shown], ratio: float
) -> list[Doubles]:
    """Weights of the channels, one [3] per CFA position."""
    mixes = []
    for position, (pairs, light) in enumerate(shown):
        parts = [(light @ factors, pairs.raw, pairs.weight)]
        if shown_now:
            pairs, light = shown_now[position]
            parts.append((light @ factors / ratio, pairs.raw, pairs.weight))
        mixes.append(mix_of(*(np.concatenate(part) for part in zip(*parts, strict=True))))
    return mixes


def _error(logs: Doubles, squared_errors: Doubles) -> float:
    """Standard error of the ratio's logarithm, by the curvature of the squared error."""
    tried = np.isfinite(squared_errors)
    curvature = np.polyfit(logs[tried], squared_errors[tried], 2)[0] if tried.sum() > 2 else 0.0
    variance = squared_errors.min() / max(INDEPENDENT * curvature, 1e-9)
    return float(np.sqrt(variance + SYSTEMATIC**2))


def _errors_of_gaps(
    first: Sequence[Pairs], now: Sequence[Pairs], curve: Array
) -> tuple[float, float]:
    """The parts of the ratio's error that are due to gaps between two frames' codes and light."""
    coded = [np.concatenate([one.coded for one in pairs]) for pairs in (first, now)]
    stops = [np.log2(np.maximum(light_of(one, curve), LEAST)) for one in coded]
    return (GAP * _gap(*coded)) ** 4, (_gap(*stops) / STOPS) ** 4


def _gap(one: Array, other: Array) -> float:
    """Smallest distance, by channel, between the ranges of values of two frames, [N, 3] each."""
    ends, others = (np.quantile(values, (0.01, 0.99), axis=0) for values in (one, other))
    return max(0.0, float(np.maximum(others[0] - ends[1], ends[0] - others[1]).min()))
