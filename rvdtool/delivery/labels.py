"""Labels of a clip's frames: name, reel, rate, time code, and each frame's exposure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rvdtool.bundle.fields import require_file_name
from rvdtool.bundle.manifest import Exposures, Video
from rvdtool.bundle.store import Bundle, is_intact
from rvdtool.errors import BundleError, UsageError
from rvdtool.notes import Say
from rvdtool.raw.frame import Exposure, RawFrame
from rvdtool.raw.timecode import TimeCode, read_time_code_tag
from rvdtool.video.cadence import cadence, slots_of
from rvdtool.video.clip import ClipTags, read_clip_tags
from rvdtool.video.frame import VideoInfo
from rvdtool.video.source import SliceSource, open_bytes

LONGEST_STEM = 200
"""Largest number of bytes, so that a frame's name stays within the limits of file systems."""

_SMALLEST_TIME = 1_000_000
"""Largest denominator of an exposure time as a fraction: 0.02 becomes 1/50 again."""


@dataclass(frozen=True)
class Labels:
    """A clip's labels.

    Attributes:
        stem: beginning of all file names; also the reel.
        rate: frames per second.
        start: time code of frame 0.
        origin: source of the time code, for a message.
        seconds: duration of the wanted frames. If the video has a variable rate: their duration in
            the video or at `rate`, whichever is longer (no editor links sound that is shorter than
            its frames).
        slots: position of each frame in the sequence of time codes, from its timestamp: 0, 1, 2, …
        tags: tags of the video file.
    """

    stem: str
    rate: Fraction
    start: TimeCode
    origin: str
    seconds: Fraction
    slots: NDArray[np.int64]
    tags: ClipTags

    def time_code(self, index: int) -> TimeCode:
        """Time code of a frame, from its timestamp."""
        return self.start.after(int(self.slots[index]))


def label(
    bundle: Bundle,
    *,
    name: str | None = None,
    time_code: str | None = None,
    rate: Fraction | None = None,
    span: range,
    say: Say,
) -> Labels:
    """Find a clip's labels: from the user, else from the video file, else from the RAW.

    Args:
        bundle: an open bundle.
        name: name of the files and the reel; by default the clip's own.
        time_code: time code of frame 0, as `14:23:11:05`.
        rate: frames per second, for a video of variable frame rate.
        span: the wanted frames.
        say: called with a line of text for everything that was assumed.

    Raises:
        UsageError: the name or time code is invalid, or a rate is given for a video that has a
            constant one.
        InputError: the bundle can't be read.
    """
    info, video = bundle.video_info, bundle.manifest.video
    # Check the user's values first: the first access to the video hashes all of it.
    stem = clip_stem(video) if name is None else _name(name)
    chosen = _rate(info, video.name, rate, say)
    given = None if time_code is None else TimeCode.parse(time_code, chosen)
    slots = slots_of(info, chosen)
    tags = read_clip_tags(bundle.checked_video(), info.stream)
    if tags.others:
        say(
            f"{video.name}: left out: {', '.join(tags.others)}; `rvdtool unpack` gives back the "
            "whole file"
        )
    start, origin = (given, "as given") if given else _start(bundle, tags, chosen, slots, say)
    return Labels(
        stem=stem,
        rate=chosen,
        start=start,
        origin=origin,
        seconds=_seconds(info, chosen, span),
        slots=slots,
        tags=tags,
    )


def clip_stem(video: Video) -> str:
    """The clip's own name: the video file's without its suffix, or the folder's.

    Raises:
        UsageError: it is too long for frame names.
    """
    return _name(Path(video.name).stem if video.kind == "file" else video.name)


def _name(name: str) -> str:
    try:
        require_file_name(name)
    except ValueError as error:
        raise UsageError(f"--name: {error}") from error
    if len(name.encode()) > LONGEST_STEM:
        raise UsageError(
            f"{name[:40]}…: file names can have at most {LONGEST_STEM} bytes here; give a "
            "shorter one with --name"
        )
    return name


