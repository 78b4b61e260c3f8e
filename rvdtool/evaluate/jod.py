"""Measures how visible a difference is over time by ColorVideoVDP, with its authors' package.

Mantiuk, Hanji, Ashraf, Asano and Chapiro, "ColorVideoVDP: A visual difference predictor for image,
video and display distortions", ACM Transactions on Graphics 43 (SIGGRAPH 2024), article 129.
"""

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

DisplayRgb = NDArray[np.float32]
"""Display values of sRGB, 0..1, [H, W, 3]."""

DISPLAY = "standard_4k"
"""A 30-inch monitor with 3840×2160 pixels and 200 cd/m², viewed from twice its height."""

RATE = 24.0
"""Frames per second assumed for all clips: folders of RAW frames may have no rate."""


class Visibility:
    """Measures the quality of clips in JOD (just-objectionable differences).

    10 means no visible difference. If two clips are 1 JOD apart, 75 % of observers prefer the
    better one.
    """

    def __init__(self) -> None:
        """Load the metric.

        Raises:
            ImportError: its package isn't installed, see `is_installed`.
        """
        self._metric: Any = _package().cvvdp(display_name=DISPLAY, device=_cpu(), quiet=True)

    def __call__(self, pair: Callable[[int], tuple[DisplayRgb, DisplayRgb]], count: int) -> float:
        """JOD of a clip. Its frames are requested in order, and few are kept in memory.

        Args:
            pair: function from an index, counted from 0, to the predicted and the true frame.
            count: number of frames.
        """
        value, _ = self._metric.predict_video_source(_Source(pair, count, self._metric))
        return float(value)


def is_installed() -> bool:
    """Whether the package that `Visibility` needs is installed."""
    return find_spec("pycvvdp") is not None


class _Source:
    """A clip with the interface that the package expects."""

    def __init__(
        self, pair: Callable[[int], tuple[DisplayRgb, DisplayRgb]], count: int, metric: Any
    ) -> None:
        self._pair = lru_cache(maxsize=1)(pair)
        height, width = self._pair(0)[0].shape[:2]
        self._size = height, width, count  # asked for with every frame
        self._photometry = metric.display_photometry

    def get_video_size(self) -> tuple[int, int, int]:
        """Height, width, number of frames."""
        return self._size

    def get_frames_per_second(self) -> float:
        """Frames per second."""
        return RATE

    def get_batch_size(self) -> int:
        """Number of clips measured at once."""
        return 1

    def get_test_frame(self, frame: int, device: Any, colorspace: str) -> Any:
        """A predicted frame as a tensor [1, 3, 1, H, W] in the requested colour space."""
        return self._shown(self._pair(frame)[0], device, colorspace)

    def get_reference_frame(self, frame: int, device: Any, colorspace: str) -> Any:
        """A true frame as a tensor [1, 3, 1, H, W] in the requested colour space."""
        return self._shown(self._pair(frame)[1], device, colorspace)

    def _shown(self, picture: DisplayRgb, device: Any, colorspace: str) -> Any:
        import torch

        values = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
        values = values[None, :, None].to(device)
        return self._photometry.source_2_target_colorspace(values, colorspace)


def _cpu() -> Any:
    import torch

    return torch.device("cpu")


def _package() -> Any:
    """Import the package, which needs torchvision for a blur."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        # torchvision's compiled operators are for another build of PyTorch than the installed one
        # (for Linux, PyPI only has CUDA's). The blur doesn't need them, but torchvision can only be
        # imported if the two operators that it extends in Python are declared.
        import torch

        for name in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{name}", "(Tensor dets, Tensor scores, float threshold) -> Tensor"
            )
    import pycvvdp

    return pycvvdp
