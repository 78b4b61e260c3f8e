"""Load snippets of consecutive frames for training: cropped, augmented, packed and prefetched."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import MismatchError, UsageError
from rvdtool.raw.bayer import to_planes
from rvdtool.raw.frame import CfaPhase
from rvdtool.research.dataset.augment import Augmentation, draw
from rvdtool.research.dataset.rvd import Flow, Rgb8, RvdFolder, RvdVideo, VideoCamera

FlowSource = Callable[[RvdFolder, RvdVideo, int, Rgb8, Rgb8], Flow]
"""(folder, video, index, sRGB of that frame, sRGB of the next) → flow between them, full size."""


@dataclass(frozen=True, eq=False)
class Snippet:
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
class SnippetOptions:
    """How snippets are read.

    Attributes:
        length: frames per snippet.
        crop: (height, width) in photosites, even.
        crops: snippets cut from frames that were read once; more are faster, but more alike.
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


def iterate_snippets(
    folders: RvdFolder | Sequence[RvdFolder],
    options: SnippetOptions,
    seed: int,
    *,
    first: int = 0,
    every: int = 1,
) -> Iterator[Snippet]:
    """Endless iterator over random snippets, the same for the same seed.

    Videos are chosen with a probability proportional to their length.

    Args:
        folders: data sets, used as one.
        options: how snippets are read.
        seed: seed of order and crops.
        first, every: use only the reads first, first + every, … (each gives
            `options.crops` snippets), to resume a training and to divide the reads among processes.

    Raises:
        UsageError: all videos are shorter than a snippet, or the crop doesn't fit.
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

        def submit(task: _Task) -> Future[list[Snippet]]:
            return pool.submit(_read, options, *task)

        waiting = [submit(task) for task in islice(tasks, options.ahead)]
        try:
            for task in tasks:
                snippets = waiting.pop(0).result()
                waiting.append(submit(task))
                yield from snippets
        finally:
            for future in waiting:
                future.cancel()


_Task = tuple[RvdFolder, RvdVideo, int, np.random.Generator]


def _tasks(starts: Sequence[tuple[RvdFolder, RvdVideo, int]], seed: int) -> Iterator[_Task]:
    rng = np.random.default_rng(seed)
    while True:
        for index in rng.permutation(len(starts)):
            yield *starts[index], np.random.default_rng(rng.integers(2**63))


def _read(
    options: SnippetOptions,
    folder: RvdFolder,
    video: RvdVideo,
    start: int,
    rng: np.random.Generator,
) -> list[Snippet]:
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
    snippets = []
    for _ in range(options.crops):
        augmentation = draw(rng, (size[0], size[1]), options.crop, camera.phase)
        snippets.append(
            Snippet(
                video=video.video_name,
                start=start,
                planes=np.stack([to_planes(augmentation.apply(m), CfaPhase.RGGB) for m in mosaics]),
                srgb=np.stack([augmentation.apply(picture) for picture in pictures]),
                flow=None
                if flows is None
                else np.stack([augmentation.apply_flow(f) for f in flows]),
                camera=augmented_camera(camera, augmentation),
            )
        )
    return snippets


def _flows(
    options: SnippetOptions,
    folder: RvdFolder,
    video: RvdVideo,
    start: int,
    pictures: Sequence[Rgb8],
) -> list[Flow]:
    if options.flow_source is None:
        return [folder.read_flow(video, start + k) for k in range(len(pictures) - 1)]
    return [
        options.flow_source(folder, video, start + k, before, after)
        for k, (before, after) in enumerate(pairwise(pictures))
    ]


def augmented_camera(camera: VideoCamera, augmentation: Augmentation) -> VideoCamera:
    """The camera of an augmented mosaic, with black levels permuted like its sites."""
    black = np.array(camera.black).reshape(2, 2)
    rect = augmentation.window
    cell = np.roll(black, (-(rect.top % 2), -(rect.left % 2)), (0, 1))
    window = replace(rect, top=0, left=0, height=2, width=2)
    a, b, c, d = replace(augmentation, window=window).apply(cell).ravel().tolist()
    return camera.model_copy(update={"black": (a, b, c, d), "phase": CfaPhase.RGGB})
