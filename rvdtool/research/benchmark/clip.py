"""One video of an RVD folder, at full or half size: what methods get and what they are held to."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rvdtool.errors import MismatchError
from rvdtool.raw.frame import Mosaic, RawFrame
from rvdtool.reconstruct.flow import resize_flow
from rvdtool.research.dataset.rvd import Flow, Rgb8, RvdFolder, Video


@dataclass(frozen=True, eq=False)
class Clip:
    """A video, read frame by frame.

    Attributes:
        folder, video: where it lies.
        half: everything at half size (the paper's "low resolution").
    """

    folder: RvdFolder
    video: Video
    half: bool = False

    @property
    def name(self) -> str:
        """The video's name."""
        return self.video.video_name

    @property
    def tags(self) -> tuple[str, ...]:
        """Attributes the video has, by tags.json."""
        return tuple(tag for tag, has in self.folder.tags.get(self.name, {}).items() if has)

    def __len__(self) -> int:
        return len(self.video.frames)

    @cached_property
    def reference(self) -> RawFrame:
        """The first RAW frame, with the levels and phase that hold for all.

        Raises:
            InputError: missing or damaged.
        """
        frame = self.folder.read_first(self.video)
        return replace(frame, mosaic=halve_mosaic(frame.mosaic)) if self.half else frame

    def raw(self, index: int) -> RawFrame:
        """The true RAW of a frame.

        Raises:
            InputError: missing or damaged.
            MismatchError: not as large as the first frame.
        """
        mosaic = self._mosaic(index)
        self._require_size("RAW", index, mosaic.shape)
        return self.reference.with_mosaic(mosaic)

    def srgb(self, index: int) -> Rgb8:
        """The sRGB frame, uint8 [H, W, 3].

        Raises:
            InputError: missing or damaged.
            MismatchError: not as large as the first RAW frame.
        """
        picture = self.folder.read_srgb(self.video, index)
        picture = halve_picture(picture) if self.half else picture
        self._require_size("sRGB", index, picture.shape[:2])
        return picture

    @property
    def has_flow(self) -> bool:
        """Whether the folder has flow of this video."""
        return self.folder.flow_path(self.video, 0).exists()

    def flow(self, index: int) -> Flow:
        """Flow from the frame before to frame `index`, float32 [H, W, 2], pixels (x, y).

        Raises:
            InputError: missing or damaged.
        """
        flow = self.folder.read_flow(self.video, index - 1)
        if self.half:
            height, width = (side // 4 * 4 for side in flow.shape[:2])
            flow = flow[:height, :width]
        return resize_flow(flow, self.reference.size)

    def fingerprint(self) -> str:
        """SHA-256 of what tells this clip from others: its index, its camera, its first RAW."""
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
    """Half the size in the same CFA phase: each photosite is the mean of 2×2 of its own colour.

    Rows and columns beyond a multiple of four are left out. (Bilinear resizing of the packed
    planes to half, which is how the paper's code makes pictures smaller, is that mean.)
    """
    height, width = (side // 4 * 4 for side in mosaic.shape)
    cells = mosaic[:height, :width].reshape(height // 4, 2, 2, width // 4, 2, 2)
    means = cells.mean(axis=(1, 4), dtype=np.float32)  # [rows, y in cell, columns, x in cell]
    return np.rint(means).astype(np.uint16).reshape(height // 2, width // 2)


def halve_picture(picture: Rgb8) -> Rgb8:
    """Half the size: means of 2×2 pixels, of the part that `halve_mosaic` keeps."""
    height, width = (side // 4 * 4 for side in picture.shape[:2])
    cells = picture[:height, :width].reshape(height // 2, 2, width // 2, 2, 3)
    return np.rint(cells.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8)
