"""Correct shadows that the inverse ISP's regression estimates too dark.

The regression is linear, but phones raise local contrast: a small dark spot gets darker than its
surroundings explain, and is then estimated darker still, often below black. After developing, such
spots are crushed and have wrong colours. On the reference frame, the mean RAW of the photosites
that are estimated to be as dark as this is known.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.candidates import Tables, tables_of
from rvdtool.reconstruct.compiled import in_strips, kernel
from rvdtool.reconstruct.statistics import Array, Curve, at_positions

SMALLEST = 32
"""Smallest number of photosites in a bin. The bins get larger towards the median: each has as many
photosites as all darker ones together."""
DARKEST = 10
"""The darkest bin has 1/2 to this power of all photosites, or more if those are fewer than
SMALLEST."""
FEWEST = 1000
"""Number of photosites of a CFA position below which nothing is corrected."""
SURE = 2
"""Corrections within this many standard errors are 0; much larger ones are used in full."""
VISIBLE = 1e-3
"""Corrections are reduced by this: smaller ones aren't visible, and in an almost black reference
frame they are due to rounding."""
MOST = 200_000
"""Largest number of photosites per CFA position that are used."""

_0 = np.float32(0)


@dataclass(frozen=True)
class Shadows:
    """What is added to the regression's values, by CFA position.

    Attributes:
        tables: what is added to a value, 0 or more.
        floors: lowest result, [4].
    """

    tables: Tables
    floors: Array

    @classmethod
    def measure(
        cls, value: Array, raw: Array, clipped: NDArray[np.uint8], agrees: NDArray[np.bool_]
    ) -> Self:
        """Measure on the reference frame.

        Args:
            value: the regression's estimate, [H, W].
            raw: the normalised RAW, [H, W].
            clipped: clip state, [H, W].
            agrees: where RAW and frame show the same, [H, W].
        """
        usable = agrees & (clipped == 0)

        def curve(at: tuple[int, int]) -> tuple[Curve, float]:
            own = np.s_[at[0] :: 2, at[1] :: 2]
            values, missing = _by_value(value[own][usable[own]], raw[own][usable[own]])
            floor = -np.inf
            if values[0] > missing[0]:  # darker content is raised by the same ratio
                values, missing = np.append(0, values), np.append(0, missing)
            elif missing[0] > 0:  # the values are mostly error
                floor = float(values[0] + missing[0])
            return Curve(values.astype(np.float32), missing.astype(np.float32)), floor

        curves, floors = zip(*at_positions(curve), strict=True)
        return cls(tables_of(curves), np.array(floors, np.float32))

    def __call__(self, value: Array, clipped: NDArray[np.uint8]) -> None:
        """Correct a frame's estimate where nothing is clipped.

        Args:
            value: the regression's estimate, [H, W], which is changed.
            clipped: clip state, [H, W].
        """

        def strip(first: int, last: int) -> None:
            _raise(first, last, value, clipped, self.tables, self.floors)

        in_strips(value.shape[0], strip)


def _by_value(value: Array, raw: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean value of each bin of the darker half, and what it is too dark by; 0 at the median."""
    if value.size < FEWEST:
        return np.zeros(1), np.zeros(1)
    step = max(1, value.size // MOST)
    value, raw = value[::step], raw[::step]
    order = np.argsort(value, kind="stable")[: value.size // 2]
    values = value[order].astype(np.float64)
    errors = raw[order] - values
    darkest = min(DARKEST, int(np.log2(2 * len(values) / SMALLEST)))
    ends = [int(2 * len(values) * 0.5**power) for power in range(darkest, 1, -1)]
    bins, parts = np.split(values, ends), np.split(errors, ends)
    centers = np.array([part.mean() for part in bins])
    means = np.array([part.mean() for part in parts])
    squares = np.array([SURE**2 * part.var() / part.size for part in parts])
    missing = means * (1 - np.minimum(squares / np.maximum(means**2, 1e-30), 1))
    raised = np.maximum.accumulate(centers + np.maximum(missing - VISIBLE, 0))
    return np.append(centers, values[-1]), np.append(raised - centers, 0)


@kernel
def _raise(
    first: int,
    last: int,
    value: Array,
    clipped: NDArray[np.uint8],
    tables: Tables,
    floors: Array,
) -> None:
    for y in range(first, last):
        for dx in range(2):
            number = 2 * (y % 2) + dx
            table, low, scale = tables[0][number], tables[1][number], tables[2][number]
            most, floor = np.float32(table.size - 1), floors[number]
            row, states = value[y, dx::2], clipped[y, dx::2]
            for i in range(row.size):
                place = min(max((row[i] - low) * scale, _0), most)
                raised = max(row[i] + table[np.uint32(place)], floor)
                row[i] = raised if states[i] == 0 else row[i]
