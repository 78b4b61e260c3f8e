"""De-render a bundle into a folder of DNGs: checked before, resumable after."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile
from zlib import error as zerror

import numpy as np

from rvdtool._version import __version__
from rvdtool.bundle.store import Bundle
from rvdtool.derender.chain import Chain, ChainState, GainMode, Observation
from rvdtool.derender.flow import Flow, list_flows, read_flow
from rvdtool.derender.motion import NearFlow
from rvdtool.derender.pipeline import ReadAhead, WriteBehind
from rvdtool.errors import BundleError, OutputError
from rvdtool.files import PART_SUFFIX, describe, write_beside
from rvdtool.raw.dng import Compression, write_dng
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.sequence import frame_name, timestamps_name, write_timestamps
from rvdtool.video.decode import read_frames
from rvdtool.video.frame import VideoFrame

STATE_FILE = ".rvdtool-state.npz"
CHECKPOINT_EVERY = 24

_UNREADABLE = (OSError, ValueError, EOFError, KeyError, TypeError, RuntimeError, BadZipFile, zerror)
"""What NumPy and zipfile raise on a damaged checkpoint, depending on where it is damaged."""


@dataclass(frozen=True)
class DerenderOptions:
    """How to de-render.

    Attributes:
        compression: of the DNGs.
        flow: folder of `.npy` flows, each from a frame to the next (RVD's layout); None: estimated.
        gain: whether changes of brightness are the ISP's, see `rvdtool.derender.brightness`.
        existing: what to do with an output folder that has files in it.
    """

    compression: Compression = "ljpeg"
    flow: Path | None = None
    gain: GainMode = "auto"
    existing: Literal["refuse", "overwrite", "resume"] = "refuse"


@dataclass(frozen=True)
class DerenderReport:
    """What was done.

    Attributes:
        folder: where the frames are.
        frames: how many there are, frame 1 included.
        resumed_at: the first frame of this run; 0 unless resumed.
        brightness: smallest and largest brightness against frame 1 in this run.
        tracks_gain: whether that was put down to the ISP (RAW stays) or not (RAW follows).
        trusted: mean share of a frame that surely shows what frame 1 shows, 0..1.
    """

    folder: Path
    frames: int
    resumed_at: int
    brightness: tuple[float, float]
    tracks_gain: bool
    trusted: float


def derender_to_folder(
    bundle: Bundle,
    folder: Path,
    options: DerenderOptions = DerenderOptions(),
    advance: Callable[[int], None] | None = None,
) -> DerenderReport:
    """Reconstruct a RAW frame for every video frame: `NAME_000000.dng`, … and a timestamp table.

    Frame 0 is the true RAW. Decoding, the chain and writing overlap; a few frames are in memory.

    Args:
        bundle: an open bundle.
        folder: made if it doesn't exist.
        options: see there.
        advance: called with the number of frames just done.

    Raises:
        BundleError: the bundle has no RAW of the first frame, or its RAW is damaged.
        VideoError: the video can't be decoded, or not to as many frames as it should have.
        OutputError: the folder has files in it, can't be resumed, or can't be written.
    """
    run = _Run(bundle, folder, options)
    start = run.prepare()
    brightness, trusted, tracks_gain = [1.0], [], False
    frames = read_frames(bundle.video, bundle.video_info)
    with (
        WriteBehind() as writer,
        ReadAhead(frames) as decoded,
        ReadAhead(_observed(decoded, run, start)) as observed,
    ):
        for chain, seen in observed:
            if seen is not None:
                step = chain.advance(seen)
                brightness.append(step.state.brightness)
                trusted.append(step.prior.trusted)
            tracks_gain = chain.tracks_gain
            index = chain.state.index
            if start is None or index > start.index:
                writer.submit(run.job(run.reference.with_mosaic(chain.state.mosaic), index))
                if index % CHECKPOINT_EVERY == 0:
                    writer.wait()
                    run.save(chain.state)
            if advance:
                advance(1)
    run.finish()
    return DerenderReport(
        folder=folder,
        frames=bundle.video_info.frame_count,
        resumed_at=0 if start is None else start.index + 1,
        brightness=(min(brightness), max(brightness)),
        tracks_gain=tracks_gain,
        trusted=float(np.mean(trusted)) if trusted else 1.0,
    )


def derender(
    bundle: Bundle, *, flow: Path | None = None, gain: GainMode = "auto"
) -> Iterator[RawFrame]:
    """Yield the RAW frame of every video frame; the first is the true one.

    Args:
        bundle: an open bundle.
        flow, gain: as in `DerenderOptions`.

    Raises:
        BundleError, VideoError: as `derender_to_folder`.
    """
    reference = _reference(bundle)
    chain = None
    for frame in read_frames(bundle.video, bundle.video_info):
        if chain is None:
            chain = Chain(reference, frame.rgb, _near_flow(bundle, flow), gain)
            yield reference
        else:
            yield reference.with_mosaic(chain.step(frame.rgb).state.mosaic)


def _observed(
    frames: ReadAhead[VideoFrame], run: "_Run", start: ChainState | None
) -> Iterator[tuple[Chain, Observation | None]]:
    """The chain with each frame's observation; None for what needs no work: frame 0, and all up to
    `start`."""
    done = 0 if start is None else start.index
    chain = None
    for index, frame in enumerate(frames):
        if chain is None:
            chain = Chain(run.reference, frame.rgb, run.flow, run.options.gain)
            if start is not None:
                chain.resume(start)
        yield chain, chain.observe(frame.rgb) if index > done else None


def _reference(bundle: Bundle) -> RawFrame:
    first = bundle.references[0]
    if first.index != 0:
        raise BundleError(
            f"{bundle.path}: its RAW belongs to frame {first.index}; only bundles with the RAW of "
            "the first frame (0) can be de-rendered"
        )
    return first.frame


def _near_flow(bundle: Bundle, folder: Path | None) -> NearFlow | None:
    if folder is None:
        return None
    files = list_flows(folder, bundle.video_info.frame_count)

    def near(index: int, size: tuple[int, int]) -> Flow:
        return read_flow(files[index - 1], size)

    return near


class _Run:
    """One run's output folder: its names, its checkpoint, its beginning and end."""

    def __init__(self, bundle: Bundle, folder: Path, options: DerenderOptions) -> None:
        self.reference = _reference(bundle)
        self.flow = _near_flow(bundle, options.flow)
        self._bundle = bundle
        self._folder = folder
        self.options = options
        self._stem = bundle.path.stem
        self._info = bundle.video_info

    def prepare(self) -> ChainState | None:
        """Make the folder ready; return the state to go on from, if any."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            names = [path.name for path in self._folder.iterdir()]
        except OSError as error:
            raise OutputError(
                f"{self._folder}: can't be used as output folder: {describe(error)}"
            ) from error
        if not names:
            return None
        self._refuse_strangers(names)
        if self.options.existing == "resume":
            return self._load()
        for name in names:
            self._remove(self._folder / name)
        return None

    def job(self, frame: RawFrame, index: int) -> Callable[[], None]:
        """What writes one frame."""

        def write() -> None:
            write_dng(
                frame,
                self._folder / frame_name(self._stem, index),
                compression=self.options.compression,
                rate=self._info.rate,
                frame_index=index,
                reel=self._stem,
                overwrite=True,
            )

        return write

    def save(self, state: ChainState) -> None:
        """Keep the state, so that an interrupted run can be resumed after this frame."""
        arrays = {field.name: getattr(state, field.name) for field in fields(state)}
        with write_beside(self._folder / STATE_FILE, overwrite=True) as file:
            np.savez(file, key=self._key(), **arrays)

    def finish(self) -> None:
        """Write the timestamps; the checkpoint is not needed any more."""
        seconds = [pts * self._info.time_base for pts in self._info.timestamps]
        write_timestamps(self._folder, self._stem, seconds, rate=self._info.rate, overwrite=True)
        self._remove(self._folder / STATE_FILE)

    @staticmethod
    def _remove(path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: can't be removed: {describe(error)}") from error

    def _refuse_strangers(self, names: list[str]) -> None:
        """Only files of an earlier run of this clip may be replaced, and only on purpose."""
        if self.options.existing == "refuse":
            raise OutputError(
                f"{self._folder}: has files in it; choose an empty folder, or --resume an "
                "interrupted run, or --overwrite an earlier one"
            )
        frame = re.escape(self._stem) + r"_\d{6,}\.dng"
        own = re.compile(
            f"({frame}|{re.escape(timestamps_name(self._stem))}|{re.escape(STATE_FILE)})"
            f"({re.escape(PART_SUFFIX)})?"
        )
        strangers = sorted(name for name in names if not own.fullmatch(name))
        if strangers:
            raise OutputError(
                f"{self._folder}: {strangers[0]} is no frame of {self._stem}; choose another "
                "folder (one clip per folder)"
            )

    def _load(self) -> ChainState:
        """The checkpoint of the earlier run."""
        path = self._folder / STATE_FILE
        if not path.exists():
            if (self._folder / timestamps_name(self._stem)).exists():
                raise OutputError(f"{self._folder}: is complete, there is nothing to resume")
            raise OutputError(
                f"{self._folder}: {STATE_FILE} is missing, so it can't be resumed; "
                "use --overwrite to start again"
            )
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                key = str(arrays["key"])
                values = {field.name: arrays[field.name] for field in fields(ChainState)}
        except _UNREADABLE as error:
            raise OutputError(
                f"{path}: can't be read ({error}); use --overwrite to start again"
            ) from error
        if key != self._key():
            raise OutputError(
                f"{self._folder}: was begun from another bundle, with other options or another "
                "version; use --overwrite to start again"
            )
        state = ChainState(
            **{
                **values,
                "index": int(values["index"]),
                "brightness": float(values["brightness"]),
            }
        )
        for index in range(state.index + 1):
            name = frame_name(self._stem, index)
            if not (self._folder / name).exists():
                raise OutputError(
                    f"{self._folder}: {name} is missing; use --overwrite to start again"
                )
        return state

    def _key(self) -> str:
        """Changes with everything that changes the frames."""
        parts = [
            __version__,
            self.options.compression,
            str(self.options.flow),
            self.options.gain,
            self._bundle.manifest.model_dump_json(),  # how colours are read, and all hashes
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
