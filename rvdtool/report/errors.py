"""Errors of RAW frames by CFA site and true value."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.evaluate.sheet import Loaded
from rvdtool.raw.bayer import PLANES
from rvdtool.raw.frame import CfaPhase

BINS = 16
"""Equal steps of the true value, black to white; values beyond count in the first or last."""

SITES = ("R", "Gr", "Gb", "B")


def _zeros() -> NDArray[np.float64]:
    return np.zeros((len(SITES), BINS))


def _site(phase: CfaPhase, y: int, x: int) -> str:
    """The site at a position of the 2×2 cell: Gr is the green in the red row."""
    color, beside = phase.value[2 * y + x], phase.value[2 * y + 1 - x]
    return color + beside.lower() if color == "G" else color


@dataclass
class ErrorTable:
    """Squared errors and numbers of photosites, [4, BINS], summed over frames."""

    squares: NDArray[np.float64] = field(default_factory=_zeros)
    counts: NDArray[np.float64] = field(default_factory=_zeros)

    @classmethod
    def of(cls, pair: Loaded) -> Self:
        """The errors of one pair of frames."""
        table = cls()
        for y, x in PLANES:
            site = SITES.index(_site(pair.true.phase, y, x))
            predicted, true = (values[y::2, x::2].ravel() for values in pair.values)
            bins = np.clip((true * BINS).astype(np.int64), 0, BINS - 1)
            squares = np.square(predicted.astype(np.float64) - true)
            table.counts[site] = np.bincount(bins, minlength=BINS)
            table.squares[site] = np.bincount(bins, squares, minlength=BINS)
        return table

    def add(self, other: "ErrorTable") -> None:
        """Add another's sums."""
        self.squares += other.squares
        self.counts += other.counts

    def rms(self) -> NDArray[np.float64]:
        """RMS error in % of white − black, [4, BINS]; NaN where there is no photosite."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return 100 * np.sqrt(self.squares / self.counts)

    def rms_of_all_sites(self) -> NDArray[np.float64]:
        """The same for all sites together, [BINS]."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return 100 * np.sqrt(self.squares.sum(axis=0) / self.counts.sum(axis=0))
