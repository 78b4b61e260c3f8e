"""A single run of de-rendering: its clip, its output folder, its checkpoints and resuming."""

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rvdtool._version import __version__
from rvdtool.bundle.store import Bundle
from rvdtool.delivery.confidence import ConfidenceMaps
from rvdtool.delivery.grain import GRAINED, Grain
from rvdtool.delivery.labels import exposed, label
from rvdtool.delivery.memory import channels_on_cpu, fitting_in_flight
from rvdtool.delivery.need import Need, disk_need, require_space
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.output import OutputFolder, remove, writing_alone
from rvdtool.delivery.resume import (
    NO_MAP,
    Checkpoint,
    Figures,
    Written,
    load_checkpoint,
    save_checkpoint,
)
from rvdtool.delivery.sound import ClipTiming, write_sound
from rvdtool.errors import BundleError, UsageError
from rvdtool.files import remove_leftovers, write_beside
from rvdtool.notes import Say
from rvdtool.raw.companding import CODES
from rvdtool.raw.dng import encode_dng
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.sequence import write_timestamps
from rvdtool.reconstruct.chain import ChainState
from rvdtool.reconstruct.compiled import threads
from rvdtool.reconstruct.confidence import expected_psnr
from rvdtool.reconstruct.flow import list_flows
from rvdtool.reconstruct.references import Clip, Result, Start, reconstruct, require_usable
from rvdtool.reconstruct.stages import stage
from rvdtool.video.decode import read_frames
from rvdtool.video.frame import VideoFrame

if TYPE_CHECKING:
    from rvdtool.fagdn.chain import FagdnState
    from rvdtool.network.calibrated import CalibratedFagdn
    from rvdtool.network.checkpoint import Model


