"""RVD's layout from folders of RAW frames: the mosaics as they are, rendered by LibRaw."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rvdtool.dataset.rvd import (
    Rgb8,
    RvdWriter,
    Video,
    VideoCamera,
    frame_names,
    require_one_size,
    require_space,
    write_frame_flow,
    write_frame_raw,
    write_frame_srgb,
)
from rvdtool.dataset.tags import TagMeter, dis_flow
from rvdtool.errors import InputError, UsageError
from rvdtool.raw.bayer import orient
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.read import read_raw
from rvdtool.raw.render import default_render, render
from rvdtool.raw.sequence import list_sequence

Render = Literal["default", "steady"]


@dataclass(frozen=True)
class BuildOptions:
    """How sequences become videos of the set.

    Attributes:
        drop: frames left out at the start (cameras settle).
        keep: frames kept after that; shorter sequences are refused. None keeps all.
        render: LibRaw's `default`s, as in the paper, or `steady` without per-frame brightness.
        flow: also write DIS flow to the next frame.
        test_share: share of the videos that goes to test/ instead of train/.
        overwrite: make videos again that are listed already.
        workers: frames rendered at the same time.
    """

    drop: int = 0
    keep: int | None = 120
    render: Render = "default"
    flow: bool = False
    test_share: float = 0.15
    overwrite: bool = False
    workers: int = 2

    def __post_init__(self) -> None:
        if self.drop < 0 or (self.keep is not None and self.keep < 1) or self.workers < 1:
            raise UsageError("drop is at least 0, keep and workers are at least 1")
        if not 0 <= self.test_share < 1:
            raise UsageError(f"the test share is 0 or more and below 1; got {self.test_share}")


@dataclass(frozen=True)
class Plan:
    """What will become one video."""

    name: str
    part: Literal["train", "test"]
    frames: tuple[Path, ...]
    bytes_needed: int


def plan(folders: Sequence[Path], options: BuildOptions) -> list[Plan]:
    """Look at every sequence (one frame of each is read), and decide what goes where.

    Test videos are spread evenly over the list of names, so the split stays the same whenever the
    same folders are given.

    Raises:
        InputError: a folder has no frames, too few, or its first can't be read.
        UsageError: two folders have the same name.
    """
    if not folders:
        raise UsageError("no folder of RAW frames was given")
    named = {folder.resolve().name: folder for folder in folders}
    if len(named) < len(folders):
        raise UsageError("two folders have the same name; names become video names and must differ")
    tests = round(options.test_share * len(named))
    marks = {round((k + 0.5) * len(named) / tests - 0.5) for k in range(tests)}
    return [
        _plan_one(name, "test" if index in marks else "train", named[name], options)
        for index, name in enumerate(sorted(named))
    ]


def _plan_one(
    name: str, part: Literal["train", "test"], folder: Path, options: BuildOptions
) -> Plan:
    paths = list_sequence(folder)[options.drop :]
    wanted = options.keep or len(paths)
    if len(paths) < max(wanted, 1):
        raise InputError(
            f"{folder}: {len(paths)} frames after the first {options.drop}, but {wanted} are to be "
            "kept; give a smaller --keep or leave the folder out"
        )
    height, width = read_raw(paths[0]).size
    per_pixel = 2 + 2 + (8 if options.flow else 0)
    return Plan(name, part, tuple(paths[:wanted]), height * width * wanted * per_pixel)


def build(plans: Sequence[Plan], root: Path, options: BuildOptions) -> Iterator[tuple[Plan, int]]:
    """Make the videos; yields (plan, frames done) as it goes. Those listed already are kept.

    Raises:
        InputError: a frame can't be read.
        MismatchError: size, phase or levels change within a sequence.
        OutputError: not enough room, or the disk can't be written.
    """
    require_space(root, sum(one.bytes_needed for one in plans))
    writers = {part: RvdWriter(root / part) for part in sorted({plan.part for plan in plans})}
    for one in plans:
        writer = writers[one.part]
        if one.name in writer.finished:
            if not options.overwrite:
                yield one, len(one.frames)
                continue
            writer.forget(one.name)
        yield from _build_one(one, writer, options)


def _build_one(one: Plan, writer: RvdWriter, options: BuildOptions) -> Iterator[tuple[Plan, int]]:
    names = frame_names(len(one.frames))
    meter = TagMeter()
    camera: VideoCamera | None = None
    previous: Rgb8 | None = None
    raws = require_one_size((_read(path) for path in one.frames), one.name)
    for index, (raw, rgb) in enumerate(_rendered(raws, options)):
        camera = camera or VideoCamera.of(raw)
        write_frame_raw(writer.root, one.name, names[index], raw.mosaic)
        write_frame_srgb(writer.root, one.name, names[index], rgb)
        if options.flow and previous is not None:
            write_frame_flow(writer.root, one.name, names[index - 1], dis_flow(previous, rgb))
        previous = rgb
        meter.watch(raw, rgb)
        yield one, 1
    if camera is None:
        raise InputError(f"{one.name}: no frames")
    writer.finish(Video(video_name=one.name, frames=names), camera, meter.propose())


def _read(path: Path) -> RawFrame:
    """Upright, all of the active area: so that RAW and sRGB lie alike."""
    return replace(orient(read_raw(path)), default_crop=None)


def _rendered(raws: Iterable[RawFrame], options: BuildOptions) -> Iterator[tuple[RawFrame, Rgb8]]:
    """Each frame with its rendering, in order, a few at a time (LibRaw runs beside Python)."""
    draw = default_render if options.render == "default" else render
    waiting: list[tuple[RawFrame, Future[Rgb8]]] = []
    with ThreadPoolExecutor(options.workers) as pool:
        for raw in raws:
            waiting.append((raw, pool.submit(draw, raw)))
            if len(waiting) > options.workers:
                yield _collect(*waiting.pop(0))
        for pair in waiting:
            yield _collect(*pair)


def _collect(raw: RawFrame, future: Future[Rgb8]) -> tuple[RawFrame, Rgb8]:
    rgb = future.result()
    if rgb.shape[:2] != raw.size:
        raise InputError(f"LibRaw renders {rgb.shape[:2]} of a mosaic of {raw.size}")
    return raw, rgb
