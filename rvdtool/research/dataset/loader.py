"""Load runs of consecutive frames for training: cropped, augmented, packed and prefetched."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import MismatchError, UsageError
from rvdtool.raw.bayer import to_planes
from rvdtool.raw.frame import CfaPhase
from rvdtool.research.dataset.augment import Move, draw
from rvdtool.research.dataset.rvd import Flow, Rgb8, RvdFolder, Video, VideoCamera

FlowSource = Callable[[RvdFolder, Video, int, Rgb8, Rgb8], Flow]
"""(folder, video, index, sRGB of that frame, sRGB of the next) → flow between them, full size."""


@dataclass(frozen=True, eq=False)
class Run:
    """Consecutive frames of one video whose RAW is known.

    Attributes:
        video: the video's name.
        start: index of the first frame.
        planes: uint16 [T, 4, h/2, w/2], DN, R, Gr, Gb, B (RGGB geometry).
        srgb: uint8 [T, h, w, 3].
        flow: float32 [T − 1, h, w, 2] to the next frame, pixels (x, y); None if not requested.
        camera: the levels; its phase is RGGB, and its black levels are those of R, Gr, Gb, B.
    """

    video: str
    start: int
    planes: NDArray[np.uint16]
    srgb: NDArray[np.uint8]
    flow: NDArray[np.float32] | None
    camera: VideoCamera


@dataclass(frozen=True)
class RunOptions:
    """How runs are read.

    Attributes:
        length: frames per run.
        crop: (height, width) in photosites, even.
        crops: number of runs cut from frames that were read once: more are faster, but more alike.
        flow: also read flow fields.
        flow_source: source of flow fields instead of the folder's files.
        workers: number of reading threads (decoding PNG and TIFF releases Python's lock).
        ahead: number of prefetched reads; each takes the memory of `length` full frames.
    """

    length: int = 2
    crop: tuple[int, int] = (256, 256)
    crops: int = 4
    flow: bool = False
    flow_source: FlowSource | None = None
    workers: int = 2
    ahead: int = 6

    def __post_init__(self) -> None:
        if self.length < 1 or self.crops < 1 or self.workers < 1 or self.ahead < 1:
            raise UsageError("length, crops, workers and ahead are at least 1")


def iterate_runs(
    folders: RvdFolder | Sequence[RvdFolder],
    options: RunOptions,
    seed: int,
    *,
    first: int = 0,
    every: int = 1,
) -> Iterator[Run]:
    """Endless iterator over random runs, the same for the same seed.

    Videos are chosen with a probability proportional to their length.

    Args:
        folders: data sets, used as one.
        options: how runs are read.
        seed: seed of order and crops.
        first, every: use only the reads first, first + every, … (each gives `options.crops` runs),
            to resume a training and to divide the reads among processes.

    Raises:
        UsageError: all videos are shorter than a run, or the crop doesn't fit.
        InputError: a frame is missing or damaged.
        MismatchError: a video's frames differ in size.
    """
    folders = [folders] if isinstance(folders, RvdFolder) else folders
    starts = [
        (folder, video, start)
        for folder in folders
        for video in folder.videos
        for start in range(len(video.frames) - options.length + 1)
    ]
    if not starts:
        roots = ", ".join(str(folder.root) for folder in folders)
        raise UsageError(f"{roots}: no video has {options.length} frames")
    tasks = islice(_tasks(starts, seed), first, None, every)
    with ThreadPoolExecutor(options.workers) as pool:

        def submit(task: _Task) -> Future[list[Run]]:
            return pool.submit(_read, options, *task)

        waiting = [submit(task) for task in islice(tasks, options.ahead)]
        try:
            for task in tasks:
                runs = waiting.pop(0).result()
                waiting.append(submit(task))
                yield from runs
        finally:
            for future in waiting:
                future.cancel()


_Task = tuple[RvdFolder, Video, int, np.random.Generator]


def _tasks(starts: Sequence[tuple[RvdFolder, Video, int]], seed: int) -> Iterator[_Task]:
    rng = np.random.default_rng(seed)
    while True:
        for index in rng.permutation(len(starts)):
            yield *starts[index], np.random.default_rng(rng.integers(2**63))


def _read(
    options: RunOptions, folder: RvdFolder, video: Video, start: int, rng: np.random.Generator
) -> list[Run]:
    indices = range(start, start + options.length)
    mosaics = [folder.read_raw(video, index) for index in indices]
    pictures = [folder.read_srgb(video, index) for index in indices]
    size = mosaics[0].shape
    for index, mosaic, picture in zip(indices, mosaics, pictures, strict=True):
        if mosaic.shape != size or picture.shape[:2] != size:
            raise MismatchError(
                f"{folder.root}: {video.video_name}, frame {video.frames[index]}: RAW is "
                f"{list(mosaic.shape)}, sRGB {list(picture.shape[:2])}, expected {list(size)}"
            )
    flows = _flows(options, folder, video, start, pictures) if options.flow else None
    camera = folder.camera(video)
    runs = []
    for _ in range(options.crops):
        move = draw(rng, (size[0], size[1]), options.crop, camera.phase)
        runs.append(
            Run(
                video=video.video_name,
                start=start,
                planes=np.stack([to_planes(move.apply(m), CfaPhase.RGGB) for m in mosaics]),
                srgb=np.stack([move.apply(picture) for picture in pictures]),
                flow=None if flows is None else np.stack([move.apply_flow(f) for f in flows]),
                camera=moved_camera(camera, move),
            )
        )
    return runs


def _flows(
    options: RunOptions, folder: RvdFolder, video: Video, start: int, pictures: Sequence[Rgb8]
) -> list[Flow]:
    if options.flow_source is None:
        return [folder.read_flow(video, start + k) for k in range(len(pictures) - 1)]
    return [
        options.flow_source(folder, video, start + k, before, after)
        for k, (before, after) in enumerate(pairwise(pictures))
    ]


def moved_camera(camera: VideoCamera, move: Move) -> VideoCamera:
    """The camera of an augmented mosaic, with black levels permuted like its sites."""
    black = np.array(camera.black).reshape(2, 2)
    rect = move.window
    cell = np.roll(black, (-(rect.top % 2), -(rect.left % 2)), (0, 1))
    window = replace(rect, top=0, left=0, height=2, width=2)
    a, b, c, d = replace(move, window=window).apply(cell).ravel().tolist()
    return camera.model_copy(update={"black": (a, b, c, d), "phase": CfaPhase.RGGB})
