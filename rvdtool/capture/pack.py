"""A video and RAW frames of it become a bundle."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rvdtool.bundle.archive import InputFile
from rvdtool.bundle.convert import on_grid, with_pixel_aspect
from rvdtool.bundle.manifest import require_file_name
from rvdtool.bundle.store import ReferenceInput, VideoInput, create
from rvdtool.capture.align import MATCH, OUTSIDE, Alignment, align, frame_picture, sizes
from rvdtool.capture.compare import Picture
from rvdtool.capture.exposures import read_exposures
from rvdtool.capture.preview import preview_row
from rvdtool.capture.stills import Still
from rvdtool.errors import MismatchError, UsageError
from rvdtool.notes import Say, keep_quiet
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.mlv_blocks import find_chunks
from rvdtool.raw.one_frame import one_frame_file
from rvdtool.raw.read import MosaicLevels, read_raw
from rvdtool.raw.sequence import list_sequence
from rvdtool.video.decode import Assume, probe, read_frames
from rvdtool.video.frame import VideoFrame, VideoInfo
from rvdtool.video.png import write_png
from rvdtool.video.source import ImageSource, VideoSource, open_source

SUFFIX = ".rvd"

SEARCH = 30
"""First frames of a video among which a RAW's own is looked for."""


@dataclass(frozen=True)
class _Raw:
    """A RAW file on its way into the bundle.

    Attributes:
        file: with one frame.
        index: of the video frame that the user says it belongs to; None: to be found.
        levels: what the user said about a plain mosaic.
    """

    file: InputFile
    index: int | None
    levels: MosaicLevels | None

    def read(self) -> RawFrame:
        return read_raw(self.file.path, levels=self.levels)


def pack(
    video: Path,
    raw: Path | Sequence[Still],
    out: Path | None = None,
    *,
    levels: MosaicLevels | None = None,
    assume: Assume = Assume(),
    rate: Fraction | None = None,
    stream: int | None = None,
    as_listed: bool = False,
    exposures: Path | None = None,
    search: int = SEARCH,
    preview: Path | None = None,
    force: bool = False,
    overwrite: bool = False,
    advance: Callable[[int], None] | None = None,
    say: Say = keep_quiet,
) -> Path:
    """Put a video and RAW frames of it into a bundle.

    Costs about what copying the video costs, and decoding as far as the last frame that has a RAW.

    Args:
        video: a video file, or a folder of PNG, JPEG or TIFF frames.
        raw: the RAW of one of the video's first frames: a DNG, a camera's own RAW file, a Magic
            Lantern recording or CinemaDNG folder (its first frame), or, with `levels`, a 16-bit
            one-channel TIFF or PNG. Or several, with the frames that they belong to.
        out: the bundle; by default beside the video, with the suffix `.rvd`.
        levels: what the numbers of a plain mosaic mean.
        assume: how to read the video's colour where the stream is silent, wrong, or refused.
        rate: frames per second of a folder of pictures.
        stream: the number of the video stream in its file, if it has several.
        as_listed: take a folder's pictures even if their numbers have gaps or their names differ.
        exposures: a CSV file that says how each frame was exposed (`capture.exposures`).
        search: how many first frames to compare a RAW with whose frame isn't given.
        preview: a PNG to write that shows how the RAWs match; also written when they don't.
        force: take RAWs that don't match.
        overwrite: replace an existing bundle and preview.
        advance: called with how many more bytes have been copied.
        say: told what was assumed, chosen or left out.

    Returns:
        Where the bundle is.

    Raises:
        InputError: an input can't be read or used (RawError, VideoError), or changed meanwhile.
        MismatchError: a RAW doesn't match the video, or shows too little of what it does.
        UsageError: options that contradict the input, or `out` or `preview` is one of the inputs.
        OutputError: the bundle exists (without `overwrite`) or can't be written.
    """
    stills = [Still(raw)] if isinstance(raw, Path) else raw
    if not stills or search < 1:
        raise UsageError("a bundle needs a RAW frame, and at least 1 video frame to search for it")
    source = open_source(video, rate=rate, as_listed=as_listed, say=say)
    is_folder = isinstance(source, ImageSource)
    name = video.resolve().name if is_folder else video.name  # of `.` too
    target = _beside(video, is_folder) if out is None else out
    frames = source.frames if isinstance(source, ImageSource) else (source,)
    originals = [*(frame.path for frame in frames), *_originals(stills)]
    originals += [] if exposures is None else [exposures]
    _refuse_outputs(target, preview, originals)
    with ExitStack() as cut_out:
        # What is looked at here has to be unchanged when the copy is complete.
        video_files = [InputFile.at(frame.path, "a video") for frame in frames]
        raw_files = [
            InputFile.at(cut_out.enter_context(one_frame_file(still.path)), "a RAW frame")
            for still in stills
        ]
        _refuse_names([name, *(f.path.name for f in (*video_files, *raw_files))])
        _refuse_same_names([file.path for file in raw_files])

        info = probe(source, assume, stream=stream, say=say)
        raws = [
            _Raw(file, still.index(info), levels)
            for file, still in zip(raw_files, stills, strict=True)
        ]
        said = None if exposures is None else read_exposures(exposures, info)
        aligned = _align_all(raws, source, info, search)
        if preview is not None:
            _write_preview(preview, aligned, source, info, overwrite)
        _refuse_mismatch(aligned, info, video, force)
        create(
            target,
            VideoInput(name, video_files, is_folder, info),
            _references(aligned, info, say),
            exposures=said,
            overwrite=overwrite,
            advance=advance,
        )
    return target


