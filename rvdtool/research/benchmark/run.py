"""Run methods on all videos of a data set; resumable per method and video."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import torch

from rvdtool.errors import OutputError, UsageError
from rvdtool.network.device import choose_device
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.fusion import ChainMethod
from rvdtool.research.benchmark.machine import describe_machine
from rvdtool.research.benchmark.measure import VideoResult, measure
from rvdtool.research.benchmark.methods import UNTRAINED, find_method
from rvdtool.research.benchmark.record import SCORES
from rvdtool.research.dataset.rvd import RvdFolder, RvdVideo, open_rvd
from rvdtool.research.workers import end_with_parent


@dataclass(frozen=True)
class BenchmarkPlan:
    """What the benchmark measures, and how.

    Attributes:
        root: a data set in RVD's layout (data.json, RAW/, sRGB/).
        results: folder for results; valid ones in it are reused.
        methods: the methods' names, see `find_method`.
        frames: largest number of frames of each video, including the first; None for all.
        every: for methods that treat frames separately, score only every n-th frame, counted
            backwards from the last.
        low_resolution: also measure everything at half size.
        jobs: number of videos processed at the same time.
        device: the networks' device, in PyTorch's syntax; None for the fastest available.
        edits: also measure ΔE after edits, of every n-th frame, counted likewise.

    Raises:
        UsageError: no method, a method given twice, or a number below 1 (2 for frames).
    """

    root: Path
    results: Path
    methods: tuple[str, ...] = UNTRAINED
    frames: int | None = None
    every: int = 1
    low_resolution: bool = False
    jobs: int = 2
    device: str | None = None
    edits: bool = False

    def __post_init__(self) -> None:
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise UsageError(f"methods must be named, each once; got {', '.join(self.methods)}")
        if self.every < 1 or self.jobs < 1 or (self.frames is not None and self.frames < 2):
            raise UsageError("every and jobs must be at least 1, frames at least 2")


@dataclass(frozen=True)
class _Task:
    """One method on one video, or all chain methods on it."""

    plan: BenchmarkPlan
    folder: RvdFolder
    video: RvdVideo
    names: tuple[str, ...]
    half: bool


def run(plan: BenchmarkPlan, advance: Callable[[int], None] | None = None) -> list[VideoResult]:
    """Run the benchmark, except for results that are already known.

    Args:
        plan: what to measure.
        advance: called with the number of videos (per method and size) just done.

    Returns:
        All results of the plan, in its order of methods, by video name, full size first.

    Raises:
        InputError: the data set, a frame or a model can't be read.
        UsageError: a method or the device doesn't exist, or two methods have the same name.
        OutputError: the results' folder has other files, or can't be written.
    """
    tasks = list(_tasks(plan))
    device = str(choose_device(plan.device))
    _require_ours(plan.results)
    results: dict[tuple[bool, str, str], VideoResult] = {}
    threads = max(1, (os.cpu_count() or 1) // plan.jobs)
    with ProcessPoolExecutor(plan.jobs, get_context("spawn"), _prepare_worker, (threads,)) as pool:
        waiting = {pool.submit(_measure, task, device, threads): task for task in tasks}
        try:
            for done in as_completed(waiting):
                task = waiting[done]
                for name, result in zip(task.names, done.result(), strict=True):
                    results[task.half, name, task.video.video_name] = result
                if advance:
                    advance(len(task.names))
        finally:
            pool.shutdown(cancel_futures=True)
    order = sorted(results, key=lambda place: (place[0], plan.methods.index(place[1]), place[2]))
    return [results[place] for place in order]


def count_tasks(plan: BenchmarkPlan) -> int:
    """The total of the numbers that `advance` will be called with."""
    return len(open_rvd(plan.root).videos) * len(plan.methods) * (1 + plan.low_resolution)


def _tasks(plan: BenchmarkPlan) -> Iterator[_Task]:
    names = [find_method(name).name for name in plan.methods]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two models are called {name}; rename one's folder")
    folder = open_rvd(plan.root)
    short = [video.video_name for video in folder.videos if len(video.frames) < 2]
    if short:
        raise UsageError(f"{plan.root}: {short[0]} has one frame; the first isn't scored")
    videos = sorted(folder.videos, key=lambda video: video.video_name)
    readers = tuple(name for name in plan.methods if isinstance(find_method(name), ChainMethod))
    groups: list[tuple[str, ...]] = [
        readers,
        *((name,) for name in plan.methods if name not in readers),
    ]
    for half in (False, True)[: 1 + plan.low_resolution]:
        for group in filter(None, groups):
            for video in videos:
                yield _Task(plan, folder, video, group, half)


def _require_ours(results: Path) -> None:
    """Refuse a folder with files that don't belong to a benchmark."""
    if results.is_dir() and any(results.iterdir()) and not (results / SCORES).is_dir():
        raise OutputError(
            f"{results}: not empty, and not a benchmark's results; give a new folder, or one "
            "with results to resume"
        )


def _prepare_worker(threads: int) -> None:
    """Set up a worker process, which gets its share of the cores."""
    end_with_parent()
    cv2.setNumThreads(threads)
    torch.set_num_threads(threads)


def _measure(task: _Task, device: str, threads: int) -> list[VideoResult]:
    """Measure one task, in a worker process."""
    plan = task.plan
    machine = describe_machine(plan.jobs, threads, device)
    methods = [find_method(name, device) for name in task.names]
    clip = BenchmarkClip(task.folder, task.video, task.half)
    return measure(
        methods,
        clip,
        plan.results,
        frames=plan.frames,
        every=plan.every,
        machine=machine,
        edits=plan.edits,
    )
