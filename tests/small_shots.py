"""Scenes, RAW frames and sRGB frames of an invented camera, small enough for every test."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.capture.pack import pack
from rvdtool.raw.bayer import color_index, denormalise
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from rvdtool.video.encode import encode_video, write_png

Array = NDArray[np.float32]

SIZE = (96, 128)
BLACK = (64.0, 65.0, 66.0, 64.5)
WHITE = 4000
BITS = 12
NOISE = 0.002
RATE = Fraction(25)
CAMERA = CameraProfile(
    unique_model="Acme Filmer 3000",
    as_shot_neutral=(0.5, 1.0, 0.625),
    color_matrix=((0.75, -0.25, -0.07), (-0.5, 1.25, 0.2), (-0.06, 0.15, 0.5)),
)
# Camera RGB → linear sRGB: white balance and a colour matrix whose rows sum to the balance.
COLOR = np.array([[2.4, -0.3, -0.1], [-0.3, 1.5, -0.2], [0.0, -0.5, 2.1]], np.float32)


def texture(size: tuple[int, int], seed: int) -> Array:
    """Linear camera RGB [H, W, 3], about 0.05..0.4: smooth, but with detail everywhere."""
    rng = np.random.default_rng(seed)
    result = np.zeros((*size, 3), np.float32)
    for sigma, strength in ((1.5, 0.4), (4, 0.6), (16, 1.0)):
        layer = rng.normal(0, 1, (*size, 3)).astype(np.float32)
        layer = cv2.GaussianBlur(layer, (0, 0), sigma)
        grey = layer.mean(axis=2, keepdims=True)
        layer = grey + 0.4 * (layer - grey)
        result += strength * layer / layer.std()
    result -= result.min()
    return 0.05 + 0.35 * result / result.max()


def pan(
    count: int,
    *,
    size: tuple[int, int] = SIZE,
    step: tuple[float, float] = (1.25, -0.75),
    seed: int = 1,
) -> list[Array]:
    """A camera that moves over a texture by `step` = (dx, dy) pixels a frame; see `texture`."""
    height, width = size
    margin = 8 + int(count * max(abs(step[0]), abs(step[1])))
    wide = texture((height + 2 * margin, width + 2 * margin), seed)
    frames = []
    for index in range(count):
        move = np.array(
            [[1, 0, margin + index * step[0]], [0, 1, margin + index * step[1]]], np.float32
        )
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        frames.append(cv2.warpAffine(wide, move, (width, height), flags=flags))
    return frames


def render(linear: Array, gain: float = 1.0) -> NDArray[np.uint8]:
    """A pointwise ISP: colour matrix, BT.709's curve, 8 bits."""
    light = np.clip(gain * linear @ COLOR.T, 0, 1)
    coded = np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)
    return np.rint(255 * coded).astype(np.uint8)


def mosaic(linear: Array, phase: CfaPhase = CfaPhase.RGGB) -> Array:
    """The noise-free normalised mosaic of a scene, [H, W]."""
    index = color_index(phase, (linear.shape[0], linear.shape[1]))
    return np.ascontiguousarray(np.take_along_axis(linear, index[..., None], axis=2)[..., 0])


def raw_frame(
    linear: Array, phase: CfaPhase = CfaPhase.RGGB, *, noise: float = NOISE, seed: int = 0
) -> RawFrame:
    """The RAW frame of a scene, with white noise of standard deviation `noise` (normalised)."""
    grain = np.random.default_rng(seed).normal(0, noise, linear.shape[:2]).astype(np.float32)
    values = denormalise(mosaic(linear, phase) + grain, BLACK, WHITE)
    return RawFrame(values, phase, BLACK, WHITE, BITS, CAMERA)


def make_bundle(
    folder: Path, scenes: Sequence[Array], *, name: str = "clip", png: bool = False, **raw: Any
) -> Path:
    """`<folder>/<name>.rvd` of a clip, as a lossless video or as a folder of PNGs."""
    folder.mkdir(exist_ok=True)
    first = folder / "first.dng"
    write_dng(raw_frame(scenes[0], **raw), first)
    if png:
        video = folder / name
        video.mkdir()
        for index, scene in enumerate(scenes):
            write_png(render(scene), video / f"{index:04d}.png")
        return pack(video, first, rate=RATE)
    video = folder / f"{name}.mkv"
    encode_video((render(scene) for scene in scenes), video, rate=RATE, codec="ffv1")
    return pack(video, first)


def psnr(estimate: NDArray[Any], true: NDArray[Any], peak: float = 1.0) -> float:
    difference = np.asarray(estimate, np.float64) - np.asarray(true, np.float64)
    return float(10 * np.log10(peak**2 / np.mean(difference**2)))
