"""Score methods on one video; figures that are already known are reused."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import tee, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rvdtool.errors import MismatchError
from rvdtool.evaluate.edits import frame_delta_e
from rvdtool.evaluate.metrics import score_values
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.render import Look, look_of
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.fusion import ChainMethod, run_chain
from rvdtool.research.benchmark.method import Codec, Method, PredictedFrame
from rvdtool.research.benchmark.record import FrameRecord, Place, Record, error_map


@dataclass(frozen=True)
class VideoResult:
    """One method's figures on one video.

    Attributes:
        method: the method's name.
        clip: the video, at the size that was measured.
        every: only every n-th frame was requested.
        record: figures of the requested frames.
    """

    method: str
    clip: BenchmarkClip
    every: int
    record: Record


def measure(
    methods: Sequence[Method],
    clip: BenchmarkClip,
    results: Path,
    *,
    frames: int | None,
    every: int,
    machine: str,
    edits: bool = False,
) -> list[VideoResult]:
    """Score methods on a video, except for known figures. Chain methods share one chain.

    Figures are stored when a video is done, or after each frame if the method treats frames
    separately. Stored figures of another method, model, code version or video aren't used.

    Args:
        methods: the methods to score.
        clip: the video.
        results: the folder of stored figures.
        frames: largest number of frames, including the first; None for all.
        every: for methods that treat frames separately, score only every n-th frame, counted
            backwards from the last.
        machine: description of the machine.
        edits: also measure ΔE after edits, of every n-th frame likewise.

    Raises:
        InputError: a frame is missing or damaged.
        MismatchError: a method's result has NaN, or frames differ in size.
        OutputError: figures can't be written.
    """
    runs = [_Run(method, clip, results, frames, every, machine, edits) for method in methods]
    lasts = [run.missing[-1] for run in runs if run.missing and isinstance(run.method, ChainMethod)]
    links = iter(tee(run_chain(clip, max(lasts)), len(lasts)) if lasts else ())
    with TemporaryDirectory() as scratch:
        scored = [
            run.score(
                run.method.read(clip, next(links))
                if isinstance(run.method, ChainMethod)
                else run.predict(Path(scratch))
            )
            for run in runs
            if run.missing
        ]
        # All methods advance together, so that only one step of the chain is in memory.
        for _ in zip_longest(*scored):
            pass
    return [run.result() for run in runs]


def wanted_frames(count: int, frames: int | None, every: int) -> range:
    """Indices of the frames to score, always with the last and without the first."""
    last = min(count, frames or count) - 1
    return range(last, 0, -every)[::-1]


class _Run:
    """Scores one method on one video, frame by frame."""

    def __init__(
        self,
        method: Method,
        clip: BenchmarkClip,
        results: Path,
        frames: int | None,
        every: int,
        machine: str,
        edits: bool,
    ) -> None:
        self.method, self._clip = method, clip
        self._place = Place(results, method.name, clip.name, clip.half)
        self._every = every if method.alone else 1
        self._wanted = wanted_frames(len(clip), frames, self._every)
        self._edited = wanted_frames(len(clip), frames, every) if edits else range(0)
        key = {**method.key(), "clip": clip.fingerprint(), "size": "half" if clip.half else "full"}
        if isinstance(method, Codec):
            key["frames"] = str(self._wanted[-1] + 1)
        if edits:
            key["edits"] = f"every {every}"
        self._record = self._place.read(key) or Record(
            key=key, machine=machine, metadata_bytes=method.metadata_bytes(clip), frames=()
        )
        known = {frame.index for frame in self._record.frames}
        last = self._wanted[-1]
        has_map = self._place.has_error_map(last)
        self.missing = [i for i in self._wanted if i not in known or (i == last and not has_map)]
        if self.missing and machine not in self._record.machine:
            both = f"{self._record.machine}; {machine}"
            self._record = self._record.model_copy(update={"machine": both})

    def predict(self, scratch: Path) -> Iterator[PredictedFrame]:
        """The method's predictions of the missing frames; a codec's rates are recorded."""
        if not isinstance(self.method, Codec):
            return self.method.predict(self._clip, self.missing)
        count = self._wanted[-1] + 1
        folder = scratch / self.method.name
        folder.mkdir()
        encoding = self.method.encode(self._clip, count, folder)
        rates = {
            "metadata_bytes": sum(encoding.parts.values()) / count,
            "parts": dict(encoding.parts),
            "encode_seconds": encoding.seconds,
        }
        self._record = self._record.model_copy(update=rates)
        return encoding.frames

    def score(self, predictions: Iterator[PredictedFrame]) -> Iterator[None]:
        """Score predictions; yields after each frame. If the method treats frames separately,
        figures are stored after each frame."""
        frames = {frame.index: frame for frame in self._record.frames}
        for prediction in predictions:
            index, true = prediction.index, self._clip.raw(prediction.index)
            try:
                scores = score_values(prediction.values, true)
            except MismatchError as error:
                raise MismatchError(
                    f"{self.method.name}, {self._clip.name}, frame {index}: {error}"
                ) from error
            edited = self._delta_e(prediction, true) if index in self._edited else None
            frames[index] = FrameRecord.of(index, prediction.seconds, scores, edited)
            if index == self.missing[-1]:
                self._place.write_error_map(index, error_map(prediction.values, true))
            ordered = tuple(frames[index] for index in sorted(frames))
            self._record = self._record.model_copy(update={"frames": ordered})
            if self.method.alone:
                self._place.write(self._record)
            yield
        self._place.write(self._record)

    def _delta_e(self, prediction: PredictedFrame, true: RawFrame) -> dict[str, float]:
        inside = np.clip(np.rint(prediction.values), 0, 2**true.bits - 1).astype(np.uint16)
        return frame_delta_e(true.with_mosaic(inside), true, self._look)

    @cached_property
    def _look(self) -> Look:
        return look_of(self._clip.reference)

    def result(self) -> VideoResult:
        """The figures of all requested frames."""
        asked = tuple(frame for frame in self._record.frames if frame.index in self._wanted)
        record = self._record.model_copy(update={"frames": asked})
        return VideoResult(self.method.name, self._clip, self._every, record)
