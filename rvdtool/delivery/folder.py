"""De-renders a bundle into a folder of DNGs. An interrupted run can be resumed."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rvdtool.bundle.store import Bundle
from rvdtool.delivery.labels import Labels, exposed
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.rehearsal import MEASURED, Pace, RunEstimate
from rvdtool.delivery.resume import Figures
from rvdtool.delivery.run import Run, make_clip
from rvdtool.errors import UsageError
from rvdtool.notes import Say, keep_quiet
from rvdtool.raw.frame import RawFrame
from rvdtool.reconstruct.chain import GainMode
from rvdtool.reconstruct.pipeline import WriteBehind
from rvdtool.reconstruct.references import Result, Start, reconstruct
from rvdtool.reconstruct.stages import stage
from rvdtool.video.decode import read_frames

if TYPE_CHECKING:
    from rvdtool.network.checkpoint import Model

CHECKPOINT_EVERY = 24
"""Number of frames between checkpoints."""
NOTHING_FOUND, NOTHING_CARRIED = 0.01, 0.05
"""Limits of `Figures.trusted` and `Figures.carried` below which a frame counts as the inverse ISP's
result alone."""
FEW_DOUBTFUL, FEW_TONED = 0.01, 0.05
"""Shares of a frame below which doubtful and corrected places aren't reported."""


@dataclass(frozen=True)
class DerenderReport:
    """Report on a run.

    Attributes:
        folder: folder of the frames.
        first: index of the first requested frame.
        frames: number of requested frames, references included.
        references: number of these that are RAWs of the bundle.
        resumed_at: index of the first frame of this run if it was resumed, else 0.
        knows_exposures: whether the bundle has each frame's exposure, so that no cause of changes
            in brightness had to be assumed.
        figures: figures of each frame by index, including those of an interrupted run.
        labels: labels of the frames.
        sound: paths of the sound files.
        notes: lines of text on what was assumed or left out.
    """

    folder: Path
    first: int
    frames: int
    references: int
    resumed_at: int
    knows_exposures: bool
    figures: Mapping[int, Figures]
    labels: Labels
    sound: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    @property
    def brightness(self) -> tuple[float, float]:
        """Smallest and largest brightness relative to the previous reference (before the first
        reference: to that one)."""
        found = [1.0, *(one.brightness for one in self.figures.values())]
        return min(found), max(found)

    @property
    def exposure(self) -> tuple[float, float]:
        """Smallest and largest exposure relative to the same reference: the part of the brightness
        that is in the RAW."""
        found = [1.0, *(one.exposure for one in self.figures.values())]
        return min(found), max(found)

    @property
    def tracks_gain(self) -> bool:
        """Whether changes of brightness were attributed to the ISP (the RAW stays, except for
        exposures that the noise reveals) or to the exposure (the RAW follows)."""
        return any(one.tracks_gain for one in self.figures.values())

    @property
    def trusted(self) -> float:
        """Mean share of a frame that clearly shows what its reference shows, 0..1."""
        found = [one.trusted for one in self.figures.values() if not math.isnan(one.trusted)]
        return fmean(found) if found else 1.0

    @property
    def alone(self) -> tuple[int, ...]:
        """Indices of frames in which (nearly) nothing of the reference could be found, so that they
        are the inverse ISP's result alone."""
        return tuple(index for index, one in self.figures.items() if _is_alone(one))

    @property
    def expected(self) -> dict[int, float]:
        """Expected PSNR in dB (peak: white level − black level) by frame index, for frames that our
        own chain reconstructed."""
        figures = self.figures.items()
        return {index: one.expected for index, one in figures if not math.isnan(one.expected)}

    @property
    def doubtful(self) -> dict[int, float]:
        """Share of the frame in which light has changed so much that the level may be wrong, 0..1,
        by frame index, for frames that have such places."""
        figures = self.figures.items()
        return {index: one.doubtful for index, one in figures if one.doubtful >= FEW_DOUBTFUL}

    @property
    def toned(self) -> dict[int, float]:
        """Share of the frame in which gradual or uneven changes of brightness were attributed to
        the ISP, 0..1, by frame index, for frames that have such places."""
        figures = self.figures.items()
        return {index: one.toned for index, one in figures if one.toned >= FEW_TONED}

    @property
    def differing(self) -> dict[int, float]:
        """Share of the RAW that shows something else than its video frame, 0..1, by frame index,
        for frames that have such a RAW."""
        return {index: one.differing for index, one in self.figures.items() if one.differing}

    @property
    def cuts(self) -> tuple[int, ...]:
        """Indices of frames after the last reference that start another scene."""
        return tuple(index for index, one in self.figures.items() if one.cut)


