"""Reconstruct a clip from its references, by forward and backward chains.

    frames before the first reference    backward from it
    frames between two references        forward and backward, blended
    frames after the last reference      forward from it
    a reference's own frame              its RAW unchanged, if that is exactly this frame;
                                         otherwise reconstructed by a chain that starts there

Each chain starts at a reference, on which it is calibrated. A backward chain needs its frames in
reverse order, so the frames between two references are kept on disk (`Spool`), with the chains'
results.
"""

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import Field, dataclass, replace
from itertools import islice, pairwise, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from rvdtool.bundle.store import Reference
from rvdtool.errors import BundleError, MismatchError
from rvdtool.raw.bayer import denormalise
from rvdtool.raw.frame import Mosaic, RawFrame
from rvdtool.reconstruct.blend import MOST_IN_FLIGHT, Trace, blend, steps, trace
from rvdtool.reconstruct.calibration import Calibration
from rvdtool.reconstruct.chain import Chain, ChainState, GainMode
from rvdtool.reconstruct.confidence import doubtful
from rvdtool.reconstruct.flow import Flow, read_flow, read_flow_to_next
from rvdtool.reconstruct.match import Match
from rvdtool.reconstruct.motion import NearFlow
from rvdtool.reconstruct.pipeline import ReadAhead
from rvdtool.reconstruct.resuming import checked_state
from rvdtool.reconstruct.spool import Spool
from rvdtool.reconstruct.stages import stage
from rvdtool.reconstruct.statistics import Array
from rvdtool.video.frame import Rgb, VideoFrame

if TYPE_CHECKING:
    from rvdtool.network.calibrated import CalibratedFagdn


@dataclass(eq=False)
class Anchor:
    """A reference and its sRGB frame, where chains start and end.

    Attributes:
        index: of the frame.
        raw: the reference's RAW, on the video's grid.
        rgb: the frame.
        match: how the two match.
        calibration: made by the first chain that starts here, and reused by others; None before.
    """

    index: int
    raw: RawFrame
    rgb: Rgb
    match: Match
    calibration: Calibration | None = None

    @classmethod
    def of(cls, reference: Reference, rgb: Rgb) -> Self:
        """Read and compare a reference.

        Args:
            reference: one of the clip's.
            rgb: its frame, [H, W, 3].

        Raises:
            BundleError: it is damaged.
        """
        raw = _read(reference)
        if raw.size != rgb.shape[:2]:  # `Chain` raises the error
            return cls(reference.index, raw, rgb, Match(None))
        match = Match.of(raw, rgb, resampled=reference.is_resampled)
        return cls(reference.index, raw, rgb, match)


@dataclass(frozen=True)
class Clip:
    """A clip to be de-rendered, and the options for it.

    Attributes:
        references: the true RAW frames, in order of their index.
        flows: `.npy` files, one from each frame to the next; None to estimate flow.
        gain: see `Chain`.
        exposures: relative exposure of each frame; None if not known.
        network: the network that fuses the candidates; None to use their variances only.
        scratch: folder for temporary files; None for the system's.
        in_flight: see `steps`.
        made: called with each frame that a chain reconstructs, and its index; between two
            references, with both chains' frames before they are blended.
    """

    references: Sequence[Reference]
    flows: Sequence[Path] | None = None
    gain: GainMode = "auto"
    exposures: Sequence[float] | None = None
    network: "CalibratedFagdn | None" = None
    scratch: Path | None = None
    in_flight: int = MOST_IN_FLIGHT
    made: Callable[[RawFrame, int], None] | None = None


