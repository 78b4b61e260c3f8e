"""Simulate sequences and write them in RVD's layout, several at a time."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

import cv2
from pydantic import ValidationError

from rvdtool.errors import OutputError, UsageError
from rvdtool.files import write_beside
from rvdtool.research.dataset.recipe import Codec, Recipe
from rvdtool.research.dataset.rvd import (
    Rgb8,
    RvdVideo,
    RvdWriter,
    Tags,
    VideoCamera,
    frame_names,
    make_folder,
    require_space,
    write_frame_flow,
    write_frame_raw,
    write_frame_srgb,
)
from rvdtool.research.dataset.scene import SourceFolders, require_sources
from rvdtool.research.dataset.sheet import SheetFrame, sheet_indices, write_sheet
from rvdtool.research.dataset.simulate import Simulation
from rvdtool.research.dataset.tags import TagMeter
from rvdtool.research.workers import end_with_parent
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.encode import encode_video
from rvdtool.video.source import open_source


@dataclass(frozen=True)
class ProduceOptions:
    """How sequences are written.

    Attributes:
        flow: also write the simulated motion's flow (8 bytes per pixel).
        overwrite: replace videos of the same name that were made from another recipe.
        workers: number of sequences made at the same time.
    """

    flow: bool = False
    overwrite: bool = False
    workers: int = 1


def disk_need(recipes: Sequence[Recipe], flow: bool) -> int:
    """Estimated bytes of the sequences, assuming PNGs of two thirds of their uncompressed size."""
    pixels = sum(recipe.width * recipe.height * recipe.frames for recipe in recipes)
    return pixels * (2 + 2 + (8 if flow else 0))


def produce(
    recipes: Sequence[Recipe], folders: SourceFolders, root: Path, options: ProduceOptions
) -> Iterator[Recipe]:
    """Make the sequences that don't exist yet; yields each recipe when its video is finished.

    Videos that were made from the same recipe before are kept, and yielded first.

    Raises:
        InputError: a source is missing or unreadable; checked before any work where possible.
        UsageError: two recipes have the same name.
        OutputError: a name is taken by another recipe's video, the disk can't be written, or a
            worker was killed.
    """
    _require_different_names(recipes)
    for recipe in recipes:
        require_sources(recipe.sources, folders)
    require_space(root, disk_need(recipes, options.flow))
    writer = RvdWriter(root)
    waiting = []
    for recipe in recipes:
        if _stands(recipe, writer, options):
            yield recipe
        else:
            if recipe.name in writer.finished:
                writer.forget(recipe.name)
            waiting.append(recipe)
    with ProcessPoolExecutor(options.workers, get_context("spawn"), prepare_worker) as pool:
        running = {
            pool.submit(produce_one, recipe, folders, root, options.flow): recipe
            for recipe in waiting
        }
        try:
            for done in as_completed(running):
                _list(running[done], done, writer)
                yield running[done]
        except BrokenProcessPool as error:
            raise OutputError(
                f"{root}: a worker was killed, perhaps for lack of memory; use fewer --jobs"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
            for done, recipe in running.items():
                if not done.cancelled() and done.exception() is None:
                    _list(recipe, done, writer)


def produce_one(
    recipe: Recipe, folders: SourceFolders, root: Path, flow: bool
) -> tuple[VideoCamera, Tags]:
    """Write one sequence's frames, contact sheet and recipe. The caller updates data.json.

    Returns:
        The sequence's camera and tags: its condition, by which the benchmark groups its tables,
        and tags proposed from the frames before they are encoded.

    Raises:
        InputError: a source can't be used or is too short.
        OutputError: the disk can't be written.
    """
    simulation = Simulation(recipe, folders)
    names = frame_names(recipe.frames)
    rows: dict[int, SheetFrame] = {}
    meter = TagMeter()

    def save_raws() -> Iterator[Rgb8]:
        for shot in simulation.shots(flow=flow, flow_at=sheet_indices(recipe.frames)):
            write_frame_raw(root, recipe.name, names[shot.index], shot.raw.mosaic)
            meter.watch(shot.raw, shot.rgb)
            if flow and shot.flow is not None and shot.index + 1 < recipe.frames:
                write_frame_flow(root, recipe.name, names[shot.index], shot.flow)
            if shot.index in sheet_indices(recipe.frames):
                rows[shot.index] = SheetFrame(shot.raw, shot.rgb, shot.flow)
            yield shot.rgb

    for index, rgb in enumerate(_through_codec(save_raws(), recipe, root)):
        write_frame_srgb(root, recipe.name, names[index], rgb)
        if index in rows:
            rows[index] = SheetFrame(rows[index].raw, rgb, rows[index].flow)
    write_sheet(root / "sheets" / f"{recipe.name}.png", list(rows.values()))
    make_folder(root / "recipes")
    with write_beside(recipe_path(root, recipe), overwrite=True) as file:
        file.write(recipe.model_dump_json(indent=1).encode() + b"\n")
    return VideoCamera.of(next(iter(rows.values())).raw), _condition(recipe) | meter.propose()


def recipe_path(root: Path, recipe: Recipe) -> Path:
    """Path of the stored recipe of a finished sequence."""
    return root / "recipes" / f"{recipe.name}.json"


def _through_codec(frames: Iterable[Rgb8], recipe: Recipe, root: Path) -> Iterator[Rgb8]:
    """The frames after the recipe's codec; the encoded video is kept as video/<name>.mp4."""
    if recipe.codec.kind == "png":
        yield from frames
        return
    path = root / "video" / f"{recipe.name}.mp4"
    make_folder(path.parent)
    encode_with(frames, path, recipe.codec, recipe.rate)
    source = open_source(path)
    for frame in read_frames(source, probe(source)):
        yield frame.rgb.astype("uint8", copy=False)


