"""Finds or checks the video frame that each RAW frame belongs to, and rates the match."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from rvdtool.bundle.archive import InputFile
from rvdtool.bundle.convert import on_grid
from rvdtool.capture.align import MATCH, Alignment, align, frame_picture, right_frame
from rvdtool.capture.compare import GreyPicture
from rvdtool.capture.preview import Rgb8, preview_row
from rvdtool.capture.verdict import Verdict, better_phase, judge, overruled
from rvdtool.errors import RawError, UsageError
from rvdtool.raw.frame import CfaPhase, RawFrame
from rvdtool.raw.read import MosaicLevels, read_raw
from rvdtool.video.decode import read_frames
from rvdtool.video.frame import Rgb, VideoFrame, VideoInfo
from rvdtool.video.source import VideoSource

_AROUND = 5
"""Frames on each side of a named one that are also compared with its RAW."""


@dataclass(frozen=True)
class Raw:
    """A RAW file that is to be packed.

    Attributes:
        file: the file, which holds one frame.
        index: index of the video frame that the user assigned it to; None if it is to be found.
        levels: levels of a plain mosaic, as given by the user.
    """

    file: InputFile
    index: int | None
    levels: MosaicLevels | None

    def read(self) -> RawFrame:
        """Read the RAW frame."""
        return read_raw(self.file.path, levels=self.levels)

    def read_as(self, phase: CfaPhase) -> RawFrame:
        """Read the RAW frame with another CFA phase than the user gave."""
        levels = None if self.levels is None else replace(self.levels, phase=phase)
        return read_raw(self.file.path, levels=levels)


@dataclass(frozen=True)
class MatchedRaw:
    """A RAW file and its alignment with the video.

    Attributes:
        raw: the file.
        found: alignment with the named frame, or with the one that was found.
        right: index of the frame that the RAW really belongs to. It differs from `found.index` if
            the named frame is clearly wrong.
    """

    raw: Raw
    found: Alignment
    right: int


class _Pictures(Mapping[int, GreyPicture]):
    """Pictures of the frames to compare, stored in 16 bits: thirty of a 4K video take 55 MB."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[NDArray[np.uint16], int]] = {}

    def keep(self, index: int, picture: GreyPicture) -> None:
        """Add a frame's picture; greys (0..1) are rounded to 1/65535."""
        self._kept[index] = np.rint(picture.grey * 65_535).astype(np.uint16), picture.step

    def forget(self, first: int, last: int) -> None:
        """Drop the pictures of a range of frames."""
        for index in [index for index in self._kept if first <= index <= last]:
            del self._kept[index]

    def __getitem__(self, index: int) -> GreyPicture:
        grey, step = self._kept[index]
        return GreyPicture(np.divide(grey, 65_535, dtype=np.float32), step)

    def __iter__(self) -> Iterator[int]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


def match_all(
    raws: Sequence[Raw],
    source: VideoSource,
    info: VideoInfo,
    search: int,
    looked: Callable[[int], None],
) -> list[MatchedRaw]:
    """Match each RAW with a frame, in the order of the frames. The video is decoded once.

    Args:
        raws: the RAW files.
        source: the video.
        info: the video's properties, as probed.
        search: number of frames, from the first, to compare with a RAW whose frame isn't named.
        looked: called with the number of frames examined since the last call.

    Raises:
        UsageError: two RAWs belong to the same frame.
    """
    window = range(min(search, info.frame_count) if any(r.index is None for r in raws) else 0)
    around = {
        raw.index: range(
            max(0, raw.index - _AROUND), min(info.frame_count, raw.index + _AROUND + 1)
        )
        for raw in raws
        if raw.index is not None
    }
    wanted = {*window, *(index for frames in around.values() for index in frames)}
    pictures = _Pictures()
    matches: list[MatchedRaw] = []
    for index, picture in map(_picture, chosen_frames(source, info, wanted)):
        looked(1)
        pictures.keep(index, picture)
        for raw in raws:
            if raw.index is not None and around[raw.index][-1] == index:
                frames = {i: pictures[i] for i in around[raw.index]}
                matches.append(_named(raw, raw.index, info, frames))
        pictures.forget(len(window), index - 2 * _AROUND)
    first = {index: pictures[index] for index in window}
    for raw in raws:
        if raw.index is None:
            found = align(raw.read(), info, first)
            matches.append(MatchedRaw(raw, found, found.index))
    matches.sort(key=lambda match: match.found.index)
    for one, other in pairwise(matches):
        if one.found.index == other.found.index:
            raise UsageError(
                f"{one.raw.file.path} and {other.raw.file.path} both belong to frame "
                f"{one.found.index} (counted from 0); give one RAW per frame"
            )
    return matches


def _named(raw: Raw, index: int, info: VideoInfo, frames: Mapping[int, GreyPicture]) -> MatchedRaw:
    frame = raw.read()
    found = align(frame, info, {index: frames[index]})
    return MatchedRaw(raw, found, right_frame(frame, info, frames, found))


def chosen_frames(source: VideoSource, info: VideoInfo, wanted: set[int]) -> Iterator[VideoFrame]:
    """Decode up to the last wanted frame, and yield the wanted ones.

    `filter` instead of a loop, whose variable would hold a frame while the next one is decoded.
    """
    last = max(wanted)
    frames = islice(read_frames(source, info, ahead=last > 0), last + 1)
    return filter(lambda frame: frame.index in wanted, frames)


def _picture(frame: VideoFrame) -> tuple[int, GreyPicture]:
    return frame.index, frame_picture(frame.rgb)


def judge_all(
    matches: Sequence[MatchedRaw],
    source: VideoSource,
    info: VideoInfo,
    *,
    force: bool,
    show_all: bool,
) -> tuple[list[Verdict], list[Rgb8]]:
    """Judge each match, and draw preview rows.

    Args:
        matches: the matches, in the order of their frames.
        source: the video.
        info: the video's properties, as probed.
        force: whether the user accepts RAWs that don't match.
        show_all: whether to draw a row for every match; otherwise only for doubtful ones that
            LibRaw can develop.
    """
    verdicts, rows = [], []
    frames = chosen_frames(source, info, {match.found.index for match in matches})
    for match, frame in zip(matches, frames, strict=True):
        placed = on_grid(match.raw.read(), match.found.transform, info.rotation)
        verdict = judge(match.raw.file.path.name, placed, frame.rgb, match.found, info)
        verdict = _with_file_findings(verdict, match, frame.rgb, info)
        verdicts.append(overruled(verdict) if force else verdict)
        if show_all:
            rows.append(preview_row(placed, frame.rgb))
        elif verdicts[-1].word == "doubtful":
            try:
                rows.append(preview_row(placed, frame.rgb))
            except RawError:  # too small for LibRaw
                continue
    return verdicts, rows


def _with_file_findings(verdict: Verdict, match: MatchedRaw, rgb: Rgb, info: VideoInfo) -> Verdict:
    """Add the findings that need the RAW files and the neighbouring frames to a verdict."""
    refusals = list(verdict.refusals)
    if match.right != match.found.index:
        refusals.append(
            f"wrong frame: this is the RAW of frame {match.right}, not of frame "
            f"{match.found.index} (frames are counted from 0); give --raw "
            f"{match.right}=FILE"
        )
    levels = match.raw.levels
    if levels is not None and verdict.score >= MATCH:
        raws = {phase: match.raw.read_as(phase) for phase in CfaPhase}
        wrong = better_phase(raws, levels.phase, rgb, match.found, info)
        refusals += [] if wrong is None else [wrong]
    return replace(verdict, refusals=tuple(refusals))
