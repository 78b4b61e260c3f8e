"""Typed wrappers of OpenCV's functions for float32 pictures."""

from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rvdtool.research.dataset.color import LUMA

Image = NDArray[np.float32]
"""A picture with channels, [H, W, 3] or [H, W, 4]."""

Plane = NDArray[np.float32]
"""A picture with one channel, [H, W]."""

_INTERPOLATION = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
_BORDER = {"mirror": cv2.BORDER_REFLECT_101, "empty": cv2.BORDER_CONSTANT}


def sample(
    texture: Image,
    x: Plane,
    y: Plane,
    interpolation: Literal["linear", "cubic"],
    border: Literal["mirror", "empty"],
) -> Image:
    """Sample `texture` at (x, y); integers are pixel centres."""
    return cast(
        Image,
        cv2.remap(texture, x, y, _INTERPOLATION[interpolation], borderMode=_BORDER[border]),
    )


def split_alpha(image: Image) -> tuple[Image, Image]:
    """Split [H, W, 4] into colour and alpha, both contiguous [H, W, 3] for fast blending."""
    alpha = cv2.cvtColor(cv2.extractChannel(image, 3), cv2.COLOR_GRAY2RGB)
    return cast(Image, cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)), cast(Image, alpha)


def mix(image: Image, matrix: ArrayLike) -> Image:
    """Multiply each pixel's colour (a column vector) by a matrix."""
    return cast(Image, cv2.transform(image, np.asarray(matrix, np.float32)))


def luminance(image: Image) -> Plane:
    """BT.709 luminance [H, W]."""
    return mix(image, LUMA[None, :])


def blur(image: Image, sigma: float) -> Image:
    """Gaussian blur, sigma in pixels."""
    return cast(Image, cv2.GaussianBlur(image, (0, 0), sigma))


def filter_with(image: Plane, kernel: ArrayLike) -> Plane:
    """Correlate with a small kernel; mirroring at the borders keeps a mosaic's phase."""
    return cast(
        Plane,
        cv2.filter2D(image, -1, np.asarray(kernel, np.float32), borderType=cv2.BORDER_REFLECT_101),
    )


def bilateral(image: Plane, diameter: int, value_sigma: float, space_sigma: float) -> Plane:
    """Bilateral filter: edge-preserving blur."""
    return cast(Plane, cv2.bilateralFilter(image, diameter, value_sigma, space_sigma))


def enlarge(image: Image, size: tuple[int, int]) -> Image:
    """Enlarge to (height, width), bilinearly."""
    return cast(Image, cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR))


def shrink(image: Image, factor: float) -> Image:
    """Divide both sides by `factor`, averaging areas, which in linear light is a coarser sensor."""
    if factor == 1:
        return image
    size = (max(1, round(image.shape[1] / factor)), max(1, round(image.shape[0] / factor)))
    return cast(Image, cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def saturate(image: Image, factor: float) -> Image:
    """Scale colour around luminance."""
    return mix(image, np.outer(np.ones(3), LUMA) * (1 - factor) + np.eye(3) * factor)