class State(Protocol):
    """The state from which an interrupted chain resumes: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def index(self) -> int:
        """Number of the last finished frame."""


@dataclass(frozen=True)
class Result:
    """One reconstructed frame.

    Attributes:
        index: frame number, from 0.
        raw: the RAW frame.
        brightness: relative to the reference that it was reconstructed from.
        exposure: the part of the brightness that is also in the RAW.
        trusted: fraction of the frame that certainly shows the same as that reference, 0..1; None
            for a reference's own frame.
        carried: share of the fusion's weight that this reference's RAW has, 0..1; None likewise.
        expected: expected mean squared error, normalised, by block, [H//8, W//8]; None for a true
            RAW, or if unknown.
        doubtful: fraction of the frame in which the light has changed too much, 0..1; see
            `confidence.doubtful`.
        toned: as in `Prior`.
        differing: fraction of the frame in which its own RAW shows something else, 0..1; 0 for
            frames without a RAW.
        tracks_gain: whether changes of brightness are attributed to the ISP.
        cut: whether it shows another scene than the previous frame.
        state: state of the chain after this frame; None if no chain continues from it.
        counted: whether `advance` was already called for its work.
        is_reference: whether `raw` is the reference's RAW, unchanged.
    """

    index: int
    raw: RawFrame
    brightness: float = 1.0
    exposure: float = 1.0
    trusted: float | None = None
    carried: float | None = None
    expected: Array | None = None
    doubtful: float = 0.0
    toned: float = 0.0
    differing: float = 0.0
    tracks_gain: bool = False
    cut: bool = False
    state: State | None = None
    counted: bool = False
    is_reference: bool = False


@dataclass(frozen=True)
class Start:
    """Where to continue: index of the last finished frame, and its `Result.state`."""

    index: int
    state: State | None


def require_usable(references: Sequence[Reference], name: Path) -> None:
    """Read all references, to find damaged ones before any frame is reconstructed.

    Args:
        references: the bundle's references.
        name: the bundle's name, for messages.

    Raises:
        BundleError: there is no reference, or one is damaged.
        MismatchError: their CFA phases differ.
    """
    if not references:
        raise BundleError(f"{name}: has no RAW frame, so it can't be de-rendered")
    phases = [(reference.index, _read(reference).phase) for reference in references]
    for (one, phase), (two, other) in pairwise(phases):
        if phase is not other:
            raise MismatchError(
                f"{name}: on the video's grid, the RAW of frame {one} has CFA phase {phase.value}, "
                f"that of frame {two} has {other.value}; use RAWs of one camera and crop"
            )


def reconstruct(
    clip: Clip,
    frames: Iterable[VideoFrame],
    start: Start | None = None,
    advance: Callable[[int], None] | None = None,
    stop: int | None = None,
) -> Generator[Result | None, None, None]:
    """Yield each frame in display order; None for frames that an earlier run has finished.

    Decoding, observation and the chains run in parallel. If you stop before the end, close the
    iterator to release threads and files.

    Args:
        clip: the clip and its options.
        frames: the whole video, in display order.
        start: where an earlier run of the same clip stopped; or, without a state, the frame before
            the first requested one.
        advance: called for frames that are reconstructed before they can be yielded, with the work
            done so far in units of frames; such frames are `Result.counted`.
        stop: number of the first frame that isn't requested; None to reconstruct all.

    Raises:
        BundleError: a reference is damaged.
        MismatchError, InputError: see `Chain` and `read_flow`.
        OutputError: there is no space for temporary files.
    """
    done = -1 if start is None else start.index
    with ReadAhead(frames) as ahead:
        decoded = iter(ahead)
        before: Anchor | None = None
        for reference in clip.references:
            first = 0 if before is None else before.index + 1
            begin = min(max(first, done + 1), reference.index)
            todo = range(begin, reference.index if stop is None else min(stop, reference.index))
            yield from repeat(None, begin - first)
            with Spool(clip.scratch) as pictures:
                # A chain that runs backward from the first reference needs no frames before `todo`.
                needed = begin if before is None else first
                for frame in islice(decoded, reference.index - first):
                    if todo and frame.index >= needed:
                        pictures.append(frame.rgb)
                rgb = next(decoded).rgb
                after = Anchor.of(reference, rgb)
                if todo:
                    yield from _before(clip, before, after, pictures, todo, advance)
            if stop is not None and stop <= after.index:
                return
            yield None if after.index <= done else _own_frame(clip, after)
            before = after
        if before is not None:
            yield from _after(clip, before, (frame.rgb for frame in decoded), start)


def _own_frame(clip: Clip, anchor: Anchor) -> Result:
    """The result for a reference's own frame."""
    chain = None if anchor.match.is_frame else start_chain(clip, anchor, 1)
    first = chain and chain.first
    raw = anchor.raw.with_mosaic(first.mosaic) if first else anchor.raw
    return Result(
        index=anchor.index,
        raw=raw,
        expected=first.expected if first else None,
        differing=anchor.match.differing,
        is_reference=first is None,
    )


def _before(
    clip: Clip,
    before: Anchor | None,
    after: Anchor,
    pictures: Spool,
    todo: range,
    advance: Callable[[int], None] | None,
) -> Iterator[Result]:
    """The frames before a reference, backward_spool to the previous one.

    Args:
        clip: the clip and its options.
        before, after: the references around the frames; `before` is None if forward_spool is none.
        pictures: all sRGB frames between the two.
        todo: indices of the requested frames.
        advance: see `reconstruct`.
    """
    # Two chains; each needs one step more, to the other's reference.
    work = 2 * (len(pictures) + 1) if before else len(pictures)
    step_done = _in_shares(len(todo), work, advance)
    with Spool(clip.scratch) as forward_spool, Spool(clip.scratch) as backward_spool:
        backward = _trace(clip, after, before, pictures, backward_spool, step_done)
        forward = (
            _trace(clip, before, after, pictures, forward_spool, step_done) if before else None
        )
        for index in todo:
            age = after.index - index
            waypoint, reference = backward.waypoints[age - 1], after.raw
            doubt, toned = waypoint.doubtful, waypoint.toned
            mosaic, expected = backward.mosaic(age), backward.expected(age)
            if before and forward:
                waypoint, reference = forward.waypoints[index - before.index - 1], before.raw
                doubt, toned = min(doubt, waypoint.doubtful), max(toned, waypoint.toned)
                value, expected = blend(forward, backward, index - before.index, age)
                mosaic = denormalise(value, reference.black, reference.white)
            raw = reference.with_mosaic(mosaic)
            yield Result(
                index=index,
                raw=raw,
                brightness=waypoint.brightness,
                exposure=float(waypoint.exposure),
                trusted=waypoint.trusted,
                carried=waypoint.carried,
                doubtful=doubt,
                toned=toned,
                expected=expected,
                tracks_gain=backward.tracks_gain,
                counted=True,
            )


def _in_shares(
    amount: int, steps: int, advance: Callable[[int], None] | None
) -> Callable[[], None]:
    """A function that is called once per step and advances evenly, by `amount` in total."""
    shares = (k * amount // steps - (k - 1) * amount // steps for k in range(1, steps + 1))

    def step_done() -> None:
        share = next(shares)
        if advance and share:
            advance(share)

    return step_done


def _after(
    clip: Clip, before: Anchor, pictures: Iterator[Rgb], start: Start | None
) -> Iterator[Result | None]:
    """The frames after the last reference."""
    chain = start_chain(clip, before, 1)
    if start and start.index > before.index and isinstance(start.state, ChainState):
        for _ in islice(pictures, start.index - before.index):
            yield None
        chain.resume(checked_state(start.state, chain.state, start.index - before.index))
    for step in steps(chain, pictures, clip.in_flight):
        state = step.state
        index, raw = before.index + state.index, before.raw.with_mosaic(step.mosaic)
        if clip.made:
            clip.made(raw, index)
        if start and index <= start.index:  # before the requested frames
            del step
            yield None
            continue
        result = Result(
            index=index,
            raw=raw,
            brightness=state.brightness,
            exposure=state.exposure,
            trusted=step.prior.trusted,
            carried=step.prior.carried,
            expected=step.expected,
            doubtful=doubtful(step.prior, step.expected),
            toned=step.prior.toned,
            tracks_gain=chain.tracks_gain,
            cut=step.motion.cut,
            state=state,
        )
        del step  # frees its prior: a dozen maps of the frame's size
        yield result


def _trace(
    clip: Clip,
    start: Anchor,
    end: Anchor | None,
    pictures: Spool,
    spool: Spool,
    step_done: Callable[[], None],
) -> Trace:
    """Run a chain from one reference to another one, or to the clip's beginning."""
    forward = end is not None and end.index > start.index
    direction: Literal[1, -1] = 1 if forward else -1
    order = range(len(pictures)) if forward else reversed(range(len(pictures)))
    ordered = (pictures[number][0] for number in order)
    chain = start_chain(clip, start, direction)

    def done(age: int, mosaic: Mosaic) -> None:
        if clip.made:
            clip.made(start.raw.with_mosaic(mosaic), start.index + direction * age)
        step_done()

    if end is None:
        return trace(chain, start.raw, ordered, spool, done, in_flight=clip.in_flight)
    to_end, agreement = itertools.chain(ordered, [end.rgb]), end.match.agreement
    return trace(chain, start.raw, to_end, spool, done, end.raw, agreement, clip.in_flight)


def start_chain(clip: Clip, start: Anchor, direction: Literal[1, -1]) -> Chain:
    """A chain that starts at a reference.

    Args:
        clip: the clip and its options.
        start: one of its references; the first chain that starts there calibrates it.
        direction: 1 to run forward, −1 to run backward.
    """
    exposures = None
    if clip.exposures is not None:
        ordered = clip.exposures[start.index :: direction]
        exposures = [exposure / ordered[0] for exposure in ordered]
    flow = None if clip.flows is None else near_flow(clip.flows, start.index, direction)
    with stage("calibration"):
        chain = Chain(
            start.raw,
            start.rgb,
            flow,
            clip.gain,
            exposures,
            clip.network,
            start.match,
            start.calibration,
        )
    start.calibration = chain.calibration
    return chain


def near_flow(files: Sequence[Path], start: int, direction: Literal[1, -1]) -> NearFlow:
    """A source of the given flows for a chain that starts at frame `start`."""

    def near(age: int, size: tuple[int, int]) -> Flow:
        if direction == 1:
            return read_flow(files[start + age - 1], size)
        return read_flow_to_next(files[start - age], size)

    return near


def _read(reference: Reference) -> RawFrame:
    """Read a reference's RAW frame without caching it, as `Reference.frame` would."""
    return replace(reference).frame
