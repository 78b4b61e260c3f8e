"""Resamples a RAW frame to another grid as a geometrically correct mosaic, colour by colour.

A site of the new mosaic gets its value only from photosites of its own colour, so colours never
mix, and it gets it *where it lies*: a red site shows the red light at its own place, not that of
the nearest red photosite (which plain 2×2 binning gives, half a photosite off).

Each colour is a lattice of photosites (green is two). Along each axis, the lattice is interpolated
with Keys' cubic convolution, and the result is averaged over a site's footprint: photosites count
by the area that they share with it, and detail finer than the grid is averaged away instead of
aliased. A photosite has averaged over its own area already, so at a scale of s photosites per site
the average runs over √(s² − 1), which with that area makes s (variances add). At equal scale
nothing is left to average, and a shift by whole cells keeps every value.

Compared on a still of known light, mosaicked at both grids: linear interpolation is 1 dB behind at
scales 1 to 1.5 and level at 4; averaging over s costs up to 0.5 dB below scale 1.5, over s − 1 up
to 4 dB at scale 4.

Keys: "Cubic convolution interpolation for digital image processing" (IEEE TASSP 1981).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import RawError
from rvdtool.raw.bayer import PLANES
from rvdtool.raw.frame import CfaPhase, RawFrame
from rvdtool.raw.lens import Lens
from rvdtool.raw.move import move_profile
from rvdtool.raw.opcodes import Move

Array = NDArray[np.floating[Any]]

Places = tuple[Array, Array]
"""x and y."""

Tap = tuple[NDArray[np.intp], Array]
"""Indices along one axis of a lattice, and their weights."""

_ROWS = 64
"""Rows of a plane at a time: what is in work stays within the processor's cache."""

_NONE = np.zeros(())

_COLORS = (0, 1, 1, 2)
"""Of the new grid's cell, RGGB."""

_WIDEST = 256
"""Times as much as there is (photosites, or sites if they are more) may be averaged in all: beyond,
a picture would lie mostly outside of the frame, and a forged matrix could ask for hours of work."""

_NARROWEST = 1e-3
"""Lattice units. Averaging over less is no different from not averaging."""


def resample(
    frame: RawFrame,
    matrix: tuple[tuple[float, ...], ...],
    size: tuple[int, int],
    lens: Lens | None = None,
) -> RawFrame:
    """The frame's light on another grid, as an RGGB mosaic.

    Beyond the frame's sides its outermost photosites of each colour are repeated. A value that
    interpolation carries beyond 0..white is clipped. Elementwise arithmetic only, in a fixed order:
    the same input gives the same DN on every machine.

    Args:
        frame: mosaic in DN.
        matrix: 3×3 homography, row by row: (x, y, 1) of the new grid → (x, y, w) of the frame's
            mosaic; pixel centres at whole numbers.
        size: (height, width) of the new grid.
        lens: how the frame is distorted where the new grid isn't; applied after the matrix.

    Returns:
        A frame of that size: phase RGGB, one black level per colour (where the two greens differ,
        their mean), same white level and bits, orientation as it was, no default crop. Lens shading
        follows the picture, the noise profile says what averaging leaves; what can't be carried is
        named in the profile's `dropped`.

    Raises:
        RawError: the matrix turns a site of the new grid inside out (w ≤ 0), isn't finite, or
            spreads the grid over more than 256 times the frame's area.
    """
    homography = np.asarray(matrix, np.float64)
    _require_regular(homography, size)
    if lens is not None:
        corners = np.array([0, size[1] - 1]), np.array([0, size[0] - 1])
        lens.require_regular(*_project(homography, None, *corners))
    where = partial(_project, homography, lens)
    sides = _footprint(where, size)
    _require_sensible(sides, frame.size, size)
    widths = [np.sqrt(max(0.0, side * side - 1)) for side in sides]
    black = _black_by_color(frame)
    mosaic = np.empty(size, np.uint16)
    lattices_of = [
        [place for place, found in np.ndenumerate(frame.phase.pattern) if found == color]
        for color in range(3)
    ]
    for (top, left), color in zip(PLANES, _COLORS, strict=True):
        lattices = lattices_of[color]
        for start in range(top, size[0], 2 * _ROWS):
            rows = np.arange(start, min(start + 2 * _ROWS, size[0]), 2)
            x, y = where(np.arange(left, size[1], 2), rows)
            light = sum((_light(frame, at, x, y, widths) for at in lattices), start=_NONE)
            dn = light / len(lattices) * (frame.white - black[color]) + black[color]
            mosaic[rows, left::2] = np.clip(np.rint(dn), 0, frame.white)
    sites = [[2 * row + column for row, column in lattices_of[color]] for color in _COLORS]
    left_over = _noise_left(where, size, widths)
    return replace(
        frame,
        mosaic=mosaic,
        phase=CfaPhase.RGGB,
        black=(black[0], black[1], black[1], black[2]),
        default_crop=None,
        profile=move_profile(
            frame.profile,
            Move(homography, frame.size, size, sites, lens),
            noise=[left_over / len(lattices) for lattices in lattices_of],
        ),
    )


