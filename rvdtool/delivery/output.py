"""The output folder of a run: checks its contents and keeps other runs out."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rvdtool.delivery.resume import Written
from rvdtool.delivery.sound import is_our_sound
from rvdtool.errors import OutputError, UsageError
from rvdtool.files import describe, exclusive, is_lock, lock_of, remove_leftovers
from rvdtool.raw.sequence import frame_name, timestamps_name

STATE_FILE = ".rvdtool-state.npz"
_STATE = re.compile(r"\.rvdtool-state(-\d{6,})?\.npz")
"""The state of a run, or of a part of one that is divided, with the part's first frame."""

_FILE_MANAGER_FILES = re.compile(
    r"\.DS_Store|\._.*|\.directory|(eh)?Thumbs\.db|desktop\.ini", re.IGNORECASE | re.DOTALL
)
"""Files that the file managers of macOS, KDE and Windows create in every folder."""

_HEAD = 1 << 16
_SOFTWARE = b"rvdtool "


class CompleteError(OutputError):
    """The run that is to be resumed is already complete."""


def can_resume(folder: Path) -> bool:
    """Whether a folder has the state of an interrupted run."""
    return any(_STATE.fullmatch(path.name) for path in folder.glob("*"))


def require_beside(option: str, path: Path, folder: Path) -> None:
    """Refuse an output file in the folder of the DNGs, where a later run would reject it.

    Args:
        option: option that named the file.
        path: path of the file.
        folder: folder of the DNGs.

    Raises:
        UsageError: the file is in that folder.
    """
    if path.resolve().parent == folder.resolve():
        raise UsageError(
            f"{option} {path}: is in the folder of the DNGs; choose another folder for it"
        )


def list_names(folder: Path) -> list[str]:
    """Sorted names of the files in a folder, without those of file managers and our own locks.

    Raises:
        OutputError: the folder can't be read.
    """
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise OutputError(f"{folder}: can't be read: {describe(error)}") from error
    return [
        name
        for name in names
        if not (_FILE_MANAGER_FILES.fullmatch(name) or is_lock(folder / name))
    ]


