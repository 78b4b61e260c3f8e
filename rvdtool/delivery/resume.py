"""Where an interrupted run stopped: a file beside its frames."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile
from zlib import error as zerror

import numpy as np

from rvdtool.errors import OutputError
from rvdtool.files import write_beside
from rvdtool.reconstruct.chain import ChainState
from rvdtool.reconstruct.references import Start

if TYPE_CHECKING:
    from rvdtool.fagdn.chain import FagdnState

_UNREADABLE = (OSError, ValueError, EOFError, KeyError, TypeError, RuntimeError, BadZipFile, zerror)
"""Errors of NumPy and zipfile on a damaged checkpoint, depending on where it is damaged."""


def save_checkpoint(path: Path, key: str, start: Start) -> None:
    """Store a checkpoint.

    Args:
        path: the file; replaced.
        key: of the run, see `load_checkpoint`.
        start: the last frame that is on disk, and the chain's state.

    Raises:
        OutputError: it can't be written.
    """
    arrays = {}
    if start.state is not None:
        arrays = {
            f"chain_{name}": getattr(start.state, name) for name in start.state.__dataclass_fields__
        }
    with write_beside(path, overwrite=True) as file:
        np.savez(file, key=key, frame=start.index, has_chain=bool(arrays), **arrays)


def load_checkpoint(
    path: Path, key: str, state: "type[ChainState | FagdnState]" = ChainState
) -> Start:
    """Read a checkpoint.

    Args:
        path: the file.
        key: of this run; it changes with everything that changes the frames.
        state: what the run's chains have.

    Raises:
        OutputError: it is damaged, or of a run with another key.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found, frame = str(arrays["key"]), int(arrays["frame"])
            values = {}
            if arrays["has_chain"]:
                values = {one.name: arrays[f"chain_{one.name}"] for one in fields(state)}
                # Numbers come back as arrays without axes.
                values = {name: one if one.ndim else one.item() for name, one in values.items()}
    except _UNREADABLE as error:
        raise OutputError(
            f"{path}: can't be read ({error}); use --overwrite to start again"
        ) from error
    if found != key:
        raise OutputError(
            f"{path.parent}: was started from another bundle, with other options or by "
            "another version; use --overwrite to start again"
        )
    return Start(frame, state(**values) if values else None)
