"""A video and the RAW of its first frame become a bundle."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from rvdtool.bundle.archive import InputFile
from rvdtool.bundle.manifest import require_file_name
from rvdtool.bundle.store import ReferenceInput, VideoInput, create
from rvdtool.capture.align import align
from rvdtool.errors import MismatchError, UsageError
from rvdtool.raw.read import MosaicLevels, read_raw
from rvdtool.video.decode import Assume, probe, read_frames
from rvdtool.video.frame import Rgb, VideoInfo
from rvdtool.video.source import ImageSource, VideoSource, open_source

SUFFIX = ".rvd"


def pack(
    video: Path,
    raw: Path,
    out: Path | None = None,
    *,
    levels: MosaicLevels | None = None,
    assume: Assume = Assume(),
    rate: Fraction | None = None,
    overwrite: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Path:
    """Put a video and its one RAW frame into a bundle. Costs about what copying the video costs.

    Args:
        video: a video file, or a folder of PNG frames.
        raw: the RAW of the video's first frame: a DNG, a camera's own RAW file, or, with `levels`,
            a 16-bit one-channel TIFF or PNG.
        out: the bundle; by default beside the video, with the suffix `.rvd`.
        levels: what the numbers of a plain mosaic mean.
        assume: how to read the video's colour where the stream is silent, wrong, or refused.
        rate: frames per second of a folder of PNGs.
        overwrite: replace an existing bundle.
        advance: called with how many more bytes have been copied.

    Returns:
        Where the bundle is.

    Raises:
        InputError: an input can't be read or used (RawError, VideoError), or changed meanwhile.
        MismatchError: RAW and video don't have the same geometry.
        UsageError: options that contradict the input, or `out` is one of the inputs.
        OutputError: the bundle exists (without `overwrite`) or can't be written.
    """
    source = open_source(video, rate=rate)
    is_folder = isinstance(source, ImageSource)
    name = video.resolve().name if is_folder else video.name  # of `.` too
    target = _beside(video, is_folder) if out is None else out
    frames = source.frames if isinstance(source, ImageSource) else (source,)
    # What is looked at here has to be unchanged when the copy is complete.
    video_files = [InputFile.at(frame.path, "a video") for frame in frames]
    raw_file = InputFile.at(raw, "a RAW frame")
    _refuse_names([name, *(f.path.name for f in (*video_files, raw_file))])
    _refuse_input_as_output(target, [*video_files, raw_file])

    sensor = read_raw(raw, levels=levels)
    info = probe(source, assume)
    try:
        aligned = align(sensor, info, _first_frame(source, info))
    except MismatchError as error:
        raise MismatchError(f"{raw} doesn't fit {video}: {error}") from error
    create(
        target,
        VideoInput(name, video_files, is_folder, info),
        [ReferenceInput(raw_file, 0, aligned.frame, aligned.transform, aligned.score, levels)],
        overwrite=overwrite,
        advance=advance,
    )
    return target


def _beside(video: Path, is_folder: bool) -> Path:
    """The bundle's name when the user gives none."""
    folder = video.resolve()
    return folder.with_name(folder.name + SUFFIX) if is_folder else video.with_suffix(SUFFIX)


def _first_frame(source: VideoSource, info: VideoInfo) -> Rgb:
    return next(read_frames(source, info, ahead=False)).rgb


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


def _refuse_input_as_output(out: Path, inputs: list[InputFile]) -> None:
    """`overwrite` is meant for an old bundle, never for the user's only copy.

    Raises:
        UsageError: `out` is one of the inputs.
    """
    if any(_is_same_file(out, file.path) for file in inputs):
        raise UsageError(f"{out}: is one of the files to be packed; choose another name")


def _is_same_file(out: Path, file: Path) -> bool:
    try:
        return out.samefile(file)
    except OSError:  # there is no `out` yet, or can't be
        return False