def encode_with(frames: Iterable[Rgb8], path: Path, codec: Codec, rate: Fraction) -> None:
    """Encode frames with the recipe's codec, which must not be `png`."""
    if codec.kind != "png":
        encode_video(frames, path, rate=rate, codec=codec.kind, crf=codec.crf, overwrite=True)


def _list(recipe: Recipe, done: Future[tuple[VideoCamera, Tags]], writer: RvdWriter) -> None:
    """List a video in data.json, unless it is listed already."""
    camera, tags = done.result()
    if recipe.name not in writer.finished:
        video = RvdVideo(video_name=recipe.name, frames=frame_names(recipe.frames))
        writer.finish(video, camera, tags)


_ISPS = {"libraw": "LibRaw", "camera": "camera-like ISP", "phone": "phone-like ISP"}


def _condition(recipe: Recipe) -> Tags:
    return {
        f"{_ISPS[recipe.isp.kind]}, {'lossless' if recipe.codec.kind == 'png' else 'lossy'}": True
    }


def _stands(recipe: Recipe, writer: RvdWriter, options: ProduceOptions) -> bool:
    """Whether the video exists already and was made from exactly this recipe."""
    if recipe.name not in writer.finished:
        return False
    same = _recipe_of(recipe_path(writer.root, recipe)) == recipe
    if not same and not options.overwrite:
        raise OutputError(
            f"{writer.root}: has a video {recipe.name} made from another recipe; choose "
            "another folder, or use --overwrite"
        )
    still = recipe.background.kind == "clip" or recipe.frames == 1  # its flow isn't known
    has_flow = still or (writer.root / "flow" / recipe.name).exists()
    return same and (has_flow or not options.flow)


def _recipe_of(path: Path) -> Recipe | None:
    """The recipe that a video was made from; None if unknown."""
    try:
        return Recipe.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _require_different_names(recipes: Sequence[Recipe]) -> None:
    names = [recipe.name for recipe in recipes]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"two recipes have the name {min(twice)}; names must differ")


def prepare_worker() -> None:
    """Set up a worker process: one thread for OpenCV, as the workers share the cores."""
    end_with_parent()
    cv2.setNumThreads(1)
