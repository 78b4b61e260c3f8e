"""What the inverse ISP sees of an sRGB frame: the columns of its regressions."""

from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.statistics import Array

Rgb = NDArray[np.uint8] | NDArray[np.uint16]

CLIP = 253 / 255
"""Coded value from which a channel counts as clipped: lossy video makes 253…255 of 255."""
RADIUS = 2
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
MIDDLE = np.float32(0.4)
"""Taken from local brightness and distance, so that they lie around 0."""
TONE_SCALES = (8, 32)
"""The local mean brightness is blurred by a Gaussian of sigma = frame height / scale."""
NEAR = (1, 3)
FAR = (1 / 50, 1 / 16)
"""What is around a clipped photosite is blurred by Gaussians of so many pixels, and of so large
shares of the frame's height."""
CONTEXTS = len(TONE_SCALES) + 1
NEIGHBOURS = (2 * RADIUS + 1) ** 2 - 1
COLUMNS = 9 + 3 * NEIGHBOURS + 8 * CONTEXTS
"""Of `design`: coded channels, squares, linear ones (from LINEAR on), neighbours, contexts."""
LINEAR = 6


def linearise(coded: Array) -> Array:
    """Undo BT.709's curve, 0..1 → 0..1. Where the ISP's curve differs, the fit makes up for it."""
    return np.where(coded < 0.081243, coded / 4.5, ((coded + 0.0993) / 1.0993) ** 2.2222).astype(
        np.float32
    )


class Features:
    """What the regression sees of one sRGB frame."""

    def __init__(self, rgb: Rgb) -> None:
        peak = np.iinfo(rgb.dtype).max
        codes = np.arange(peak + 1, dtype=np.float32) / np.float32(peak)
        self.coded: Array = codes[rgb]
        self.linear: Array = linearise(codes)[rgb]
        limit = int(np.ceil(CLIP * peak))
        red, green, blue = (rgb[..., channel] >= limit for channel in range(3))
        self.clipped: NDArray[np.uint8] = (
            red + 2 * green.astype(np.uint8) + 4 * blue.astype(np.uint8)
        )
        self.context = [*self._local_means(), _distance(rgb.shape[0], rgb.shape[1])]

    def _local_means(self) -> list[Array]:
        """Local mean brightness around 0, one [H, W] map per scale."""
        shares = [1 / scale for scale in TONE_SCALES]
        return [mean - MIDDLE for mean in blurred_far(self.coded @ LUMA, 8, shares)]

    @cached_property
    def surroundings(self) -> list[Array]:
        """The linearised channels, blurred, one [H, W, 3] per scale: asked for where clipped."""
        near = [cv2.GaussianBlur(self.linear, (0, 0), sigma) for sigma in NEAR]
        return near + blurred_far(self.linear, 4, FAR)


def blurred_far(image: Array, reduction: int, shares: Sequence[float]) -> list[Array]:
    """An image blurred by Gaussians of so large shares of its height, worked out on a smaller one.

    Args:
        image: [H, W] or [H, W, C].
        reduction: by how much smaller.
        shares: sigma per height.
    """
    height, width = image.shape[:2]
    size = (max(2, width // reduction), max(2, height // reduction))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return [
        cv2.resize(
            cv2.GaussianBlur(small, (0, 0), max(0.5, share * small.shape[0])),
            (width, height),
            interpolation=cv2.INTER_LINEAR,
        )
        for share in shares
    ]


def _distance(height: int, width: int) -> Array:
    """Squared distance to the frame's centre, the corners at 1, around 0: [H, W]."""
    x = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)
    return (x * x + y * y) / (x[-1] ** 2 + y[-1] ** 2) - MIDDLE


def design(features: Features, at: tuple[int, int], keep: NDArray[np.bool_]) -> Array:
    """[samples, columns] of the regression at one CFA position, for the photosites to `keep`."""
    rows, columns = slice(at[0], None, 2), slice(at[1], None, 2)
    linear = features.linear[rows, columns][keep]
    coded = features.coded[rows, columns][keep]
    parts = [coded, coded * coded, linear]
    padded = cv2.copyMakeBorder(
        features.linear, RADIUS, RADIUS, RADIUS, RADIUS, cv2.BORDER_REFLECT_101
    )
    height, width = features.linear.shape[:2]
    for dy in range(2 * RADIUS + 1):
        for dx in range(2 * RADIUS + 1):
            if (dy, dx) != (RADIUS, RADIUS):
                shifted = padded[at[0] + dy : height + dy : 2, at[1] + dx : width + dx : 2]
                parts.append(shifted[keep] - linear)
    for context in features.context:
        m = context[rows, columns][keep][:, None]
        basis = np.concatenate([linear, np.ones_like(m)], axis=1)
        parts += [basis * m, basis * (m * m)]
    return np.concatenate(parts, axis=1)
