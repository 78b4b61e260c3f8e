"""Compare the frames that `rvdtool plan` chooses with even and random ones and the best ones.

    python examples/plan_against_truth.py RVD_FOLDER [--raws 3] [--every 5] [--half] [--clips …]

The folder is a data set in RVD's layout. Frame 0 of each clip has a RAW; further ones may be at
every n-th frame. All chains between these are run once, so that the true PSNR of any choice is
known (fusion, without a network; mean of the frames without a RAW). Prints a line per clip, and
their mean: without further RAWs, planned, planned from the video alone, by the camera's trigger
(rounded up to every n-th frame), evenly, at random (mean of all choices) and by the truth (best of
all choices). A clip of 24 frames of 448×320 takes about 20 s of one core with every second frame.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rvdtool.capture.trigger import RawTrigger
from rvdtool.delivery.plan import Outlook, look_at_video
from rvdtool.raw.bayer import normalise
from rvdtool.reconstruct.blend import Trace, Waypoint, arrival_error, blend
from rvdtool.reconstruct.brightness import BLOCK
from rvdtool.reconstruct.chain import Chain, Step
from rvdtool.reconstruct.confidence import expected_psnr
from rvdtool.reconstruct.flow import resize_flow
from rvdtool.reconstruct.match import Match
from rvdtool.reconstruct.threads import use_threads
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.dataset.rvd import open_rvd
from rvdtool.video.frame import VideoFrame

Segments = dict[tuple[int, int], NDArray[np.float64]]
"""True PSNR in dB of each frame between two RAWs; the second may be the number of frames: none."""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--raws", type=int, default=3)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--half", action="store_true", help="at half size")
    parser.add_argument("--clips", nargs="+", help="names; by default all")
    arguments = parser.parse_args()
    use_threads(1)
    folder, rows = open_rvd(arguments.folder), []
    for video in sorted(folder.videos, key=lambda video: video.video_name):
        if arguments.clips and video.video_name not in arguments.clips:
            continue
        clip = BenchmarkClip(folder, video, arguments.half)
        segments, expected = measure(clip, arguments.every)
        pictures = (VideoFrame(i, clip.srgb(i), pts=i) for i in range(len(clip)))
        alone = look_at_video(pictures, lambda done: None)
        outlook = Outlook((0,), alone.looks, expected)
        interval = round(len(clip) / (arguments.raws + 1))
        trigger = RawTrigger(interval)
        kept = [i for i in range(len(clip)) if trigger(clip.srgb(i))][1:]
        rows.append(compare(segments, outlook, alone, kept, arguments.raws, arguments.every))
        sys.stdout.write(f"{clip.name}: {as_text(rows[-1])}\n")
        sys.stdout.flush()
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    sys.stdout.write(f"mean of {len(rows)}: {as_text(mean)}\n")


def as_text(row: dict[str, float]) -> str:
    """A row of the table."""
    return ", ".join(f"{name} {value:.2f}" for name, value in row.items())


def compare(
    segments: Segments,
    outlook: Outlook,
    alone: Outlook,
    kept: Sequence[int],
    raws: int,
    every: int,
) -> dict[str, float]:
    """Mean PSNR in dB of the frames without a RAW, for each way to choose them."""
    count = len(outlook.looks)
    places = range(every, count, every)

    def mean(chosen: Sequence[int]) -> float:
        ends = [0, *chosen, count]
        return float(
            np.mean(np.concatenate([segments[ends[k], ends[k + 1]] for k in range(len(ends) - 1)]))
        )

    even = [
        min(places, key=lambda place: abs(place - k * count / (raws + 1)))
        for k in range(1, raws + 1)
    ]
    later = sorted({place for frame in kept if (place := -(-frame // every) * every) in places})
    every_way = [mean(chosen) for chosen in combinations(places, raws)]
    return {
        "none": mean(()),
        "plan": mean(next(islice(outlook.plans(every), raws, None)).frames),
        "video": mean(next(islice(alone.plans(every), raws, None)).frames),
        "trigger": mean(later[:raws]),
        "evenly": mean(even),
        "random": float(np.mean(every_way)),
        "truth": max(every_way),
    }


def measure(clip: BenchmarkClip, every: int) -> tuple[Segments, NDArray[np.float64]]:
    """The true PSNRs, and those expected with the RAW of frame 0 only, [N]."""
    count = len(clip)
    chains = {
        (place, way): list(_run(clip, place, way))
        for place in range(0, count, every)
        for way in (1, -1)
    }
    true = [normalise(raw.mosaic, raw.black, raw.white) for raw in map(clip.raw, range(count))]
    expected = [-np.inf, *(expected_psnr(record[2]) for record, _ in chains[0, 1])]
    segments: Segments = {}
    for one in range(0, count, every):
        alone = [_values(clip, record[0]) for record, _ in chains[one, 1]]
        segments[one, count] = _psnr(alone, true[one + 1 :])
        for two in range(one + every, count, every):
            there, back = (
                _trace(clip, chains[start, way][: two - one], true[end])
                for start, end, way in ((one, two, 1), (two, one, -1))
            )
            blends = (blend(there, back, k - one, two - k)[0] for k in range(one + 1, two))
            segments[one, two] = _psnr(blends, true[one + 1 : two])
    return segments, np.array(expected)


def _run(clip: BenchmarkClip, start: int, way: int) -> Iterator[tuple[tuple, np.float32]]:
    """A chain's records as in a spool (see `Trace`), and its exposures."""
    raw, rgb = clip.raw(start), clip.srgb(start)
    chain = Chain(raw, rgb, match=Match.of(raw, rgb))
    blocks = raw.size[0] // BLOCK, raw.size[1] // BLOCK
    for index in range(start + 1, len(clip)) if way == 1 else range(start - 1, -1, -1):
        step: Step = chain.step(clip.srgb(index))
        far = resize_flow(step.state.far, blocks)
        yield (step.mosaic, far, step.expected), np.float32(step.state.exposure)


def _trace(clip: BenchmarkClip, chain: list, arrival: NDArray[np.float32]) -> Trace:
    """A chain that ends at a RAW, as far as blending needs it."""
    (mosaic, _, _), exposure = chain[-1]
    difference = (_values(clip, mosaic) - arrival) / exposure
    error = arrival_error(difference * difference, None)
    ways = tuple(Waypoint(1, 0, 0, exposure) for _, exposure in chain)
    return Trace(clip.reference, ways, False, [record for record, _ in chain], error)


def _values(clip: BenchmarkClip, mosaic: NDArray[np.uint16]) -> NDArray[np.float32]:
    return normalise(mosaic, clip.reference.black, clip.reference.white)


def _psnr(found: Iterator, true: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    errors = [
        np.mean(np.square(one - two, dtype=np.float64))
        for one, two in zip(found, true, strict=True)
    ]
    return -10 * np.log10(np.maximum(errors, 1e-12))


if __name__ == "__main__":
    main()
