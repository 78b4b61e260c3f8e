"""Blend a forward and a backward chain between two references, weighted by age and error.

When a chain reaches the other reference, its error there is known. A chain's expected error in a
frame is this error, warped to the frame along the other chain's flow and multiplied by the frame's
age. Each chain is weighted by the inverse of its expected error. Alternatives that were tried on
training scenes (such as the chains' own variances) are in docs/research/experiments.md.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from rvdtool.errors import UsageError
from rvdtool.raw.bayer import normalise
from rvdtool.raw.frame import Mosaic, RawFrame
from rvdtool.reconstruct.brightness import BLOCK, block_means
from rvdtool.reconstruct.chain import Chain, Step
from rvdtool.reconstruct.compiled import threads
from rvdtool.reconstruct.confidence import doubtful
from rvdtool.reconstruct.flow import Flow, resize_flow, sample
from rvdtool.reconstruct.pipeline import ReadAhead
from rvdtool.reconstruct.spool import Spool
from rvdtool.reconstruct.stages import stage
from rvdtool.reconstruct.statistics import Array, box
from rvdtool.video.frame import Rgb

MOST_IN_FLIGHT = 4
"""Largest number of frames that wait for the network or are processed by it."""
SMOOTHING = 5
"""Side in blocks of the window over which errors are averaged, since a single block is noisy."""
OVERALL = 0.25
"""This fraction of the whole frame's error is added everywhere."""
LOWEST = np.float32(1e-12)
"""Lower limit of (normalised) mean squared errors."""


@dataclass(frozen=True)
class Waypoint:
    """One frame of a chain.

    Attributes:
        brightness, trusted, carried: as in `Prior`.
        exposure: relative to the reference's.
        doubtful: see `confidence.doubtful`.
        toned: as in `Prior`.
    """

    brightness: float
    trusted: float
    carried: float
    exposure: np.float32
    doubtful: float = 0.0
    toned: float = 0.0


@dataclass(frozen=True)
class Trace:
    """The results of a chain, frame by frame, starting next to its reference; arrays are on disk.

    Attributes:
        reference: the chain's reference.
        waypoints: one per frame.
        tracks_gain: see `Chain`.
        spool: one record per frame: its RAW, uint16 [H, W]; its flow to the reference in blocks,
            [H//8, W//8, 2]; its expected error, see `Step`.
        error: mean squared error at the other reference, at the chain's reference's brightness, by
            block, [H//8, W//8]; None if the chain didn't reach another reference.
    """

    reference: RawFrame
    waypoints: tuple[Waypoint, ...]
    tracks_gain: bool
    spool: Spool
    error: Array | None

    def mosaic(self, age: int) -> Mosaic:
        """RAW of the frame at a distance of `age` frames from the reference, uint16 [H, W]."""
        return self.spool[age - 1][0]

    def expected(self, age: int) -> Array:
        """Expected mean squared error of the same frame, normalised, by block, [H//8, W//8]."""
        return self.spool[age - 1][2]


def steps(chain: Chain, pictures: Iterable[Rgb], in_flight: int = MOST_IN_FLIGHT) -> Iterator[Step]:
    """Run a chain over sRGB frames.

    It works as a pipeline: while the motion of one frame is estimated, the candidates of the
    previous frame are computed, the frame before that is fused, and the network processes those
    before it. The number of frames in memory is limited, since each has about twenty maps of its
    size.

    Args:
        chain: a chain at its start.
        pictures: the frames, uint8 or uint16 [H, W, 3].
        in_flight: largest number of frames that wait for the network or are processed by it; with
            0, each frame is finished before the next one is begun, which takes the least memory.
    """
    if in_flight == 0:
        yield from map(chain.step, pictures)
        return
    workers = max(1, threads() - 1)
    predictions: deque[Future[Step]] = deque()
    with (
        ThreadPoolExecutor(workers) as predictors,
        ReadAhead(map(chain.follow, pictures), depth=1) as followed,
        ReadAhead(map(chain.compare, followed), depth=1) as compared,
    ):
        observed = iter(compared)
        while True:
            with stage("waiting for candidates"):
                frame = next(observed, None)
            if frame is None:
                break
            predictions.append(predictors.submit(chain.answer, chain.fuse(frame), frame.rgb))
            del frame
            if len(predictions) >= min(workers, in_flight):
                yield _wait_for_first(predictions)
        while predictions:
            yield _wait_for_first(predictions)


