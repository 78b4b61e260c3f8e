"""Checkpoints of interrupted runs: their position and the files they wrote."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from zipfile import ZIP_STORED, BadZipFile
from zlib import error as zerror

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import OutputError, brief
from rvdtool.files import describe, write_beside
from rvdtool.npy import NPY_DAMAGE
from rvdtool.reconstruct.chain import ChainState
from rvdtool.reconstruct.references import Start

if TYPE_CHECKING:
    from rvdtool.fagdn.chain import FagdnState

_UNREADABLE = (*NPY_DAMAGE, BadZipFile, zerror)
"""Errors that NumPy and zipfile raise for a damaged checkpoint, depending on the damage."""

_DIGEST = hashlib.sha256().digest_size
NO_MAP = bytes(_DIGEST)
"""Digest that stands for a map that wasn't written."""


@dataclass(frozen=True)
class Written:
    """Size and hashes of a file at the time it was written.

    Attributes:
        size: size in bytes.
        digest: SHA-256 of the file.
        map: SHA-256 of the frame's confidence map; zeros if none was written.
    """

    size: int
    digest: bytes
    map: bytes = NO_MAP

    @classmethod
    def of(cls, data: bytes, shown: bytes = NO_MAP) -> Self:
        """Record of a file with these bytes, whose map has the SHA-256 `shown`."""
        return cls(len(data), hashlib.sha256(data).digest(), shown)

    def fault(self, path: Path) -> str | None:
        """What is wrong with the file now; None if it is unchanged.

        Raises:
            OutputError: the file can't be read.
        """
        try:
            if path.is_symlink() or path.is_dir():
                return "is no file"
            if not path.exists():
                return "is missing"
            if path.stat().st_size != self.size:
                return f"has {path.stat().st_size} bytes instead of {self.size}"
            with path.open("rb") as file:
                same = hashlib.file_digest(file, "sha256").digest() == self.digest
        except OSError as error:
            raise OutputError(f"{path}: can't be read: {describe(error)}") from error
        return None if same else "has changed"


class Figures(NamedTuple):
    """Figures of a frame; NaN for those that it doesn't have.

    Attributes:
        brightness, exposure: values relative to the frame's reference.
        trusted: share of the frame that clearly shows what its reference shows, 0..1.
        carried: share of the weight that the reference RAW has in the frame, 0..1.
        expected: expected PSNR in dB.
        doubtful: share of the frame in which the light has changed too much, 0..1.
        toned: share of the frame in which gradual or uneven changes of brightness were attributed
            to the ISP, 0..1.
        differing: share of the frame's own RAW that shows something else, 0..1.
        tracks_gain: whether brightness was attributed to the ISP, 0 or 1.
        cut: whether the frame shows another scene than the previous one, 0 or 1.
    """

    brightness: float
    exposure: float
    trusted: float
    carried: float
    expected: float
    doubtful: float
    toned: float
    differing: float
    tracks_gain: float
    cut: float


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run at some frame.

    Attributes:
        start: the last frame that is on disk, and the chain's state.
        written: records of the files of all frames from the run's first to that one, by index.
        figures: figures for the report on these frames, by index.
        threads: number of threads that computed them.
    """

    start: Start
    written: Mapping[int, Written]
    figures: Mapping[int, Figures]
    threads: int


def save_checkpoint(path: Path, key: str, first: int, checkpoint: Checkpoint) -> None:
    """Store a checkpoint.

    Args:
        path: path of the file, which is replaced.
        key: key of the run, see `load_checkpoint`.
        first: index of the run's first frame.
        checkpoint: the checkpoint; `written` and `figures` may contain further frames.

    Raises:
        OutputError: it can't be written.
    """
    start, arrays = checkpoint.start, {}
    if start.state is not None:
        arrays = {
            f"chain_{name}": getattr(start.state, name) for name in start.state.__dataclass_fields__
        }
    done = range(first, start.index + 1)
    files = [checkpoint.written[index] for index in done]
    with write_beside(path, overwrite=True) as file:
        np.savez(
            file,
            key=key,
            frame=start.index,
            threads=checkpoint.threads,
            sizes=np.array([one.size for one in files], "<i8"),
            digests=np.frombuffer(b"".join(one.digest for one in files), np.uint8),
            maps=np.frombuffer(b"".join(one.map for one in files), np.uint8),
            figures=np.array([checkpoint.figures[index] for index in done], "<f8"),
            has_chain=bool(arrays),
            **arrays,
        )


def load_checkpoint(
    path: Path, key: str, span: range, state: "type[ChainState | FagdnState]" = ChainState
) -> Checkpoint:
    """Read a checkpoint.

    The state's arrays are returned unchecked: only the chain knows their shapes, and checks them.

    Args:
        path: path of the file.
        key: key of this run, which changes with everything that changes the frames.
        span: the run's frames.
        state: type of the chains' state.

    Raises:
        OutputError: the file is damaged, or of a run with another key.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if any(one.compress_type != ZIP_STORED for one in arrays.zip.infolist()):
                raise ValueError("it is compressed")  # so it could unpack to any size
            if str(arrays["key"]) != key:
                raise OutputError(
                    f"{path.parent}: was started from another bundle, with other options or by "
                    "another version; use --overwrite to start again"
                )
            frame, threads = int(arrays["frame"]), int(arrays["threads"])
            if frame not in span:
                raise ValueError(f"it ends at frame {frame}")
            done = range(span.start, frame + 1)
            written = _written(done, arrays["sizes"], arrays["digests"], arrays["maps"])
            figures = _figures(done, arrays["figures"])
            values = {}
            if not arrays["has_chain"] and state is not ChainState:
                raise ValueError("the chain's state is missing")  # ours restarts at a reference
            if arrays["has_chain"]:
                values = {one.name: arrays[f"chain_{one.name}"] for one in fields(state)}
                # NumPy loads plain numbers as arrays without axes.
                values = {name: one if one.ndim else one.item() for name, one in values.items()}
    except _UNREADABLE as error:
        raise OutputError(
            f"{path}: can't be read ({brief(error)}); use --overwrite to start again"
        ) from error
    return Checkpoint(Start(frame, state(**values) if values else None), written, figures, threads)


def _written(
    done: range, sizes: NDArray[Any], digests: NDArray[Any], maps: NDArray[Any]
) -> dict[int, Written]:
    found = [(one.dtype.str, one.shape) for one in (sizes, digests, maps)]
    if found != [("<i8", (len(done),)), *[("|u1", (_DIGEST * len(done),))] * 2]:
        raise ValueError("its list of frames doesn't fit")
    files, shown = digests.reshape(-1, _DIGEST), maps.reshape(-1, _DIGEST)
    return {
        index: Written(int(sizes[n]), files[n].tobytes(), shown[n].tobytes())
        for n, index in enumerate(done)
    }


def _figures(done: range, figures: NDArray[Any]) -> dict[int, Figures]:
    if figures.dtype.str != "<f8" or figures.shape != (len(done), len(Figures._fields)):
        raise ValueError("its figures don't fit")
    return {index: Figures(*map(float, figures[n])) for n, index in enumerate(done)}
