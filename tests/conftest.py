"""The shot that most tests use: a video, the RAW of its first frame, and their bundle."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from readers import need

from rvdtool.capture.pack import pack
from rvdtool.raw.bayer import color_index
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CameraProfile, CfaPhase, Exposure, RawFrame, Tag
from rvdtool.video.encode import encode_video

SIZE = (48, 64)
FRAMES = 6


@dataclass(frozen=True)
class Shot:
    """Files of a shot. `frame` is the RAW as it was written, `later` the RAW of frame 4, which
    wasn't. Tests change copies only."""

    video: Path
    raw: Path
    bundle: Path
    frame: RawFrame
    later: RawFrame


def scene(index: int) -> NDArray[np.float64]:
    """Linear light [H, W, 3], 0..1: a landscape without symmetry."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] / SIZE[1]
    light = 0.15 + 0.5 * x * y + 0.3 * ((x + index / 200 - 0.3) ** 2 + (y - 0.2) ** 2 < 0.02)
    return np.stack([light, 0.9 * light + 0.02, 0.6 * light + 0.05], -1)


@pytest.fixture(scope="session")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    folder = tmp_path_factory.mktemp("shot")
    video, raw = folder / "clip.mp4", folder / "First Frame.dng"
    encode_video(_frames(), video, rate=Fraction(30000, 1001), crf=12)
    frame = _raw_of(0)
    write_dng(frame, raw)
    return Shot(video, raw, pack(video, raw), frame, _raw_of(4))


def _raw_of(index: int) -> RawFrame:
    light = np.take_along_axis(scene(index), color_index(CfaPhase.GRBG, SIZE)[..., None], 2)[..., 0]
    noise = np.random.default_rng(1).normal(0, 2, SIZE)
    mosaic = np.clip(np.rint(64.25 + light * (1000 - 64.25) + noise), 0, 1023).astype(np.uint16)
    profile = CameraProfile(
        unique_model="Acme Filmer 3000",
        make="Acme",
        model="Filmer 3000",
        as_shot_neutral=(0.5, 1.0, 0.625),
        color_matrix=((0.75, -0.25, -0.07), (-0.5, 1.25, 0.2), (-0.06, 0.15, 0.5)),
        tags=(
            Tag(50723, 10, 9, (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)),
            Tag(50936, 2, 5, "Acme"),
        ),
    )
    exposure = Exposure(time=Fraction(1, 50), iso=200, lens_model="Acme 35mm")
    black = (64.25, 64.0, 64.0, 64.25)
    return RawFrame(mosaic, CfaPhase.GRBG, black, 1023, 10, profile, exposure=exposure)


def _frames() -> Iterator[NDArray[np.uint8]]:
    for index in range(FRAMES):
        yield np.rint(255 * scene(index) ** 0.45).astype(np.uint8)


PROGRAMS = {"ffmpeg": "ffmpeg", "ffprobe": "ffmpeg", "exiftool": "libimage-exiftool-perl"}


@pytest.fixture(scope="session")
def programs() -> None:
    """ffmpeg, ffprobe and exiftool: skip without them, or fail where they are required."""
    for name, package in PROGRAMS.items():
        need(shutil.which(name), f"{name} (apt install {package})")
