"""One case in a child process of its own, with limits; what became of it."""

import json
import os
import resource
import signal
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.mutate import ELSEWHERE
from tests.fuzz.targets import OUT

MEMORY = 2**30
"""RLIMIT_AS in bytes: what is addressed, which is more than what is used."""

SECONDS = 20
"""Of processor time; of the clock, six times as many: the machine may be busy."""

_LARGEST_FILE = 2**26
_LONGEST = 3000
"""Characters of a traceback. All that a child says must fit into a pipe."""


@dataclass(frozen=True)
class Outcome:
    """What a case came to.

    Attributes:
        kind: `accepted` or `refused` (with typed errors), or one of FAILURES.
        detail: the errors, or the signal, or the traceback.
        peak: resident memory in bytes at its highest.
        seconds: of processor time.
    """

    kind: str
    detail: str
    peak: int
    seconds: float


_HANGS = (signal.SIGALRM, signal.SIGXCPU)

FAILURES = ("untyped error", "crash", "hang", "memory", "written")


def watch(use: Callable[[Path], list[str]], data: bytes, name: str) -> Outcome:
    """Write `data` as a file into an empty folder, and use it in a child process."""
    with tempfile.TemporaryDirectory(prefix="rvdtool-fuzz-") as root:
        folder = Path(root) / "case"
        (folder / "tmp").mkdir(parents=True)
        path = folder / name
        path.write_bytes(data)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _be_the_child(use, path, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            told = pipe.read()
        _, status, used = os.wait4(child, 0)
        return _outcome(told, status, used, _strangers(Path(root), path, data))


def _be_the_child(use: Callable[[Path], list[str]], path: Path, writer: int) -> None:
    """Never returns, whatever happens: the parent's code is not the child's."""
    code = 1
    try:
        os.chdir(path.parent)
        os.environ["TMPDIR"] = tempfile.tempdir = str(path.parent / "tmp")
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 6 * SECONDS)
        try:
            told: Any = {"errors": use(path)}
        except MemoryError:
            told = {"memory": traceback.format_exc()[-_LONGEST:]}
        except BaseException:  # noqa: BLE001  that it is none of ours is the finding
            told = {"untyped": traceback.format_exc()[-_LONGEST:]}
        os.write(writer, json.dumps(told).encode())
        code = 0
    finally:
        os._exit(code)


def _outcome(told: bytes, status: int, used: Any, strangers: list[str]) -> Outcome:
    peak, seconds = used.ru_maxrss * 1024, used.ru_utime + used.ru_stime
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        kind = "hang" if number in _HANGS else "crash"
        return Outcome(kind, signal.Signals(number).name, peak, seconds)
    said = json.loads(told) if told else {"untyped": "the child said nothing"}
    if "untyped" in said:
        return Outcome("untyped error", said["untyped"], peak, seconds)
    if "memory" in said:
        return Outcome("memory", said["memory"], peak, seconds)
    detail = " | ".join(said["errors"])
    if peak > MEMORY:
        return Outcome("memory", f"{peak} bytes: {detail}", peak, seconds)
    if strangers:
        return Outcome("written", f"{strangers[:3]}: {detail}", peak, seconds)
    return Outcome("refused" if said["errors"] else "accepted", detail, peak, seconds)


def _strangers(root: Path, path: Path, data: bytes) -> list[str]:
    """Files that shouldn't be there: all but the case's, unchanged, and whole ones in `out`."""
    files = [file for file in root.rglob("*") if not file.is_dir() or file.is_symlink()]
    out = path.parent / OUT
    written = [
        str(file.relative_to(root))
        for file in files
        if file != path and (out not in file.parents or file.suffix == ".part")
    ]
    changed = [] if path.is_file() and path.read_bytes() == data else [f"{path.name} itself"]
    return written + changed + [str(file) for file in ELSEWHERE if file.exists()]
