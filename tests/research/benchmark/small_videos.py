"""Small RVD folders: an invented camera that pans over a texture, rendered pixel by pixel."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.bayer import color_index, denormalise
from rvdtool.raw.frame import CfaPhase
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.dataset.rvd import (
    RvdVideo,
    RvdWriter,
    VideoCamera,
    frame_names,
    open_rvd,
    write_frame_raw,
    write_frame_srgb,
)

SIZE = (96, 128)
BLACK = (64.0, 65.0, 66.0, 64.5)
WHITE = 4000
BITS = 12
NOISE = 0.002
COLOR = np.array([[2.4, -0.3, -0.1], [-0.3, 1.5, -0.2], [0.0, -0.5, 2.1]], np.float32)
"""Camera RGB → linear sRGB."""


def camera(phase: CfaPhase = CfaPhase.RGGB) -> VideoCamera:
    return VideoCamera(
        bits=BITS, black=BLACK, white=WHITE, phase=phase, name="Test", neutral=(0.5, 1.0, 0.6)
    )


def scene(size: tuple[int, int], at: tuple[float, float], seed: int) -> NDArray[np.float32]:
    """Linear camera RGB [H, W, 3], 0.05..0.4, seen from `at` = (x, y)."""
    rng = np.random.default_rng(seed)
    wide = np.zeros((size[0] + 64, size[1] + 64, 3), np.float32)
    for sigma, strength in ((1.5, 0.4), (4, 0.6), (16, 1.0)):
        layer = cv2.GaussianBlur(rng.normal(0, 1, wide.shape).astype(np.float32), (0, 0), sigma)
        layer = 0.6 * layer.mean(axis=2, keepdims=True) + 0.4 * layer
        wide += strength * layer / layer.std()
    wide = 0.05 + 0.35 * (wide - wide.min()) / (wide.max() - wide.min())
    move = np.array([[1, 0, 16 + at[0]], [0, 1, 16 + at[1]]], np.float32)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(wide, move, size[::-1], flags=flags)


def render(linear: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A pointwise ISP: colour matrix, BT.709's curve, 8 bits."""
    light = np.clip(linear @ COLOR.T, 0, 1)
    coded = np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)
    return np.rint(255 * coded).astype(np.uint8)


def write_video(
    root: Path,
    name: str = "clip",
    *,
    frames: int = 5,
    step: tuple[float, float] = (1.25, -0.75),
    size: tuple[int, int] = SIZE,
    phase: CfaPhase = CfaPhase.RGGB,
    tags: dict[str, bool] | None = None,
    seed: int = 1,
) -> Path:
    """Add a video to an RVD folder (made if it isn't there)."""
    rng = np.random.default_rng(seed)
    names = frame_names(frames)
    for index, frame in enumerate(names):
        linear = scene(size, (index * step[0], index * step[1]), seed)
        mosaic = np.take_along_axis(linear, color_index(phase, size)[..., None], 2)[..., 0]
        mosaic = mosaic + rng.normal(0, NOISE, size).astype(np.float32)
        write_frame_raw(root, name, frame, denormalise(mosaic, BLACK, WHITE))
        write_frame_srgb(root, name, frame, render(linear))
    RvdWriter(root).finish(RvdVideo(video_name=name, frames=names), camera(phase), tags)
    return root


def open_clip(root: Path, *, half: bool = False) -> BenchmarkClip:
    folder = open_rvd(root)
    return BenchmarkClip(folder, folder.videos[0], half)


def psnr(one: NDArray[Any], two: NDArray[Any], peak: float) -> float:
    difference = np.asarray(one, np.float64) - np.asarray(two, np.float64)
    return float(10 * np.log10(peak**2 / np.mean(difference**2)))