def _rate(info: VideoInfo, video: str, given: Fraction | None, say: Say) -> Fraction:
    found = cadence(info)
    if given is not None and not found.variable:
        raise UsageError(
            f"--rate: {video} has a constant rate, {found}, which can't be changed here "
            "(give the rate of a folder of pictures to `rvdtool pack`)"
        )
    if given is not None or not found.variable:
        return found.rate if given is None else given
    even = float(info.frame_count / found.rate)
    real = float((info.timestamps[-1] - info.timestamps[0]) * info.time_base + 1 / found.rate)
    say(
        f"{video}: {found}, which is used as the frames' rate (--rate changes it). Time codes and "
        "the timestamps table keep each frame's own time. Played at a constant rate, the frames "
        f"last {even:.2f} s instead of {real:.2f} s"
    )
    return found.rate


def _seconds(info: VideoInfo, rate: Fraction, span: range) -> Fraction:
    even = len(span) / rate
    if not cadence(info).variable:
        return even
    ticks = info.timestamps[span[-1]] - info.timestamps[span[0]]
    return max(even, ticks * info.time_base + 1 / rate)


def _start(
    bundle: Bundle,
    tags: ClipTags,
    rate: Fraction,
    slots: NDArray[np.int64],
    say: Say,
) -> tuple[TimeCode, str]:
    """Time code of frame 0 according to the files, and its source for a message."""
    video = bundle.manifest.video.name
    if tags.time_code is not None:
        try:
            start = _of_file(tags, tags.time_code, rate)
        except UsageError as error:
            say(f"{video}: ignored: {error}; --timecode sets one")
        else:
            return start.after(bundle.video_info.undecodable), f"from {video}"
    entry = bundle.manifest.references[0]
    if not is_intact(bundle, entry.raw.member):
        raise BundleError(f"{bundle.path}: {entry.raw.member.name} is damaged")
    part = bundle.slices[entry.raw.member.name]
    with open_bytes(SliceSource(bundle.path, part.offset, part.size)) as file:
        data = read_time_code_tag(file, part.size)
    if data is not None:
        try:
            start = TimeCode.decode(data, rate).after(-int(slots[entry.frame_index]))
        except UsageError as error:
            say(f"{entry.raw.name}: ignored: {error}; --timecode sets one")
        else:
            return start, f"from {entry.raw.name}"
    return TimeCode(0, rate), "assumed, as neither video nor RAW has one; --timecode sets it"


def exposed(bundle: Bundle, frame: RawFrame, index: int) -> RawFrame:
    """The frame with its own exposure for EXIF, as far as the bundle gives it.

    A reference keeps its exposure and only gets missing values. Other frames get the exposure time
    from the bundle; as ISO they get the bundle's ISO times its gain, or, if it has gains only, the
    reference's ISO times the ratio of their gains.

    Args:
        bundle: an open bundle, with or without exposures.
        frame: a reference, or a frame reconstructed with the exposure of the previous reference
            (before the first reference: of that one).
        index: index of the frame.
    """
    said = bundle.manifest.exposures
    if said is None:
        return frame
    references = [reference.index for reference in bundle.references]
    return replace(frame, exposure=_exposure(said, references, index, frame.exposure))


def _of_file(tags: ClipTags, label: str, rate: Fraction) -> TimeCode:
    """A file's time code at the frames' rate, even if it counts pairs of frames.

    Raises:
        UsageError: the time code isn't valid at this rate.
    """
    base = max(1, round(rate))
    group = base // tags.base if tags.base and base % tags.base == 0 else 1
    found = TimeCode.parse(label, rate / group)
    return TimeCode(group * found.number, rate, found.drop)


def _exposure(said: Exposures, references: Sequence[int], index: int, own: Exposure) -> Exposure:
    time = None
    if said.time is not None:
        time = Fraction(said.time[index]).limit_denominator(_SMALLEST_TIME)
    iso = None if said.iso is None else said.iso[index]
    if said.gain is not None:
        source = max((k for k in references if k <= index), default=min(references))
        if iso is not None:
            iso *= said.gain[index]
        elif own.iso is not None:
            iso = own.iso * said.gain[index] / said.gain[source]
    whole = None if iso is None else max(1, round(iso))
    if index in references:
        return replace(own, time=own.time or time, iso=own.iso or whole)
    return replace(own, time=time or own.time, iso=whole or own.iso)
