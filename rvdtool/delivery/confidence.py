"""Writes maps of each frame's expected error: an 8-bit PNG per DNG, in a separate folder.

The scale is in `rvdtool.reconstruct.confidence`.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import imagecodecs

from rvdtool.delivery.output import list_names
from rvdtool.errors import OutputError
from rvdtool.files import describe, write_beside
from rvdtool.raw.sequence import frame_name
from rvdtool.reconstruct.confidence import confidence_map
from rvdtool.reconstruct.statistics import Array


@dataclass(frozen=True)
class ConfidenceMaps:
    """A folder of maps: `NAME_000000.png`, ….

    Attributes:
        folder: folder to write to.
        stem: beginning of the file names.
        size: (height, width) of the frames in pixels.
    """

    folder: Path
    stem: str
    size: tuple[int, int]

    def check(self, existing: Literal["refuse", "overwrite", "resume"]) -> None:
        """Check, before any work, that the folder holds no other files.

        Args:
            existing: see `DerenderOptions.existing`.

        Raises:
            OutputError: it holds files that may not be replaced, or can't be read.
        """
        names = list_names(self.folder)
        if names and existing == "refuse":
            raise OutputError(
                f"{self.folder}: has files in it; choose an empty folder for --confidence, or "
                "--resume or --overwrite an earlier run"
            )
        own = re.compile(re.escape(self.stem) + r"_\d{6,}\.png")
        strangers = [
            name for name in names if not own.fullmatch(name) or not _is_our_map(self.folder / name)
        ]
        if strangers:
            raise OutputError(
                f"{self.folder}: {strangers[0]} is not a map of {self.stem}; choose another "
                "folder for --confidence"
            )

    def require(self, index: int, digest: bytes) -> None:
        """Require that a frame's map is unchanged: a resumed run doesn't write it again.

        Args:
            index: index of the frame.
            digest: SHA-256 that the map was written with.

        Raises:
            OutputError: it is missing, has changed, or can't be read.
        """
        path = self._path(index)
        try:
            fault = None if path.exists() else "is missing"
            if not fault and hashlib.sha256(path.read_bytes()).digest() != digest:
                fault = "has changed since the interrupted run wrote it"
        except OSError as error:
            raise OutputError(f"{path}: can't be read: {describe(error)}") from error
        if fault:
            raise OutputError(
                f"{path}: {fault}, so the maps can't be resumed; leave out --confidence, or use "
                "--overwrite to start again"
            )

    def write(self, error: Array | None, index: int) -> bytes:
        """Write a frame's map, replacing an old one, and return its SHA-256.

        Args:
            error: see `confidence_map`.
            index: index of the frame.

        Raises:
            OutputError: it can't be written.
        """
        data = imagecodecs.png_encode(confidence_map(error, self.size), level=1)
        with write_beside(self._path(index), overwrite=True) as file:
            file.write(data)
        return hashlib.sha256(data).digest()

    def _path(self, index: int) -> Path:
        return self.folder / Path(frame_name(self.stem, index)).with_suffix(".png")


def _is_our_map(path: Path) -> bool:
    """Whether a file is an 8-bit grey PNG, as maps are (a video's own frames are in colour), or
    empty."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(26)
    except OSError as error:
        raise OutputError(f"{path}: can't be read: {describe(error)}") from error
    return not head or head[24:] == b"\x08\x00"
