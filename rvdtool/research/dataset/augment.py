"""Moves that keep the Bayer phase: crops, flips and quarter turns of mosaic, sRGB and flow.

A move acts on full-size pictures, so that what each CFA site saw stays beside its sRGB pixel. After
a flip or a turn the mosaic's 2×2 cell is flipped or turned, too; one row or column less at the
start brings the wanted phase back. So every move commutes with mosaicking: moving the picture and
sampling it through the CFA gives the moved mosaic.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import UsageError
from rvdtool.raw.frame import CfaPhase, Rect

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Move:
    """Crop to `window`, transpose, then flip: all eight symmetries of a square.

    `window` is in pixels of the untouched picture; what `fit` returns keeps the phase.
    """

    window: Rect
    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def apply(self, picture: NDArray[Scalar]) -> NDArray[Scalar]:
        """Move a mosaic [..., H, W]-like first two axes: [H, W] or [H, W, C]."""
        rect = self.window
        rows = slice(rect.top, rect.top + rect.height)
        moved = picture[rows, rect.left : rect.left + rect.width]
        if self.transpose:
            moved = moved.swapaxes(0, 1)
        if self.flip_rows:
            moved = moved[::-1]
        if self.flip_columns:
            moved = moved[:, ::-1]
        return np.ascontiguousarray(moved)

    def apply_flow(self, flow: NDArray[np.float32]) -> NDArray[np.float32]:
        """Move a flow field [H, W, 2] (x, y): its places and its vectors."""
        moved = self.apply(flow)
        if self.transpose:
            moved = np.ascontiguousarray(moved[..., ::-1])
        if self.flip_columns:
            moved[..., 0] *= -1
        if self.flip_rows:
            moved[..., 1] *= -1
        return moved


def fit(
    size: tuple[int, int],
    crop: tuple[int, int],
    phase: CfaPhase,
    *,
    at: tuple[int, int],
    transpose: bool = False,
    flip_rows: bool = False,
    flip_columns: bool = False,
) -> Move:
    """The move whose result is RGGB, `crop` (height, width) large, and lies at about `at`.

    Args:
        size: (height, width) of the pictures.
        crop: of the result; both even.
        phase: CFA phase of the untouched mosaic.
        at: (top, left) wished for in the untouched picture; shifted by at most one pixel to keep
            the phase, and pulled inside.

    Raises:
        UsageError: the crop is odd, or larger than the picture allows.
    """
    window = crop[::-1] if transpose else crop
    if min(crop) < 2 or crop[0] % 2 or crop[1] % 2:
        raise UsageError(f"a crop has even sides of at least 2; got {crop[0]}×{crop[1]}")
    # Of the four corners of a CFA cell, one makes the moved window start with red.
    for row in range(2):
        for column in range(2):
            cell = np.roll(phase.pattern, (-row, -column), (0, 1))
            move = Move(Rect(0, 0, 2, 2), transpose, flip_rows, flip_columns)
            if np.array_equal(move.apply(cell), CfaPhase.RGGB.pattern):
                top = _place(at[0], row, size[0], window[0])
                left = _place(at[1], column, size[1], window[1])
                rect = Rect(top, left, *window)
                return Move(rect, transpose, flip_rows, flip_columns)
    raise UsageError(f"no crop of a {phase.value} mosaic is RGGB")


def draw(
    rng: np.random.Generator, size: tuple[int, int], crop: tuple[int, int], phase: CfaPhase
) -> Move:
    """A crop at a random place in one of the eight orientations, RGGB afterwards.

    Raises:
        UsageError: as `fit`.
    """
    transpose, flip_rows, flip_columns = (bool(bit) for bit in rng.integers(0, 2, 3))
    return fit(
        size,
        crop,
        phase,
        at=(int(rng.integers(0, size[0])), int(rng.integers(0, size[1]))),
        transpose=transpose,
        flip_rows=flip_rows,
        flip_columns=flip_columns,
    )


def _place(wish: int, parity: int, length: int, window: int) -> int:
    """The start nearest to `wish` with that parity at which the window lies inside."""
    last = length - window
    last -= (last - parity) % 2
    if last < parity:
        raise UsageError(
            f"a crop of {window} doesn't fit into {length} pixels with the CFA phase kept; "
            f"{(length - parity) // 2 * 2} is the largest"
        )
    return int(np.clip(wish - (wish - parity) % 2, parity, last))
