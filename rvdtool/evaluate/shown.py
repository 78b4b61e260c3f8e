"""Reads the frames of a video as they are displayed: upright, 8 bits."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import MismatchError
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.source import open_source


def video_frames(
    video: Path, indices: Sequence[int], count: int
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield selected frames of a video with their indices. Decoding stops after the last one.

    Args:
        video: a file or a folder of pictures.
        indices: indices of the selected frames, ascending.
        count: number of RAW frames that belong to the video.

    Raises:
        InputError: the video can't be read.
        MismatchError: it has another number of frames.
    """
    source = open_source(video, as_listed=True)  # gaps were already checked when packing
    info = probe(source)
    if info.frame_count != count:
        raise MismatchError(
            f"{video} has {info.frame_count} frames, but there are {count} RAW frames; "
            "give the video that they belong to"
        )
    wanted = set(indices)
    for frame in read_frames(source, info):
        if frame.index in wanted:
            rgb = frame.rgb if frame.rgb.dtype == np.uint8 else frame.rgb >> 8
            yield frame.index, np.rot90(rgb, -(info.rotation // 90)).astype(np.uint8)
        if frame.index == indices[-1]:
            return
