"""Pairwise testing: few cases that cover all combinations of values of any two parameters."""

from collections.abc import Iterable
from itertools import combinations, product
from typing import Any


def pairwise(*parameters: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Cases, one value per parameter each, the same ones every time.

    Greedy: the case that brings together the most pairs that haven't met yet comes next.
    """
    values = [list(parameter) for parameter in parameters]
    cases = list(product(*(range(len(column)) for column in values)))
    pairs = {case: set(combinations(enumerate(case), 2)) for case in cases}
    missing = set().union(*pairs.values())
    chosen = []
    while missing:
        news = [len(pairs[case] & missing) for case in cases]
        best = cases[news.index(max(news))]
        missing -= pairs[best]
        chosen.append(tuple(column[k] for column, k in zip(values, best, strict=True)))
    return chosen
