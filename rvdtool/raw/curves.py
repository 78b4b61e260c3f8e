"""Encode linear light as code values 0..1 by standard curves, in float arrays of any shape."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Light = NDArray[np.float32]
Float = TypeVar("Float", bound=np.floating[Any])


def encode_srgb(light: NDArray[Float]) -> NDArray[Float]:
    """Encode by sRGB's curve (IEC 61966-2-1), with light clipped to 0..1."""
    light = np.clip(light, 0, 1)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return coded.astype(light.dtype)


def encode_rec709(light: NDArray[np.floating[Any]]) -> Light:
    """Encode by BT.709's curve (ITU-R BT.709), with light clipped to 0..1."""
    light = np.clip(light, 0, 1)
    coded = np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)
    return coded.astype(np.float32)


def encode_acescct(light: NDArray[np.floating[Any]]) -> Light:
    """Encode by ACEScct's curve (Academy S-2016-001), unclipped; its input has AP1 primaries."""
    low = 10.5402377416545 * light + 0.0729055341958355
    high = (np.log2(np.maximum(light, 1e-10)) + 9.72) / 17.52
    return np.where(light <= 0.0078125, low, high).astype(np.float32)
