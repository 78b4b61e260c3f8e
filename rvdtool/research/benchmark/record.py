"""Files with measured figures, one per method and video, from which the benchmark resumes.

<results>/scores/full/<method>/<video>.json         at full size; those at half size are in `half`
<results>/scores/full/<method>/<video>.<index>.npy  error map of one frame
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from rvdtool.errors import InputError, OutputError
from rvdtool.evaluate.metrics import Scores
from rvdtool.files import describe, write_beside
from rvdtool.npy import map_array
from rvdtool.raw.frame import Mosaic, RawFrame
from rvdtool.research.benchmark.method import Values

SCORES = "scores"
MAP_WIDTH = 480
"""Approximate width in pixels of stored error maps."""

ErrorMap = NDArray[np.float32]
"""Mean |error| of the photosites of each pixel, normalised to white − black, [h, w]."""


class FrameRecord(BaseModel):
    """One frame's figures; see `rvdtool.evaluate.metrics.Scores`.

    A PSNR is None if the prediction equals the truth (infinite). `delta_e` is the mean CIEDE2000
    after each edit, None if that wasn't measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    seconds: float
    psnr: float | None
    ssim: float
    psnr_paper: float | None
    ssim_paper: float
    delta_e: dict[str, float] | None = None

    @classmethod
    def of(
        cls,
        index: int,
        seconds: float,
        scores: Scores,
        delta_e: dict[str, float] | None = None,
    ) -> "FrameRecord":
        """Make a record from a frame's scores."""
        psnr, published = (
            value if np.isfinite(value) else None for value in (scores.psnr, scores.psnr_paper)
        )
        return cls(
            index=index,
            seconds=seconds,
            psnr=psnr,
            ssim=scores.ssim,
            psnr_paper=published,
            ssim_paper=scores.ssim_paper,
            delta_e=delta_e,
        )


class Record(BaseModel):
    """One method's figures on one video.

    Attributes:
        key: all that the figures depend on; they are stale when it changes.
        machine: description of the machine.
        metadata_bytes: bytes of RAW that the method needs per frame.
        parts: bytes of what a `Codec` stored of the clip, by kind.
        encode_seconds: processor seconds that this took.
        frames: the frames' figures, by index.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: dict[str, str]
    machine: str
    metadata_bytes: float
    parts: dict[str, int] = {}
    encode_seconds: float = 0.0
    frames: tuple[FrameRecord, ...]


@dataclass(frozen=True)
class Place:
    """The files with one method's figures on one video."""

    results: Path
    method: str
    video: str
    half: bool

    def read(self, key: Mapping[str, str]) -> Record | None:
        """Read the stored figures; None if there are none with this key."""
        try:
            record = Record.model_validate_json(self._path("json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        except OSError as error:
            raise OutputError(f"{self._path('json')}: can't be read: {describe(error)}") from error
        return record if record.key == dict(key) else None

    def write(self, record: Record) -> None:
        """Store figures.

        Raises:
            OutputError: the file can't be written.
        """
        with self._open("json") as file:
            file.write(record.model_dump_json(indent=1).encode() + b"\n")

    def has_error_map(self, index: int) -> bool:
        """Whether the error map of a frame is stored."""
        return self._path(f"{index}.npy").exists()

    def read_error_map(self, index: int) -> ErrorMap:
        """Read a frame's error map.

        Raises:
            OutputError: the file is missing or damaged.
        """
        path = self._path(f"{index}.npy")
        try:
            return np.array(map_array(path), np.float32)
        except InputError as error:
            raise OutputError(f"{error}; remove it and run again") from error

    def write_error_map(self, index: int, error: ErrorMap) -> None:
        """Store a frame's error map.

        Raises:
            OutputError: the file can't be written.
        """
        with self._open(f"{index}.npy") as file:
            np.save(file, error.astype(np.float16))

    def _path(self, suffix: str) -> Path:
        size = "half" if self.half else "full"
        return self.results / SCORES / size / self.method / f"{self.video}.{suffix}"

    def _open(self, suffix: str) -> AbstractContextManager[BinaryIO]:
        path = self._path(suffix)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path.parent}: can't be made: {describe(error)}") from error
        return write_beside(path, overwrite=True)


def error_map(values: Values | Mosaic, true: RawFrame) -> ErrorMap:
    """Error map of a prediction (DN, [H, W]), about `MAP_WIDTH` pixels wide."""
    height, width = true.size
    span = true.white - np.array(true.black, np.float32).reshape(2, 2)
    spans = np.tile(span, (height // 2 + 1, width // 2 + 1))[:height, :width]
    error = np.abs(values.astype(np.float32) - true.mosaic) / spans
    if width <= MAP_WIDTH:
        return error
    size = (MAP_WIDTH, round(MAP_WIDTH * height / width))
    return np.asarray(cv2.resize(error, size, interpolation=cv2.INTER_AREA), np.float32)