_Aligned = list[tuple[_Raw, Alignment]]


class _Pictures(Mapping[int, Picture]):
    """Pictures of the frames that are searched, in 16 bits: thirty of a 4K video are 55 MB."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[NDArray[np.uint16], int]] = {}

    def keep(self, index: int, picture: Picture) -> None:
        """Add a frame's picture; greys (0..1) are rounded to 1/65535."""
        self._kept[index] = np.rint(picture.grey * 65_535).astype(np.uint16), picture.step

    def __getitem__(self, index: int) -> Picture:
        grey, step = self._kept[index]
        return Picture(np.divide(grey, 65_535, dtype=np.float32), step)

    def __iter__(self) -> Iterator[int]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


def _align_all(raws: Sequence[_Raw], source: VideoSource, info: VideoInfo, search: int) -> _Aligned:
    """Each RAW with the frame it matches, in order of the frames; the video is decoded once."""
    window = range(min(search, info.frame_count) if any(r.index is None for r in raws) else 0)
    wanted = {*window, *(raw.index for raw in raws if raw.index is not None)}
    pictures = _Pictures()
    aligned: _Aligned = []
    for index, picture in map(_picture, _chosen_frames(source, info, wanted)):
        if index in window:
            pictures.keep(index, picture)
        for raw in raws:
            if raw.index == index:
                aligned.append((raw, align(raw.read(), info, {index: picture})))
    aligned += [(raw, align(raw.read(), info, pictures)) for raw in raws if raw.index is None]
    aligned.sort(key=lambda pair: pair[1].index)
    for (one, here), (other, there) in pairwise(aligned):
        if here.index == there.index:
            raise UsageError(
                f"{one.file.path} and {other.file.path} both belong to frame {here.index}; "
                "give one RAW for a frame"
            )
    return aligned


def _chosen_frames(source: VideoSource, info: VideoInfo, wanted: set[int]) -> Iterator[VideoFrame]:
    """Decode as far as the last wanted frame. Decoding ahead pays only for more than the first.

    No loop variable: it would hold a frame while the next one is decoded.
    """
    last = max(wanted)
    frames = islice(read_frames(source, info, ahead=last > 0), last + 1)
    return filter(lambda frame: frame.index in wanted, frames)


def _picture(frame: VideoFrame) -> tuple[int, Picture]:
    return frame.index, frame_picture(frame.rgb)


def _references(aligned: _Aligned, info: VideoInfo, say: Say) -> Iterator[ReferenceInput]:
    """One at a time: a hundred 4K frames wouldn't fit into memory."""
    said: set[tuple[str, ...]] = set()
    for raw, found in aligned:
        frame = on_grid(raw.read(), found.transform, info.rotation)
        frame = with_pixel_aspect(frame, info.sample_aspect)
        dropped = frame.profile.dropped
        if dropped and dropped not in said:
            said.add(dropped)
            say(
                f"{raw.file.path.name}: not carried to the video's grid: {', '.join(dropped)} "
                "(docs/formats/inputs.md says what that changes)"
            )
        yield ReferenceInput(raw.file, found.index, frame, found.transform, found.score, raw.levels)


