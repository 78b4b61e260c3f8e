"""Adapt a DNG's opcode lists to another pixel grid (Adobe DNG 1.7.1, chapter 7).

Phones, GoPros and drones mostly write lens shading: GainMaps, one for each position of the CFA
cell. A map samples a smooth gain over the whole image, so it can be adapted when the image is
cropped, rotated or resampled. Other opcodes with positions can't be adapted, and are listed.

Maps are written in the only form that all readers apply: four maps of the same shape, one for each
cell position, whose points span the image from border to border. darktable applies no other set of
maps, and RawTherapee (5.10) ignores origin and spacing.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.frame import CameraProfile, Tag
from rvdtool.raw.lens import Lens

Array = NDArray[np.floating[Any]]

LISTS = {51008: "OpcodeList1", 51009: "OpcodeList2", 51022: "OpcodeList3"}
"""Tags of the three lists: applied to stored values, the linear mosaic, the demosaiced picture."""

_NAMES = {
    1: "WarpRectilinear", 2: "WarpFisheye", 3: "FixVignetteRadial", 4: "FixBadPixelsConstant",
    5: "FixBadPixelsList", 6: "TrimBounds", 7: "MapTable", 8: "MapPolynomial", 9: "GainMap",
    10: "DeltaPerRow", 11: "DeltaPerColumn", 12: "ScalePerRow", 13: "ScalePerColumn",
    14: "WarpRectilinear2",
}  # fmt: skip
_GAIN_MAP, _VALUE_MAPS = 9, (7, 8)
_MOSAIC, _PICTURE = 51009, 51022

_OPCODE = struct.Struct(">4I")  # code, DNG version, flags, bytes that follow
_AREA = struct.Struct(">8I")  # top, left, bottom, right, plane, planes, row and column pitch
_GRID = struct.Struct(">2I4dI")  # points, spacing, origin (each down, across), planes of the map
_VERSION = 0x01030000

_FEWEST_CELLS = 32
"""Smallest number of cells of an adapted map along a side (and two for each old cell): maps are
linear between points, so that a coarse new grid of points would smooth the old map's corners."""

_MOST_POINTS = 129
"""Largest number of points along a side. Shading is smooth; cameras write up to about 60."""


_LARGEST_GAIN = 1000
"""Largest valid gain; its inverse is the smallest. Cameras' gains go up to about 4."""


@dataclass(frozen=True)
class Move:
    """The mapping from an old pixel grid to a new one.

    Attributes:
        matrix: 3×3 homography, (x, y, 1) of the new grid → (x, y, w) of the old grid; integers are
            pixel centres.
        old, new: (height, width) of the grids.
        sites: for each position of the new 2×2 cell, the positions of the old cell that its values
            come from.
        lens: distortion of the old grid relative to the new grid.
    """

    matrix: Array
    old: tuple[int, int]
    new: tuple[int, int]
    sites: Sequence[Sequence[int]]
    lens: Lens | None = None


@dataclass(frozen=True)
class _Opcode:
    code: int
    version: int
    flags: int
    data: bytes

    def encode(self) -> bytes:
        head = _OPCODE.pack(self.code, self.version, self.flags, len(self.data))
        return head + self.data


@dataclass(frozen=True)
class _GainMap:
    """A GainMap opcode. `gains` is [points down, points across, planes]."""

    flags: int
    area: tuple[int, ...]
    spacing: tuple[float, float]
    origin: tuple[float, float]
    gains: Array

    def at(self, down: Array, across: Array) -> Array:
        """Gains [..., planes] at positions given as fractions (0..1) of image height and width."""
        (i, i2, v), (j, j2, u) = (
            self._between(place, axis) for axis, place in enumerate((down, across))
        )
        upper = self.gains[i, j] * (1 - u) + self.gains[i, j2] * u
        lower = self.gains[i2, j] * (1 - u) + self.gains[i2, j2] * u
        return np.asarray(upper * (1 - v) + lower * v)

    def _between(self, place: Array, axis: int) -> tuple[Any, Any, Array]:
        last = self.gains.shape[axis] - 1
        index = np.clip((place - self.origin[axis]) / self.spacing[axis], 0, last)
        first = np.minimum(index.astype(np.intp), max(last - 1, 0))
        return first, np.minimum(first + 1, last), (index - first)[..., None]

    def sites(self) -> tuple[int, ...]:
        """The positions of the 2×2 cell that the map applies to."""
        top, left, *_, rows, columns = self.area
        return tuple(
            2 * y + x
            for y in (0, 1)
            for x in (0, 1)
            if (y - top) % rows == 0 and (x - left) % columns == 0
        )


