"""Simulated motion: smooth paths, occluding layers, exposure over time, and the true flow.

Everything is a function of continuous time in units of frames: frame t is exposed around time t,
and its row r around t + readout·(r/H − ½). Coordinates are (x, y) in pixels; output pixels are
relative to the picture's centre.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rvdtool.research.dataset.pixels import Image, sample, split_alpha
from rvdtool.research.dataset.recipe import Layer, Light, Trajectory

Array = NDArray[np.floating]
Map = NDArray[np.float32]

MAX_SUB_EXPOSURES = 12
_BLUR_STEP = 1.5
"""Motion in pixels between two sub-exposures; more would be visible as ghosts."""
_SHAKE_TONES = 4
_WOBBLE_PERIOD = 24
"""Period in frames of a layer's deformation."""


@dataclass(frozen=True)
class Pose:
    """A similarity at one or more instants: world = R(angle)ᵀ·(p / zoom) + (x, y)."""

    x: Array
    y: Array
    angle: Array
    zoom: Array


class Path:
    """A path of the recipe with its random shake drawn."""

    def __init__(self, motion: Trajectory, rng: np.random.Generator) -> None:
        self._motion = motion
        self._rates = rng.uniform(0.4, 1.6, (3, _SHAKE_TONES)) / motion.shake_period
        self._phases = rng.uniform(0, 2 * np.pi, (3, _SHAKE_TONES))

    def at(self, time: Array) -> Pose:
        """The pose at each time (frames); angle in radians."""
        motion = self._motion
        swing = np.sin(2 * np.pi * (time / motion.period + motion.phase))
        shake = self._shake(time) * motion.shake
        return Pose(
            motion.start[0] + motion.velocity[0] * time + motion.sway[0] * swing + shake[0],
            motion.start[1] + motion.velocity[1] * time + motion.sway[1] * swing + shake[1],
            np.deg2rad(motion.angle + motion.spin * time + motion.roll * swing + shake[2] / 100),
            motion.zoom * np.exp(motion.zoom_rate * time),
        )

    def _shake(self, time: Array) -> Array:
        """Shake in x, y and angle, [3, *time.shape], each with RMS 1."""
        angles = 2 * np.pi * self._rates[..., None] * np.ravel(time) + self._phases[..., None]
        waves = np.sin(angles).sum(axis=1) * np.sqrt(2 / _SHAKE_TONES)
        return np.asarray(waves.reshape(3, *np.shape(time)))


@dataclass(frozen=True, eq=False)
class Plane:
    """One textured plane in the world: the background or a layer.

    Attributes:
        texture: float32, opaque [h, w, 3] or premultiplied colour with alpha [h, w, 4].
        path: the plane's path in the world; None for the background, which doesn't move.
        parallax: factor on the camera's offset.
        wobble: amplitude of the deformation in texture pixels.
    """

    texture: Image
    path: Path | None = None
    parallax: float = 1
    wobble: float = 0

    def with_texture(self, texture: Image) -> "Plane":
        """The same plane with another texture (the next frame of a clip)."""
        return Plane(texture, self.path, self.parallax, self.wobble)


