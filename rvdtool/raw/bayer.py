"""Bayer geometry: mosaic ↔ planes, DN ↔ normalised, cropping and rotating.

All functions work for all four CFA phases and for odd sizes.
"""

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import RawError
from rvdtool.raw.frame import CfaPhase, Levels4, Mosaic, RawFrame, Rect, levels4
from rvdtool.raw.move import move_profile
from rvdtool.raw.opcodes import Move

Scalar = TypeVar("Scalar", bound=np.generic)

PLANES = ((0, 0), (0, 1), (1, 0), (1, 1))
"""(row, column) of the planes R, Gr, Gb, B in an RGGB cell. Gr is the green in the red row."""


def color_index(phase: CfaPhase, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the colour of each photosite, uint8 [H, W]: 0 red, 1 green, 2 blue."""
    return _tile(phase.pattern, size)


def to_planes(mosaic: NDArray[Scalar], phase: CfaPhase) -> NDArray[Scalar]:
    """Pack a mosaic [H, W] of any dtype into planes R, Gr, Gb, B: [4, ⌈(H+y)/2⌉, ⌈(W+x)/2⌉].

    The planes have RGGB geometry: the four samples at one index form a 2×2 cell whose top-left
    photosite is red. If the mosaic's first red photosite is at row y and column x, y rows are added
    at the top and x columns at the left; if a side is then odd, one row or column is added at the
    other end. Added photosites are mirrored from the mosaic, which preserves their colours.

    Raises:
        RawError: not a two-dimensional mosaic of at least 2×2.
    """
    if mosaic.ndim != 2 or min(mosaic.shape) < 2:
        raise RawError(f"a mosaic is [H, W] and at least 2×2; got {list(mosaic.shape)}")
    (top, bottom), (left, right) = _padding(phase, (mosaic.shape[0], mosaic.shape[1]))
    padded = np.pad(mosaic, ((top, bottom), (left, right)), mode="reflect")
    return np.stack([padded[y::2, x::2] for y, x in PLANES])


def from_planes(planes: NDArray[Scalar], phase: CfaPhase, size: tuple[int, int]) -> NDArray[Scalar]:
    """Unpack planes R, Gr, Gb, B into a mosaic of `size`; the inverse of `to_planes`.

    Raises:
        RawError: the planes' shape doesn't match a mosaic of this size and phase.
    """
    (top, bottom), (left, right) = _padding(phase, size)
    height, width = top + size[0] + bottom, left + size[1] + right
    if planes.shape != (4, height // 2, width // 2):
        raise RawError(
            f"a {phase.value} mosaic of {size[0]}×{size[1]} has planes of "
            f"[4, {height // 2}, {width // 2}]; got {list(planes.shape)}"
        )
    mosaic = np.empty((height, width), planes.dtype)
    for plane, (y, x) in zip(planes, PLANES, strict=True):
        mosaic[y::2, x::2] = plane
    return np.ascontiguousarray(mosaic[top : top + size[0], left : left + size[1]])


def normalise(mosaic: Mosaic, black: Levels4, white: int) -> NDArray[np.float32]:
    """Convert DN [H, W] to normalised float32: 0 at the site's black level, 1 at white; no clip."""
    size = (mosaic.shape[0], mosaic.shape[1])
    offset = _tile(np.array(black, np.float32).reshape(2, 2), size)
    return (mosaic.astype(np.float32) - offset) / (np.float32(white) - offset)


def denormalise(values: NDArray[np.floating[Any]], black: Levels4, white: int) -> Mosaic:
    """Convert normalised values [H, W] to DN, uint16, rounded and clipped to 0..white."""
    return to_dn(values, black, white).round().astype(np.uint16)


def to_dn(
    values: NDArray[np.floating[Any]], black: Levels4, white: int
) -> NDArray[np.floating[Any]]:
    """Convert normalised values [H, W] to DN, clipped to 0..white but not rounded."""
    size = (values.shape[0], values.shape[1])
    offset = _tile(np.array(black, np.float32).reshape(2, 2), size)
    return np.clip(values * (np.float32(white) - offset) + offset, 0, white)


def crop(frame: RawFrame, rect: Rect) -> RawFrame:
    """Crop a frame to `rect` (mosaic coordinates), and adapt CFA phase and black levels.

    Default crop and lens shading are adapted too; metadata that can't be adapted is listed in the
    profile's `dropped` (`raw.opcodes`).

    Raises:
        RawError: `rect` reaches beyond the mosaic or is smaller than 2×2.
    """
    height, width = frame.size
    bottom, right = rect.top + rect.height, rect.left + rect.width
    inside = 0 <= rect.top < bottom <= height and 0 <= rect.left < right <= width
    if not inside or min(rect.height, rect.width) < 2:
        raise RawError(f"can't cut {rect} out of a mosaic of {height}×{width}")
    if rect == Rect(0, 0, height, width):
        return frame
    shift = (-(rect.top % 2), -(rect.left % 2))
    cell = np.roll(np.arange(4).reshape(2, 2), shift, (0, 1))
    pixels = np.ascontiguousarray(frame.mosaic[rect.top : bottom, rect.left : right])
    seen = frame.default_crop and _intersect(frame.default_crop, rect)
    matrix = np.array([(1, 0, rect.left), (0, 1, rect.top), (0, 0, 1)], np.float64)
    return _rearranged(frame, pixels, cell, seen, matrix)


def orient(frame: RawFrame) -> RawFrame:
    """Rotate or mirror a frame upright: apply its orientation to the mosaic, and set it to 1.

    CFA phase, black levels, default crop and lens shading are adapted; metadata that can't be
    adapted is listed in the profile's `dropped` (`raw.opcodes`).
    """
    if frame.orientation == 1:
        return frame
    height, width = frame.size
    # A small index array of the same parity shows which cell position ends up at the corner.
    positions = np.tile(np.arange(4).reshape(2, 2), (2, 2))[: 2 + height % 2, : 2 + width % 2]
    cell = _turn(positions, frame.orientation)[:2, :2]
    pixels = np.ascontiguousarray(_turn(frame.mosaic, frame.orientation))
    seen = frame.default_crop and _turn_rect(frame.default_crop, frame.size, frame.orientation)
    matrix = _turn_matrix(frame.size, frame.orientation)
    return replace(_rearranged(frame, pixels, cell, seen, matrix), orientation=1)


def _rearranged(
    frame: RawFrame,
    mosaic: Mosaic,
    cell: NDArray[np.int_],
    default_crop: Rect | None,
    matrix: NDArray[np.float64],
) -> RawFrame:
    """A frame of rearranged pixels: `cell` gives the old cell position of each new one.

    `matrix` maps (x, y, 1) of the new mosaic to the old mosaic.
    """
    size = (mosaic.shape[0], mosaic.shape[1])
    move = Move(matrix, frame.size, size, [(int(position),) for position in cell.flat])
    return replace(
        frame,
        mosaic=mosaic,
        phase=CfaPhase("".join(frame.phase.value[position] for position in cell.flat)),
        black=levels4(frame.black[position] for position in cell.flat),
        default_crop=default_crop,
        profile=move_profile(frame.profile, move),
    )


def _tile(cell: NDArray[Scalar], size: tuple[int, int]) -> NDArray[Scalar]:
    """Repeat a 2×2 cell over [H, W]."""
    height, width = size
    return np.tile(cell, (height // 2 + 1, width // 2 + 1))[:height, :width]


def _padding(phase: CfaPhase, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows (above, below) and columns (left, right) that pad a mosaic to complete RGGB cells."""
    top, left = divmod(phase.value.index("R"), 2)
    return (top, (size[0] + top) % 2), (left, (size[1] + left) % 2)


def _turn(image: NDArray[Scalar], orientation: int) -> NDArray[Scalar]:
    """Apply a TIFF orientation (TIFF 6.0, tag 274) to an image [H, W]."""
    turned = image.T if orientation >= 5 else image
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return turned


def _turn_matrix(size: tuple[int, int], orientation: int) -> NDArray[np.float64]:
    """Matrix from (x, y, 1) of the rotated image to the original image of `size`."""
    right, bottom = size[1] - 1, size[0] - 1
    transposed = orientation >= 5
    if transposed:
        right, bottom = bottom, right
    back = np.eye(3)
    if orientation in (3, 4, 7, 8):
        back = np.array([(1, 0, 0), (0, -1, bottom), (0, 0, 1)], np.float64) @ back
    if orientation in (2, 3, 6, 7):
        back = np.array([(-1, 0, right), (0, 1, 0), (0, 0, 1)], np.float64) @ back
    return back[[1, 0, 2]] if transposed else back


def _turn_rect(rect: Rect, size: tuple[int, int], orientation: int) -> Rect:
    """Position of `rect` after an image of `size` is rotated to `orientation`."""
    (height, width), (top, left) = size, (rect.top, rect.left)
    extent = (rect.height, rect.width)
    if orientation >= 5:
        (height, width), (top, left), extent = (width, height), (left, top), extent[::-1]
    if orientation in (3, 4, 7, 8):
        top = height - top - extent[0]
    if orientation in (2, 3, 6, 7):
        left = width - left - extent[1]
    return Rect(top, left, *extent)


def _intersect(rect: Rect, window: Rect) -> Rect | None:
    """The part of `rect` inside `window`, in the window's coordinates; None if there is none."""
    top, left = max(rect.top, window.top), max(rect.left, window.left)
    bottom = min(rect.top + rect.height, window.top + window.height)
    right = min(rect.left + rect.width, window.left + window.width)
    if bottom <= top or right <= left:
        return None
    return Rect(top - window.top, left - window.left, bottom - top, right - left)
