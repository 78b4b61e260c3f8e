"""What frames are labelled with: name, reel, rate, time code, and how each was exposed."""

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
"""Bytes, so that a frame's name stays below what file systems take."""

_SMALLEST_TIME = 1_000_000
"""Exposure times are fractions with no larger denominator: 1/50 comes back from 0.02."""


@dataclass(frozen=True)
class Labels:
    """A clip's labels.

    Attributes:
        stem: of all file names; the reel, too.
        rate: frames per second.
        start: time code of frame 0.
        origin: where that comes from, for a message.
        seconds: how long the wanted frames last; if the video keeps no rate, in it or one after the
            other at `rate`, whichever is longer (no editor links sound that is shorter than its
            frames).
        slots: each frame's place in the sequence of time codes, by its own time: 0, 1, 2, …
        tags: of the video file.
    """

    stem: str
    rate: Fraction
    start: TimeCode
    origin: str
    seconds: Fraction
    slots: NDArray[np.int64]
    tags: ClipTags

    def time_code(self, index: int) -> TimeCode:
        """Of a frame, by its time."""
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
    """Find a clip's labels: from the user, else the video file, else the RAW.

    Args:
        bundle: an open bundle.
        name: of the files and the reel; by default the clip's own.
        time_code: of frame 0, as `14:23:11:05`.
        rate: frames per second, for a video of variable frame rate.
        span: the frames that are wanted.
        say: told what was assumed.

    Raises:
        UsageError: an invalid name or time code, or a rate for a video that has a constant one.
        InputError: the bundle can't be read.
    """
    info, video = bundle.video_info, bundle.manifest.video
    # What the user says is looked at before the video, which is hashed when it is first asked for.
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
        UsageError: it is too long for frames to be named after it.
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
        f"{video}: {found}, which the frames are labelled with (--rate changes it); "
        "each keeps its own time in its time code and the timestamps table. Played "
        f"at an even rate, they last {even:.2f} s instead of {real:.2f} s"
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
    """The time code of frame 0 by the files, and where it comes from."""
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
    """The frame with its own exposure for its EXIF, as far as the bundle knows it.

    A reference keeps its own and gets what it lacks. Other frames get the exposure time that was
    said, and as ISO the one that was said times the gain; with a gain alone, the reference's ISO
    times how much larger the gain is than the reference's.

    Args:
        bundle: with exposures, or none.
        frame: a reference, or reconstructed with the exposure of the reference before it (before
            the first: after).
        index: of the frame.
    """
    said = bundle.manifest.exposures
    if said is None:
        return frame
    references = [reference.index for reference in bundle.references]
    return replace(frame, exposure=_exposure(said, references, index, frame.exposure))


def _of_file(tags: ClipTags, label: str, rate: Fraction) -> TimeCode:
    """A file's time code at the frames' rate, also if it numbers pairs of frames.

    Raises:
        UsageError: it is none of this rate.
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
