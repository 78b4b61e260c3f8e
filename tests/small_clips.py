"""Small RAW frames and clips for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CameraProfile, CfaPhase, Levels4, RawFrame
from rvdtool.raw.sequence import frame_name

CAMERA = CameraProfile(unique_model="test camera", as_shot_neutral=(0.5, 1.0, 0.6))
BLACK = (60.0, 61.0, 62.0, 63.0)
WHITE = 4000
BITS = 12


def small_frame(
    mosaic: NDArray[np.uint16],
    *,
    phase: CfaPhase = CfaPhase.RGGB,
    black: Levels4 = BLACK,
    white: int = WHITE,
    orientation: int = 1,
) -> RawFrame:
    return RawFrame(mosaic, phase, black, white, BITS, CAMERA, orientation)


def random_mosaic(seed: int, size: tuple[int, int] = (32, 48)) -> NDArray[np.uint16]:
    """Uniform noise from black to white."""
    return np.random.default_rng(seed).integers(max(BLACK), WHITE + 1, size).astype(np.uint16)


def disturbed(mosaic: NDArray[np.uint16], seed: int, by: int = 20) -> NDArray[np.uint16]:
    """The mosaic with ±by added to each value, within 0..WHITE."""
    sign = np.random.default_rng(seed).choice([-by, by], mosaic.shape)
    return np.clip(mosaic + sign, 0, WHITE).astype(np.uint16)


def write_clip(folder: Path, frames: Sequence[RawFrame], stem: str = "clip") -> Path:
    """A folder of DNGs."""
    folder.mkdir()
    for index, frame in enumerate(frames):
        write_dng(frame, folder / frame_name(stem, index))
    return folder


def write_pair(folder: Path, count: int = 4) -> tuple[Path, Path]:
    """A predicted and a true clip; the first frame is the same in both."""
    true = [random_mosaic(seed) for seed in range(count)]
    predicted = [true[0], *(disturbed(mosaic, 100, by=5) for mosaic in true[1:])]
    return (
        write_clip(folder / "predicted", [small_frame(mosaic) for mosaic in predicted]),
        write_clip(folder / "true", [small_frame(mosaic) for mosaic in true]),
    )
