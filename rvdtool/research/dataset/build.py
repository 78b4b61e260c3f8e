"""Build a data set in RVD's layout from sequences of RAW frames, rendered by LibRaw.

While a video is being made, `unfinished/<video>` records how it is rendered. A run that finds this
file keeps the frames whose RAW equals the source and whose rendering is complete.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from rvdtool.errors import InputError, OutputError, RawError, UsageError
from rvdtool.files import describe, write_beside
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.render import default_render, render
from rvdtool.research.dataset.flows import has_flows, require_given, write_flows
from rvdtool.research.dataset.rvd import (
    Rgb8,
    RvdFolder,
    RvdVideo,
    RvdWriter,
    VideoCamera,
    frame_names,
    make_folder,
    open_rvd,
    require_one_size,
    require_space,
    write_frame_raw,
    write_frame_srgb,
)
from rvdtool.research.dataset.sequences import RawSequence, open_sequence
from rvdtool.research.dataset.sheet import SheetFrame, sheet_indices, write_sheet
from rvdtool.research.dataset.tags import TagMeter

Render = Literal["default", "steady"]


@dataclass(frozen=True)
class BuildOptions:
    """How sequences are converted to videos of the data set.

    Attributes:
        drop: number of frames left out at the start, while cameras adjust.
        keep: number of frames kept after that; shorter sequences are refused. None keeps all.
        render: `default` for LibRaw's defaults, as in the paper, or `steady` without
            auto-brightness.
        flow: also write flow to the next frame: `dis` computes it, `npy` copies existing files.
        flow_folder: with `npy`, the folder with `<video>/<frame>_flow.npy`. Frames are numbered as
            in the data set: 000000 is the first frame kept.
        test_share: fraction of the videos that goes to test/ instead of train/.
        overwrite: make videos again that are already listed.
        workers: number of frames rendered at the same time.
    """

    drop: int = 0
    keep: int | None = 120
    render: Render = "default"
    flow: Literal["dis", "npy"] | None = None
    flow_folder: Path | None = None
    test_share: float = 0.15
    overwrite: bool = False
    workers: int = 2

    def __post_init__(self) -> None:
        if self.drop < 0 or (self.keep is not None and self.keep < 1) or self.workers < 1:
            raise UsageError("drop is at least 0, keep and workers are at least 1")
        if not 0 <= self.test_share < 1:
            raise UsageError(
                f"the test share must be at least 0 and below 1; got {self.test_share}"
            )
        if (self.flow == "npy") != (self.flow_folder is not None):
            raise UsageError("a folder of flows is needed for flow npy, and only then")


@dataclass(frozen=True)
class PlannedVideo:
    """A sequence that will become one video of the data set."""

    sequence: RawSequence
    part: Literal["train", "test"]
    frames: range
    bytes_needed: int

    @property
    def name(self) -> str:
        """The video's name."""
        return self.sequence.name

    @property
    def video(self) -> RvdVideo:
        """The video's entry in data.json."""
        return RvdVideo(video_name=self.name, frames=frame_names(len(self.frames)))


def plan(sources: Sequence[Path], options: BuildOptions) -> list[PlannedVideo]:
    """Check all sequences, reading one frame of each, and split them into training and test.

    Test videos are spread evenly over the sorted names, so that the same sequences always give the
    same split.

    Raises:
        InputError: a sequence has too few frames, or its first can't be read; a flow file to be
            copied is missing or invalid.
        MismatchError: such a flow field has another size.
        UsageError: two sequences have the same name.
    """
    if not sources:
        raise UsageError("no folder of RAW frames and no .mlv file was given")
    sequences = [(path, open_sequence(path)) for path in sources]
    named = {sequence.name: (path, sequence) for path, sequence in sequences}
    if len(named) < len(sequences):
        raise UsageError(
            "two sequences have the same name; rename one, as names become video names"
        )
    tests = round(options.test_share * len(named))
    marks = {round((k + 0.5) * len(named) / tests - 0.5) for k in range(tests)}
    return [
        _plan_one(*named[name], "test" if index in marks else "train", options)
        for index, name in enumerate(sorted(named))
    ]


def _plan_one(
    path: Path, sequence: RawSequence, part: Literal["train", "test"], options: BuildOptions
) -> PlannedVideo:
    frames = range(min(options.drop, sequence.count), sequence.count)
    wanted = options.keep or len(frames)
    if len(frames) < max(wanted, 1):
        raise InputError(
            f"{path}: {len(frames)} frames after the first {options.drop}, but {max(wanted, 1)} "
            "are to be kept; give a smaller --keep or leave it out"
        )
    height, width = size = sequence.upright(frames[0]).size
    per_pixel = 2 + 2 + (8 if options.flow else 0)
    one = PlannedVideo(sequence, part, frames[:wanted], height * width * wanted * per_pixel)
    if options.flow_folder is not None:
        require_given(options.flow_folder, one.video, size)
    return one


