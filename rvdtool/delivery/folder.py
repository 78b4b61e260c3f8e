"""De-render a bundle into a folder of DNGs; an interrupted run can be resumed."""

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from rvdtool._version import __version__
from rvdtool.bundle.store import Bundle
from rvdtool.delivery.confidence import ConfidenceMaps
from rvdtool.delivery.labels import Labels, exposed, label
from rvdtool.delivery.need import Need, Pace, disk_need, require_space
from rvdtool.delivery.output import OutputFolder, remove, writing_alone
from rvdtool.delivery.resume import Checkpoint, Written, load_checkpoint, save_checkpoint
from rvdtool.delivery.sound import Picture, write_sound
from rvdtool.errors import BundleError, UsageError
from rvdtool.files import write_beside
from rvdtool.notes import Say, keep_quiet
from rvdtool.raw.dng import Compression, encode_dng
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.sequence import write_timestamps
from rvdtool.reconstruct.chain import ChainState, GainMode
from rvdtool.reconstruct.compiled import threads
from rvdtool.reconstruct.confidence import expected_psnr
from rvdtool.reconstruct.flow import list_flows
from rvdtool.reconstruct.pipeline import WriteBehind
from rvdtool.reconstruct.references import Clip, Result, Start, reconstruct, require_usable
from rvdtool.reconstruct.stages import stage
from rvdtool.video.decode import read_frames
from rvdtool.video.frame import VideoFrame

if TYPE_CHECKING:
    from rvdtool.fagdn.chain import FagdnState
    from rvdtool.network.calibrated import CalibratedFagdn
    from rvdtool.network.checkpoint import Model

CHECKPOINT_EVERY = 24


@dataclass(frozen=True)
class DerenderOptions:
    """How to de-render.

    Attributes:
        compression: of the DNGs.
        flow: folder of `.npy` flows, each from a frame to the next (RVD's layout); None: estimated.
        gain: whether changes of brightness are the ISP's, see
            `rvdtool.reconstruct.brightness`. `auto` uses the bundle's exposures, if it has any.
        existing: what to do with an output folder that has files in it.
        model: a trained network on its device (`rvdtool.network.device.place`); None: none is
            needed.
        name: of the files and the reel; None: the clip's own.
        time_code: of frame 0, as `14:23:11:05`; None: the video's, else the RAW's.
        rate: frames per second, for a video of variable frame rate; None: that of its median.
        audio: write the video's sound beside the frames.
        confidence: a folder for maps of each frame's expected error; None: none are written.
        frames: the only frames to write, in steps of 1; None: all.
    """

    compression: Compression = "ljpeg"
    flow: Path | None = None
    gain: GainMode = "auto"
    existing: Literal["refuse", "overwrite", "resume"] = "refuse"
    model: "Model | None" = None
    name: str | None = None
    time_code: str | None = None
    rate: Fraction | None = None
    audio: bool = True
    confidence: Path | None = None
    frames: range | None = None