def move_opcodes(profile: CameraProfile, move: Move) -> CameraProfile:
    """Adapt a profile's opcode lists to the new grid.

    GainMaps of the whole image are resampled. MapTable and MapPolynomial, which don't depend on
    position, are kept if they apply to all photosites. All others are removed, and listed in the
    profile's `dropped`.
    """
    tags: list[Tag] = []
    dropped = list(profile.dropped)
    for tag in profile.tags:
        if tag.code not in LISTS:
            tags.append(tag)
            continue
        moved, lost = _move_list(tag, move)
        dropped += [f"{name} ({LISTS[tag.code]})" for name in dict.fromkeys(lost)]
        if moved:
            blob = struct.pack(">I", len(moved)) + b"".join(one.encode() for one in moved)
            tags.append(Tag(tag.code, tag.dtype, len(blob), blob))
    return replace(profile, tags=tuple(tags), dropped=tuple(dropped))


def opcode_names(tag: Tag) -> list[str]:
    """Names of a list's opcodes with the name of the list: `GainMap (OpcodeList2)`."""
    try:
        names = [_name(opcode) for opcode in _parse(tag.value)]
    except (struct.error, TypeError):
        names = ["a damaged list"]
    return [f"{name} ({LISTS[tag.code]})" for name in dict.fromkeys(names)]


def _move_list(tag: Tag, move: Move) -> tuple[list[_Opcode], list[str]]:
    """A list's opcodes for the new grid, and the names of those that can't be adapted."""
    moved: list[_Opcode] = []
    maps: list[_GainMap] = []
    lost: list[str] = []
    first_map = 0
    try:
        opcodes = _parse(tag.value)
    except (struct.error, TypeError):
        return [], ["a damaged list"]
    for opcode in opcodes:
        gain_map = _gain_map(opcode)
        if tag.code == _MOSAIC and gain_map and _is_whole(gain_map.area, move.old, 2):
            first_map = first_map if maps else len(moved)
            maps.append(gain_map)
        elif tag.code == _PICTURE and gain_map and _is_whole(gain_map.area, move.old, 1):
            moved.append(_moved_picture_map(gain_map, move))
        elif tag.code != 51008 and _is_value_map(opcode, move.old):
            area = _AREA.pack(0, 0, *move.new, *_AREA.unpack_from(opcode.data)[4:])
            moved.append(replace(opcode, data=area + opcode.data[_AREA.size :]))
        else:
            lost.append(_name(opcode))
    if maps:
        moved[first_map:first_map] = _moved_site_maps(maps, move)
    return moved, lost


def _parse(blob: Any) -> list[_Opcode]:
    """Parse a list into its opcodes.

    Raises:
        struct.error: the list is damaged.
    """
    blob = bytes(blob)
    (count,) = struct.unpack_from(">I", blob)
    position = 4
    opcodes: list[_Opcode] = []
    while len(opcodes) < count:
        code, version, flags, size = _OPCODE.unpack_from(blob, position)
        position += _OPCODE.size + size
        if position > len(blob):
            raise struct.error("cut short")
        opcodes.append(_Opcode(code, version, flags, blob[position - size : position]))
    return opcodes


def _name(opcode: _Opcode) -> str:
    return _NAMES.get(opcode.code, f"opcode {opcode.code}")


def _gain_map(opcode: _Opcode) -> _GainMap | None:
    """Parse a GainMap; None for other opcodes and for maps that no reader could apply."""
    if opcode.code != _GAIN_MAP or len(opcode.data) < _AREA.size + _GRID.size:
        return None
    area = _AREA.unpack_from(opcode.data)
    down, across, *steps, planes = _GRID.unpack_from(opcode.data, _AREA.size)
    values = opcode.data[_AREA.size + _GRID.size :]
    if len(values) != 4 * down * across * planes or not values:
        return None
    with np.errstate(invalid="ignore"):  # signalling NaNs, refused below
        gains = np.frombuffer(values, ">f4").astype(np.float64)
    spacing, origin = (steps[0], steps[1]), (steps[2], steps[3])
    if not np.isfinite([*steps, *gains]).all() or min(area[6:]) < 1:
        return None
    if gains.min() < 1 / _LARGEST_GAIN or gains.max() > _LARGEST_GAIN:
        return None
    if any(n > 1 and step <= 0 for n, step in zip((down, across), spacing, strict=True)):
        return None
    spacing = (spacing[0] or 1.0, spacing[1] or 1.0)  # any, for one point
    return _GainMap(opcode.flags, area, spacing, origin, gains.reshape(down, across, planes))


