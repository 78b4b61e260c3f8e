"""Optical flow for a built video: computed by OpenCV's DIS, or copied from given files."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from rvdtool.errors import InputError, MismatchError
from rvdtool.files import require_file
from rvdtool.npy import map_array
from rvdtool.research.dataset.rvd import Flow, RvdFolder, RvdVideo, write_frame_flow
from rvdtool.research.dataset.tags import dis_flow


def has_flows(folder: RvdFolder, video: RvdVideo) -> bool:
    """Whether all frames except the last have a flow file."""
    return all(folder.flow_path(video, k).exists() for k in range(len(video.frames) - 1))


def write_flows(folder: RvdFolder, video: RvdVideo, given: Path | None) -> None:
    """Write the flow from each frame to the next. The frames must have been written already.

    Args:
        folder: the video's data set.
        video: the video; it needn't be listed yet.
        given: folder with `<video>/<frame>_flow.npy`; None to compute flow by DIS.

    Raises:
        InputError: a given flow is missing, damaged or not finite.
        MismatchError: a given flow has another size than the frames.
        OutputError: the disk can't be written.
    """
    previous = folder.read_srgb(video, 0)
    for index, name in enumerate(video.frames[:-1]):
        if given is None:
            following = folder.read_srgb(video, index + 1)
            flow = dis_flow(previous, following)
            previous = following
        else:
            flow = np.asarray(open_given(given, video, index, previous.shape[:2]), np.float32)
            if not np.isfinite(flow).all():
                raise InputError(f"{given_path(given, video, index)}: not all of it is finite")
        write_frame_flow(folder.root, video.video_name, name, flow)


def require_given(given: Path, video: RvdVideo, size: tuple[int, int]) -> None:
    """Check the headers of all flow files to be copied, before any work.

    Raises:
        InputError: a given flow is missing or damaged.
        MismatchError: a given flow has another size than the frames.
    """
    for index, _ in enumerate(pairwise(video.frames)):
        open_given(given, video, index, size)


def given_path(given: Path, video: RvdVideo, index: int) -> Path:
    """Path of the given flow from frame `index` to the next, named as in RVD."""
    return given / video.video_name / f"{video.frames[index]}_flow.npy"


def open_given(given: Path, video: RvdVideo, index: int, size: tuple[int, ...]) -> Flow:
    """Open a given flow as a memory-mapped array [H, W, 2] of float16, 32 or 64.

    Raises:
        InputError: the file is missing or damaged, or isn't a flow field.
        MismatchError: its size isn't `size`, (height, width).
    """
    path = require_file(given_path(given, video, index), "a flow field")
    flow = map_array(path)
    if flow.ndim != 3 or flow.shape[2] != 2 or flow.dtype.kind != "f":
        raise InputError(f"{path}: {flow.dtype} {list(flow.shape)}; a flow is float [H, W, 2]")
    if flow.shape[:2] != size:
        raise MismatchError(
            f"{path}: {flow.shape[1]}×{flow.shape[0]}, but the frames are {size[1]}×{size[0]}"
        )
    return np.asarray(flow) if flow.dtype == np.float32 else flow.astype(np.float32)
