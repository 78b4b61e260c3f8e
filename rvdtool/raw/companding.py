"""Compand a mosaic to 10 bits, with steps that grow with the square root of the light.

Shot noise grows in the same way, so the quantisation error stays below it everywhere: its RMS is
0.15 of the shot noise of a photosite with a full well of 60,000 electrons (the largest there are),
and less for smaller ones. That adds 0.1 dB of noise. A step is at least 1 DN; a mosaic whose values
all fit in 10 bits doesn't change. DNG readers undo the companding with the LinearizationTable.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BITS = 10
CODES = 2**BITS

_READ_NOISE = 1e-3
"""Signal above which steps grow, as a fraction of the range from black to white. At 14 bits it is
16 DN; there, with 4 electrons per DN, shot noise equals a read noise of 2 DN."""

_HALVINGS = 60


@dataclass(frozen=True, eq=False)
class CompandingCurve:
    """A companding curve.

    Attributes:
        codes: uint16 [white + 1], the code of each DN.
        table: uint16 [at most 1024], the DN of each code, increasing.
    """

    codes: NDArray[np.uint16]
    table: NDArray[np.uint16]

    def encode(self, mosaic: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return the mosaic's codes; values above white are clipped to white."""
        return self.codes[np.minimum(mosaic, self.codes.size - 1)]


@lru_cache(maxsize=4)
def companding_curve(black: float, white: int) -> CompandingCurve:
    """Make the curve for a mosaic with these levels in DN.

    Below black, steps grow in proportion to the distance from black, since values far below it are
    only those of dead photosites. White is represented exactly.
    """
    above = np.arange(1, white + 1) - 0.5 - black
    start = _READ_NOISE * (white - black)
    distance = start + np.abs(above)
    growth = np.where(above > 0, np.sqrt(distance), distance / np.sqrt(start))
    low, high = 0.0, float(growth.max())  # codes for each DN, times `growth`
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        fits = np.minimum(1, middle / growth).sum() <= CODES - 1
        low, high = (middle, high) if fits else (low, middle)
    place = np.concatenate([[0], np.cumsum(np.minimum(1, low / growth))])
    codes = np.rint(place).astype(np.uint16)
    codes[:-1] = np.minimum(codes[:-1], codes[-1] - 1)  # white has a code of its own
    counts = np.bincount(codes)
    means = np.bincount(codes, weights=np.arange(white + 1)) / np.maximum(counts, 1)
    return CompandingCurve(codes, np.rint(means).astype(np.uint16))
