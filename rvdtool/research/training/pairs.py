"""Training on random crops of data sets in RVD's layout, without a chain."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor

from rvdtool.errors import UsageError
from rvdtool.evaluate.metrics import psnr
from rvdtool.fagdn.chain import half_size
from rvdtool.raw.frame import CfaPhase, Mosaic
from rvdtool.reconstruct.flow import estimate_flow, flow_image, read_flow_to_next, resize_flow
from rvdtool.research.dataset.loader import Snippet, SnippetOptions, iterate_snippets
from rvdtool.research.dataset.rvd import Flow, Rgb8, RvdFolder, RvdVideo
from rvdtool.research.training.task import Settings, TrainingTask

BEST = 120.0
"""PSNR in dB assigned to a frame without error, so that means are finite."""


class CropTask(TrainingTask):
    """A training task on random crops, validated on whole videos.

    Attributes:
        length: frames per crop.
        flow: whether crops include the flow from frame to frame.
    """

    length: ClassVar[int]
    flow: ClassVar[bool] = False

    def __init__(
        self,
        folders: Sequence[RvdFolder],
        validation: RvdFolder | None,
        settings: Settings,
        validation_frames: int | None,
        workers: int,
    ) -> None:
        self.settings = settings
        self._folders = folders
        self._videos = scored_videos(validation)
        self._frames, self._workers = validation_frames, workers

    def begin(self, step: int, rank: int, processes: int) -> None:
        """As `TrainingTask.begin`."""
        self._batches = read_batches(
            self._folders,
            self.settings,
            length=self.length,
            flow=self.flow,
            step=step,
            rank=rank,
            processes=processes,
            workers=self._workers,
        )

    @property
    def validation(self) -> Sequence[str]:
        """As `TrainingTask.validation`."""
        return [video.video_name for _, video in self._videos]

    def data(self) -> dict[str, JsonValue]:
        """As `TrainingTask.data`."""
        return count_frames(self._folders)


def read_batches(
    folders: Sequence[RvdFolder],
    settings: Settings,
    *,
    length: int,
    flow: bool = False,
    step: int = 0,
    rank: int = 0,
    processes: int = 1,
    workers: int = 2,
) -> Iterator[list[Snippet]]:
    """Endless iterator over this process's batches of random crops, from `step` on.

    Args:
        folders, settings: see `rvdtool.research.training.task`.
        length: frames per crop.
        flow: include the flow from frame to frame: the folder's, or estimated if it has none.
        step: the first step.
        rank, processes: number of this process, and number of processes that share the crops.
        workers: number of reading threads.

    Raises:
        UsageError: no video is long enough, or the crop doesn't fit.
        InputError: a frame is missing or damaged.
    """
    options = SnippetOptions(
        length=length,
        crop=(settings.crop, settings.crop),
        crops=1,
        flow=flow,
        flow_source=flow_to_next,
        workers=workers,
        ahead=2 * workers + settings.batch,
    )
    first = step * settings.batch * processes + rank
    snippets = iterate_snippets(folders, options, settings.seed, first=first, every=processes)
    while True:
        yield [next(snippets) for _ in range(settings.batch)]


def flow_to_next(folder: RvdFolder, video: RvdVideo, index: int, before: Rgb8, after: Rgb8) -> Flow:
    """Flow to the next frame, from the folder, or else estimated as in `FagdnChain`.

    Raises:
        InputError, MismatchError: the folder's flow can't be used.
    """
    size = (before.shape[0], before.shape[1])
    path = folder.flow_path(video, index)
    if path.exists():
        return read_flow_to_next(path, size)
    return resize_flow(estimate_flow(flow_image(before), flow_image(after)), size)


def half_srgb(snippet: Snippet) -> Tensor:
    """A snippet's sRGB as input of the paper's FAGDN: [T, 3, h / 2, w / 2], 0..1."""
    return torch.from_numpy(np.stack([half_size(rgb, CfaPhase.RGGB) for rgb in snippet.srgb]))


def half_flow(snippet: Snippet) -> Tensor:
    """A snippet's flow at half size: [T − 1, 2, h / 2, w / 2], (x, y) in pixels of that size."""
    if snippet.flow is None:
        raise UsageError("this snippet has no flow; load it with SnippetOptions(flow=True)")
    count, height, width, _ = snippet.flow.shape
    cells = snippet.flow.reshape(count, height // 2, 2, width // 2, 2, 2)
    means = 0.5 * cells.mean(axis=(2, 4), dtype=np.float32)
    return torch.from_numpy(np.ascontiguousarray(means.transpose(0, 3, 1, 2)))


def stack(tensors: Sequence[Tensor]) -> Tensor:
    """Stack to [B, C, h, w], channels last, which makes convolutions on CPUs faster by half."""
    return torch.stack(list(tensors)).contiguous(memory_format=torch.channels_last)


def score(predicted: Mosaic | NDArray[np.float32], true: Mosaic, bits: int) -> float:
    """PSNR in dB of DN / (2^bits − 1), peak 1, whole mosaics; `BEST` if equal."""
    one, other = predicted.astype(np.float64), true.astype(np.float64)
    return min(BEST, psnr(one, other, peak=2**bits - 1))


def count_pairs(folders: Sequence[RvdFolder]) -> int:
    """Number of pairs of consecutive frames, which is the number of crops in an epoch."""
    return sum(len(video.frames) - 1 for folder in folders for video in folder.videos)


def count_frames(folders: Sequence[RvdFolder]) -> dict[str, JsonValue]:
    """Name of each folder → its numbers of videos and frames."""
    return {
        folder.root.resolve().name: {
            "videos": len(folder.videos),
            "frames": sum(len(video.frames) for video in folder.videos),
        }
        for folder in folders
    }


def scored_videos(folder: RvdFolder | None) -> list[tuple[RvdFolder, RvdVideo]]:
    """The videos of a validation folder that have frames to be scored."""
    if folder is None:
        return []
    return [(folder, video) for video in folder.videos if len(video.frames) > 1]
