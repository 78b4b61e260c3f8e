"""Augmentation that keeps the Bayer phase: crops, flips and rotations of mosaic, sRGB and flow.

An augmentation acts on full-size pictures, so that each CFA site stays aligned with its sRGB pixel.
A flip or a rotation by 90° also flips or rotates the mosaic's 2×2 cell; leaving out one row or
column at the start restores the CFA phase. Augmentation therefore commutes with mosaicking.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import UsageError
from rvdtool.raw.frame import CfaPhase, Rect

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Augmentation:
    """A crop to `window`, then a transposition, then flips: all eight symmetries of a square.

    `window` is in pixels of the original picture. Results of `fit` keep the CFA phase.
    """

    window: Rect
    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def apply(self, picture: NDArray[Scalar]) -> NDArray[Scalar]:
        """Augment a mosaic or picture, [H, W] or [H, W, C]."""
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
        """Augment a flow field [H, W, 2] (x, y): both its positions and its vectors."""
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
) -> Augmentation:
    """The augmentation that crops at about `at` to a mosaic of phase RGGB.

    Args:
        size: (height, width) of the pictures.
        crop: (height, width) of the result; both even.
        phase: CFA phase of the original mosaic.
        at: desired (top, left) in the original picture; moved inside the picture, and by at most
            one pixel to keep the phase.

    Raises:
        UsageError: the crop is odd, or larger than the picture allows.
    """
    window = crop[::-1] if transpose else crop
    if min(crop) < 2 or crop[0] % 2 or crop[1] % 2:
        raise UsageError(f"a crop has even sides of at least 2; got {crop[0]}×{crop[1]}")
    # At one of the four positions in a CFA cell, the result starts with red.
    for row in range(2):
        for column in range(2):
            cell = np.roll(phase.pattern, (-row, -column), (0, 1))
            augmentation = Augmentation(Rect(0, 0, 2, 2), transpose, flip_rows, flip_columns)
            if np.array_equal(augmentation.apply(cell), CfaPhase.RGGB.pattern):
                top = _place(at[0], row, size[0], window[0])
                left = _place(at[1], column, size[1], window[1])
                rect = Rect(top, left, *window)
                return Augmentation(rect, transpose, flip_rows, flip_columns)
    raise UsageError(f"no crop of a {phase.value} mosaic is RGGB")


def draw(
    rng: np.random.Generator, size: tuple[int, int], crop: tuple[int, int], phase: CfaPhase
) -> Augmentation:
    """A crop at a random position in a random one of the eight orientations, with phase RGGB.

    Raises:
        UsageError: the crop is odd, or larger than the picture allows.
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
    """The start nearest to `wish` that has the given parity and keeps the window inside."""
    last = length - window
    last -= (last - parity) % 2
    if last < parity:
        raise UsageError(
            f"a crop of {window} doesn't fit into {length} pixels with the CFA phase kept; "
            f"{(length - parity) // 2 * 2} is the largest"
        )
    return int(np.clip(wish - (wish - parity) % 2, parity, last))
