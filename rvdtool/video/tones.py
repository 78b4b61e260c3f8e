"""Predict from two video frames how much a RAW of one helps to reconstruct the other.

Works without torch and OpenCV, so that a camera can use it. The two constants were fitted to the
true errors of 25 clips of RVD-Sim's phones (docs/method/plan.md).
"""

import numpy as np
from numpy.typing import NDArray

from rvdtool.video.frame import Rgb

Tones = NDArray[np.float32]
"""Share of a frame's pixels at each of 32 levels of red, green and blue, [96]; the sum is 1."""

PER_DECADE, PER_TONES = 3.0, 25.0
"""Loss in dB for each tenfold distance + 1, and for a frame without any of the RAW's tones."""
_LEVELS = 32
_PIXELS = 20_000
"""Approximate number of pixels counted; more make no difference."""


def tones(rgb: Rgb) -> Tones:
    """The tones of a frame.

    Args:
        rgb: uint8 or uint16 [H, W, 3], in full range.
    """
    step = max(1, round((rgb.shape[0] * rgb.shape[1] / _PIXELS) ** 0.5))
    sampled = rgb[::step, ::step] >> (8 * rgb.itemsize - 5)
    counts = [np.bincount(sampled[..., channel].ravel(), minlength=_LEVELS) for channel in range(3)]
    return (np.concatenate(counts) / sampled.size).astype(np.float32)


def loss(frames: NDArray[np.intp], one: NDArray[np.float32], other: Tones) -> NDArray[np.float32]:
    """Expected loss of PSNR in dB, compared with the RAW's own frame.

    Args:
        frames: distance of each frame from the RAW's, in frames, [N].
        one: their tones, [N, 96].
        other: the tones of the RAW's frame, [96].
    """
    difference = np.abs(one - other).sum(axis=-1) / 2
    far = np.log10(1 + np.abs(frames))
    return np.asarray(PER_DECADE * far + PER_TONES * difference, np.float32)
