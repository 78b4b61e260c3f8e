"""Maps of each frame's expected error: an 8-bit PNG for each DNG, in a folder of their own.

The scale is in `rvdtool.reconstruct.confidence`.
"""

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
        folder: where they go.
        stem: of their names.
        size: (height, width) of the frames.
    """

    folder: Path
    stem: str
    size: tuple[int, int]

    def check(self, existing: Literal["refuse", "overwrite", "resume"]) -> None:
        """Before any work: make sure that the folder has no other files.

        Args:
            existing: see `DerenderOptions.existing`.

        Raises:
            OutputError: it has files in it that may not be replaced, or can't be read.
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

    def require(self, frames: range) -> None:
        """A resumed run doesn't write these frames' maps again: they have to exist.

        Raises:
            OutputError: one is missing.
        """
        for index in frames:
            if not self._path(index).exists():
                raise OutputError(
                    f"{self._path(index)}: is missing, so the maps can't be resumed; leave out "
                    "--confidence, or use --overwrite to start again"
                )

    def write(self, error: Array | None, index: int) -> None:
        """Write a frame's map; an old one is replaced.

        Args:
            error: see `confidence_map`.
            index: of the frame.

        Raises:
            OutputError: it can't be written.
        """
        data = imagecodecs.png_encode(confidence_map(error, self.size), level=1)
        with write_beside(self._path(index), overwrite=True) as file:
            file.write(data)

    def _path(self, index: int) -> Path:
        return self.folder / Path(frame_name(self.stem, index)).with_suffix(".png")


def _is_our_map(path: Path) -> bool:
    """Whether it is a grey PNG of 8 bits, or empty: a video's own frames have colours."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(26)
    except OSError as error:
        raise OutputError(f"{path}: can't be read: {describe(error)}") from error
    return not head or head[24:] == b"\x08\x00"
