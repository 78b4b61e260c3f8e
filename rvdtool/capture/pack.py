"""Packs a video and RAW frames of it into a bundle."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from itertools import chain, count
from pathlib import Path

import numpy as np

from rvdtool.bundle.archive import InputFile
from rvdtool.bundle.convert import on_grid, with_pixel_aspect
from rvdtool.bundle.fields import require_file_name
from rvdtool.bundle.store import ReferenceInput, VideoInput, create
from rvdtool.capture.exposures import read_exposures
from rvdtool.capture.match import MatchedRaw, Raw, judge_all, match_all
from rvdtool.capture.preview import Rgb8
from rvdtool.capture.stills import Still
from rvdtool.capture.verdict import Verdict
from rvdtool.errors import MismatchError, UsageError
from rvdtool.files import make_folder
from rvdtool.notes import Say, keep_quiet
from rvdtool.raw.mlv_blocks import find_chunks
from rvdtool.raw.one_frame import one_frame_file
from rvdtool.raw.read import MosaicLevels
from rvdtool.raw.sequence import list_sequence
from rvdtool.video.decode import Assume, probe
from rvdtool.video.frame import VideoInfo
from rvdtool.video.png import write_png
from rvdtool.video.source import ImageSource, open_source

SUFFIX = ".rvd"

SEARCH = 30
"""Number of frames, from the first, that are searched for a RAW's match by default."""


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
    looked: Callable[[int], None] = lambda count: None,
    judged: Callable[[Verdict], None] = lambda verdict: None,
    say: Say = keep_quiet,
) -> Path:
    """Pack a video and RAW frames of it into a bundle.

    Takes about as long as copying the video, plus decoding up to the last frame that has a RAW.

    Args:
        video: a video file, or a folder of PNG, JPEG or TIFF frames.
        raw: the RAW of one of the video's first frames: a DNG, a camera's own RAW file, a Magic
            Lantern recording or CinemaDNG folder (its first frame is used), or, with `levels`, a
            16-bit one-channel TIFF or PNG. Or several such files with the frames they belong to.
        out: the bundle's path, or a folder to put it in; by default beside the video, with the
            suffix `.rvd`. Missing folders are created.
        levels: black level, white level and CFA phase of a plain mosaic.
        assume: how to read the video's colour if the stream doesn't say, is wrong, or is refused.
        rate: frame rate of a folder of pictures, in frames per second.
        stream: number of the video stream, if the file has several.
        as_listed: accept a folder of pictures whose numbers have gaps or whose names differ.
        exposures: a CSV file with each frame's exposure (`capture.exposures`).
        search: number of frames, from the first, to compare with a RAW whose frame isn't given.
        preview: path of a PNG that shows how the RAWs match; also written if they don't. If none
            is given and a match is doubtful, one is written beside the bundle.
        force: accept RAWs that don't match.
        overwrite: replace an existing bundle and preview.
        advance: called with the number of bytes copied since the last call.
        looked: called, before copying, with the number of frames compared since the last call.
        judged: called with the verdict on each RAW's match.
        say: called with a line of text for everything that was assumed, chosen or left out.

    Returns:
        The bundle's path.

    Raises:
        InputError: an input can't be read or used (RawError, VideoError), or changed meanwhile.
        MismatchError: a RAW doesn't match the video, or covers too little of its picture.
        UsageError: options contradict the input, or `out` or `preview` is one of the inputs.
        OutputError: the bundle exists (without `overwrite`) or can't be written.
    """
    stills = [Still(raw)] if isinstance(raw, Path) else raw
    if not stills or search < 1:
        raise UsageError("a bundle needs a RAW frame, and at least 1 video frame to search for it")
    source = open_source(video, rate=rate, as_listed=as_listed, say=say)
    is_folder = isinstance(source, ImageSource)
    name = video.resolve().name if is_folder else video.name  # resolved: the folder may be `.`
    target = _default_path(video, is_folder) if out is None else out
    with suppress(OSError):  # a name that is too long is refused when the bundle is written
        target = target / bundle_name(video) if target.is_dir() else target
    frames = source.frames if isinstance(source, ImageSource) else (source,)
    originals = [*(frame.path for frame in frames), *_originals(stills)]
    originals += [] if exposures is None else [exposures]
    _refuse_outputs(target, preview, originals)
    with ExitStack() as cut_out:
        # `create` refuses inputs that change between here and the end of the copy.
        video_files = [InputFile.at(frame.path, "a video") for frame in frames]
        raw_files = [
            InputFile.at(cut_out.enter_context(one_frame_file(still.path)), "a RAW frame")
            for still in stills
        ]
        _refuse_names([name, *(f.path.name for f in (*video_files, *raw_files))])
        _refuse_same_names([file.path for file in raw_files])

        info = probe(source, assume, stream=stream, say=say)
        raws = [
            Raw(file, still.index(info), levels)
            for file, still in zip(raw_files, stills, strict=True)
        ]
        said = None if exposures is None else read_exposures(exposures, info)
        matches = match_all(raws, source, info, search, looked)
        show_all = preview is not None
        verdicts, rows = judge_all(matches, source, info, force=force, show_all=show_all)
        if show_all:
            _write_preview(rows, preview, target, overwrite, say)
        _refuse_mismatches(matches, verdicts, video)
        make_folder(target.parent)
        create(
            target,
            VideoInput(name, video_files, is_folder, info),
            _references(matches, info, say),
            exposures=said,
            overwrite=overwrite,
            advance=advance,
        )
    for verdict in verdicts:
        judged(verdict)
    if not show_all:
        _write_preview(rows, preview, target, overwrite, say)
    return target


