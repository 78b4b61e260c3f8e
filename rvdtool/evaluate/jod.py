"""How visible a difference is over time: ColorVideoVDP, by its authors' package.

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
"""[H, W, 3], display values of sRGB, 0..1."""

DISPLAY = "standard_4k"
"""A 30-inch monitor of 3840×2160 pixels and 200 cd/m², seen from twice its height."""

RATE = 24.0
"""Frames per second, for all clips: folders of RAW frames needn't have a rate."""


class Visibility:
    """Measures clips in JOD (just-objectionable differences): 10 is no visible difference, and of
    two clips that are 1 JOD apart, 75 % of observers prefer the better one."""

    def __init__(self) -> None:
        """Load the metric.

        Raises:
            ImportError: its package isn't installed, see `is_installed`.
        """
        self._metric: Any = _package().cvvdp(display_name=DISPLAY, device=_cpu(), quiet=True)

    def __call__(self, pair: Callable[[int], tuple[DisplayRgb, DisplayRgb]], count: int) -> float:
        """JOD of a clip; its frames are asked for one after the other, and few are kept.

        Args:
            pair: index from 0 → the predicted and the true frame.
            count: number of frames.
        """
        value, _ = self._metric.predict_video_source(_Source(pair, count, self._metric))
        return float(value)


def is_installed() -> bool:
    """Whether `Visibility` can be used."""
    return find_spec("pycvvdp") is not None


class _Source:
    """A clip as the package asks for it."""

    def __init__(
        self, pair: Callable[[int], tuple[DisplayRgb, DisplayRgb]], count: int, metric: Any
    ) -> None:
        self._pair = lru_cache(maxsize=1)(pair)
        self._count = count
        self._photometry = metric.display_photometry

    def get_video_size(self) -> tuple[int, int, int]:
        """Height, width, number of frames."""
        height, width = self._pair(0)[0].shape[:2]
        return height, width, self._count

    def get_frames_per_second(self) -> float:
        """The rate."""
        return RATE

    def get_batch_size(self) -> int:
        """Clips measured at once."""
        return 1

    def get_test_frame(self, frame: int, device: Any, colorspace: str) -> Any:
        """A predicted frame, a tensor [1, 3, 1, H, W] in the wanted colours."""
        return self._shown(self._pair(frame)[0], device, colorspace)

    def get_reference_frame(self, frame: int, device: Any, colorspace: str) -> Any:
        """The true frame, likewise."""
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
    """The package, which needs torchvision for a blur."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        # torchvision's compiled operators are for another build of PyTorch than the one here: PyPI
        # has only CUDA's for Linux. The blur needs none of them, but torchvision can't be imported
        # as long as the two of them that it describes in Python aren't declared.
        import torch

        for name in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{name}", "(Tensor dets, Tensor scores, float threshold) -> Tensor"
            )
    import pycvvdp

    return pycvvdp