class Stage:
    """Background, layers and camera; renders pictures and the flow between them."""

    def __init__(
        self, planes: Sequence[Plane], camera: Path, light: Light, size: tuple[int, int]
    ) -> None:
        self._planes = list(planes)
        self._camera = camera
        self._light = light
        self._height, self._width = size
        self._columns = (np.arange(self._width) - (self._width - 1) / 2)[None, :]
        self._fast_columns = self._columns.astype(np.float32)
        self._rows = (np.arange(self._height) - (self._height - 1) / 2)[:, None]

    def set_background(self, texture: Image) -> None:
        """Replace the background's texture by the next frame of a clip."""
        self._planes[0] = self._planes[0].with_texture(texture)

    def picture(self, frame: int) -> Image:
        """The light that falls on the sensor during the exposure of `frame`, [H, W, 3]."""
        count = self._sub_exposures(frame)
        total = np.zeros((self._height, self._width, 3), np.float32)
        for k in range(count):
            total += self._instant(frame + self._light.shutter * ((k + 0.5) / count - 0.5))
        return total / np.float32(count)

    def flow(self, source: int, target: int) -> tuple[Map, NDArray[np.bool_]]:
        """Where each pixel of frame `source` is in frame `target`, at mid-exposure.

        Returns:
            flow [H, W, 2] (dx, dy) in pixels, and visible [H, W]: the point is inside the target
            frame and not occluded there.
        """
        x, y = np.broadcast_arrays(self._columns, self._rows)
        owner = self._owner(source, x, y)
        flow = np.zeros((self._height, self._width, 2))
        visible = np.zeros((self._height, self._width), bool)
        for index, plane in enumerate(self._planes):
            mine = owner == index
            if not mine.any():
                continue
            to_x, to_y = self._follow(plane, source, target, x[mine], y[mine])
            flow[mine] = np.stack([to_x - x[mine], to_y - y[mine]], axis=-1)
            inside = (np.abs(to_x) <= self._width / 2 - 1) & (np.abs(to_y) <= self._height / 2 - 1)
            visible[mine] = inside & (self._owner(target, to_x, to_y) == index)
        return flow.astype(np.float32), visible

    def _instant(self, time: float) -> Image:
        background = self._planes[0]
        maps = self._texture_maps(background, time, self._fast_columns, self._rows)
        picture = sample(background.texture, *maps, "cubic", "mirror")
        for plane in self._planes[1:]:
            self._paint(plane, time, picture)
        return picture

    def _paint(self, plane: Plane, time: float, picture: Image) -> None:
        """Draw the plane over the picture, within its bounding box."""
        box = self._bounding_box(plane, time)
        if box is None:
            return
        rows, columns = box
        maps = self._texture_maps(plane, time, self._fast_columns[:, columns], self._rows[rows])
        cover = sample(plane.texture, *maps, "linear", "empty")
        color, alpha = split_alpha(cover)
        part = picture[rows, columns]
        part *= 1 - alpha
        part += color

    def _bounding_box(self, plane: Plane, time: float) -> tuple[slice, slice] | None:
        step = 16
        x, y = self._columns[:, ::step], self._rows[::step]
        map_x, map_y = self._texture_maps(plane, time, x, y)
        height, width = plane.texture.shape[:2]
        margin = 2 * step + plane.wobble
        near = (map_x > -margin) & (map_x < width + margin)
        near &= (map_y > -margin) & (map_y < height + margin)
        if not near.any():
            return None
        rows, columns = (np.flatnonzero(near.any(axis=axis)) for axis in (1, 0))
        return (
            slice(max(0, (rows[0] - 1) * step), (rows[-1] + 2) * step),
            slice(max(0, (columns[0] - 1) * step), (columns[-1] + 2) * step),
        )

    def _texture_maps(self, plane: Plane, time: float, x: Array, y: Array) -> tuple[Map, Map]:
        """Texture coordinates of output pixels (x, y); shapes broadcast."""
        height, width = plane.texture.shape[:2]
        u, v = self._plane_point(plane, time, x, y)
        u, v = u + (width - 1) / 2, v + (height - 1) / 2
        return u.astype(np.float32, copy=False), v.astype(np.float32, copy=False)

    def _plane_point(self, plane: Plane, time: float, x: Array, y: Array) -> tuple[Array, Array]:
        """Point on the plane, relative to its centre, seen by output pixel (x, y) at `time`."""
        ux, u0, vx, v0 = (part.astype(x.dtype) for part in self._row_affine(plane, time, y))
        u, v = ux * x + u0, vx * x + v0
        if plane.wobble:
            length = plane.texture.shape[0] / 2
            beat = 2 * np.pi * time / _WOBBLE_PERIOD
            u, v = (
                u + plane.wobble * np.sin(v * (2 * np.pi / length) + beat),
                v + plane.wobble * np.cos(u * (2 * np.pi / length) + beat),
            )
        return u, v

    def _row_affine(self, plane: Plane, time: float, y: Array) -> tuple[Array, Array, Array, Array]:
        """Coefficients of u = ux·x + u0, v = vx·x + v0, which depend on the row only."""
        when = time + self._light.readout * y / self._height
        camera = self._camera.at(when)
        ux, vx = _turn(1 / camera.zoom, np.zeros_like(when), camera.angle)
        u0, v0 = _turn(np.zeros_like(when), y / camera.zoom, camera.angle)
        u0, v0 = u0 + plane.parallax * camera.x, v0 + plane.parallax * camera.y
        if plane.path is not None:
            own = plane.path.at(when)
            ux, vx = _turn(ux / own.zoom, vx / own.zoom, own.angle)
            u0, v0 = _turn((u0 - own.x) / own.zoom, (v0 - own.y) / own.zoom, own.angle)
        return ux, u0, vx, v0

    def _follow(
        self, plane: Plane, source: int, target: int, x: Array, y: Array
    ) -> tuple[Array, Array]:
        """Output position at `target` of the plane's points seen at (x, y) at `source`.

        Solved by Newton steps with the plane's mean similarity: exact without rolling shutter and
        wobble; with them, it converges to well below a hundredth of a pixel.
        """
        goal_u, goal_v = self._plane_point(plane, source, x, y)
        to_x, to_y = x.copy(), y.copy()
        zoom, angle = self._mean_similarity(plane, target)
        for _ in range(12):
            u, v = self._plane_point(plane, target, to_x, to_y)
            step_x, step_y = _turn(zoom * (goal_u - u), zoom * (goal_v - v), -angle)
            to_x, to_y = to_x + step_x, to_y + step_y
        return to_x, to_y

    def _mean_similarity(self, plane: Plane, time: float) -> tuple[float, float]:
        camera = self._camera.at(np.array(float(time)))
        if plane.path is None:
            return float(camera.zoom), float(camera.angle)
        own = plane.path.at(np.array(float(time)))
        return float(camera.zoom * own.zoom), float(camera.angle + own.angle)

    def _owner(self, time: float, x: Array, y: Array) -> NDArray[np.int64]:
        """Index of the front-most plane at output positions (x, y)."""
        owner = np.zeros(x.shape, np.int64)
        for index, plane in enumerate(self._planes[1:], start=1):
            maps = self._texture_maps(plane, time, x, y)
            alpha = np.ascontiguousarray(plane.texture[..., 3])
            cover = sample(alpha, _fold(maps[0]), _fold(maps[1]), "linear", "empty")
            owner[np.ravel(cover)[: x.size].reshape(x.shape) > 0.5] = index
        return owner

    def _sub_exposures(self, frame: int) -> int:
        """Number of sub-exposures for which the fastest corner moves by at most _BLUR_STEP."""
        x = np.array([-1, 1, -1, 1, 0]) * self._width / 2
        y = np.array([-1, -1, 1, 1, 0]) * self._height / 2
        longest = 0.0
        for plane in self._planes:
            open_, close = (
                np.stack(self._plane_point(plane, frame + side * self._light.shutter / 2, x, y))
                for side in (-1, 1)
            )
            zoom, _ = self._mean_similarity(plane, frame)
            longest = max(longest, float(np.hypot(*(close - open_)).max()) * zoom)
        return int(np.clip(np.ceil(longest / _BLUR_STEP), 1, MAX_SUB_EXPOSURES))


