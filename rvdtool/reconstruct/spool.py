"""Temporary arrays on disk, for data that is read out of order and doesn't fit in memory."""

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import OutputError
from rvdtool.files import describe

Record = tuple[NDArray[Any], ...]


class Spool:
    """Records of equally shaped arrays in an unnamed file, which is deleted with the process.

    A context manager. Records are appended in order and read in any order.
    """

    def __init__(self, folder: Path | None) -> None:
        """Create an empty spool.

        Args:
            folder: folder for the file; None for the system's temporary folder.

        Raises:
            OutputError: the folder isn't writable.
        """
        self._folder = folder
        self._form: list[tuple[tuple[int, ...], np.dtype[Any]]] = []
        self._count = 0
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed on exit
        except OSError as error:
            raise self._failed(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Data that couldn't be written to a full disk is discarded with the rest.
        self._file.raw.close()

    def __len__(self) -> int:
        return self._count

    def append(self, *arrays: NDArray[Any]) -> None:
        """Append a record. Its arrays must have the shapes of the first record's.

        Raises:
            OutputError: the disk is full, or fails.
        """
        if not self._count:
            self._form = [(array.shape, array.dtype) for array in arrays]
        try:
            self._file.seek(self._count * self._bytes)
            for array in arrays:
                self._file.write(np.ascontiguousarray(array).data)
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error
        self._count += 1

    def __getitem__(self, index: int) -> Record:
        """Read a record.

        Raises:
            OutputError: the disk fails.
        """
        record = tuple(np.empty(shape, dtype) for shape, dtype in self._form)
        try:
            self._file.seek(index * self._bytes)
            for array in record:
                self._file.readinto(array.data.cast("B"))
        except OSError as error:
            raise self._failed(error) from error
        return record

    @property
    def _bytes(self) -> int:
        return sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in self._form)

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self._folder or tempfile.gettempdir()}: can't use temporary files: "
            f"{describe(error)}; a clip with several references needs space for the frames between "
            "two of them"
        )
