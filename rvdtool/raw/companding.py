"""Ten bits for a mosaic of more: steps that grow with the square root of the light.

Shot noise grows so, too, so the error stays below it everywhere: its RMS is 0.15 of the shot noise
of a photosite that holds 60,000 electrons, as the largest do, and less of a smaller one's. That
adds 0.1 dB of noise. A step is 1 DN at least; where all values fit in ten bits, none changes. A
DNG's LinearizationTable has the values that the codes stand for, and readers of DNG apply it.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BITS = 10
CODES = 2**BITS

_READ_NOISE = 1e-3
"""Of the range from black to white: where steps begin to grow. At 14 bits 16 DN, where the shot
noise of a camera with 4 electrons for a DN has become as large as a read noise of 2 DN."""

_HALVINGS = 60


@dataclass(frozen=True, eq=False)
class Curve:
    """Codes for DN, and back.

    Attributes:
        codes: uint16 [white + 1], the code of each DN.
        table: uint16 [at most 1024], the DN that each code stands for, rising.
    """

    codes: NDArray[np.uint16]
    table: NDArray[np.uint16]

    def encode(self, mosaic: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """The mosaic's codes; values above white carry no more information, and become white."""
        return self.codes[np.minimum(mosaic, self.codes.size - 1)]


@lru_cache(maxsize=4)
def curve(black: float, white: int) -> Curve:
    """The curve for a mosaic with these levels in DN.

    Below black, steps grow in proportion to the distance: noise reaches a little way there, and
    beyond are only dead photosites. White stays white.
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
    return Curve(codes, np.rint(means).astype(np.uint16))