def _write_preview(
    path: Path, aligned: _Aligned, source: VideoSource, info: VideoInfo, overwrite: bool
) -> None:
    shown = _chosen_frames(source, info, {found.index for _, found in aligned})
    rows = [
        preview_row(on_grid(raw.read(), found.transform, info.rotation), frame.rgb)
        for (raw, found), frame in zip(aligned, shown, strict=True)
    ]
    write_png(np.concatenate(rows), path, overwrite=overwrite)


def _refuse_mismatch(aligned: _Aligned, info: VideoInfo, video: Path, force: bool) -> None:
    """Nobody should find out after the shoot that the RAW was another scene's.

    Raises:
        MismatchError: a score below MATCH, or more than OUTSIDE of the grid without RAW.
    """
    for raw, found in () if force else aligned:
        where = f"{raw.file.path} doesn't fit {video}"
        transform = found.transform
        size = sizes((transform.sensor_height, transform.sensor_width), info)
        if found.score < MATCH:
            raise MismatchError(
                f"{where}: its best match, with frame {found.index}, has a score of "
                f"{found.score:.3f}; {MATCH:g} is needed ({size}). Is it the same scene? "
                "--preview shows both, --force takes it anyhow"
            )
        if found.outside > OUTSIDE:
            raise MismatchError(
                f"{where}: {found.outside:.0%} of the video's picture lie beyond it; at most "
                f"{OUTSIDE:.0%} may ({size}). Shoot it at least as wide, or --force takes it with "
                "its border repeated"
            )


def _beside(video: Path, is_folder: bool) -> Path:
    """The bundle's name when the user gives none."""
    folder = video.resolve()
    return folder.with_name(folder.name + SUFFIX) if is_folder else video.with_suffix(SUFFIX)


def _refuse_names(names: list[str]) -> None:
    """Names must be ones that every system can unpack.

    Raises:
        UsageError: one isn't.
    """
    for name in names:
        try:
            require_file_name(name)
        except ValueError as error:
            raise UsageError(f"{error}, or not on every system; rename it") from error


def _refuse_same_names(paths: list[Path]) -> None:
    """Two RAWs of one name couldn't be unpacked into one folder.

    Raises:
        UsageError: there are such.
    """
    by_name: dict[str, Path] = {}
    for path in paths:
        if path.name in by_name:
            raise UsageError(f"{path} and {by_name[path.name]}: same name; rename one")
        by_name[path.name] = path


def _originals(stills: Sequence[Still]) -> Iterator[Path]:
    """The user's RAW files, with what of a recording or folder doesn't get into the bundle.

    Raises:
        RawError: a folder that isn't one clip's frames.
    """
    for still in stills:
        if still.path.is_dir():
            yield from list_sequence(still.path)
        else:
            yield still.path
            yield from find_chunks(still.path)


def _refuse_outputs(target: Path, preview: Path | None, originals: list[Path]) -> None:
    """`overwrite` is meant for an old bundle, never for the user's only copy. Before any writing.

    Raises:
        UsageError: the bundle or the preview is one of the inputs by whatever name (a link, or
            another spelling); or both are one file.
    """
    outputs = {"bundle": target} | ({} if preview is None else {"preview": preview})
    for what, out in outputs.items():
        owned = _same_file(out, originals)
        if owned is not None:
            raise UsageError(
                f"{out}: is {owned}, one of the files to be packed; choose another name for the "
                f"{what}"
            )
    if preview is not None and os.path.realpath(preview) == os.path.realpath(target):
        raise UsageError(f"{preview}: the bundle's name; choose another one for the preview")


def _same_file(out: Path, files: list[Path]) -> Path | None:
    """Which of some files lies at `out`, by whatever name; None: none does."""
    with suppress(OSError):  # there is no `out` yet, or can't be
        state = out.stat()
        for file in files:
            with suppress(OSError):
                if os.path.samestat(state, file.stat()):
                    return file
    return None