@dataclass(frozen=True)
class DerenderReport:
    """What was done.

    Attributes:
        folder: where the frames are.
        first: index of the first frame that was asked for.
        frames: how many were, references included.
        references: number of these that are RAWs of the bundle.
        resumed_at: the first frame of this run if it was resumed, else 0.
        brightness: smallest and largest brightness relative to the reference before (before the
            first: after) in this run.
        exposure: smallest and largest exposure, likewise: what of the brightness is in the RAW.
        tracks_gain: whether brightness was attributed to the ISP (RAW stays, except for exposures
            that the noise reveals) or to the exposure (RAW follows).
        knows_exposures: whether neither was assumed, because the bundle has each frame's exposure.
        trusted: mean share of a frame that clearly shows what that reference shows, 0..1.
        expected: for each frame of this run that was reconstructed by our own chain, the expected
            PSNR in dB (the peak is white level − black level), by index.
        differing: for each frame of this run whose own RAW shows something else than it does in
            places, the share of these, 0..1, by index.
        cuts: frames after the last reference that show another scene than the one before them.
        labels: what the frames are labelled with.
        sound: the files of the video's sound.
        notes: what was assumed or left out, in lines.
    """

    folder: Path
    first: int
    frames: int
    references: int
    resumed_at: int
    brightness: tuple[float, float]
    exposure: tuple[float, float]
    tracks_gain: bool
    knows_exposures: bool
    trusted: float
    expected: Mapping[int, float]
    differing: Mapping[int, float]
    cuts: tuple[int, ...]
    labels: Labels
    sound: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def derender_to_folder(
    bundle: Bundle,
    folder: Path,
    options: DerenderOptions = DerenderOptions(),
    advance: Callable[[int], None] | None = None,
    say: Say = keep_quiet,
    watch: Callable[[Result], None] | None = None,
) -> DerenderReport:
    """Reconstruct a RAW frame for every video frame: `NAME_000000.dng`, … and a timestamp table.

    The video's sound goes into `NAME.wav`.

    A RAW of the bundle is written as it is if it is that very frame of the video; else its frame is
    reconstructed like the others. Decoding, the chain and writing overlap; a few frames are in
    memory, and those between two references in temporary files in `folder`.

    Args:
        bundle: an open bundle.
        folder: created if it doesn't exist.
        options: see `DerenderOptions`.
        advance: called with the number of frames just done; between two references, where every
            frame takes a step of two chains before any is done, with that share of the work.
        say: called with a line of text for everything that was assumed or left out, and, if it is
            long, with how long it will take.
        watch: called with every frame of this run when it is done.

    Raises:
        BundleError: the bundle has no RAW, or a damaged one; or none of the first frame, which the
            published network needs.
        MismatchError: its RAWs have different CFA phases.
        UsageError: options that don't apply to the model or video, or a model that can't de-render.
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
    with run.alone() as start:
        pace = Pace(run.left(start), need, say)
        report = _derender(run, start, pace, advance, note, watch)
    return replace(report, notes=tuple(notes))


def _derender(
    run: "Run",
    start: Start | None,
    pace: Pace,
    advance: Callable[[int], None] | None,
    say: Say,
    watch: Callable[[Result], None] | None,
) -> DerenderReport:
    def step_done(count: int) -> None:
        pace.advance(count)
        if advance:
            advance(count)

    sound = run.write_sound(say)
    brightness, exposure, trusted, tracks_gain, cuts = [1.0], [1.0], [], False, []
    expected: dict[int, float] = {}
    differing: dict[int, float] = {}
    with WriteBehind() as writer, closing(run.results(start, step_done)) as results:
        for result in results:
            if result is not None:
                with stage("waiting for writers"):
                    writer.submit(run.job(result))
                if result.index % CHECKPOINT_EVERY == 0 or result.index == run.span.start:
                    writer.wait()
                    run.save(Start(result.index, result.state))
                if watch:
                    watch(result)
                brightness.append(result.brightness)
                exposure.append(result.exposure)
                trusted += [] if result.trusted is None else [result.trusted]
                if result.expected is not None:
                    expected[result.index] = expected_psnr(result.expected)
                if result.differing:
                    differing[result.index] = result.differing
                tracks_gain |= result.tracks_gain
                cuts += [result.index] if result.cut else []
            if result is None:
                if advance:
                    advance(1)
            elif not result.counted:
                step_done(1)
    run.finish()
    return DerenderReport(
        folder=run.folder,
        first=run.span.start,
        frames=len(run.span),
        references=sum(reference.index in run.span for reference in run.clip.references),
        resumed_at=0 if start is None or start.index < run.span.start else start.index + 1,
        brightness=(min(brightness), max(brightness)),
        exposure=(min(exposure), max(exposure)),
        tracks_gain=tracks_gain,
        knows_exposures=run.clip.exposures is not None,
        trusted=float(np.mean(trusted)) if trusted else 1.0,
        expected=expected,
        differing=differing,
        cuts=tuple(cuts),
        labels=run.labels,
        sound=tuple(sound),
    )


def derender(
    bundle: Bundle,
    *,
    flow: Path | None = None,
    gain: GainMode = "auto",
    model: "Model | None" = None,
) -> Iterator[RawFrame]:
    """Yield the RAW frame of every video frame; the bundle's RAWs are passed on unchanged.

    Frames between two references wait in the system's folder for temporary files.

    Args:
        bundle: an open bundle.
        flow, gain: as in `DerenderOptions`.
        model: a trained network of kind `fagdn-calibrated`; None: fuse by variances alone.

    Raises:
        BundleError, MismatchError, VideoError: as `derender_to_folder`.
        UsageError: a model of another kind.
        OutputError: there is no space for temporary files.
    """
    if model is not None and model.kind != "fagdn-calibrated":
        raise UsageError(f"{model.name}: of kind {model.kind!r}; only derender_to_folder runs it")
    clip = _clip(bundle, DerenderOptions(flow=flow, gain=gain, model=model), None)
    frames = read_frames(bundle.checked_video(), bundle.video_info)
    with closing(reconstruct(clip, frames)) as results:
        for result in results:
            if result is not None:
                yield exposed(bundle, result.raw, result.index)


def _clip(bundle: Bundle, options: DerenderOptions, scratch: Path | None) -> Clip:
    require_usable(bundle.references, bundle.path)
    flow, frames = options.flow, bundle.video_info.frame_count
    flows = None if flow is None else list_flows(flow, frames)
    return Clip(
        references=bundle.references,
        flows=flows,
        gain=options.gain,
        exposures=bundle.exposures if options.gain == "auto" else None,
        network=_own(options.model),
        scratch=scratch,
    )


class Run:
    """One run's output folder: its names, its checkpoint, its beginning and end."""

    def __init__(self, bundle: Bundle, folder: Path, options: DerenderOptions, say: Say) -> None:
        if options.model is not None:
            _require_fitting(options, options.model, bundle)
        self.clip = _clip(bundle, options, folder)
        self._bundle = bundle
        self.folder = folder
        self._options = options
        self._say = say
        self._written: dict[int, Written] = {}
        self._info = bundle.video_info
        self.span = _span(options.frames, self._info.frame_count)
        self.labels = label(
            bundle,
            name=options.name,
            time_code=options.time_code,
            rate=options.rate,
            span=self.span,
            say=say,
        )
        self._stem = self.labels.stem
        whole = len(self.span) == self._info.frame_count
        self._output = OutputFolder(folder, self._stem, self.span, whole)
        self._maps: ConfidenceMaps | None = None
        if options.confidence is not None:
            if options.confidence.resolve() == folder.resolve():
                raise UsageError(
                    f"{folder}: is the DNGs' folder; give --confidence a folder of its own"
                )
            size = self._info.height, self._info.width
            self._maps = ConfidenceMaps(options.confidence, self._stem, size)

    def need(self) -> Need:
        """What the run needs of the disk.

        Raises:
            OutputError: the disk is surely too small.
        """
        options, folder = self._options, self._output.path
        need = disk_need(
            self._bundle, folder, self.span, self.labels, options.compression, options.audio
        )
        if options.model is not None and options.model.kind == "fagdn":  # no frame has to wait
            need = replace(need, temporary=0)
        require_space(need, folder, options.compression)
        return need

    def left(self, start: Start | None) -> int:
        """How many frames are still to be made."""
        return self.span.stop - max(self.span.start, start.index + 1 if start else 0)

    def check(self) -> None:
        """Refuse an output folder that can't be used, without changing anything.

        Raises:
            OutputError: it has files in it that may not be replaced.
        """
        if not self._output.path.is_dir():
            return
        if self._options.existing == "refuse":
            self._output.require_empty()
        else:
            self._output.require_ours()

    @contextmanager
    def alone(self) -> Iterator[Start | None]:
        """Prepare the folders and keep other runs out of them; gives the state to resume from."""
        with ExitStack() as stack:
            if self._maps is not None:
                stack.enter_context(writing_alone(self._maps.folder, "folder for --confidence"))
                self._maps.check(self._options.existing)
            stack.enter_context(writing_alone(self._output.path, "output folder"))
            yield self._prepare()

    def results(
        self, start: Start | None, advance: Callable[[int], None] | None
    ) -> Generator[Result | None]:
        """Every frame up to the last one wanted, in display order.

        None for those up to `start`, and those that aren't wanted.
        """
        decoded = read_frames(self._bundle.checked_video(), self._info)
        frames = stage.each("decoding", decoded)
        with closing(self._all_results(frames, start, advance)) as results:
            for result in islice(results, self.span.stop):
                yield result if result and result.index in self.span else None

    def _all_results(
        self,
        frames: Iterator[VideoFrame],
        start: Start | None,
        advance: Callable[[int], None] | None,
    ) -> Generator[Result | None]:
        model, span = self._options.model, self.span
        if model is None or model.kind == "fagdn-calibrated":
            if start is None and span.start:
                start = Start(span.start - 1, None)
            # What lies before the nearest reference isn't even looked at.
            nearest = [one for one in self.clip.references if one.index <= span.start][-1:]
            after = [one for one in self.clip.references if one.index > span.start]
            clip = replace(self.clip, references=[*nearest, *after])
            return reconstruct(clip, frames, start, advance, span.stop)
        from rvdtool.fagdn.chain import reconstruct_fagdn

        return reconstruct_fagdn(model.network, self.clip, frames, start)

    def _prepare(self) -> Start | None:
        """Prepare the folder; return the state to resume from, if any."""
        existing = self._options.existing
        if existing == "refuse":
            self._output.require_empty()
        elif existing == "resume" and self._output.is_begun():
            return self._load()
        else:
            self._output.clear()
        return None

    def write_sound(self, say: Say) -> list[Path]:
        """Write the video's sound, in place of what an interrupted run wrote."""
        if not self._options.audio:
            return []
        picture = Picture(
            video=self._bundle.manifest.video.name,
            start=self._info.timestamps[self.span.start] * self._info.time_base,
            seconds=self.labels.seconds,
            rate=self.labels.rate,
            time_code=self.labels.time_code(self.span.start),
            reel=self._stem,
            recorded=self.labels.tags.recorded,
        )
        return write_sound(self._bundle.checked_video(), self.folder, self._stem, picture, say)

    def job(self, result: Result) -> Callable[[], None]:
        """What writes one frame, and its map."""
        frame, index, expected = result.raw, result.index, result.expected

        def write() -> None:
            with stage("writing"):
                if self._maps is not None:
                    self._maps.write(expected, index)
                data = encode_dng(
                    exposed(self._bundle, frame, index),
                    compression=self._options.compression,
                    rate=self.labels.rate,
                    time_code=self.labels.time_code(index),
                    reel=self._stem,
                )
                with write_beside(self._output.frame(index), overwrite=True) as file:
                    file.write(data)
                self._written[index] = Written.of(data)

        return write

    def save(self, start: Start) -> None:
        """Store a checkpoint from which an interrupted run can be resumed."""
        checkpoint = Checkpoint(start, self._written, threads())
        save_checkpoint(self._output.state, self._key(), self.span.start, checkpoint)

    def finish(self) -> None:
        """Write the timestamps and remove the checkpoint."""
        write_timestamps(
            self.folder,
            self._stem,
            [self._info.timestamps[index] * self._info.time_base for index in self.span],
            rate=self.labels.rate,
            first=self.span.start,
            overwrite=True,
        )
        remove(self._output.state)

    def _load(self) -> Start:
        """Where to go on: after the earlier run's state, or at the reference before the first of
        its frames that isn't as it was written."""
        saved = load_checkpoint(self._output.state, self._key(), self.span, self._state_type())
        if saved.threads != threads():
            self._say(
                f"{self.folder}: was begun with {saved.threads} threads, now there are "
                f"{threads()}; frames may be rounded differently than with --threads "
                f"{saved.threads}"
            )
        self._written.update(saved.written)
        start = saved.start
        fault = self._output.first_fault(saved.written)
        if fault is not None:
            index, what = fault
            references = [one.index for one in self.clip.references if one.index <= index]
            start = Start(max(references, default=self.span.start) - 1, None)
            self._say(
                f"{self._output.frame(index)}: {what}; frames are made again from "
                f"{max(start.index + 1, self.span.start)} on"
            )
        if self._maps is not None:
            self._maps.require(range(self.span.start, start.index + 1))
        return start

    def _state_type(self) -> "type[ChainState | FagdnState]":
        if self._options.model is None or self._options.model.kind == "fagdn-calibrated":
            return ChainState
        from rvdtool.fagdn.chain import FagdnState

        return FagdnState

    def _key(self) -> str:
        """A key that changes with everything that changes the frames."""
        parts = [
            __version__,
            self._options.compression,
            [_fingerprint(file) for file in self.clip.flows or ()],
            self._options.gain,
            _model_key(self._options.model),
            [self._stem, str(self.labels.rate), str(self.labels.start)],
            [self.span.start, self.span.stop],
            self._bundle.manifest.model_dump_json(),  # how colours are read, and all hashes
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _span(wanted: range | None, count: int) -> range:
    """The frames to write.

    Raises:
        UsageError: the video doesn't have them.
    """
    if wanted is None:
        return range(count)
    if not 0 <= wanted.start < wanted.stop <= count or wanted.step != 1:
        raise UsageError(
            f"frames {wanted.start} to {wanted.stop - 1}: the video has frames 0 to {count - 1}"
        )
    return wanted


def _fingerprint(file: Path) -> tuple[str, int, int]:
    """Identifies a file without reading it, since flows are gigabytes."""
    status = file.stat()
    return file.name, status.st_size, status.st_mtime_ns


def _require_fitting(options: DerenderOptions, model: "Model", bundle: Bundle) -> None:
    """Refuse what a model can't do, before any work."""
    if model.kind == "fagdn-calibrated":
        return
    if model.kind != "fagdn":
        raise UsageError(f"{model.name}: a model of kind {model.kind!r} can't de-render a bundle")
    if options.gain != "auto":
        raise UsageError(f"{model.name}: FAGDN doesn't handle gain; leave out --gain")
    if options.confidence is not None:
        raise UsageError(f"{model.name}: FAGDN doesn't estimate its errors; leave out --confidence")
    if bundle.references and bundle.references[0].index != 0:
        raise BundleError(
            f"{bundle.path}: its first RAW belongs to frame {bundle.references[0].index}, "
            "but FAGDN starts at frame 0; leave out --model"
        )


def _own(model: "Model | None") -> "CalibratedFagdn | None":
    """The network of a model of our own kind; it works within our chain."""
    if model is None or model.kind != "fagdn-calibrated":
        return None
    from rvdtool.network.calibrated import CalibratedFagdn

    return model.network if isinstance(model.network, CalibratedFagdn) else None


def _model_key(model: "Model | None") -> list[str]:
    """Weights, precision and device: all of them change bits."""
    if model is None:
        return []
    weight = next(model.network.parameters())
    return [model.kind, model.sha256, str(weight.dtype), weight.device.type]