def _is_whole(area: tuple[int, ...], size: tuple[int, int], pitch: int) -> bool:
    """Whether an opcode applies to the whole image, or to one position of all its cells."""
    top, left, bottom, right, plane, _, rows, columns = area
    return (
        max(rows, columns) <= pitch
        and top < rows
        and left < columns
        and bottom > size[0] - rows
        and right > size[1] - columns
        and (plane == 0 or pitch == 1)
    )


def _is_value_map(opcode: _Opcode, size: tuple[int, int]) -> bool:
    if opcode.code not in _VALUE_MAPS or len(opcode.data) < _AREA.size:
        return False
    return _is_whole(_AREA.unpack_from(opcode.data), size, 1)


def _moved_site_maps(maps: Sequence[_GainMap], move: Move) -> list[_Opcode]:
    """One map for each position of the new cell, from the maps of its source positions."""
    points = _points(maps, move)
    places = _places(points, move)
    by_site: list[Array] = [np.ones(points) for _ in range(4)]
    for gain_map in maps:
        gains = gain_map.at(*places)[..., 0]
        for site in gain_map.sites():
            by_site[site] = by_site[site] * gains
    flags = _common(gain_map.flags for gain_map in maps)
    opcodes = []
    for site, sources in enumerate(move.sites):
        # Light = gain · value. Averaging values therefore averages the inverse gains.
        inverse = sum((1 / by_site[source] for source in sources), np.zeros(points))
        area = (*divmod(site, 2), *move.new, 0, 1, 2, 2)
        opcodes.append(_encode_map(flags, area, (len(sources) / inverse)[..., None]))
    return opcodes


def _moved_picture_map(gain_map: _GainMap, move: Move) -> _Opcode:
    gains = gain_map.at(*_places(_points([gain_map], move), move))
    return _encode_map(gain_map.flags, (0, 0, *move.new, *gain_map.area[4:]), gains)


def _encode_map(flags: int, area: tuple[int, ...], gains: Array) -> _Opcode:
    """Encode a map that spans the image; `gains` is [points down, points across, planes]."""
    down, across, planes = gains.shape
    grid = _GRID.pack(down, across, 1 / (down - 1), 1 / (across - 1), 0.0, 0.0, planes)
    data = _AREA.pack(*area) + grid + gains.astype(">f4").tobytes()
    return _Opcode(_GAIN_MAP, _VERSION, flags, data)


def _points(maps: Sequence[_GainMap], move: Move) -> tuple[int, int]:
    """Number of points (down, across) that a new map needs to be as fine as the old maps."""
    down, across = _places((2, 2), move)
    points = []
    for axis in (0, 1):
        cells = max(
            float(np.hypot(*(
                np.abs(np.diff(np.clip(place, 0, 1), axis=axis)).max() / step
                for place, step in zip((down, across), gain_map.spacing, strict=True)
            )))
            for gain_map in maps
        )  # fmt: skip
        whole = max(1, int(np.ceil(min(cells, _MOST_POINTS) - 1e-6)))
        points.append(min(whole * max(2, -(-_FEWEST_CELLS // whole)) + 1, _MOST_POINTS))
    return points[0], points[1]


def _places(points: tuple[int, int], move: Move) -> tuple[Array, Array]:
    """Positions of a new map's points, as fractions of the old image's height and width.

    Both arrays are [down, across]. Fractions count from the image's border, half a pixel before
    the first pixel's centre.
    """
    y = np.linspace(0, 1, points[0])[:, None] * move.new[0] - 0.5
    x = np.linspace(0, 1, points[1])[None, :] * move.new[1] - 0.5
    column, row, w = (a * x + b * y + c for a, b, c in np.asarray(move.matrix, np.float64))
    w = np.maximum(w, 1e-9)  # w is only known to be positive at pixel centres
    column, row = column / w, row / w
    if move.lens is not None:
        column, row = move.lens.bend(column, row)
    return (row + 0.5) / move.old[0], (column + 0.5) / move.old[1]


def _common(flags: Iterable[int]) -> int:
    """Flags of a combined opcode: optional, or skipped in previews, only if all of them are."""
    both = 0b11
    for one in flags:
        both &= one
    return both
