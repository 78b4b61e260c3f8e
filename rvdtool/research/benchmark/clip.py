"""One video of a data set, at full or half size, with the methods' inputs and the true RAW."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from rvdtool.errors import MismatchError
from rvdtool.raw.frame import Mosaic, RawFrame
from rvdtool.reconstruct.flow import resize_flow
from rvdtool.research.dataset.rvd import Flow, Rgb8, RvdFolder, RvdVideo


@dataclass(frozen=True, eq=False)
class BenchmarkClip:
    """A video, read frame by frame.

    Attributes:
        folder, video: data set and video.
        half: everything is at half size (the paper's "low resolution").
    """

    folder: RvdFolder
    video: RvdVideo
    half: bool = False

    @property
    def name(self) -> str:
        """The video's name."""
        return self.video.video_name

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that the video has in tags.json."""
        return tuple(tag for tag, has in self.folder.tags.get(self.name, {}).items() if has)

    def __len__(self) -> int:
        return len(self.video.frames)

    @property
    def encoded(self) -> Path | None:
        """The video as a camera stored it, video/NAME.* in the data set; None if there is none."""
        folder = self.folder.root / "video"
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        return next((file for file in files if file.stem == self.name), None)

    @cached_property
    def reference(self) -> RawFrame:
        """The first RAW frame; its levels and phase are valid for all frames.

        Raises:
            InputError: the frame is missing or damaged.
        """
        frame = self.folder.read_first(self.video)
        return replace(frame, mosaic=halve_mosaic(frame.mosaic)) if self.half else frame

    def raw(self, index: int) -> RawFrame:
        """The true RAW of a frame.

        Raises:
            InputError: the frame is missing or damaged.
            MismatchError: its size differs from the first frame's.
        """
        mosaic = self._mosaic(index)
        self._require_size("RAW", index, mosaic.shape)
        return self.reference.with_mosaic(mosaic)

    def srgb(self, index: int) -> Rgb8:
        """The sRGB frame, uint8 [H, W, 3].

        Raises:
            InputError: the frame is missing or damaged.
            MismatchError: its size differs from the first RAW frame's.
        """
        picture = self.folder.read_srgb(self.video, index)
        picture = halve_picture(picture) if self.half else picture
        self._require_size("sRGB", index, picture.shape[:2])
        return picture

    @property
    def has_flow(self) -> bool:
        """Whether the data set has flow of this video."""
        return self.folder.flow_path(self.video, 0).exists()

    def flow(self, index: int) -> Flow:
        """Flow from the previous frame to frame `index`, float32 [H, W, 2], pixels (x, y).

        Raises:
            InputError: the file is missing or damaged.
        """
        flow = self.folder.read_flow(self.video, index - 1)
        if self.half:
            height, width = (side // 4 * 4 for side in flow.shape[:2])
            flow = flow[:height, :width]
        return resize_flow(flow, self.reference.size)

    def fingerprint(self) -> str:
        """SHA-256 of the clip's list of frames, camera and first RAW, to identify the clip."""
        digest = hashlib.sha256(self.video.model_dump_json().encode())
        digest.update(self.folder.camera(self.video).model_dump_json().encode())
        digest.update(b"flow" if self.has_flow else b"")
        digest.update(np.ascontiguousarray(self.folder.read_raw(self.video, 0)).data)
        return digest.hexdigest()

    def _mosaic(self, index: int) -> Mosaic:
        mosaic = self.folder.read_raw(self.video, index)
        return halve_mosaic(mosaic) if self.half else mosaic

    def _require_size(self, what: str, index: int, size: tuple[int, ...]) -> None:
        if size != self.reference.size:
            raise MismatchError(
                f"{self.folder.root}: {self.name}, frame {self.video.frames[index]}: {what} has "
                f"{size[1]}×{size[0]} pixels, but the first RAW frame "
                f"{self.reference.size[1]}×{self.reference.size[0]}"
            )


def halve_mosaic(mosaic: Mosaic) -> Mosaic:
    """Halve a mosaic's size in the same CFA phase, by the mean of 2×2 photosites of each colour.

    Rows and columns beyond a multiple of four are left out. (This equals bilinear resizing of the
    packed planes to half size, as in the paper's code.)
    """
    height, width = (side // 4 * 4 for side in mosaic.shape)
    cells = mosaic[:height, :width].reshape(height // 4, 2, 2, width // 4, 2, 2)
    means = cells.mean(axis=(1, 4), dtype=np.float32)  # [rows, y in cell, columns, x in cell]
    return np.rint(means).astype(np.uint16).reshape(height // 2, width // 2)


def halve_picture(picture: Rgb8) -> Rgb8:
    """Halve a picture's size by the mean of 2×2 pixels, for the area that `halve_mosaic` keeps."""
    height, width = (side // 4 * 4 for side in picture.shape[:2])
    cells = picture[:height, :width].reshape(height // 2, 2, width // 2, 2, 3)
    return np.rint(cells.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8)