def _require_regular(homography: Array, size: tuple[int, int]) -> None:
    """w is linear in x and y, so what holds at the corners holds everywhere."""
    if homography.shape != (3, 3) or not np.isfinite(homography).all():
        raise RawError(f"a homography is 3×3 finite numbers; got {homography.tolist()}")
    corners = np.array([(x, y, 1.0) for x in (0, size[1] - 1) for y in (0, size[0] - 1)])
    with np.errstate(all="ignore"):
        x, y, w = homography @ corners.T
        places = np.stack([x / w, y / w])
    if not w.min() > 0:
        raise RawError("the homography turns a part of the grid inside out")
    if not np.isfinite(places).all():
        raise RawError("the homography puts a part of the grid infinitely far away")


def _require_sensible(
    sides: tuple[float, float], frame_size: tuple[int, int], size: tuple[int, int]
) -> None:
    """The work is proportional to the number of photosites that all sites together cover."""
    sites, photosites = size[0] * size[1], frame_size[0] * frame_size[1]
    across, down = (float(np.maximum(1, side)) for side in sides)
    covered = sites * across * down
    if not covered <= _WIDEST * max(sites, photosites):  # nor if it isn't a number
        raise RawError(
            f"the homography makes a pixel span {sides[0]:.3g}×{sides[1]:.3g} photosites, "
            f"too many for {size[1]}×{size[0]} pixels of {frame_size[1]}×{frame_size[0]} "
            "photosites"
        )


def _project(
    homography: Array, lens: Lens | None, columns: NDArray[Any], rows: NDArray[Any]
) -> Places:
    """Where the grid's sites lie on the frame: x and y, [rows, columns]."""
    column, row = columns[None, :].astype(np.float64), rows[:, None].astype(np.float64)
    x, y, w = (a * column + b * row + c for a, b, c in homography)
    return (x / w, y / w) if lens is None else lens.bend(x / w, y / w)


def _footprint(
    where: Callable[[NDArray[Any], NDArray[Any]], Places], size: tuple[int, int]
) -> tuple[float, float]:
    """Width and height, in photosites, of what a site at the grid's centre covers of the frame.

    Taken as a rectangle along the frame's axes: for the few degrees by which a frame is turned
    against the video (besides quarter turns), that is what it is.
    """
    columns = np.array([size[1] / 2 - 1, size[1] / 2])
    rows = np.array([size[0] / 2 - 1, size[0] / 2])
    x, y = where(columns, rows)
    across = np.hypot(x[0, 1] - x[0, 0], x[1, 0] - x[0, 0])
    down = np.hypot(y[0, 1] - y[0, 0], y[1, 0] - y[0, 0])
    return float(across), float(down)


def _noise_left(
    where: Callable[[NDArray[Any], NDArray[Any]], Places],
    size: tuple[int, int],
    widths: Sequence[float],
) -> float:
    """Which part of the noise's variance one lattice's interpolation leaves, in the mean.

    Taken along the row and the column through the grid's middle.
    """
    x, _ = where(np.arange(size[1]), np.array([size[0] // 2]))
    _, y = where(np.array([size[1] // 2]), np.arange(size[0]))
    parts = (
        sum(float((weight * weight).mean()) for _, weight in _taps(place / 2, width / 2, 2))
        for place, width in ((x, widths[0]), (y, widths[1]))
    )
    return float(np.prod(list(parts)))


def _black_by_color(frame: RawFrame) -> tuple[float, float, float]:
    levels: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for level, color in zip(frame.black, frame.phase.pattern.flat, strict=True):
        levels[int(color)].append(level)
    red, green, blue = (sum(found) / len(found) for found in levels.values())
    return red, green, blue


def _light(
    frame: RawFrame, lattice: tuple[int, int], x: Array, y: Array, widths: Sequence[float]
) -> Array:
    """Normalised light at (x, y) from the photosites at one position of the 2×2 cell."""
    row, column = lattice
    plane = frame.mosaic[row::2, column::2]
    black = frame.black[2 * row + column]
    across = _taps((x - column) / 2, widths[0] / 2, plane.shape[1])
    down = _taps((y - row) / 2, widths[1] / 2, plane.shape[0])
    total = np.zeros(x.shape)
    for row_index, row_weight in down:
        for column_index, column_weight in across:
            total += row_weight * column_weight * plane[row_index, column_index]
    return (total - black) / (frame.white - black)


def _taps(position: Array, width: float, count: int) -> list[Tap]:
    """Indices and weights along one axis; at each position the weights sum to 1 (Keys' do).

    Args:
        position: in lattice units.
        width: over how much to average, in lattice units.
        count: how many photosites the lattice has along this axis.
    """
    half = max(width, _NARROWEST) / 2
    first = np.ceil(position - 2 - half)
    taps: list[Tap] = []
    for step in range(int(np.ceil(4 + 2 * half)) + 1):
        distance = first + step - position
        weight = (_keys_integral(distance + half) - _keys_integral(distance - half)) / (2 * half)
        taps.append((np.clip(first + step, 0, count - 1).astype(np.intp), weight))
    return taps


def _keys_integral(upper: Array) -> Array:
    """Integral of Keys' kernel (a = −1/2) from 0."""
    t = np.minimum(np.abs(upper), 2)
    near = t * (1 + t * t * (-5 / 6 + t * 3 / 8))
    far = -1 / 6 + t * (2 + t * (-2 + t * (5 / 6 - t / 8)))
    return np.copysign(np.where(t <= 1, near, far), upper)