def cut_out(layer: Layer, image: Image, rng: np.random.Generator) -> Image:
    """Cut a piece with a random soft outline from `image`: [h, w, 4], premultiplied, with alpha."""
    reach = int(np.ceil(layer.radius * (1 + layer.lobes))) + 2
    height, width = image.shape[:2]
    x = (np.arange(2 * reach + 1) - reach)[None, :]
    y = (np.arange(2 * reach + 1) - reach)[:, None]
    middle_x, middle_y = layer.center[0] * (width - 1), layer.center[1] * (height - 1)
    piece = sample(
        image,
        np.broadcast_to(x + middle_x, (y.size, x.size)).astype(np.float32),
        np.broadcast_to(y + middle_y, (y.size, x.size)).astype(np.float32),
        "linear",
        "mirror",
    )
    waves = np.arange(2, 6)
    heights = rng.uniform(0.3, 1, 4)
    phases = rng.uniform(0, 2 * np.pi, 4)
    angle = np.arctan2(y, x)[..., None]
    ripple = (np.cos(waves * angle + phases) * heights).sum(axis=-1) / heights.sum()
    edge = layer.radius * (1 + layer.lobes * ripple)
    alpha = np.clip(edge - np.hypot(x, y) + 0.5, 0, 1).astype(np.float32)[..., None]
    return np.concatenate([piece * alpha * np.float32(layer.gain), alpha], axis=2)


def _turn(x: Array, y: Array, angle: Array | float) -> tuple[Array, Array]:
    """Rotate (x, y) by −angle."""
    cos, sin = np.cos(angle), np.sin(angle)
    return x * cos + y * sin, y * cos - x * sin


def _fold(values: Map) -> Map:
    """Reshape to rows of 4096, padded with the last value, since OpenCV allows 32767 columns."""
    flat = np.ravel(values)
    rows = -(-flat.size // 4096)
    return np.pad(flat, (0, rows * 4096 - flat.size), mode="edge").reshape(rows, 4096)
