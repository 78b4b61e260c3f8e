"""The expected error of a reconstructed frame.

It is computed from the candidates' variances, with a correction that was fitted on RVD-Sim's
validation part (docs/method/reconstruction.md, "The expected error").
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.affinity import Prior
from rvdtool.reconstruct.brightness import block_means
from rvdtool.reconstruct.buffers import empty
from rvdtool.reconstruct.candidates import total_variance_strip
from rvdtool.reconstruct.compiled import in_strips
from rvdtool.reconstruct.statistics import Array

FUSION, NETWORK = (2.1, 2.4), (2.0, 2.0)
"""The result's error in dB above its variances: a constant, and an increase for each tenfold
distance from the reference if the ISP's gain isn't tracked (then the drift of a camera's ISP counts
as a change of light). Fitted to 72 frames of 12 clips."""
DOUBTFUL = 1e-4
"""Expected mean squared error above which a block can count as doubtful: 40 dB."""
LOWEST = 1e-10
"""Lower limit of the expected mean squared error: 100 dB."""
PER_DB = 4
"""Values of a confidence map per dB: 160 is 40 dB, 255 is 63.75 dB or more."""


def expected_error(
    prior: Prior, variance: Array, *, age: int, tracks_gain: bool, by_network: bool
) -> Array:
    """Expected mean squared error of a frame's normalised RAW, by block, [H//8, W//8].

    Args:
        prior: the frame's prior.
        variance: variance of the fusion's predictable error, see `fuse`.
        age: distance to the reference in frames.
        tracks_gain: whether changes of brightness are attributed to the ISP.
        by_network: whether the frame is a network's result.
    """
    candidates = (prior.fit, prior.anchored, prior.previous, prior.warped)
    variances = tuple(candidate.variance for candidate in candidates)
    total = empty(variance.shape)

    def strip(first: int, last: int) -> None:
        total_variance_strip(first, last, variances, prior.fine, variance, total)

    in_strips(total.shape[0], strip)
    start, growth = NETWORK if by_network else FUSION
    decibels = start + (0 if tracks_gain else growth * np.log10(max(age, 1)))
    exposure = np.float32(prior.exposure**2)
    error = block_means(total) * np.float32(10 ** (decibels / 10)) * exposure
    if prior.doubt is not None:
        error += prior.doubt * exposure
    return np.clip(error, LOWEST, 1)


def doubtful(prior: Prior, error: Array) -> float:
    """Fraction of a frame whose expected error is mostly due to changed light, 0..1.

    Args:
        prior: the frame's prior.
        error: its expected error, see `expected_error`.
    """
    if prior.doubt is None:
        return 0.0
    due = prior.doubt * np.float32(prior.exposure**2)
    return float(((error > DOUBTFUL) & (due > error / 2)).mean())


def expected_psnr(error: Array) -> float:
    """Expected PSNR in dB of a frame; the peak is white level − black level.

    Args:
        error: mean squared errors, of any shape.
    """
    return float(-10 * np.log10(max(float(error.mean()), LOWEST)))


def confidence_map(error: Array | None, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Map of the local expected PSNR of a frame: 4 × PSNR in dB, uint8 [H, W].

    0 is 0 dB, 120 is 30 dB, 160 is 40 dB, 255 is 63.75 dB or more.

    Args:
        error: expected error by block, see `expected_error`; None for the camera's own RAW, for
            which all values are 255.
        size: (height, width) of the frame.
    """
    if error is None:
        return np.full(size, 255, np.uint8)
    decibels = -10 * np.log10(np.maximum(error, LOWEST))
    full = cv2.resize(decibels, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.rint(np.clip(PER_DB * full, 0, 255)).astype(np.uint8)
