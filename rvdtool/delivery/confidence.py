"""Maps of each frame's expected error: an 8-bit PNG for each DNG, in a folder of their own.

The scale is in `rvdtool.reconstruct.confidence`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import imagecodecs

from rvdtool.errors import OutputError, UsageError
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

    def check(self, frames: Path, existing: Literal["refuse", "overwrite", "resume"]) -> None:
        """Before any work: create the folder, and make sure that it has no other files.

        Args:
            frames: the folder of the DNGs.
            existing: see `DerenderOptions.existing`.

        Raises:
            UsageError: it is the folder of the DNGs.
            OutputError: it has files in it that may not be replaced, or can't be used.
        """
        if self.folder.resolve() == frames.resolve():
            raise UsageError(
                f"{self.folder}: is the DNGs' folder; give --confidence a folder of its own"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            names = sorted(path.name for path in self.folder.iterdir())
        except OSError as error:
            raise OutputError(f"{self.folder}: can't be used: {describe(error)}") from error
        if names and existing == "refuse":
            raise OutputError(
                f"{self.folder}: has files in it; choose an empty folder for --confidence, or "
                "--resume or --overwrite an earlier run"
            )
        own = re.compile(re.escape(self.stem) + r"_\d{6,}\.png")
        strangers = [name for name in names if not own.fullmatch(name)]
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
