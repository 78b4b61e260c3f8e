"""Compares two sequences of RAW frames: metrics of each frame, and their mean."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from functools import partial
from math import inf, isfinite
from pathlib import Path
from typing import Literal

from rvdtool.errors import MismatchError, UsageError
from rvdtool.evaluate.metrics import Scores, score
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.mlv import MlvVideo, read_mlv
from rvdtool.raw.mlv_blocks import is_mlv
from rvdtool.raw.read import MosaicLevels, read_raw
from rvdtool.raw.sequence import frame_name, list_sequence

PLAIN_SUFFIXES = frozenset({".tif", ".tiff"})
"""Suffixes of files that don't contain their levels."""

WORKERS = 2
"""Number of frames scored in parallel; each takes memory for two frames and their float copies."""


@dataclass(frozen=True)
class FrameFile:
    """The location of a RAW frame: a file, or a frame in a Magic Lantern recording.

    Attributes:
        path: path of the file.
        index: index of the frame in the recording.
        recording: the recording; None if the file holds a single frame.
    """

    path: Path
    index: int = 0
    recording: MlvVideo | None = None

    @property
    def name(self) -> str:
        """Name for tables. For a recording, the name that the frame would have in a folder."""
        return frame_name(self.path.stem, self.index) if self.recording else self.path.name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return Path(self.name).stem

    def __str__(self) -> str:
        return f"{self.path}, frame {self.index}" if self.recording else str(self.path)


@dataclass(frozen=True)
class FramePair:
    """Two RAW frames that show the same moment."""

    predicted: FrameFile
    true: FrameFile


@dataclass(frozen=True)
class Matching:
    """Pairs of reconstructed and true frames.

    Attributes:
        by: `name` if both folders have the same names (without suffix); `order` if they have no
            name in common and the same number of frames.
        pairs: pairs in the true folder's order.
    """

    by: Literal["name", "order"]
    pairs: tuple[FramePair, ...]


@dataclass(frozen=True)
class FrameScores:
    """A frame's metrics. `counted` says whether they are included in the mean."""

    pair: FramePair
    scores: Scores
    counted: bool


@dataclass(frozen=True)
class Comparison:
    """The metrics of all frames, and their mean over the counted frames.

    Attributes:
        matched_by: see `Matching.by`.
        frames: metrics of every frame, in order.
        mean: arithmetic mean over the counted frames, as in the paper (of dB, not of squared
            errors). Frames that equal the truth have infinite PSNR and are left out of the mean
            PSNR, which is infinite only if all counted frames equal the truth.
        identical: number of counted frames that equal the truth.
    """

    matched_by: Literal["name", "order"]
    frames: tuple[FrameScores, ...]
    mean: Scores
    identical: int


def match_frames(predicted: Path, true: Path) -> Matching:
    """Pair the RAW frames of two folders by name, or by order if they have no name in common.

    Either may be a Magic Lantern recording (.mlv), whose frames get names as from `rvdtool
    derender`: `NAME_000000`.

    Raises:
        InputError: a folder is missing or holds no RAW frames, or a recording is damaged.
        MismatchError: the numbers of frames differ, or only some names are shared; the message
            names the files.
    """
    ours, theirs = _list_frames(predicted), _list_frames(true)
    names, true_names = [frame.stem for frame in ours], [frame.stem for frame in theirs]
    shared = set(names) & set(true_names)
    if names != true_names and (shared or len(ours) != len(theirs)):
        lonely = [frame for frame in (*ours, *theirs) if frame.stem not in shared]
        raise MismatchError(
            f"{predicted} has {len(ours)} RAW frames and {true} has {len(theirs)}, of "
            f"which {len(shared)} have the same name; without a counterpart: "
            f"{_listed(lonely)}. Both folders need the same names, or the same number of "
            "frames"
        )
    pairs = tuple(FramePair(*pair) for pair in zip(ours, theirs, strict=True))
    return Matching("name" if shared else "order", pairs)


def compare(
    matching: Matching,
    *,
    levels: MosaicLevels | None = None,
    include_first: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Comparison:
    """Score all pairs of frames, with only a few in memory at a time.

    Args:
        matching: result of `match_frames`.
        levels: levels of TIFF mosaics, which don't contain them; required if there are any.
        include_first: also count the first frame. The paper doesn't, since the method is given it.
        advance: called with 1 after every frame.

    Raises:
        InputError: a file can't be read as a RAW frame.
        MismatchError: two frames differ in size, CFA phase or levels; the message names the files.
        UsageError: there is nothing to average, frames are too small for SSIM, or levels are given
            that no file needs.
    """
    pairs = matching.pairs
    if len(pairs) == 1 and not include_first:
        raise UsageError(
            f"{pairs[0].true} is the only frame, and the first frame isn't counted; use "
            "--include-first, or give more frames"
        )
    frame_files = [frame for pair in pairs for frame in (pair.predicted, pair.true)]
    plain = [frame.path for frame in frame_files if _is_plain(frame)]
    if levels and not plain:
        raise UsageError(
            "levels are only for plain mosaics, but all of these files state their own; "
            "leave the levels out"
        )
    if plain and not levels:
        raise UsageError(
            f"{min(plain)}: a plain mosaic doesn't state its levels; give --black, "
            "--white, --phase and --bits"
        )
    frames = []
    with ThreadPoolExecutor(WORKERS) as workers:
        for index, scores in enumerate(workers.map(partial(_score_pair, levels=levels), pairs)):
            frames.append(FrameScores(pairs[index], scores, counted=index > 0 or include_first))
            if advance:
                advance(1)
    counted = [frame.scores for frame in frames if frame.counted]
    identical = sum(not isfinite(scores.psnr) for scores in counted)
    return Comparison(matching.by, tuple(frames), _mean(counted), identical)


def read_frame(frame: FrameFile, levels: MosaicLevels | None) -> RawFrame:
    """Read a frame. `levels` are used only for files that don't contain their own.

    Raises:
        InputError: the file can't be read as a RAW frame.
    """
    if frame.recording:
        return frame.recording.read(frame.index)
    return read_raw(frame.path, levels=levels if _is_plain(frame) else None)


def _list_frames(place: Path) -> list[FrameFile]:
    """All frames of a folder or recording, in order."""
    if place.is_file() and is_mlv(place):
        video = read_mlv(place)
        return [FrameFile(place, index, video) for index in range(len(video.frames))]
    return [FrameFile(path) for path in list_sequence(place)]


def _is_plain(frame: FrameFile) -> bool:
    return frame.path.suffix.lower() in PLAIN_SUFFIXES


def _score_pair(pair: FramePair, levels: MosaicLevels | None) -> Scores:
    predicted, true = read_frame(pair.predicted, levels), read_frame(pair.true, levels)
    try:
        return score(predicted, true)
    except MismatchError as error:
        raise MismatchError(f"{pair.predicted} and {pair.true} differ: {error}") from error


def _mean(scores: list[Scores]) -> Scores:
    """Mean of each metric over its finite values; infinite if there are none."""
    columns = zip(*map(astuple, scores), strict=True)
    return Scores(*(finite_mean(column) for column in columns))


def finite_mean(values: Iterable[float]) -> float:
    """Mean of the finite values; infinite if there are none."""
    finite = [value for value in values if isfinite(value)]
    return sum(finite) / len(finite) if finite else inf


def _listed(frames: list[FrameFile], most: int = 4) -> str:
    """The first few frames as text, and the number of further ones."""
    rest = f" and {len(frames) - most} more" if len(frames) > most else ""
    return ", ".join(map(str, frames[:most])) + rest
