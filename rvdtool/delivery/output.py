"""The folder that a run writes into: what lies there, whose it is, and who else writes there."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rvdtool.delivery.resume import Written
from rvdtool.delivery.sound import is_our_sound
from rvdtool.errors import OutputError, UsageError
from rvdtool.files import describe, exclusive, lock_of, remove_leftovers
from rvdtool.raw.sequence import frame_name, timestamps_name

STATE_FILE = ".rvdtool-state.npz"

_DROPPING = re.compile(
    r"\.DS_Store|\._.*|\.directory|(eh)?Thumbs\.db|desktop\.ini", re.IGNORECASE | re.DOTALL
)
"""Files that file managers put into every folder: of macOS, KDE and Windows."""

_HEAD = 1 << 16
_SOFTWARE = b"rvdtool "


class CompleteError(OutputError):
    """The run that is to be resumed has ended."""


def require_beside(option: str, path: Path, folder: Path) -> None:
    """Refuse a file among the DNGs, where the next run would not know it.

    Args:
        option: by which the file was named.
        path: the file.
        folder: of the DNGs.

    Raises:
        UsageError: it lies there.
    """
    if path.resolve().parent == folder.resolve():
        raise UsageError(f"{option} {path}: lies among the DNGs; choose another folder for it")


def list_names(folder: Path) -> list[str]:
    """The names in a folder, sorted, but for those that file managers and our own locks put there.

    Raises:
        OutputError: it can't be read.
    """
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise OutputError(f"{folder}: can't be read: {describe(error)}") from error
    lock = _lock(folder).name
    return [name for name in names if name != lock and not _DROPPING.fullmatch(name)]


@contextmanager
def writing_alone(folder: Path, what: str) -> Iterator[None]:
    """Make a folder if there is none, and keep other runs out of it.

    Args:
        folder: to be written into.
        what: it is, for the message: "output folder".

    Raises:
        OutputError: it can't be made, or another run writes into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: can't be used as {what}: {describe(error)}") from error
    taken = (
        f"{folder}: another run of rvdtool is writing into it; wait for it, stop it, or choose "
        "another folder"
    )
    with exclusive(_lock(folder), taken):
        remove_leftovers(folder)
        yield


@dataclass(frozen=True)
class OutputFolder:
    """A clip's DNGs, their time stamps and sound, and the state of an unfinished run.

    Attributes:
        path: of the folder.
        stem: of the files' names.
        span: the frames to write.
        whole: whether these are all of the clip.
    """

    path: Path
    stem: str
    span: range
    whole: bool

    @property
    def state(self) -> Path:
        """The file from which an interrupted run goes on."""
        return self.path / STATE_FILE

    def frame(self, index: int) -> Path:
        """A frame's file."""
        return self.path / frame_name(self.stem, index)

    def clear(self) -> None:
        """Remove an earlier run of this clip.

        Raises:
            OutputError: anything else lies there (then nothing is removed), or a file can't be
                removed.
        """
        for name in self.require_ours():
            remove(self.path / name)

    def require_ours(self) -> list[str]:
        """The names in the folder, if all are of an earlier run of this clip.

        Raises:
            OutputError: anything else lies there.
        """
        names = list_names(self.path)
        self._refuse_strangers(names, by_name=False)
        return names

    def is_begun(self) -> bool:
        """Whether there is a run to resume; False if it was stopped before its first frame.

        Raises:
            OutputError: it is complete, its state is missing, or anything else lies there.
        """
        names = list_names(self.path)
        # Where there is a state, frames are compared with what it says about them.
        self._refuse_strangers(names, by_name=STATE_FILE in names)
        if all(is_our_sound(self.path / name) for name in names):
            return False
        if STATE_FILE not in names:
            if timestamps_name(self.stem) in names:
                raise CompleteError(f"{self.path}: is complete, there is nothing to resume")
            raise OutputError(
                f"{self.path}: {STATE_FILE} is missing, so it can't be resumed; "
                "use --overwrite to start again"
            )
        return True

    def first_fault(self, written: Mapping[int, Written]) -> tuple[int, str] | None:
        """The first frame that isn't as it was written, and what is wrong with it.

        Empty folders in a frame's place are removed.

        Args:
            written: the frames that are done, by index.

        Raises:
            OutputError: a folder in a frame's place has something in it, or a file can't be read.
        """
        for path in map(self.frame, self.span):
            if path.is_dir() and not path.is_symlink():
                try:
                    path.rmdir()
                except OSError as error:
                    raise OutputError(
                        f"{path}: is a folder, but a frame is to be written; move it away"
                    ) from error
        for index, one in written.items():
            what = one.fault(self.frame(index))
            if what is not None:
                return index, what
        return None

    def require_empty(self) -> None:
        """Refuse a folder with files in it.

        Raises:
            OutputError: it has some.
        """
        if list_names(self.path):
            raise OutputError(
                f"{self.path}: has files in it; choose an empty folder, or --resume an "
                "interrupted run, or --overwrite an earlier one"
            )

    def _refuse_strangers(self, names: list[str], *, by_name: bool) -> None:
        """Make sure that all files are from a run of this clip, and of these frames.

        Args:
            names: of the files.
            by_name: whether a frame's name alone makes it ours.
        """
        strangers = [name for name in names if not self._is_ours(name, by_name)]
        if strangers:
            raise OutputError(
                f"{self.path}: {strangers[0]} isn't from an earlier run of {self.stem}; "
                "choose another folder (one clip per folder), or --name the clip as before"
            )
        wanted = {frame_name(self.stem, index) for index in self.span}
        others = [name for name in names if name.endswith(".dng") and name not in wanted]
        if others and not self.whole:
            raise OutputError(
                f"{self.path}: {others[0]} is none of the frames {self.span[0]} to "
                f"{self.span[-1]}; choose another folder for them"
            )

    def _is_ours(self, name: str, by_name: bool) -> bool:
        path, stem = self.path / name, re.escape(self.stem)
        if re.fullmatch(stem + r"_\d{6,}\.dng", name):
            return by_name or _is_our_frame(path)
        if re.fullmatch(stem + r"(_\d+)?\.wav", name):
            return is_our_sound(path)
        return name in (STATE_FILE, timestamps_name(self.stem)) and not path.is_dir()


def remove(path: Path) -> None:
    """Remove a file, if there is one.

    Raises:
        OutputError: it can't be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: can't be removed: {describe(error)}") from error


def _is_our_frame(path: Path) -> bool:
    """Whether it isn't a camera's DNG: cameras number theirs in the same way.

    Our name stands near the beginning, so it is there in a file that was cut short, too. What has
    a frame's name and isn't even a TIFF file is a damaged frame.
    """
    if not path.is_file() or path.is_symlink():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise OutputError(f"{path}: can't be read: {describe(error)}") from error
    return _SOFTWARE in head or not head.startswith((b"II", b"MM"))


def _lock(folder: Path) -> Path:
    return lock_of(folder / STATE_FILE)