def _wait_for_first(predictions: "deque[Future[Step]]") -> Step:
    with stage("waiting for the network"):
        return predictions.popleft().result()


def trace(
    chain: Chain,
    reference: RawFrame,
    pictures: Iterable[Rgb],
    spool: Spool,
    done: Callable[[int, Mosaic], None],
    arrival: RawFrame | None = None,
    agreement: Array | None = None,
    in_flight: int = MOST_IN_FLIGHT,
) -> Trace:
    """Run a chain over the frames between its reference and another one.

    Args:
        chain: a chain at its start.
        reference: the chain's reference.
        pictures: sRGB frames in the chain's direction; the last is `arrival`'s frame, if given.
        spool: an empty spool.
        done: called after each frame, with its distance to the reference and its RAW.
        arrival: the reference at the other end.
        agreement: confidence that `arrival` shows the same as its frame, 0..1, [H, W]; None if
            everywhere 1.
        in_flight: see `steps`.
    """
    waypoints = []
    for step in steps(chain, pictures, in_flight):
        state, mosaic = step.state, step.mosaic
        blocks = reference.size[0] // BLOCK, reference.size[1] // BLOCK
        spool.append(mosaic, resize_flow(state.far, blocks), step.expected)
        exposure, prior = np.float32(state.exposure), step.prior
        waypoints.append(
            Waypoint(
                brightness=state.brightness,
                trusted=prior.trusted,
                carried=prior.carried,
                exposure=exposure,
                doubtful=doubtful(prior, step.expected),
                toned=prior.toned,
            )
        )
        del step, prior  # a dozen maps of the frame's size
        done(state.index, mosaic)
    error = None
    if arrival is not None:
        difference = _normalised(reference, mosaic) - _normalised(arrival, arrival.mosaic)
        difference /= waypoints[-1].exposure
        error = arrival_error(difference * difference, agreement)
    return Trace(reference, tuple(waypoints), chain.tracks_gain, spool, error)


def arrival_error(squared: Array, agreement: Array | None) -> Array:
    """Smoothed mean squared error by block, [H//8, W//8].

    Where the arrival's RAW disagrees with its frame, the error of the surroundings is used.
    """
    if agreement is None:
        means = block_means(squared)
        return box(means, SMOOTHING) + np.float32(OVERALL * means.mean()) + LOWEST
    agreeing = (agreement == 1).astype(np.float32)
    means, shares = block_means(squared * agreeing), block_means(agreeing)
    overall = means.sum() / max(float(shares.sum()), 1e-6)
    # The frame's mean error gets a small weight, to avoid 0 / 0.
    error = box(means, SMOOTHING) + np.float32(1e-3 * overall)
    error /= box(shares, SMOOTHING) + np.float32(1e-3)
    return error + np.float32(OVERALL * overall) + LOWEST


def blend(one: Trace, other: Trace, age: int, other_age: int) -> tuple[Array, Array]:
    """Blend two chains' results for the same frame.

    Args:
        one, other: chains between the same two references, in opposite directions.
        age, other_age: the frame's distances to the chains' references, in frames.

    Returns:
        Normalised RAW, [H, W], and its expected mean squared error by block, [H//8, W//8]: the
        mean of both chains' values, since their errors are similar.
    """
    mosaic, far, error = one.spool[age - 1]
    other_mosaic, other_far, other_error = other.spool[other_age - 1]
    variance = _expected_error(one, age, other_far)
    other_variance = _expected_error(other, other_age, far)
    height, width = mosaic.shape
    shares = other_variance / (variance + other_variance)
    share = cv2.resize(shares, (width, height))
    own, others = _normalised(one.reference, mosaic), _normalised(other.reference, other_mosaic)
    return others + share * (own - others), other_error + shares * (error - other_error)


def _expected_error(of: Trace, age: int, to_arrival: Flow) -> Array:
    """Expected mean squared error of a chain's frame, by block, [H//8, W//8]."""
    if of.error is None:
        raise UsageError("only a chain that reached another reference can be blended")
    exposure = of.waypoints[age - 1].exposure
    return sample(of.error, to_arrival) * (exposure * exposure * np.float32(age))


def _normalised(of: RawFrame, mosaic: Mosaic) -> Array:
    return normalise(mosaic, of.black, of.white)
