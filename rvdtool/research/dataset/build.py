"""RVD's layout from sequences of RAW frames: unchanged mosaics, rendered by LibRaw.

While a video is being made, `unfinished/<video>` says how it is rendered. A run that finds it keeps
the frames whose RAW is the source's and whose rendering is whole.
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
from rvdtool.research.dataset.clips import Clip, open_clip
from rvdtool.research.dataset.flows import has_flows, require_given, write_flows
from rvdtool.research.dataset.rvd import (
    Rgb8,
    RvdFolder,
    RvdWriter,
    Video,
    VideoCamera,
    frame_names,
    make_folder,
    open_rvd,
    require_one_size,
    require_space,
    write_frame_raw,
    write_frame_srgb,
)
from rvdtool.research.dataset.sheet import SheetFrame, sheet_indices, write_sheet
from rvdtool.research.dataset.tags import TagMeter

Render = Literal["default", "steady"]


@dataclass(frozen=True)
class BuildOptions:
    """How sequences become videos of the set.

    Attributes:
        drop: frames left out at the start (cameras settle).
        keep: frames kept after that; shorter sequences are refused. None keeps all.
        render: LibRaw's `default`s, as in the paper, or `steady` without per-frame brightness.
        flow: also write flow to the next frame: `dis` calculates it, `npy` takes it over.
        flow_folder: with `npy`, the folder that has `<video>/<frame>_flow.npy`, in which frames
            are called as in the set: 000000 is the first one kept.
        test_share: share of the videos that goes to test/ instead of train/.
        overwrite: make videos again that are listed already.
        workers: frames rendered at the same time.
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
class Plan:
    """What will become one video."""

    clip: Clip
    part: Literal["train", "test"]
    frames: range
    bytes_needed: int

    @property
    def name(self) -> str:
        """Of the video."""
        return self.clip.name

    @property
    def video(self) -> Video:
        """As data.json will list it."""
        return Video(video_name=self.name, frames=frame_names(len(self.frames)))


def plan(sources: Sequence[Path], options: BuildOptions) -> list[Plan]:
    """Look at every sequence (one frame of each is read), and decide what goes where.

    Test videos are spread evenly over the list of names, so the split stays the same whenever the
    same sequences are given.

    Raises:
        InputError: a sequence has no frames, too few, or its first can't be read; a flow to be
            taken over is missing or isn't one.
        MismatchError: such a flow has another size.
        UsageError: two sequences have the same name.
    """
    if not sources:
        raise UsageError("no folder of RAW frames and no .mlv file was given")
    clips = [(path, open_clip(path)) for path in sources]
    named = {clip.name: (path, clip) for path, clip in clips}
    if len(named) < len(clips):
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
    path: Path, clip: Clip, part: Literal["train", "test"], options: BuildOptions
) -> Plan:
    frames = range(min(options.drop, clip.count), clip.count)
    wanted = options.keep or len(frames)
    if len(frames) < max(wanted, 1):
        raise InputError(
            f"{path}: {len(frames)} frames after the first {options.drop}, but {max(wanted, 1)} "
            "are to be kept; give a smaller --keep or leave it out"
        )
    height, width = size = clip.upright(frames[0]).size
    per_pixel = 2 + 2 + (8 if options.flow else 0)
    one = Plan(clip, part, frames[:wanted], height * width * wanted * per_pixel)
    if options.flow_folder is not None:
        require_given(options.flow_folder, one.video, size)
    return one


def build(plans: Sequence[Plan], root: Path, options: BuildOptions) -> Iterator[tuple[Plan, int]]:
    """Make the videos; yields (plan, frames done) as it goes.

    Those listed already are kept, but get flow that is asked for now and isn't there.

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


def _build_one(one: Plan, writer: RvdWriter, options: BuildOptions) -> Iterator[tuple[Plan, int]]:
    mark = writer.root / "unfinished" / one.name
    resumed = _begin(mark, [writer.root / kind / one.name for kind in ("sRGB", "flow")], options)
    folder = RvdFolder(writer.root, (), {}, {})
    meter = TagMeter()
    camera: VideoCamera | None = None
    for index, developed in enumerate(_developed(one, folder if resumed else None, options)):
        raw, rgb = developed.raw, developed.rgb
        camera = camera or VideoCamera.of(raw)
        if not developed.kept:
            # RAW last: it then says which source the rendering beside it is of.
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
    """Note how a video is rendered; True if an earlier run began it in the same way."""
    try:
        if mark.exists() and mark.read_bytes() == options.render.encode():
            return True
    except OSError as error:
        raise OutputError(f"{mark}: can't be read: {describe(error)}") from error
    for folder in stale:  # of another rendering: a later run must not take it for this one's
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


def _add_flow(one: Plan, writer: RvdWriter, options: BuildOptions) -> None:
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


def _write_sheet(one: Plan, folder: RvdFolder, *, flow: bool) -> None:
    last = len(one.frames) - 1
    rows = [
        SheetFrame(
            one.clip.upright(one.frames[index]),
            folder.read_srgb(one.video, index),
            folder.read_flow(one.video, index) if flow and index < last else None,
        )
        for index in sheet_indices(len(one.frames))
    ]
    write_sheet(folder.root / "sheets" / f"{one.name}.png", rows)


@dataclass(frozen=True, eq=False)
class _Developed:
    """A frame with its rendering; `kept` if both are on the disk."""

    raw: RawFrame
    rgb: Rgb8
    kept: bool


def _developed(one: Plan, earlier: RvdFolder | None, options: BuildOptions) -> Iterator[_Developed]:
    """Each frame with its rendering, in order, a few at a time (LibRaw runs beside Python)."""
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
    raws: Iterable[RawFrame] = (one.clip.upright(index) for index in one.frames)
    with ThreadPoolExecutor(options.workers) as pool:
        for index, raw in enumerate(require_one_size(raws, one.name)):
            waiting.append(pool.submit(develop, index, raw))
            if len(waiting) > options.workers:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _written(video: Video, index: int, raw: RawFrame, earlier: RvdFolder) -> Rgb8 | None:
    """The rendering that an earlier run wrote, if it is whole and of this very frame."""
    try:
        same = np.array_equal(earlier.read_raw(video, index), raw.mosaic)
        rgb = earlier.read_srgb(video, index)
    except InputError:  # missing or cut short
        return None
    return rgb if same and rgb.shape[:2] == raw.size else None
