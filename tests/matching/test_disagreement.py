"""Differences of content between RAW and frame are found; the camera's processing is ignored."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from rvdtool.matching.disagreement import disagreement
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from rvdtool.raw.read import read_raw
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.source import open_source

EXAMPLE = Path(__file__).parents[2] / "examples" / "nokia_n900"
Rgb8 = NDArray[np.uint8]


@pytest.fixture(scope="module")
def frame() -> Rgb8:
    """Frame 0 of the example: a dog on grass."""
    source = open_source(EXAMPLE / "video.mp4")
    return next(read_frames(source, probe(source))).rgb


@pytest.fixture(scope="module")
def raw() -> RawFrame:
    return read_raw(EXAMPLE / "first.dng")


def local_tone(rgb: Rgb8) -> Rgb8:
    """Raise shadows locally."""
    light = cv2.GaussianBlur(rgb.mean(2).astype(np.float32), (0, 0), 25) / 255
    return to_codes(rgb * (0.35 / light)[..., None] ** 0.4)


def strong_local_tone(rgb: Rgb8) -> Rgb8:
    """Compress large and small contrasts alike, as some phones do."""
    light = cv2.GaussianBlur(rgb.mean(2).astype(np.float32), (0, 0), 8) / 255
    return to_codes(rgb * (0.35 / light)[..., None] ** 1.3)


def to_codes(values: NDArray[np.floating]) -> Rgb8:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def sharpened(rgb: Rgb8) -> Rgb8:
    soft = cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), 1.5)
    return to_codes(rgb + 1.5 * (rgb - soft))


def coarse_chroma(rgb: Rgb8) -> Rgb8:
    yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    yuv[..., 1:] = cv2.GaussianBlur(yuv[..., 1:], (0, 0), 2)
    return np.asarray(cv2.cvtColor(yuv, cv2.COLOR_YCrCb2RGB), np.uint8)


def shaded(rgb: Rgb8) -> Rgb8:
    y, x = np.mgrid[-1:1:288j, -1:1:432j]
    return to_codes(rgb * np.sqrt(1 - 0.25 * (x * x + y * y))[..., None])


def noisy(rgb: Rgb8) -> Rgb8:
    return to_codes(rgb + np.random.default_rng(0).normal(0, 10, rgb.shape))


ISPS: dict[str, Callable[[Rgb8], Rgb8]] = {
    "as it is": lambda rgb: rgb,
    "local tone": local_tone,
    "strong local tone": strong_local_tone,
    "sharpened": sharpened,
    "chroma": coarse_chroma,
    "shading": shaded,
    "noise": noisy,
    "two pixels off": lambda rgb: np.pad(rgb, ((1, 0), (2, 0), (0, 0)), "edge")[:-1, :-2],
    "overexposed": lambda rgb: to_codes(rgb * 1.5),
    "dark": lambda rgb: to_codes(rgb * 0.3),
    "grey": lambda rgb: np.repeat(rgb[..., 1:2], 3, -1),
    "contrast": lambda rgb: to_codes(255 * (rgb / 255) ** 2),
    "reversed highlights": lambda rgb: to_codes(128 + 100 * np.sin(rgb / 255 * 1.5 * np.pi)),
}


@pytest.mark.parametrize("isp", ISPS.values(), ids=ISPS)
def test_the_cameras_processing_is_not_a_disagreement(
    frame: Rgb8, raw: RawFrame, isp: Callable[[Rgb8], Rgb8]
) -> None:
    assert disagreement(isp(frame), raw).max() < 0.5


@pytest.mark.parametrize("size", [(120, 90), (54, 40)])
@pytest.mark.parametrize("color", [(120, 120, 120), (200, 150, 120), (160, 60, 50)])
@pytest.mark.parametrize("at", [(90, 230), (150, 60)])
def test_an_object_in_one_frame_is_found_and_nothing_else(
    frame: Rgb8, raw: RawFrame, size: tuple[int, int], color: tuple[int, ...], at: tuple[int, int]
) -> None:
    shown = frame.copy()
    rows, columns = (slice(a, a + s) for a, s in zip(at, size, strict=True))
    shown[rows, columns] = color
    mask = disagreement(shown, raw)
    assert (mask[rows, columns] > 0.5).mean() > 0.85
    beyond = np.ones(mask.shape, bool)
    beyond[max(0, rows.start - 12) : rows.stop + 12, columns.start - 12 : columns.stop + 12] = False
    assert (mask[beyond] > 0.5).mean() < 0.02


def test_a_differing_half_does_not_affect_the_other_half(frame: Rgb8, raw: RawFrame) -> None:
    """The left half shows the scene mirrored, so it has the same colours and textures."""
    shown = frame.copy()
    shown[:, :216] = frame[::-1, 432:215:-1]
    mask = disagreement(shown, raw) > 0.5
    assert mask[:, :200].mean() > 0.6
    assert mask[:, 232:].mean() < 0.02


def test_an_object_only_in_the_raw_is_found_on_a_flat_wall() -> None:
    """Without structure in the video, only the colours of wall and object differ."""
    y, x = np.mgrid[:240, :320] / 320
    light = np.stack([0.25 + 0.1 * x, 0.25 + 0.1 * y, 0.3 - 0.1 * x], -1)
    light += (
        0.05
        * np.random.default_rng(1).random((60, 80, 3)).repeat(4, 0).repeat(4, 1)
        * (x[..., None] < 0.4)
    )
    shown = to_codes(255 * light**0.45)
    light[80:160, 180:240] *= (0.7, 0.4, 0.25)
    cell = np.indices((240, 320)).sum(0) - np.indices((240, 320))[1] % 2
    color = np.where(cell % 2 == 0, 0, 1)
    color[0::2, 0::2], color[0::2, 1::2], color[1::2, 0::2], color[1::2, 1::2] = 0, 1, 1, 2
    values = np.take_along_axis(light, color[..., None], -1)[..., 0]
    mosaic = np.rint(64 + values * 900).astype(np.uint16)
    raw = RawFrame(mosaic, CfaPhase.RGGB, (64.0,) * 4, 1023, 10, CameraProfile("x", (1, 1, 1)))
    mask = disagreement(shown, raw) > 0.5
    assert mask[80:160, 180:240].mean() > 0.85
    mask[70:170, 170:250] = False
    assert mask.mean() < 0.02


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (31, 47), (45, 1285)])
@pytest.mark.parametrize("level", [0, 400, 1023])
@pytest.mark.parametrize("code", [0, 90, 255])
def test_every_size_and_level_gives_a_mask(size: tuple[int, int], level: int, code: int) -> None:
    """Flat pictures on both sides: nothing shows that they differ."""
    mosaic = np.full(size, level, np.uint16)
    profile = CameraProfile("x", (1, 1, 1))
    raw = RawFrame(mosaic, CfaPhase.GBRG, (64.0,) * 4, 1023, 10, profile)
    mask = disagreement(np.full((*size, 3), code, np.uint8), raw)
    assert (mask.shape, mask.dtype) == (size, np.float32)
    assert (mask == 0).all()
