"""Flow for a built video: OpenCV's DIS between its renderings, or what someone has calculated."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from rvdtool.errors import InputError, MismatchError
from rvdtool.files import require_file
from rvdtool.research.dataset.rvd import Flow, RvdFolder, Video, write_frame_flow
from rvdtool.research.dataset.tags import dis_flow


def has_flows(folder: RvdFolder, video: Video) -> bool:
    """Whether every frame but the last has its flow."""
    return all(folder.flow_path(video, k).exists() for k in range(len(video.frames) - 1))


def write_flows(folder: RvdFolder, video: Video, given: Path | None) -> None:
    """Write the flow from each frame to the next; the frames are there already.

    Args:
        folder: where the video is.
        video: it may not be listed yet.
        given: folder that has `<video>/<frame>_flow.npy`; None calculates DIS.

    Raises:
        InputError: a given flow is missing, damaged or not finite.
        MismatchError: it has another size than the frames.
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


def require_given(given: Path, video: Video, size: tuple[int, int]) -> None:
    """Look at the header of every flow that will be taken over, before any work.

    Raises:
        InputError, MismatchError: as `write_flows`.
    """
    for index, _ in enumerate(pairwise(video.frames)):
        open_given(given, video, index, size)


def given_path(given: Path, video: Video, index: int) -> Path:
    """Where the flow from frame `index` to the next is expected, as RVD has it."""
    return given / video.video_name / f"{video.frames[index]}_flow.npy"


def open_given(given: Path, video: Video, index: int, size: tuple[int, ...]) -> Flow:
    """The flow mapped from its file, [H, W, 2], float16, 32 or 64.

    Raises:
        InputError: missing, damaged, or no flow.
        MismatchError: another size than `size`, (height, width).
    """
    path = require_file(given_path(given, video, index), "a flow field")
    try:
        flow = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: not a NumPy array, or cut short: {error}") from error
    if flow.ndim != 3 or flow.shape[2] != 2 or flow.dtype.kind != "f":
        raise InputError(f"{path}: {flow.dtype} {list(flow.shape)}; a flow is float [H, W, 2]")
    if flow.shape[:2] != size:
        raise MismatchError(
            f"{path}: {flow.shape[1]}×{flow.shape[0]}, but the frames are {size[1]}×{size[0]}"
        )
    return np.asarray(flow) if flow.dtype == np.float32 else flow.astype(np.float32)
