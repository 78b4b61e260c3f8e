"""Black levels that differ by row, by column, or in a pattern larger than 2×2 (Adobe DNG 1.7.1).

`RawFrame` has one black level for each position of the CFA cell. For old Canon cameras, DNG
Converter writes one for each row; such differences are removed from the mosaic here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import RawError
from rvdtool.raw.frame import Levels4, Mosaic, levels4

Array = NDArray[np.floating[Any]]

_ROWS = 256
"""Rows processed at a time, since the levels take eight bytes for each photosite."""


@dataclass(frozen=True)
class BlackMap:
    """Black of each photosite in DN: `pattern` repeated + `across` by column + `down` by row.

    Attributes:
        pattern: [rows, columns], BlackLevel as it repeats from the active area's corner.
        across, down: BlackLevelDeltaH [W] and BlackLevelDeltaV [H].
    """

    pattern: Array
    across: Array
    down: Array

    def levelled(self, mosaic: Mosaic, white: int) -> tuple[Mosaic, Levels4]:
        """Equalise the black levels: return the mosaic and one level for each cell position.

        Rows with lower black are raised to the highest level, so that no value becomes negative
        and noise below black is kept. The offsets are rounded to integers, so levels are exact to
        half a DN. Raised values are clipped to `white`.

        Raises:
            RawError: the levels differ by more than half of the white level.
        """
        levels = []
        lifted = mosaic
        for top, left in ((0, 0), (0, 1), (1, 0), (1, 1)):
            blocks = list(self._extremes(mosaic.shape[0], top, left))
            highest = max(0.0, *(high for _, high in blocks))
            lowest = min(low for low, _ in blocks)
            if highest - lowest > white / 2:
                raise RawError(
                    f"damaged: its black level varies by {highest - lowest:g} DN over the image, "
                    f"of {white} in all (BlackLevelDeltaH/V)"
                )
            if highest == lowest:
                levels.append(highest)
                continue
            lifted = lifted.copy() if lifted is mosaic else lifted
            rest = 0.0
            for rows in self._blocks(mosaic.shape[0], top):
                black = self._black(rows, left)
                lift = np.rint(highest - black)
                rest += float((black + lift).sum())
                site = lifted[rows, left::2]
                most = np.maximum(site, white)
                site[:] = np.minimum(site + lift, most)
            levels.append(max(0.0, rest / mosaic[top::2, left::2].size))
        return lifted, levels4(levels)

    def _extremes(self, height: int, top: int, left: int) -> Iterator[tuple[float, float]]:
        for rows in self._blocks(height, top):
            black = self._black(rows, left)
            yield float(black.min()), float(black.max())

    @staticmethod
    def _blocks(height: int, top: int) -> Iterator[slice]:
        for start in range(top, height, 2 * _ROWS):
            yield slice(start, min(start + 2 * _ROWS, height), 2)

    def _black(self, rows: slice, left: int) -> Array:
        """Black of the photosites in `rows` and every other column from `left`."""
        y, x = np.arange(rows.start, rows.stop, 2), np.arange(left, len(self.across), 2)
        height, width = self.pattern.shape
        repeated = self.pattern[np.ix_(y % height, x % width)]
        return np.asarray(repeated + self.down[y][:, None] + self.across[x][None, :])
