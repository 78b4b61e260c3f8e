"""All methods on all videos of an RVD folder, and the tables made of it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from rvdtool.benchmark.methods import METHODS, score_video
from rvdtool.dataset.produce import one_thread
from rvdtool.dataset.rvd import RvdFolder, Video, open_rvd

ENDS = 10
"""How many frames the beginning and the end of a clip have, where drift is looked for."""


@dataclass(frozen=True)
class VideoResult:
    """One video's figures.

    Attributes:
        name: of the video.
        tags: its attributes (conditions).
        psnr: method → PSNR in dB of frames 2, 3, ….
    """

    name: str
    tags: tuple[str, ...]
    psnr: dict[str, list[float]]

    def mean(self, method: str) -> float:
        """Mean over frames, dB."""
        return float(np.mean(self.psnr[method]))

    def drift(self, method: str) -> float:
        """Mean of the last ten frames minus mean of the first ten, dB."""
        frames = self.psnr[method]
        return float(np.mean(frames[-ENDS:]) - np.mean(frames[:ENDS]))


def run(
    root: Path,
    *,
    frames: int | None = None,
    jobs: int = 2,
    advance: Callable[[int], None] | None = None,
) -> list[VideoResult]:
    """Score all training-free methods on the videos of a folder in RVD's layout.

    Args:
        root: the folder (data.json, RAW/, sRGB/).
        frames: how many frames of each video at most.
        jobs: videos at a time.
        advance: called with the number of videos just done.

    Raises:
        InputError: the folder or a frame can't be read.
    """
    folder = open_rvd(root)
    results = []
    with ProcessPoolExecutor(jobs, get_context("spawn"), one_thread) as pool:
        waiting = [pool.submit(_score, folder, video, frames) for video in folder.videos]
        try:
            for done in as_completed(waiting):
                results.append(done.result())
                if advance:
                    advance(1)
        finally:
            pool.shutdown(cancel_futures=True)
    return sorted(results, key=lambda result: result.name)


def by_tag(results: Sequence[VideoResult]) -> dict[str, dict[str, float]]:
    """Mean PSNR in dB over the videos of each tag (and over all), per method."""
    groups: dict[str, list[VideoResult]] = {}
    for result in results:
        for tag in result.tags:
            groups.setdefault(tag, []).append(result)
    groups = dict(sorted(groups.items())) | {"all": list(results)}
    return {
        tag: {method: float(np.mean([one.mean(method) for one in group])) for method in METHODS}
        for tag, group in groups.items()
    }


def _score(folder: RvdFolder, video: Video, frames: int | None) -> VideoResult:
    scores = list(score_video(folder, video, frames))
    tags = tuple(tag for tag, has in folder.tags.get(video.video_name, {}).items() if has)
    psnr = {method: [score[method] for score in scores] for method in METHODS}
    return VideoResult(video.video_name, tags, psnr)
