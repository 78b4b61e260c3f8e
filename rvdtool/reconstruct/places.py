"""Positions of a frame's pixels on a smaller copy of it, with the geometry of OpenCV's resize."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.compiled import kernel
from rvdtool.reconstruct.statistics import Array


@dataclass(frozen=True)
class Places:
    """Bilinear sampling of a small map at the size of a frame.

    Attributes:
        rows, columns: for each row (column) of the frame, the small map's pixel above (left of) it.
        row_shares, column_shares: weight of the next pixel below (right of) that one.
    """

    rows: NDArray[np.uint32]
    row_shares: Array
    columns: NDArray[np.uint32]
    column_shares: Array

    @classmethod
    def of(cls, small: tuple[int, ...], size: tuple[int, int]) -> Self:
        """The sampling for a map of size `small` (height, width, …) and a frame of `size`."""
        return cls(*_positions(small[0], size[0]), *_positions(small[1], size[1]))


def _positions(small: int, full: int) -> tuple[NDArray[np.uint32], Array]:
    place = np.clip((np.arange(full) + 0.5) * (small / full) - 0.5, 0, small - 1)
    lower = np.floor(place)
    return lower.astype(np.uint32), (place - lower).astype(np.float32)


def sample_small(
    small: Array, size: tuple[int, int], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> Array:
    """Sample a small map [h, w, C], enlarged to `size`, at some pixels: [samples, C]."""
    places = Places.of(small.shape, size)
    result = np.empty((rows.size, small.shape[2]), np.float32)
    _sample(
        small, places.rows[rows], places.row_shares[rows], places.columns[columns],
        places.column_shares[columns], result,
    )  # fmt: skip
    return result


@kernel
def _sample(
    small: Array,
    rows: NDArray[np.uint32],
    row_shares: Array,
    columns: NDArray[np.uint32],
    column_shares: Array,
    result: Array,
) -> None:
    for i in range(rows.size):
        y, x = rows[i], columns[i]
        below, right = min(y + 1, small.shape[0] - 1), min(x + 1, small.shape[1] - 1)
        down, across = row_shares[i], column_shares[i]
        for c in range(small.shape[2]):
            upper = small[y, x, c] + across * (small[y, right, c] - small[y, x, c])
            lower = small[below, x, c] + across * (small[below, right, c] - small[below, x, c])
            result[i, c] = upper + down * (lower - upper)
