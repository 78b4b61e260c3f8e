"""One method on one video: what is known is kept, the rest is predicted and scored."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rvdtool.benchmark.clip import Clip
from rvdtool.benchmark.method import Method
from rvdtool.benchmark.record import FrameRecord, Place, Record, error_map
from rvdtool.errors import MismatchError
from rvdtool.evaluate.metrics import score_values


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
    method: Method, clip: Clip, results: Path, *, frames: int | None, every: int, machine: str
) -> Result:
    """Score a method on a video, unless that is known.

    Figures are kept when a video is done, or after every frame where frames stand alone; those of
    another method, model, code or video don't count.

    Args:
        method, clip: what to measure.
        results: the folder where figures are kept.
        frames: of the video at most, the first included; None: all.
        every: only every n-th frame (from the last backwards) where frames stand alone.
        machine: what computes.

    Raises:
        InputError: a frame is missing or damaged.
        MismatchError: the method gave NaN, or frames differ in size.
        OutputError: figures can't be written.
    """
    place = Place(results, method.name, clip.name, clip.half)
    key = {**method.key(), "clip": clip.fingerprint(), "size": "half" if clip.half else "full"}
    every = every if method.alone else 1
    wanted = wanted_frames(len(clip), frames, every)
    record = place.read(key) or Record(
        key=key, machine=machine, metadata_bytes=method.metadata_bytes(clip), frames=()
    )
    known = {frame.index for frame in record.frames}
    last = wanted[-1]
    missing = [i for i in wanted if i not in known or (i == last and not place.has_error_map(i))]
    if missing:
        if machine not in record.machine:
            record = record.model_copy(update={"machine": f"{record.machine}; {machine}"})
        record = _predict(method, clip, place, record, missing)
    asked = tuple(frame for frame in record.frames if frame.index in wanted)
    return Result(method.name, clip, every, record.model_copy(update={"frames": asked}))


def wanted_frames(count: int, frames: int | None, every: int) -> range:
    """Indices to score: never the first frame; always the last."""
    last = min(count, frames or count) - 1
    return range(last, 0, -every)[::-1]


def _predict(
    method: Method, clip: Clip, place: Place, record: Record, missing: Sequence[int]
) -> Record:
    """Measure frames and keep their figures: each at once where frames stand alone."""
    frames = {frame.index: frame for frame in record.frames}
    for prediction in method.predict(clip, missing):
        index, true = prediction.index, clip.raw(prediction.index)
        try:
            scores = score_values(prediction.values, true)
        except MismatchError as error:
            raise MismatchError(f"{method.name}, {clip.name}, frame {index}: {error}") from error
        frames[index] = FrameRecord.of(index, prediction.seconds, scores)
        if index == missing[-1]:
            place.write_error_map(index, error_map(prediction.values, true))
        ordered = tuple(frames[index] for index in sorted(frames))
        record = record.model_copy(update={"frames": ordered})
        if method.alone:
            place.write(record)
    place.write(record)
    return record