def _references(
    matches: Sequence[MatchedRaw], info: VideoInfo, say: Say
) -> Iterator[ReferenceInput]:
    """Yield the references one at a time: a hundred 4K frames wouldn't fit into memory."""
    said: set[tuple[str, ...]] = set()
    for match in matches:
        raw, found = match.raw, match.found
        frame = on_grid(raw.read(), found.transform, info.rotation)
        frame = with_pixel_aspect(frame, info.sample_aspect)
        dropped = frame.profile.dropped
        if dropped and dropped not in said:
            said.add(dropped)
            say(
                f"{raw.file.path.name}: can't be kept on the video's grid: {', '.join(dropped)} "
                "(docs/formats/inputs.md says what that changes)"
            )
        yield ReferenceInput(raw.file, found.index, frame, found.transform, found.score, raw.levels)


def _write_preview(
    rows: Sequence[Rgb8], preview: Path | None, target: Path, overwrite: bool, say: Say
) -> None:
    """Write the preview if one was requested, or if a match is doubtful."""
    if preview is not None:
        make_folder(preview.parent)
        write_png(np.concatenate(rows), preview, overwrite=overwrite)
    elif rows:
        path = _unused(target.with_name(f"{target.stem}.preview.png"))
        write_png(np.concatenate(rows), path)
        say(f"{path}: please check the doubtful match: video frame, RAW and their difference")


def _unused(path: Path) -> Path:
    """The path, or its first numbered variant that doesn't exist yet."""
    numbers = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(one for one in chain([path], numbers) if not os.path.lexists(one))


def _refuse_mismatches(
    matches: Sequence[MatchedRaw], verdicts: Sequence[Verdict], video: Path
) -> None:
    """Refuse RAWs that don't match: after the shoot, nobody can take another.

    Raises:
        MismatchError: a RAW is refused.
    """
    for match, verdict in zip(matches, verdicts, strict=True):
        if verdict.refusals:
            raise MismatchError(
                f"{match.raw.file.path} doesn't match {video}: {'; '.join(verdict.refusals)}; "
                "--preview shows both, --force accepts it anyway"
            )


def bundle_name(video: Path) -> str:
    """File name of the bundle if the user gives none."""
    folder = video.resolve()
    return folder.name + SUFFIX if video.is_dir() else video.with_suffix(SUFFIX).name


def _default_path(video: Path, is_folder: bool) -> Path:
    """Path of the bundle if the user gives none: beside the video."""
    folder = video.resolve()
    return folder.with_name(folder.name + SUFFIX) if is_folder else video.with_suffix(SUFFIX)


def _refuse_names(names: list[str]) -> None:
    """Refuse names that some operating systems can't create.

    Raises:
        UsageError: there is such a name.
    """
    for name in names:
        try:
            require_file_name(name)
        except ValueError as error:
            raise UsageError(str(error)) from error


def _refuse_same_names(paths: list[Path]) -> None:
    """Refuse RAWs that have the same name: they couldn't be unpacked into one folder.

    Raises:
        UsageError: two have the same name.
    """
    by_name: dict[str, Path] = {}
    for path in paths:
        if path.name in by_name:
            raise UsageError(f"{path} and {by_name[path.name]}: same name; rename one")
        by_name[path.name] = path


def _originals(stills: Sequence[Still]) -> Iterator[Path]:
    """Every file that the user's RAW inputs consist of.

    Raises:
        RawError: a folder doesn't hold the frames of one clip.
    """
    for still in stills:
        if still.path.is_dir():
            yield from list_sequence(still.path)
        else:
            yield still.path
            yield from find_chunks(still.path)


def _refuse_outputs(target: Path, preview: Path | None, originals: list[Path]) -> None:
    """Refuse to write over an input, even with `overwrite`. Called before anything is written.

    Raises:
        UsageError: the bundle or the preview is one of the inputs, possibly by a link or another
            spelling; or both are the same file.
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
        raise UsageError(
            f"{preview}: is also the bundle's name; choose another one for the preview"
        )


def _same_file(out: Path, files: list[Path]) -> Path | None:
    """The file among `files` that `out` refers to, by whatever name; None if there is none."""
    with suppress(OSError):  # `out` doesn't exist yet, or its name isn't allowed
        state = out.stat()
        for file in files:
            with suppress(OSError):
                if os.path.samestat(state, file.stat()):
                    return file
    return None
