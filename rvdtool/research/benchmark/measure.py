"""Methods on one video: what is known is kept, the rest is predicted and scored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import tee, zip_longest
from pathlib import Path

from rvdtool.errors import MismatchError
from rvdtool.evaluate.metrics import score_values
from rvdtool.research.benchmark.clip import Clip
from rvdtool.research.benchmark.fusion import ChainMethod, run_chain
from rvdtool.research.benchmark.method import Method, Prediction
from rvdtool.research.benchmark.record import FrameRecord, Place, Record, error_map


@dataclass(frozen=True)
class Result:
    """One method's figures on one video.

    Attributes:
        method: its name.
        clip: the video, at the size that was measured.
        every: only every n-th frame was asked for.
        record: figures of the frames that were asked for.
    """

    method: str
    clip: Clip
    every: int
    record: Record


def measure(
    methods: Sequence[Method],
    clip: Clip,
    results: Path,
    *,
    frames: int | None,
    every: int,
    machine: str,
) -> list[Result]:
    """Score methods on a video, as far as that isn't known; those that read a chain share one.

    Figures are kept when a video is done, or after every frame where frames stand alone; those of
    another method, model, code or video don't count.

    Args:
        methods, clip: what to measure.
        results: the folder where figures are kept.
        frames: of the video at most, the first included; None: all.
        every: only every n-th frame (from the last backwards) where frames stand alone.
        machine: what computes.

    Raises:
        InputError: a frame is missing or damaged.
        MismatchError: a method gave NaN, or frames differ in size.
        OutputError: figures can't be written.
    """
    runs = [_Run(method, clip, results, frames, every, machine) for method in methods]
    lasts = [run.missing[-1] for run in runs if run.missing and isinstance(run.method, ChainMethod)]
    links = iter(tee(run_chain(clip, max(lasts)), len(lasts)) if lasts else ())
    scored = [
        run.score(
            run.method.read(clip, next(links))
            if isinstance(run.method, ChainMethod)
            else run.method.predict(clip, run.missing)
        )
        for run in runs
        if run.missing
    ]
    # In step, so that but one step of the chain is kept for all who read it.
    for _ in zip_longest(*scored):
        pass
    return [run.result() for run in runs]


def wanted_frames(count: int, frames: int | None, every: int) -> range:
    """Indices to score: never the first frame; always the last."""
    last = min(count, frames or count) - 1
    return range(last, 0, -every)[::-1]


class _Run:
    """One method on one video, frame after frame."""

    def __init__(
        self,
        method: Method,
        clip: Clip,
        results: Path,
        frames: int | None,
        every: int,
        machine: str,
    ) -> None:
        self.method, self._clip = method, clip
        self._place = Place(results, method.name, clip.name, clip.half)
        self._every = every if method.alone else 1
        self._wanted = wanted_frames(len(clip), frames, self._every)
        key = {**method.key(), "clip": clip.fingerprint(), "size": "half" if clip.half else "full"}
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

    def score(self, predictions: Iterator[Prediction]) -> Iterator[None]:
        """Keep figures, each at once where frames stand alone; yields after every frame."""
        frames = {frame.index: frame for frame in self._record.frames}
        for prediction in predictions:
            index, true = prediction.index, self._clip.raw(prediction.index)
            try:
                scores = score_values(prediction.values, true)
            except MismatchError as error:
                raise MismatchError(
                    f"{self.method.name}, {self._clip.name}, frame {index}: {error}"
                ) from error
            frames[index] = FrameRecord.of(index, prediction.seconds, scores)
            if index == self.missing[-1]:
                self._place.write_error_map(index, error_map(prediction.values, true))
            ordered = tuple(frames[index] for index in sorted(frames))
            self._record = self._record.model_copy(update={"frames": ordered})
            if self.method.alone:
                self._place.write(self._record)
            yield
        self._place.write(self._record)

    def result(self) -> Result:
        """All that was asked for."""
        asked = tuple(frame for frame in self._record.frames if frame.index in self._wanted)
        record = self._record.model_copy(update={"frames": asked})
        return Result(self.method.name, self._clip, self._every, record)