def build(
    plans: Sequence[PlannedVideo], root: Path, options: BuildOptions
) -> Iterator[tuple[PlannedVideo, int]]:
    """Make the videos; yields (plan, number of frames done) while it runs.

    Videos that are already listed are kept; flow is added if it is requested and missing.

    Raises:
        InputError: a frame or flow can't be read.
        MismatchError: size, phase or levels change within a sequence.
        OutputError: not enough disk space, or the disk can't be written.
    """
    require_space(root, sum(one.bytes_needed for one in plans))
    writers = {part: RvdWriter(root / part) for part in sorted({plan.part for plan in plans})}
    for one in plans:
        writer = writers[one.part]
        if one.name in writer.finished and not options.overwrite:
            _add_flow(one, writer, options)
            yield one, len(one.frames)
            continue
        if one.name in writer.finished:
            writer.forget(one.name)
        yield from _build_one(one, writer, options)


def _build_one(
    one: PlannedVideo, writer: RvdWriter, options: BuildOptions
) -> Iterator[tuple[PlannedVideo, int]]:
    mark = writer.root / "unfinished" / one.name
    resumed = _begin(mark, [writer.root / kind / one.name for kind in ("sRGB", "flow")], options)
    folder = RvdFolder(writer.root, (), {}, {})
    meter = TagMeter()
    camera: VideoCamera | None = None
    for index, developed in enumerate(_developed(one, folder if resumed else None, options)):
        raw, rgb = developed.raw, developed.rgb
        camera = camera or VideoCamera.of(raw)
        if not developed.kept:
            # RAW last, so that its presence proves which source the rendering was made from.
            write_frame_srgb(writer.root, one.name, one.video.frames[index], rgb)
            write_frame_raw(writer.root, one.name, one.video.frames[index], raw.mosaic)
        meter.watch(raw, rgb)
        yield one, 1
    if camera is None:
        raise InputError(f"{one.name}: no frames")
    if options.flow:
        write_flows(folder, one.video, options.flow_folder)
    _write_sheet(one, folder, flow=options.flow is not None)
    writer.finish(one.video, camera, meter.propose())
    _remove(mark)
    with suppress(OSError):  # others are unfinished
        mark.parent.rmdir()


def _begin(mark: Path, stale: Iterable[Path], options: BuildOptions) -> bool:
    """Record how a video is rendered; True if an earlier run started it in the same way."""
    try:
        if mark.exists() and mark.read_bytes() == options.render.encode():
            return True
    except OSError as error:
        raise OutputError(f"{mark}: can't be read: {describe(error)}") from error
    for folder in stale:  # of another rendering: later runs must not reuse it
        _remove(folder)
    make_folder(mark.parent)
    with write_beside(mark, overwrite=True) as file:
        file.write(options.render.encode())
    return False


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: can't be removed: {describe(error)}") from error


def _add_flow(one: PlannedVideo, writer: RvdWriter, options: BuildOptions) -> None:
    folder = open_rvd(writer.root)
    video = next(video for video in folder.videos if video.video_name == one.name)
    if not options.flow or has_flows(folder, video):
        return
    if video != one.video:
        raise OutputError(
            f"{writer.root}: {one.name} has {len(video.frames)} frames, but "
            f"{len(one.frames)} are wanted now; keep as many as before, or use --overwrite"
        )
    write_flows(folder, video, options.flow_folder)
    _write_sheet(one, folder, flow=True)


def _write_sheet(one: PlannedVideo, folder: RvdFolder, *, flow: bool) -> None:
    last = len(one.frames) - 1
    rows = [
        SheetFrame(
            one.sequence.upright(one.frames[index]),
            folder.read_srgb(one.video, index),
            folder.read_flow(one.video, index) if flow and index < last else None,
        )
        for index in sheet_indices(len(one.frames))
    ]
    write_sheet(folder.root / "sheets" / f"{one.name}.png", rows)


@dataclass(frozen=True, eq=False)
class _Developed:
    """A frame with its rendering; `kept` means that both are already written."""

    raw: RawFrame
    rgb: Rgb8
    kept: bool


def _developed(
    one: PlannedVideo, earlier: RvdFolder | None, options: BuildOptions
) -> Iterator[_Developed]:
    """All frames with their renderings, in order, rendered in several threads."""
    draw = default_render if options.render == "default" else render

    def develop(index: int, raw: RawFrame) -> _Developed:
        rgb = None if earlier is None else _written(one.video, index, raw, earlier)
        if rgb is not None:
            return _Developed(raw, rgb, kept=True)
        try:
            rgb = draw(raw)
        except RawError as error:
            raise RawError(f"{one.name}: frame {index}: {error}") from error
        if rgb.shape[:2] != raw.size:
            raise InputError(
                f"{one.name}: frame {index}: LibRaw renders {rgb.shape[:2]} of a mosaic of "
                f"{raw.size}"
            )
        return _Developed(raw, rgb, kept=False)

    waiting: list[Future[_Developed]] = []
    raws: Iterable[RawFrame] = (one.sequence.upright(index) for index in one.frames)
    with ThreadPoolExecutor(options.workers) as pool:
        for index, raw in enumerate(require_one_size(raws, one.name)):
            waiting.append(pool.submit(develop, index, raw))
            if len(waiting) > options.workers:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _written(video: RvdVideo, index: int, raw: RawFrame, earlier: RvdFolder) -> Rgb8 | None:
    """The rendering that an earlier run wrote, if it is complete and of exactly this frame."""
    try:
        same = np.array_equal(earlier.read_raw(video, index), raw.mosaic)
        rgb = earlier.read_srgb(video, index)
    except InputError:  # missing or truncated
        return None
    return rgb if same and rgb.shape[:2] == raw.size else None
