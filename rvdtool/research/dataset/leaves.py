"""Draw dead-leaves pictures: shapes of all sizes that occlude each other.

Their statistics are those of photographs (edges, occlusions, 1/f spectrum), so that image
restoration networks learn from them nearly as well as from photographs. Any number of them can be
drawn, and they have no licence. Lee, Mumford & Huang,
"Occlusion models for natural images" (IJCV 2001); Achddou, Gousseau & Ladjal, "Synthetic images as
a regularity prior for image restoration neural networks" (SSVM 2021).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.research.dataset.pixels import Image, blur, enlarge, shrink

SIZE = (800, 1280)
"""(height, width) of the pictures."""
_OVERSAMPLING = 2
_SMALLEST, _LARGEST = 3.0, 400.0
"""Radii of the shapes in oversampled pixels; their density is proportional to r⁻³."""
_LEAVES = 9000


def draw_leaves(seed: int) -> Image:
    """Draw a picture in linear light, [800, 1280, 3], about 0..1 with a few brighter lights.

    Args:
        seed: each seed gives another picture.
    """
    rng = np.random.default_rng([2001, seed])
    height, width = (side * _OVERSAMPLING for side in SIZE)
    palette = _palette(rng)
    image = np.empty((height, width, 3), np.float32)
    image[:] = palette[0]
    # Each leaf covers those before it. Radii have density ∝ r⁻³ between the limits.
    uniform = rng.uniform(size=_LEAVES)
    radii = (_LARGEST**-2 + uniform * (_SMALLEST**-2 - _LARGEST**-2)) ** -0.5
    # A first layer of large leaves covers the whole picture.
    radii[:60] = rng.uniform(_LARGEST / 3, _LARGEST, 60)
    for radius in radii:
        _add_leaf(image, rng, float(radius), palette)
    image = _defocus(shrink(image, _OVERSAMPLING), rng)
    return np.maximum(image, 0)


def _palette(rng: np.random.Generator) -> NDArray[np.float32]:
    """Ten related colours: a few hues, mostly muted, with a brightness range of four stops."""
    hues = rng.uniform(0, 360, 3)[rng.integers(3, size=10)] + rng.normal(0, 20, 10)
    saturations = np.clip(rng.beta(1.5, 2.5, 10), 0, 0.95)
    hsv = np.stack([hues % 360, saturations, np.ones(10)], axis=-1).astype(np.float32)
    colors = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]
    brightness = 0.18 * 2 ** np.clip(rng.normal(0, 1.3, 10), -3.5, 2.4)
    return np.asarray(colors * brightness[:, None], np.float32)


def _add_leaf(
    image: Image, rng: np.random.Generator, radius: float, palette: NDArray[np.float32]
) -> None:
    """Add a disc, ellipse or rectangle: flat, shaded, striped or rough; one in 200 emits light."""
    height, width = image.shape[:2]
    center = rng.uniform((0, 0), (width, height))
    color = palette[rng.integers(len(palette))] * np.float32(2 ** rng.normal(0, 0.5))
    if rng.uniform() < 0.005:
        color = color / color.max() * np.float32(rng.uniform(1, 4))
    axes = radius * np.array([1, rng.choice([1, rng.uniform(0.15, 1)])])
    angle = rng.uniform(0, 180)
    left, top = np.maximum(np.floor(center - radius * 1.45), 0).astype(int)
    right, bottom = np.ceil(center + radius * 1.45).astype(int) + 1
    place = image[top:bottom, left:right]
    if place.size == 0:
        return
    mask = np.zeros(place.shape[:2], np.uint8)
    at = center - (left, top)
    if rng.uniform() < 0.3:
        box = ((float(at[0]), float(at[1])), (float(2 * axes[0]), float(2 * axes[1])), float(angle))
        cv2.fillConvexPoly(mask, np.rint(cv2.boxPoints(box)).astype(np.int32), 1)
    else:
        whole = tuple(round(float(v)) for v in at), tuple(round(float(v)) for v in axes)
        cv2.ellipse(mask, *whole, angle, 0, 360, 1, -1)
    surface = _surface(rng, (place.shape[0], place.shape[1]), radius)
    inside = mask > 0
    place[inside] = color * surface[inside][:, None]


def _surface(rng: np.random.Generator, size: tuple[int, int], radius: float) -> NDArray[np.float32]:
    """Relative brightness of a leaf's surface, around 1, [H, W]."""
    surface = np.ones(size, np.float32)
    if radius < 12:
        return surface
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32) / np.float32(2 * radius)
    slope = rng.normal(0, 0.4, 2)
    surface *= 1 + np.float32(slope[0]) * (x - 0.5) + np.float32(slope[1]) * (y - 0.5)
    kind = rng.uniform()
    if kind < 0.25:  # stripes
        waves = rng.uniform(2, max(3, radius / 6))
        turn = rng.uniform(0, np.pi)
        phase = (x * np.cos(turn) + y * np.sin(turn)) * np.float32(2 * np.pi * waves)
        surface *= 1 + np.float32(rng.uniform(0.05, 0.5)) * np.sin(phase)
    elif kind < 0.75:  # rough at several scales
        rough = np.zeros(size, np.float32)
        for grain in (1.5, 4, 12):
            small = (max(2, int(size[0] / grain)), max(2, int(size[1] / grain)))
            field = rng.normal(0, 1, (*small, 3)).astype(np.float32)
            rough += enlarge(field, size)[..., 0] * np.float32(rng.uniform(0, 0.25))
        surface *= np.exp(np.clip(rough, -1.5, 1.5))
    return np.maximum(surface, np.float32(0.02))


def _defocus(image: Image, rng: np.random.Generator) -> Image:
    """Blur a part of the picture like a lens that is out of focus there."""
    if rng.uniform() < 0.4:
        return image
    field = rng.normal(0, 1, (4, 6, 3)).astype(np.float32)
    share = np.clip(0.5 + 1.5 * enlarge(field, SIZE)[..., :1], 0, 1)
    return np.asarray(image + share * (blur(image, float(rng.uniform(1, 5))) - image), np.float32)