def derender_to_folder(
    bundle: Bundle,
    folder: Path,
    options: DerenderOptions = DerenderOptions(),
    advance: Callable[[int], None] | None = None,
    say: Say = keep_quiet,
    watch: Callable[[Result], None] | None = None,
    estimated: Callable[[RunEstimate], None] | None = None,
) -> DerenderReport:
    """Reconstruct a RAW frame for every video frame: `NAME_000000.dng`, … and a timestamp table.

    The video's sound is written to `NAME.wav`.

    A RAW of the bundle is written unchanged if it is that exact frame of the video; otherwise its
    frame is reconstructed like the others. Decoding, the chain and writing overlap. A few frames
    are held in memory; those between two references are kept in temporary files in `folder`.

    Args:
        bundle: an open bundle.
        folder: output folder; created if it doesn't exist.
        options: see `DerenderOptions`.
        advance: called with the number of frames just done. Between two references, every frame
            takes a step of two chains before any is done; then it is called with that share of the
            work.
        say: called with a line of text for everything that was assumed or left out.
        watch: called with every frame of this run when it is done.
        estimated: called, after a few frames, with an estimate of what the run takes in all; not
            called for shorter runs.

    Raises:
        BundleError: the bundle has no RAW, or a damaged one; or it has none for frame 0, which the
            paper's network needs.
        MismatchError: its RAWs have different CFA phases.
        UsageError: an option doesn't apply to the model or video, or the model can't de-render.
        VideoError: the video can't be decoded, has another number of frames than the bundle says,
            or its sound can't be decoded.
        OutputError: the folder has files in it, can't be resumed, or can't be written; or the
            disk is surely too small.
    """
    notes: list[str] = []

    def note(message: str) -> None:
        notes.append(message)
        say(message)

    run = Run(bundle, folder, options, note)
    need = run.need()
    with run.alone():
        pace = Pace(run, need) if estimated else None
        start, sound = run.prepare(), run.write_sound(note)
        if estimated and pace:
            run.clip = replace(run.clip, made=_told_once(pace, estimated))
        make_frames(run, start, advance, watch)
        run.finish()
    resumed_at = 0 if start is None or start.index < run.span.start else start.index + 1
    report = report_of(run, resumed_at, sound)
    return replace(report, notes=tuple(notes))


def _told_once(
    pace: Pace, estimated: Callable[[RunEstimate], None]
) -> Callable[[RawFrame, int], None]:
    """Start to time a run; returns what to call with each frame that its chains make."""
    pace.start()

    def made(frame: RawFrame, index: int) -> None:
        if pace.frames < MEASURED:
            pace.made(frame, index)
            if pace.frames == MEASURED:
                estimated(pace.estimate())

    return made


def make_frames(
    run: Run,
    start: Start | None,
    advance: Callable[[int], None] | None,
    watch: Callable[[Result], None] | None,
) -> Start | None:
    """Make the frames of a run, or of a part of one.

    Args:
        run: in its folder, alone.
        start: where to go on; None: at the first frame.
        advance, watch: as in `derender_to_folder`.

    Returns:
        the last frame and the chain's state after it; None if there was nothing to make.
    """
    last = None
    with WriteBehind() as writer, closing(run.results(start, advance)) as results:
        for result in results:
            if result is not None:
                with stage("waiting for writers"):
                    writer.submit(run.job(result))
                run.note(result)
                last = Start(result.index, result.state)
                if result.index % CHECKPOINT_EVERY == 0 or result.index == run.span.start:
                    writer.wait()
                    run.save(last)
                if watch:
                    watch(result)
            if advance and not (result and result.counted):
                advance(1)
    return last


def report_of(run: Run, resumed_at: int, sound: Sequence[Path]) -> DerenderReport:
    """The report of a run whose frames are all written.

    Args:
        run: the run, with the figures of all frames.
        resumed_at: see `DerenderReport`.
        sound: the sound files.
    """
    return DerenderReport(
        folder=run.folder,
        first=run.span.start,
        frames=len(run.span),
        references=sum(reference.index in run.span for reference in run.clip.references),
        resumed_at=resumed_at,
        knows_exposures=run.clip.exposures is not None,
        figures={index: run.figures[index] for index in run.span},
        labels=run.labels,
        sound=tuple(sound),
    )


def _is_alone(frame: Figures) -> bool:
    """Whether nothing but the calibration came from the reference RAW, or almost nothing.

    A good inverse ISP leaves little for the RAW to add, so motion must have failed as well.
    """
    return frame.trusted < NOTHING_FOUND and frame.carried < NOTHING_CARRIED


def derender(
    bundle: Bundle,
    *,
    flow: Path | None = None,
    gain: GainMode = "auto",
    model: "Model | None" = None,
) -> Iterator[RawFrame]:
    """Yield the RAW frame of every video frame. The bundle's RAWs are passed on unchanged.

    Frames between two references are kept in the system's temporary folder until they are due.

    Args:
        bundle: an open bundle.
        flow, gain: as in `DerenderOptions`.
        model: a trained network of kind `fagdn-calibrated`; None to fuse by variances alone.

    Raises:
        BundleError, MismatchError, VideoError: as in `derender_to_folder`.
        UsageError: the model is of another kind.
        OutputError: there is no space for temporary files.
    """
    if model is not None and model.kind != "fagdn-calibrated":
        raise UsageError(
            f"{model.name}: is of kind {model.kind!r}; only derender_to_folder runs it"
        )
    clip = make_clip(bundle, DerenderOptions(flow=flow, gain=gain, model=model), None)
    frames = read_frames(bundle.checked_video(), bundle.video_info)
    with closing(reconstruct(clip, frames)) as results:
        for result in results:
            if result is not None:
                yield exposed(bundle, result.raw, result.index)
