"""Read and write data sets in the layout of RVD, as its authors publish it.

    RAW/<video>/<frame>.tiff        one-channel uint16 mosaic, full size
    sRGB/<video>/<frame>.png        8-bit rendering, full size
    flow/<video>/<frame>_flow.npy   optional: [H, W, 2] float32, to the next frame, pixels (x, y)
    data.json                       [{"video_name": …, "frames": [names without suffix]}, …]
    tags.json                       optional: {video: {tag: true or false}}

rvdtool adds `cameras.json` (levels, CFA phase and colours per video). Videos that it doesn't
describe are assumed to be like RVD Part 1: RGGB, 14 bits, black level 0.
"""

import io
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from rvdtool.errors import InputError, MismatchError, OutputError, RawError, brief
from rvdtool.files import describe, require_file, write_beside
from rvdtool.npy import map_array
from rvdtool.raw.frame import CameraProfile, CfaPhase, Levels4, Mosaic, RawFrame
from rvdtool.raw.read import read_mosaic_tiff
from rvdtool.video.picture import require_plausible
from rvdtool.video.png import decode_png, read_header

Rgb8 = NDArray[np.uint8]
Flow = NDArray[np.float32]

_MOST_INDEX = 2**22
"""Bytes of a JSON file: names of about 300,000 frames."""


def _require_below(name: str) -> str:
    if not re.fullmatch(r"[^/\\\x00]+", name) or name in (".", ".."):
        raise ValueError(f"{name[:100]!r} is not the name of a file or folder")
    return name


Name = Annotated[str, AfterValidator(_require_below)]
"""One component of a path below the folder."""


class RvdVideo(BaseModel):
    """One entry of data.json."""

    model_config = ConfigDict(frozen=True)

    video_name: Name
    frames: Annotated[tuple[Name, ...], Field(min_length=1, fail_fast=True)]


Row = Annotated[tuple[float, ...], Field(max_length=3, fail_fast=True)]


class VideoCamera(BaseModel):
    """Levels, CFA phase and colours of a video. The defaults are those of RVD Part 1."""

    model_config = ConfigDict(frozen=True)

    bits: Annotated[int, Field(ge=1, le=16)] = 14
    black: Levels4 = (0, 0, 0, 0)
    white: int = 16383
    phase: CfaPhase = CfaPhase.RGGB
    name: str = ""
    neutral: tuple[float, float, float] | None = None
    color_matrix: Annotated[tuple[Row, ...], Field(max_length=3, fail_fast=True)] | None = None

    @classmethod
    def of(cls, frame: RawFrame) -> "VideoCamera":
        """The camera of a RAW frame."""
        return cls(
            bits=frame.bits,
            black=frame.black,
            white=frame.white,
            phase=frame.phase,
            name=frame.profile.unique_model,
            neutral=frame.profile.as_shot_neutral,
            color_matrix=frame.profile.color_matrix,
        )


Tags = dict[str, bool]


def _require_truth_values(tags: dict[str, Any]) -> Tags:
    if not all(isinstance(value, bool) for value in tags.values()):
        raise ValueError("a tag is neither true nor false")
    return tags


Entry = TypeVar("Entry")

_VIDEO = TypeAdapter(RvdVideo)
_CAMERA = TypeAdapter(VideoCamera)
_TAGS: TypeAdapter[Tags] = TypeAdapter(
    Annotated[dict[str, Any], AfterValidator(_require_truth_values)]
)


