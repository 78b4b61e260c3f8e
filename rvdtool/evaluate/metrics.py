"""Measures how close a reconstructed RAW frame is to the true one, by PSNR and SSIM.

There are two protocols (`Scores`), whose results can't be compared with each other:

- **ours** measures light: normalised values, 0 at black and 1 at white;
- **paper** reproduces the evaluation code of "Leveraging Frame Affinity for sRGB-to-RAW Video
  De-rendering" (CVPR 2024), so that results can be compared with that paper's tables.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import MismatchError, UsageError
from rvdtool.raw.bayer import PLANES, normalise
from rvdtool.raw.frame import Mosaic, RawFrame

Image = NDArray[np.floating[Any]]

WINDOW = 7
"""Side of the SSIM window, which is uniform as in the published code and scikit-image's default."""

BAND = 256
"""Rows of windows that SSIM processes at a time. This limits memory and doesn't affect results."""

PUBLISHED_SSIM_RANGE = 2.0
"""Data range of the paper's SSIM. The published code doesn't set one, so scikit-image 0.17 used the
data type's range, −1..1 for floats. That makes C1 and C2 four times as large and raises every SSIM.
"""


@dataclass(frozen=True)
class Scores:
    """Similarity of a frame to the truth, under both protocols.

    Attributes:
        psnr: PSNR in dB of the mosaic, normalised to (DN − black) / (white − black), peak 1; inf if
            equal.
        ssim: mean SSIM of the planes R, Gr, Gb, B of the normalised frame, data range 1.
        psnr_paper: PSNR in dB of the mosaic, as DN / (2^bits − 1), peak 1; inf if equal.
        ssim_paper: SSIM of the mosaic, as DN / (2^bits − 1), data range 2, which makes it too high.
    """

    psnr: float
    ssim: float
    psnr_paper: float
    ssim_paper: float


def psnr(predicted: Image, true: Image, *, peak: float) -> float:
    """Peak signal-to-noise ratio in dB: 10 · log10(peak² / mean squared error); inf if equal.

    Args:
        predicted, true: float arrays of the same shape, in the same unit.
        peak: largest value of that unit (1 for normalised values).

    Raises:
        MismatchError: the shapes differ.
    """
    _require_same_shape(predicted, true)
    error = float(np.mean(np.square(predicted.astype(np.float64) - true)))
    return 10 * math.log10(peak**2 / error) if error > 0 else math.inf


def ssim(predicted: Image, true: Image, *, data_range: float) -> float:
    """Structural similarity (Wang et al. 2004): mean over all complete 7×7 windows; 1 if equal.

    Uses a uniform window and the sample covariance, as `skimage.metrics.structural_similarity` does
    by default, in float64.

    Args:
        predicted, true: float [H, W] of the same shape, at least 7×7, in the same unit.
        data_range: range of that unit's values (1 for normalised values). It scales the constants
            C1 = (0.01 · data_range)² and C2 = (0.03 · data_range)².

    Raises:
        MismatchError: the shapes differ.
        UsageError: the images are smaller than a window.
    """
    from skimage.metrics import structural_similarity

    _require_same_shape(predicted, true)
    if min(true.shape) < WINDOW:
        raise UsageError(
            f"SSIM needs an image of at least {WINDOW}×{WINDOW} (a frame of twice that); "
            f"got {true.shape[0]}×{true.shape[1]}"
        )
    windows = true.shape[0] - WINDOW + 1
    total = 0.0
    for top in range(0, windows, BAND):
        count = min(BAND, windows - top)
        rows = slice(top, top + count + WINDOW - 1)
        total += count * structural_similarity(
            true[rows].astype(np.float64),
            predicted[rows].astype(np.float64),
            win_size=WINDOW,
            data_range=data_range,
        )
    return float(total / windows)


def score(predicted: RawFrame, true: RawFrame) -> Scores:
    """Score a frame under both protocols.

    The published code truncates its float prediction to uint16 before scoring. A `RawFrame` already
    holds integers, so this isn't repeated here. The number of bits is the true frame's.

    Raises:
        MismatchError: size, CFA phase, black or white level differ; the message gives both.
        UsageError: the frames are smaller than 14×14.
    """
    _require_comparable(predicted, true)
    return Scores(*_ours(predicted.mosaic, true), *_paper(predicted.mosaic, true))


def score_values(values: NDArray[np.floating[Any]] | Mosaic, true: RawFrame) -> Scores:
    """Score a prediction that hasn't been rounded to integers, by each protocol's rule.

    The paper's protocol truncates it, ours rounds it; both clip it to 0..2^bits − 1.

    Args:
        values: predicted DN, [H, W].
        true: the true frame.

    Raises:
        MismatchError: the size differs, or the prediction isn't finite.
        UsageError: the frames are smaller than 14×14.
    """
    if values.shape != true.size:
        raise MismatchError(
            f"a prediction of {values.shape} can't be compared with a frame of {true.size}"
        )
    if not np.isfinite(values).all():
        raise MismatchError("a prediction that holds NaN or infinity can't be scored")
    if values.dtype == np.uint16:
        rounded = truncated = values.astype(np.uint16)
    else:
        inside = np.clip(values, 0, 2**true.bits - 1)
        rounded, truncated = np.rint(inside).astype(np.uint16), inside.astype(np.uint16)
    return Scores(*_ours(rounded, true), *_paper(truncated, true))


def _ours(mosaic: Mosaic, true: RawFrame) -> tuple[float, float]:
    """PSNR and SSIM under our protocol."""
    values = [normalise(one, true.black, true.white) for one in (mosaic, true.mosaic)]
    # For any phase, the four positions in the cell are the four planes.
    planes = [(values[0][y::2, x::2], values[1][y::2, x::2]) for y, x in PLANES]
    similar = np.mean([ssim(*pair, data_range=1) for pair in planes])
    return psnr(*values, peak=1), float(similar)


def _paper(mosaic: Mosaic, true: RawFrame) -> tuple[float, float]:
    """PSNR and SSIM under the paper's protocol."""
    full_scale = np.float64(2**true.bits - 1)
    values = [one / full_scale for one in (mosaic, true.mosaic)]
    return psnr(*values, peak=1), ssim(*values, data_range=PUBLISHED_SSIM_RANGE)


def _require_same_shape(predicted: Image, true: Image) -> None:
    if predicted.shape != true.shape:
        raise MismatchError(
            f"images to compare must have the same shape; got {predicted.shape} and {true.shape}"
        )


def _require_comparable(predicted: RawFrame, true: RawFrame) -> None:
    """Refuse frames that differ in scale or grid. Black levels may differ by 0.01 DN (rounding)."""
    same_black = np.allclose(predicted.black, true.black, rtol=0, atol=0.01)
    facts = [
        ("size", _size(predicted), _size(true), predicted.size == true.size),
        ("CFA phase", predicted.phase.value, true.phase.value, predicted.phase == true.phase),
        ("black level", _levels(predicted), _levels(true), same_black),
        ("white level", predicted.white, true.white, predicted.white == true.white),
    ]
    differences = [
        f"{name} {left} against {right}" for name, left, right, same in facts if not same
    ]
    if differences:
        raise MismatchError(
            f"{' and '.join(differences)}; only frames on the same scale and grid can be compared"
        )


def _size(frame: RawFrame) -> str:
    return f"{frame.size[1]}×{frame.size[0]}"


def _levels(frame: RawFrame) -> str:
    return ", ".join(f"{level:g}" for level in frame.black)
