"""Two chains that meet, one from either side: each weighted by its age and what it got wrong.

A chain that runs on to the next reference shows there what it gets wrong. That error, brought to a
frame along the other chain's flow and grown from nothing in proportion to the age, is how far the
chain can be trusted there; the blend weighs by its inverse. What else was tried, on training scenes
(the chains' own variances among it), is in docs/method/reconstruction.md.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np

from rvdtool.errors import UsageError
from rvdtool.raw.bayer import normalise
from rvdtool.raw.frame import Mosaic, RawFrame
from rvdtool.reconstruct.brightness import BLOCK, block_means
from rvdtool.reconstruct.chain import Chain, Step
from rvdtool.reconstruct.compiled import threads
from rvdtool.reconstruct.flow import Flow, resize_flow, sample
from rvdtool.reconstruct.spool import Spool
from rvdtool.reconstruct.stages import stage
from rvdtool.reconstruct.statistics import Array, box
from rvdtool.video.frame import Rgb

T = TypeVar("T")

MOST_ANSWERS = 4
"""Frames that wait for the network or its answer at a time, at most."""
SMOOTHING = 5
"""Errors are averaged over this many blocks each way: one frame's noise says little of a place."""
OVERALL = 0.25
"""… and this share of the whole frame's error counts everywhere."""
LEAST = np.float32(1e-12)
"""Mean squared errors below it are none (normalised)."""


@dataclass(frozen=True)
class Waypoint:
    """One frame of a chain.

    Attributes:
        brightness, trusted: as in `Prior`.
        exposure: against the reference's.
    """

    brightness: float
    trusted: float
    exposure: np.float32


@dataclass(frozen=True)
class Trace:
    """All that one chain made, frame by frame away from its reference; the arrays are on disk.

    Attributes:
        reference: where it started.
        waypoints: one per frame.
        tracks_gain: as the chain's.
        spool: a record per frame: RAW as it would be written, uint16 [H, W]; flow to the reference,
            [H//8, W//8, 2] in blocks; expected error, see `Step`.
        error: mean squared error where it arrived, as bright as its reference, by block,
            [H//8, W//8]; None: it didn't arrive at another reference.
    """

    reference: RawFrame
    waypoints: tuple[Waypoint, ...]
    tracks_gain: bool
    spool: Spool
    error: Array | None

    def mosaic(self, age: int) -> Mosaic:
        """The RAW of the frame that lies `age` frames from the reference, uint16 [H, W]."""
        return self.spool[age - 1][0]

    def expected(self, age: int) -> Array:
        """Mean squared error that is expected of it, normalised, by block, [H//8, W//8]."""
        return self.spool[age - 1][2]


def steps(chain: Chain, pictures: Iterable[Rgb]) -> Iterator[Step]:
    """Run a chain over sRGB frames.

    While one frame is followed, the one before is compared, the one before that is fused, and the
    network answers to those before it. No more are in memory, as each is some twenty maps of the
    frame's size.
    """
    workers = max(1, threads() - 1)
    answers: deque[Future[Step]] = deque()
    followed = _ahead(map(chain.follow, pictures))
    with ThreadPoolExecutor(workers) as answerers:
        observed = _ahead(map(chain.compare, followed))
        while True:
            with stage("waiting for candidates"):
                seen = next(observed, None)
            if seen is None:
                break
            answers.append(answerers.submit(chain.answer, chain.fuse(seen), seen.rgb))
            del seen
            if len(answers) >= min(workers, MOST_ANSWERS):
                yield _first(answers)
        while answers:
            yield _first(answers)


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items; while one is used, the next one is made in a thread."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while True:
            made = coming.result()
            if made is None:
                return
            coming = thread.submit(next, items, None)
            kept = [made]
            del made
            yield kept.pop()  # nothing here holds it any longer


def _first(answers: "deque[Future[Step]]") -> Step:
    with stage("waiting for the network"):
        return answers.popleft().result()


def trace(
    chain: Chain,
    reference: RawFrame,
    pictures: Iterable[Rgb],
    spool: Spool,
    step_done: Callable[[], None],
    arrival: RawFrame | None = None,
    agreement: Array | None = None,
) -> Trace:
    """Run a chain over the frames between its reference and another one.

    Args:
        chain: at its start.
        reference: where that is.
        pictures: sRGB frames, away from the reference; the last one `arrival`'s, if there is one.
        spool: an empty one.
        step_done: called after every frame.
        arrival: the reference at the other end.
        agreement: how surely that one shows what its frame shows, 0..1, [H, W]; None: everywhere.
    """
    waypoints = []
    for step in steps(chain, pictures):
        state = step.state
        blocks = reference.size[0] // BLOCK, reference.size[1] // BLOCK
        spool.append(step.mosaic, resize_flow(state.far, blocks), step.expected)
        exposure = np.float32(state.exposure)
        waypoints.append(Waypoint(state.brightness, step.prior.trusted, exposure))
        step_done()
    error = None
    if arrival is not None:
        difference = _normalised(reference, step.mosaic) - _normalised(arrival, arrival.mosaic)
        difference /= waypoints[-1].exposure
        error = _error(difference * difference, agreement)
    return Trace(reference, tuple(waypoints), chain.tracks_gain, spool, error)


def _error(squared: Array, agreement: Array | None) -> Array:
    """Mean squared error by block, [H//8, W//8], of what the arrival can judge.

    Where the RAW there shows something else than its frame, the surroundings' error stands.
    """
    if agreement is None:
        means = block_means(squared)
        return box(means, SMOOTHING) + np.float32(OVERALL * means.mean()) + LEAST
    judged = (agreement == 1).astype(np.float32)
    means, shares = block_means(squared * judged), block_means(judged)
    overall = means.sum() / max(float(shares.sum()), 1e-6)
    # The frame's error counts as a little more evidence everywhere: else 0 / 0.
    near = box(means, SMOOTHING) + np.float32(1e-3 * overall)
    near /= box(shares, SMOOTHING) + np.float32(1e-3)
    return near + np.float32(OVERALL * overall) + LEAST


def blend(one: Trace, other: Trace, age: int, other_age: int) -> tuple[Array, Array]:
    """Blend what two chains made of the same frame.

    Args:
        one, other: chains that started where the other one arrived.
        age, other_age: how many frames from their references the frame lies.

    Returns:
        Normalised RAW, [H, W], and the mean squared error expected of it, by block, [H//8, W//8]:
        the mean of both chains', as what they get wrong is much the same.
    """
    mosaic, far, error = one.spool[age - 1]
    other_mosaic, other_far, other_error = other.spool[other_age - 1]
    doubt = _doubt(one, age, other_far)
    other_doubt = _doubt(other, other_age, far)
    height, width = mosaic.shape
    shares = other_doubt / (doubt + other_doubt)
    share = cv2.resize(shares, (width, height))
    own, others = _normalised(one.reference, mosaic), _normalised(other.reference, other_mosaic)
    return others + share * (own - others), other_error + shares * (error - other_error)


def _doubt(of: Trace, age: int, to_arrival: Flow) -> Array:
    """Mean squared error to be expected of a chain's frame, by block, [H//8, W//8]."""
    if of.error is None:
        raise UsageError("a chain that arrived nowhere can't be weighed against another one")
    exposure = of.waypoints[age - 1].exposure
    return sample(of.error, to_arrival) * (exposure * exposure * np.float32(age))


def _normalised(of: RawFrame, mosaic: Mosaic) -> Array:
    return normalise(mosaic, of.black, of.white)