@dataclass(frozen=True)
class RvdFolder:
    """A folder in RVD's layout, opened for reading.

    Attributes:
        root: the folder with RAW/, sRGB/ and data.json.
        videos: the videos in data.json.
        cameras: the videos' cameras in cameras.json.
        tags: attributes of videos, from tags.json.
    """

    root: Path
    videos: tuple[RvdVideo, ...]
    cameras: dict[str, VideoCamera]
    tags: dict[str, Tags]

    def camera(self, video: RvdVideo) -> VideoCamera:
        """The video's camera; RVD Part 1's if cameras.json doesn't describe it."""
        return self.cameras.get(video.video_name, VideoCamera())

    def raw_path(self, video: RvdVideo, index: int) -> Path:
        """Path of the mosaic of frame `index`."""
        return self.root / "RAW" / video.video_name / f"{video.frames[index]}.tiff"

    def srgb_path(self, video: RvdVideo, index: int) -> Path:
        """Path of the rendering of frame `index`."""
        return self.root / "sRGB" / video.video_name / f"{video.frames[index]}.png"

    def flow_path(self, video: RvdVideo, index: int) -> Path:
        """Path of the flow from frame `index` to the next, which may not exist."""
        return self.root / "flow" / video.video_name / f"{video.frames[index]}_flow.npy"

    def read_raw(self, video: RvdVideo, index: int) -> Mosaic:
        """Read a frame's mosaic, uint16 [H, W], DN.

        Raises:
            InputError: the file is missing, damaged, or not a one-channel uint16 TIFF.
        """
        path = require_file(self.raw_path(video, index), "a RAW frame")
        try:
            return read_mosaic_tiff(path)
        except OSError as error:
            raise RawError(f"{path}: not a TIFF that can be read: {describe(error)}") from error

    def read_first(self, video: RvdVideo) -> RawFrame:
        """Read the first RAW frame of a video, with its camera's levels and colours.

        Raises:
            InputError: the file is missing or damaged.
        """
        camera = self.camera(video)
        return RawFrame(
            mosaic=self.read_raw(video, 0),
            phase=camera.phase,
            black=camera.black,
            white=camera.white,
            bits=camera.bits,
            profile=CameraProfile(
                camera.name or "unknown",
                camera.neutral or (1.0, 1.0, 1.0),
                color_matrix=camera.color_matrix,
            ),
        )

    def read_srgb(self, video: RvdVideo, index: int) -> Rgb8:
        """Read a frame's rendering, uint8 [H, W, 3].

        Raises:
            InputError: the file is missing, damaged, or not 8-bit RGB.
        """
        path = require_file(self.srgb_path(video, index), "an sRGB frame")
        with path.open("rb", buffering=0) as file:
            header = read_header(file, str(path))
        bits = require_plausible(header, path.stat().st_size, str(path)).bits
        if bits != 8:
            raise InputError(f"{path}: {bits} bits per sample; expected 8")
        return np.asarray(decode_png(path.read_bytes(), str(path)), np.uint8)

    def read_flow(self, video: RvdVideo, index: int) -> Flow:
        """Read the flow to the next frame, float32 [H, W, 2], pixels.

        Raises:
            InputError: the file is missing, or isn't a flow field.
        """
        path = require_file(self.flow_path(video, index), "a flow field")
        flow = map_array(path)
        if flow.ndim != 3 or flow.shape[2] != 2:
            raise InputError(f"{path}: {list(flow.shape)}; a flow is [H, W, 2]")
        return np.asarray(flow, np.float32)


def open_rvd(root: Path) -> RvdFolder:
    """Open a folder in RVD's layout, without reading frames.

    Raises:
        InputError: data.json is missing or lists no video, or one of the JSON files is invalid.
    """
    folder = _open(root)
    if not folder.videos:
        raise InputError(f"{root / 'data.json'}: lists no video")
    return folder


def _open(root: Path) -> RvdFolder:
    listed = _parse(_VIDEO, list, root / "data.json", "[{video_name, frames}, …]")
    videos = tuple(listed.values())
    names = [video.video_name for video in videos]
    if len(set(names)) < len(names):
        raise InputError(f"{root / 'data.json'}: a video is listed twice")
    cameras, tags = root / "cameras.json", root / "tags.json"
    return RvdFolder(
        root,
        videos,
        _parse(_CAMERA, dict, cameras, "{video: camera}") if cameras.exists() else {},
        _parse(_TAGS, dict, tags, "{video: {tag: true or false}}") if tags.exists() else {},
    )


def _parse(
    adapter: TypeAdapter[Entry], kind: type[list[Any] | dict[str, Any]], path: Path, form: str
) -> dict[str, Entry]:
    """The entries of a JSON file, by name or number; the first one that is wrong is refused.

    Raises:
        InputError: the file is missing, too large, or not of this form.
    """
    if require_file(path, "an index of videos").stat().st_size > _MOST_INDEX:
        raise InputError(f"{path}: larger than {_MOST_INDEX:,} bytes, so no index of videos")
    entries: dict[str, Entry] = {}
    where = "the file"
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, kind):
            raise ValueError(f"it isn't {'a list' if kind is list else 'an object'}")
        items = enumerate(content) if isinstance(content, list) else content.items()
        for key, value in items:
            where = brief(str(key))
            entries[str(key)] = adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = brief(".".join((where, *map(str, first["loc"]))))
        raise InputError(f"{path}: expected {form}, but {where}: {brief(first['msg'])}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected {form}, but {where}: {brief(error)}") from error
    return entries


