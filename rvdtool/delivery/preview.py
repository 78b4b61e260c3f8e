"""Writes a video of the delivered frames with constant development: for viewing, not editing."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.bundle.store import Bundle
from rvdtool.delivery.folder import DerenderReport
from rvdtool.delivery.output import require_beside
from rvdtool.errors import UsageError
from rvdtool.files import require_new
from rvdtool.raw.read import read_raw
from rvdtool.raw.render import Look, look_of
from rvdtool.raw.sequence import frame_name
from rvdtool.reconstruct.pipeline import ReadAhead
from rvdtool.video.decode import read_frames
from rvdtool.video.encode import CONTAINERS, encode_video
from rvdtool.video.frame import Rgb, VideoInfo

Rgb8 = NDArray[np.uint8]


def require_preview(path: Path, folder: Path, overwrite: bool) -> None:
    """Refuse, before the run, a preview that couldn't be written.

    Raises:
        UsageError: the suffix isn't a video's, or the file would be in the folder of the DNGs.
        OutputError: it exists (without `overwrite`), or its folder doesn't.
    """
    if path.suffix.lower() not in CONTAINERS:
        raise UsageError(f"--preview {path}: its name has to end in {', '.join(CONTAINERS)}")
    require_beside("--preview", path, folder)
    require_new(path, overwrite)


def write_preview(
    bundle: Bundle,
    report: DerenderReport,
    path: Path,
    *,
    side_by_side: bool = False,
    overwrite: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> None:
    """Develop the frames of a run and write them as an H.264 video, without sound.

    All frames are developed with the first reference's white balance and colour matrix, at the
    exposure that makes it as bright as its video frame, so any flicker is in the RAW itself. Frames
    are developed by LibRaw without lens corrections, in BT.709, and tagged as such.

    Args:
        bundle: the bundle that was de-rendered.
        report: report on the run; the frames are read from its folder.
        path: path of the video: `.mp4`, `.mov` or `.mkv`.
        side_by_side: show the bundle's video on the left.
        overwrite: replace an existing file.
        advance: called with the number of frames just done.

    Raises:
        InputError: a frame or the video can't be read.
        OutputError: the file exists or can't be written.
    """
    with ReadAhead(_pictures(bundle, report, side_by_side)) as ahead:

        def counted() -> Iterator[Rgb8]:
            for picture in ahead:
                yield picture
                advance(1)

        encode_video(counted(), path, rate=report.labels.rate, preset="fast", overwrite=overwrite)


def steady_look(bundle: Bundle) -> Look:
    """Look for developing a bundle's frames: the first reference's, as bright as its video frame.

    Raises:
        InputError: the video can't be read.
    """
    reference = bundle.references[0]
    frames = read_frames(bundle.checked_video(), bundle.video_info)
    shown = next(islice(frames, reference.index, None)).rgb
    return look_of(replace(reference).frame, shown)


def _pictures(bundle: Bundle, report: DerenderReport, side_by_side: bool) -> Iterator[Rgb8]:
    info, look = bundle.video_info, steady_look(bundle)
    if side_by_side:
        frames = read_frames(bundle.checked_video(), info)
        inputs = islice(frames, report.first, report.first + report.frames)
    for index in range(report.first, report.first + report.frames):
        frame = read_raw(report.folder / frame_name(report.labels.stem, index))
        result = look.develop(frame)
        shown = upright(result, info)
        if side_by_side:
            shown = np.hstack([upright(fitted(next(inputs).rgb, result), info), shown])
        yield shown


def fitted(rgb: Rgb, like: Rgb8) -> Rgb8:
    """A video frame, converted to 8 bits and resized to match a picture."""
    eight = rgb if rgb.dtype == np.uint8 else (rgb >> 8)
    height, width = like.shape[:2]
    return cv2.resize(eight.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)


def upright(picture: Rgb8, info: VideoInfo) -> Rgb8:
    """A picture as a player shows it: rotated, with square pixels, and cropped to even sides for
    H.264."""
    if info.sample_aspect not in (None, 1):
        assert info.sample_aspect is not None
        height, width = picture.shape[:2]
        picture = cv2.resize(picture, (round(width * info.sample_aspect), height))
    picture = np.rot90(picture, -info.rotation // 90)
    height, width = picture.shape[:2]
    return np.ascontiguousarray(picture[: height // 2 * 2, : width // 2 * 2])