@contextmanager
def writing_alone(folder: Path, what: str) -> Iterator[None]:
    """Create a folder if needed, and keep other runs, and parts of them, out of it.

    Args:
        folder: folder to write into.
        what: description of the folder for the message, such as "output folder".

    Raises:
        OutputError: it can't be created, or another run is writing into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: can't be used as {what}: {describe(error)}") from error
    taken, own = _taken(folder), lock_of(folder / STATE_FILE)
    with exclusive(own, taken):
        for lock in filter(is_lock, folder.iterdir()):
            if lock != own:
                with exclusive(lock, taken):
                    pass
        remove_leftovers(folder)
        yield


@dataclass(frozen=True)
class OutputFolder:
    """A clip's DNGs, timestamps and sound, and the state of an unfinished run.

    Attributes:
        path: path of the folder.
        stem: beginning of the file names.
        span: the frames to write.
        whole: whether these are all frames of the clip.
        parts: the parts into which the run is divided, each with its own state; empty if it isn't
            divided.
    """

    path: Path
    stem: str
    span: range
    whole: bool
    parts: Sequence[range] = ()

    @property
    def states(self) -> list[Path]:
        """Paths of the checkpoints that an interrupted run resumes from."""
        names = [f".rvdtool-state-{part.start:06d}.npz" for part in self.parts] or [STATE_FILE]
        return [self.path / name for name in names]

    @contextmanager
    def writing_part(self) -> Iterator[None]:
        """Keep other processes from writing this part of a run.

        Raises:
            OutputError: another process is writing it.
        """
        (state,) = self.states
        with exclusive(lock_of(state), _taken(self.path)):
            yield

    def frame(self, index: int) -> Path:
        """Path of a frame's DNG."""
        return self.path / frame_name(self.stem, index)

    def clear(self) -> None:
        """Remove the files of an earlier run of this clip.

        Raises:
            OutputError: there are other files (then nothing is removed), or a file can't be
                removed.
        """
        for name in self.require_ours():
            remove(self.path / name)

    def require_ours(self) -> list[str]:
        """Names of the files in the folder, all of which must be from an earlier run of this clip.

        Raises:
            OutputError: there are other files.
        """
        names = list_names(self.path)
        self._refuse_strangers(names, by_name=False)
        return names

    def is_begun(self) -> bool:
        """Whether there is a run to resume; False if it was stopped before its first frame.

        Raises:
            OutputError: the run is complete, its state is missing or of a run that was divided in
                another way, or there are other files.
        """
        names = list_names(self.path)
        states = {name for name in names if _STATE.fullmatch(name)}
        # If there is a state, frames are later checked against it, so names are enough here.
        self._refuse_strangers(names, by_name=bool(states))
        if all(is_our_sound(self.path / name) for name in names):
            return False
        if states - {path.name for path in self.states}:
            raise OutputError(
                f"{self.path}: was started with another --engine or from another bundle; resume it "
                "as it was started, or use --overwrite to start again"
            )
        if not states:
            if timestamps_name(self.stem) in names:
                raise CompleteError(f"{self.path}: is complete, there is nothing to resume")
            raise OutputError(
                f"{self.path}: {STATE_FILE} is missing, so it can't be resumed; "
                "use --overwrite to start again"
            )
        return True

    def first_fault(self, written: Mapping[int, Written]) -> tuple[int, str] | None:
        """Index of the first frame that is missing or has changed, and what is wrong with it.

        Empty folders with a frame's name are removed.

        Args:
            written: the frames that are done, by index.

        Raises:
            OutputError: a folder with a frame's name isn't empty, or a file can't be read.
        """
        for path in map(self.frame, self.span):
            if path.is_dir() and not path.is_symlink():
                try:
                    path.rmdir()
                except OSError as error:
                    raise OutputError(
                        f"{path}: is a folder with the name of a frame; move it away"
                    ) from error
        for index, one in written.items():
            what = one.fault(self.frame(index))
            if what is not None:
                return index, what
        return None

    def require_frames(self, written: Mapping[int, Written]) -> None:
        """Refuse a folder without the frames that other machines wrote; they aren't read.

        Args:
            written: all frames of the run, by index.

        Raises:
            OutputError: one isn't there, or has another size.
        """
        for index in self.span:
            path, size = self.frame(index), written[index].size
            if not path.is_file() or path.stat().st_size != size:
                raise OutputError(
                    f"{path}: was written on another machine, but isn't here with its {size} "
                    "bytes; the output folder has to be one that all machines share"
                )

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
        """Refuse files that aren't from a run of this clip and these frames.

        Args:
            names: names of the files in the folder.
            by_name: whether a frame's name alone is enough to recognise it as ours.

        Raises:
            OutputError: there is such a file.
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
                f"{self.path}: {others[0]} isn't one of the frames {self.span[0]} to "
                f"{self.span[-1]}; choose another folder for them"
            )

    def _is_ours(self, name: str, by_name: bool) -> bool:
        path, stem = self.path / name, re.escape(self.stem)
        if re.fullmatch(stem + r"_\d{6,}\.dng", name):
            return by_name or _is_our_frame(path)
        if re.fullmatch(stem + r"(_\d+)?\.wav", name):
            return is_our_sound(path)
        ours = _STATE.fullmatch(name) or name == timestamps_name(self.stem)
        return bool(ours) and not path.is_dir()


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
    """Whether a file with a frame's name is ours, and not a camera's DNG that is named alike.

    Our name is near the beginning, so even truncated files have it. A file that isn't a TIFF at all
    is taken for a damaged frame of ours.
    """
    if not path.is_file() or path.is_symlink():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise OutputError(f"{path}: can't be read: {describe(error)}") from error
    return _SOFTWARE in head or not head.startswith((b"II", b"MM"))


def _taken(folder: Path) -> str:
    return (
        f"{folder}: another run of rvdtool is writing into it; wait for it, stop it, or choose "
        "another folder"
    )