class RvdWriter:
    """Writes a folder in RVD's layout.

    A video belongs to the data set only after `finish` has listed it in data.json. After an
    interruption, finished videos are usable, and an unfinished one is made again.
    """

    def __init__(self, root: Path) -> None:
        make_folder(root)
        self.root = root
        self._folder = _open(root) if (root / "data.json").exists() else RvdFolder(root, (), {}, {})

    @property
    def finished(self) -> frozenset[str]:
        """Names of the complete videos."""
        return frozenset(video.video_name for video in self._folder.videos)

    def finish(self, video: RvdVideo, camera: VideoCamera, tags: Tags | None = None) -> None:
        """Add a video to data.json, after all its frames are written.

        Raises:
            OutputError: the index can't be written.
        """
        old = self._folder
        kept = [other for other in old.videos if other.video_name != video.video_name]
        videos = tuple(sorted([*kept, video], key=lambda one: one.video_name))
        cameras = old.cameras | {video.video_name: camera}
        all_tags = old.tags if tags is None else {**old.tags, video.video_name: tags}
        self._write(
            "cameras.json", {name: one.model_dump(mode="json") for name, one in cameras.items()}
        )
        if all_tags:
            self._write("tags.json", all_tags)
        self._list(RvdFolder(self.root, videos, cameras, all_tags))

    def forget(self, name: str) -> None:
        """Remove a video from data.json, before its frames are made again.

        Raises:
            OutputError: the index can't be written.
        """
        kept = tuple(video for video in self._folder.videos if video.video_name != name)
        self._list(replace(self._folder, videos=kept))

    def _list(self, folder: RvdFolder) -> None:
        self._write("data.json", [video.model_dump(mode="json") for video in folder.videos])
        self._folder = folder

    def _write(self, name: str, value: object) -> None:
        with write_beside(self.root / name, overwrite=True) as file:
            file.write(json.dumps(value, indent=1, sort_keys=True).encode() + b"\n")


def make_folder(path: Path) -> None:
    """Make a folder and those above it; it may be there already.

    Raises:
        OutputError: it can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: can't be made: {describe(error)}") from error


def write_frame_raw(root: Path, video: str, frame: str, mosaic: Mosaic) -> None:
    """Write RAW/<video>/<frame>.tiff: one channel, uncompressed for fast reading of crops.

    Raises:
        OutputError: the file can't be written.
    """
    data = io.BytesIO()
    tifffile.imwrite(data, mosaic, photometric="minisblack", metadata=None)
    _write_frame(root / "RAW" / video / f"{frame}.tiff", data.getvalue())


def write_frame_srgb(root: Path, video: str, frame: str, rgb: Rgb8) -> None:
    """Write sRGB/<video>/<frame>.png.

    Raises:
        OutputError: the file can't be written.
    """
    data = bytes(imagecodecs.png_encode(rgb, level=1))
    _write_frame(root / "sRGB" / video / f"{frame}.png", data)


def write_frame_flow(root: Path, video: str, frame: str, flow: Flow) -> None:
    """Write flow/<video>/<frame>_flow.npy.

    Raises:
        OutputError: the file can't be written.
    """
    data = io.BytesIO()
    np.save(data, flow)
    _write_frame(root / "flow" / video / f"{frame}_flow.npy", data.getvalue())


def _write_frame(path: Path, data: bytes) -> None:
    """Write a file directly: a partial one does no harm before its video is in data.json."""
    make_folder(path.parent)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise OutputError(f"{path}: can't be written: {describe(error)}") from error


def frame_names(count: int) -> tuple[str, ...]:
    """Names of `count` frames: 000000, 000001, …"""
    return tuple(f"{index:06d}" for index in range(count))


def require_one_size(frames: Iterable[RawFrame], video: str) -> Iterable[RawFrame]:
    """Pass frames through, and check that size, CFA phase and levels don't change.

    Raises:
        MismatchError: one of them changes; the message names the frame.
    """
    first: RawFrame | None = None
    for index, frame in enumerate(frames):
        first = first or frame
        for what in ("size", "phase", "black", "white"):
            was, now = getattr(first, what), getattr(frame, what)
            if was != now:
                raise MismatchError(
                    f"{video}: frame {index} has another {what} ({now}) than frame 0 ({was})"
                )
        yield frame


def require_space(root: Path, need: int) -> None:
    """Compare the free disk space below `root` (which may not exist yet) with `need` bytes.

    Raises:
        OutputError: there is too little space.
    """
    place = root.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < need:
        raise OutputError(
            f"{root}: about {need / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free"
        )
