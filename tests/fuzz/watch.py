"""One case in a child process of its own, with limits; what became of it."""

import json
import os
import resource
import select
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.mutate import ELSEWHERE
from tests.fuzz.targets import OUT

MEMORY = 250 * 10**6
"""Bytes of resident memory beyond the parent's, which has Python and its libraries: how much these
take depends on their releases."""

SECONDS = 5
"""Of processor time; of the clock, six times as many: the machine may be busy."""

_EVERY = 0.01
"""Seconds between two looks at a child's memory."""

_LARGEST_FILE = 2**26
_LONGEST = 3000
"""Characters of a traceback. All that a child says must fit into a pipe."""


@dataclass(frozen=True)
class Outcome:
    """What a case came to.

    Attributes:
        kind: `accepted` or `refused` (with typed errors), or one of FAILURES.
        detail: the errors, or the signal, or the traceback.
        peak: resident memory in bytes at its highest, the parent's included.
        seconds: of processor time.
        clock: of the clock.
    """

    kind: str
    detail: str
    peak: int
    seconds: float
    clock: float


_HANGS = (signal.SIGALRM, signal.SIGXCPU)

FAILURES = ("untyped error", "crash", "hang", "memory", "written")


def watch(use: Callable[[Path], list[str]], data: bytes, name: str) -> Outcome:
    """Write `data` as a file into an empty folder, and use it in a child process."""
    with tempfile.TemporaryDirectory(prefix="rvdtool-fuzz-") as root:
        folder = Path(root) / "case"
        (folder / "tmp").mkdir(parents=True)
        path = folder / name
        path.write_bytes(data)
        most = MEMORY + _resident(os.getpid())
        reader, writer = os.pipe()
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _be_the_child(use, path, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            while not select.select([pipe], [], [], _EVERY)[0]:
                if _resident(child) > most:
                    os.kill(child, signal.SIGKILL)
            told = pipe.read()
        _, status, used = os.wait4(child, 0)
        clock = time.monotonic() - start
        kind, detail = _ended(told, status)
        peak, seconds = used.ru_maxrss * 1024, used.ru_utime + used.ru_stime
        strangers = _strangers(Path(root), path, data)
        if peak > most:
            kind, detail = "memory", f"{peak} bytes: {detail}"
        elif strangers and kind not in FAILURES:
            kind, detail = "written", f"{strangers[:3]}: {detail}"
        return Outcome(kind, detail, peak, seconds, clock)


def _resident(process: int) -> int:
    """Bytes of resident memory of a process."""
    pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def _be_the_child(use: Callable[[Path], list[str]], path: Path, writer: int) -> None:
    """Never returns, whatever happens: the parent's code is not the child's."""
    code = 1
    try:
        os.chdir(path.parent)
        os.environ["TMPDIR"] = tempfile.tempdir = str(path.parent / "tmp")
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
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


def _ended(told: bytes, status: int) -> tuple[str, str]:
    """How a child ended, by its signal and by what it said."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "hang" if number in _HANGS else "crash", signal.Signals(number).name
    said = json.loads(told) if told else {"untyped": "the child said nothing"}
    if "untyped" in said:
        return "untyped error", said["untyped"]
    if "memory" in said:
        return "memory", said["memory"]
    return "refused" if said["errors"] else "accepted", " | ".join(said["errors"])


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