def make_clip(bundle: Bundle, options: DerenderOptions, scratch: Path | None) -> Clip:
    """The clip for the chain to reconstruct.

    Args:
        bundle: an open bundle.
        options: only `flow`, `gain` and `model` are used.
        scratch: folder for temporary files; None for the system's.

    Raises:
        BundleError, MismatchError, UsageError: as in `derender_to_folder`.
    """
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
    """A run of de-rendering: prepares its output folder, writes its files, resumes and finishes it.

    Attributes:
        written, figures: hashes and figures of all finished frames by index, including those of an
            interrupted run.
    """

    def __init__(
        self,
        bundle: Bundle,
        folder: Path,
        options: DerenderOptions,
        say: Say,
        parts: Sequence[range] = (),
    ) -> None:
        """Look at the clip; nothing is written.

        Args:
            bundle: an open bundle.
            folder, options: as in `derender_to_folder`.
            say: told what is assumed or left out.
            parts: those that are made by themselves, each with a checkpoint of its own; a run that
                makes one of them has just this one, as its `frames`.
        """
        if options.model is not None:
            _require_fitting(options, options.model, bundle)
        self.clip = make_clip(bundle, options, folder)
        self.bundle = bundle
        self.folder = folder
        self.options = options
        self._say = say
        self.written: dict[int, Written] = {}
        self.figures: dict[int, Figures] = {}
        self._info = bundle.video_info
        if self.uses_fagdn and options.memory is not None:
            raise UsageError(
                "--memory is for rvdtool's own networks and --model none; leave it out with fagdn"
            )
        if not self.uses_fagdn:
            in_flight = fitting_in_flight(
                (self._info.height, self._info.width),
                channels_on_cpu(options.model),
                limit=options.memory,
                say=say,
            )
            self.clip = replace(self.clip, in_flight=in_flight)
        self.span = _span(options.frames, self._info.frame_count)
        self.labels = label(
            bundle,
            name=options.name,
            time_code=options.time_code,
            rate=options.rate,
            span=self.span,
            say=say,
        )
        white = max(reference.white for reference in bundle.manifest.references)
        if options.compression == "log10" and white < CODES:
            say(
                f"--compression log10 saves nothing: the RAW's values, {white} at most, fit in 10 "
                "bits as they are; ljpeg is as good"
            )
        self._stem = self.labels.stem
        whole = len(self.span) == self._info.frame_count
        self._output = OutputFolder(folder, self._stem, self.span, whole, parts)
        self._grain = Grain(bundle, self.span, say) if options.grain else None
        self._maps: ConfidenceMaps | None = None
        if options.confidence is not None:
            if options.confidence.resolve() == folder.resolve():
                raise UsageError(
                    f"{folder}: is the folder of the DNGs; give --confidence another folder"
                )
            size = self._info.height, self._info.width
            self._maps = ConfidenceMaps(options.confidence, self._stem, size)

    def need(self) -> Need:
        """Disk space that the run needs.

        Raises:
            OutputError: the disk is surely too small.
        """
        options, folder = self.options, self._output.path
        need = disk_need(
            self.bundle, folder, self.span, self.labels, options.compression, options.audio
        )
        if self.uses_fagdn:  # its chain keeps no frames in temporary files
            need = replace(need, temporary=0)
        require_space(need, folder, options.compression)
        return need

    @property
    def uses_fagdn(self) -> bool:
        """Whether the paper's network is used, which has its own chain."""
        return self.options.model is not None and self.options.model.kind == "fagdn"

    def left(self) -> range:
        """The frames still to be made: all, or those that the run to be resumed hasn't made.

        Raises:
            OutputError: the output folder has files in it that may not be replaced, or can't be
                resumed.
        """
        existing = self.options.existing
        if existing == "resume" and self._output.is_begun():
            return range(self._saved().start.index + 1, self.span.stop)
        if existing == "refuse":
            self._output.require_empty()
        else:
            self._output.require_ours()
        return self.span

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Create the folders and keep other runs out of them."""
        with ExitStack() as stack:
            if self._maps is not None:
                stack.enter_context(writing_alone(self._maps.folder, "folder for --confidence"))
                self._maps.check(self.options.existing)
            stack.enter_context(writing_alone(self._output.path, "output folder"))
            yield

    def grained(self, frame: RawFrame, index: int) -> RawFrame:
        """A reconstructed frame, with grain if requested."""
        return frame if self._grain is None else self._grain.add(frame, index)

    @contextmanager
    def alone_in_part(self) -> Iterator[Start | None]:
        """Keep others out of this part of a run, and give the state to resume it from, if any.

        Raises:
            OutputError: another process makes it, or the state doesn't fit.
        """
        with self._output.writing_part():
            yield self._load() if self._state.exists() else None

    def results(
        self, start: Start | None, advance: Callable[[int], None] | None
    ) -> Generator[Result | None]:
        """Yield a result for every frame up to the last wanted one, in display order.

        It is None for frames up to `start` and for frames that aren't wanted.
        """
        decoded = read_frames(self.bundle.checked_video(), self._info)
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
        model, span = self.options.model, self.span
        if model is None or model.kind == "fagdn-calibrated":
            if start is None and span.start:
                start = Start(span.start - 1, None)
            # Ignore references before the nearest one, which can't contribute.
            nearest = [one for one in self.clip.references if one.index <= span.start][-1:]
            after = [one for one in self.clip.references if one.index > span.start]
            clip = replace(self.clip, references=[*nearest, *after])
            return reconstruct(clip, frames, start, advance, span.stop)
        from rvdtool.fagdn.chain import reconstruct_fagdn

        return reconstruct_fagdn(model.network, self.clip, frames, start)

    def prepare(self) -> Start | None:
        """Prepare the output folder; return the state to resume from, if any.

        Parts have their own states.
        """
        existing = self.options.existing
        if existing == "refuse":
            self._output.require_empty()
        elif existing == "resume" and self._output.is_begun():
            return None if self._output.parts else self._load()
        else:
            self._output.clear()
        return None

    def write_sound(self, say: Say) -> list[Path]:
        """Write the video's sound, replacing that of an interrupted run."""
        if not self.options.audio:
            return []
        timing = ClipTiming(
            video=self.bundle.manifest.video.name,
            start=self._info.timestamps[self.span.start] * self._info.time_base,
            seconds=self.labels.seconds,
            rate=self.labels.rate,
            time_code=self.labels.time_code(self.span.start),
            reel=self._stem,
            recorded=self.labels.tags.recorded,
        )
        return write_sound(self.bundle.checked_video(), self.folder, self._stem, timing, say)

    def job(self, result: Result) -> Callable[[], None]:
        """A function that writes a frame and its map."""
        raw, index, expected = result.raw, result.index, result.expected
        grained = self.options.grain and not result.is_reference

        def write() -> None:
            with stage("writing"):
                frame = self.grained(raw, index) if grained else raw
                shown = self._maps.write(expected, index) if self._maps else NO_MAP
                data = encode_dng(
                    exposed(self.bundle, frame, index),
                    compression=self.options.compression,
                    rate=self.labels.rate,
                    time_code=self.labels.time_code(index),
                    reel=self._stem,
                    description=GRAINED if grained else None,
                )
                with write_beside(self._output.frame(index), overwrite=True) as file:
                    file.write(data)
                self.written[index] = Written.of(data, shown)

        return write

    def note(self, result: Result) -> None:
        """Record the report's figures for a frame."""
        self.figures[result.index] = Figures(
            brightness=result.brightness,
            exposure=result.exposure,
            trusted=np.nan if result.trusted is None else result.trusted,
            carried=np.nan if result.carried is None else result.carried,
            expected=np.nan if result.expected is None else expected_psnr(result.expected),
            doubtful=result.doubtful,
            toned=result.toned,
            differing=result.differing,
            tracks_gain=result.tracks_gain,
            cut=result.cut,
        )

    def save(self, start: Start) -> None:
        """Store a checkpoint from which an interrupted run can be resumed."""
        checkpoint = Checkpoint(start, self.written, self.figures, threads())
        save_checkpoint(self._state, self._key(), self.span.start, checkpoint)

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
        for state in self._output.states:
            remove(state)

    def require_written(self) -> None:
        """Check that the frames of other machines exist; remove what lost workers left.

        Raises:
            OutputError: one isn't there, or has another size.
        """
        self._output.require_frames(self.written)
        for folder in filter(None, (self.folder, self.options.confidence)):
            remove_leftovers(folder)

    @property
    def _state(self) -> Path:
        (state,) = self._output.states
        return state

    def _load(self) -> Start:
        """The state to resume from: the earlier run's, or, if one of its frames is missing or has
        changed, the start of the reference before that frame."""
        saved = self._saved()
        if saved.threads != threads():
            self._say(
                f"{self.folder}: was started with {saved.threads} threads, but now there are "
                f"{threads()}; frames may be rounded differently; --threads {saved.threads} avoids "
                "that"
            )
        self.written.update(saved.written)
        self.figures.update(saved.figures)
        start = saved.start
        fault = self._output.first_fault(saved.written)
        if fault is not None:
            index, what = fault
            references = [one.index for one in self.clip.references if one.index <= index]
            start = Start(max(references, default=self.span.start) - 1, None)
            self._say(
                f"{self._output.frame(index)}: {what}; frames are reconstructed again "
                f"from {max(start.index + 1, self.span.start)} on"
            )
        if self._maps is not None:
            for index in range(self.span.start, start.index + 1):
                self._maps.require(index, saved.written[index].map)
        return start

    def _saved(self) -> Checkpoint:
        return load_checkpoint(self._state, self._key(), self.span, self._state_type())

    def _state_type(self) -> "type[ChainState | FagdnState]":
        if self.options.model is None or self.options.model.kind == "fagdn-calibrated":
            return ChainState
        from rvdtool.fagdn.chain import FagdnState

        return FagdnState

    def _key(self) -> str:
        """A hash of everything that affects the frames."""
        parts = [
            __version__,
            self.options.compression,
            [_fingerprint(file) for file in self.clip.flows or ()],
            self.options.gain,
            self.options.grain,
            _model_key(self.options.model),
            [self._stem, str(self.labels.rate), str(self.labels.start)],
            [self.span.start, self.span.stop],
            self.bundle.manifest.model_dump_json(),  # how colours are read, and all hashes
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
    """Identify a file without reading it, since flows can be gigabytes."""
    status = file.stat()
    return file.name, status.st_size, status.st_mtime_ns


def _require_fitting(options: DerenderOptions, model: "Model", bundle: Bundle) -> None:
    """Refuse, before any work, what a model can't do."""
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
    """The network of a `fagdn-calibrated` model, which works within our chain; None otherwise."""
    if model is None or model.kind != "fagdn-calibrated":
        return None
    from rvdtool.network.calibrated import CalibratedFagdn

    return model.network if isinstance(model.network, CalibratedFagdn) else None


def _model_key(model: "Model | None") -> list[str]:
    """Identify a model by weights, precision and device, all of which affect the output's bits."""
    if model is None:
        return []
    weight = next(model.network.parameters())
    return [model.kind, model.sha256, str(weight.dtype), weight.device.type]
