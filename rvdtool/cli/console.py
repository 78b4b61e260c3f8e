"""Output of all commands: results on stdout, everything else on stderr.

Rich is imported on first use, so that the command line starts quickly.
"""

import codecs
import json
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Literal

from rvdtool.errors import RvdError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task
    from rich.text import Text

_EVERY = 10.0
"""Seconds between lines of progress if stderr isn't a terminal."""

INTERRUPTED = 130
"""Exit code of an interrupted command: 128 + SIGINT, as in shells."""

Unit = Literal["frames", "bytes", "videos", "steps"]


class InterruptedRunError(RvdError):
    """The user interrupted a run; the message says how to continue."""

    exit_code = INTERRUPTED


@cache
def stdout() -> "Console":
    """Rich console for results (tables, facts); unstyled when piped."""
    from rich.console import Console

    return Console(highlight=False)


@cache
def stderr() -> "Console":
    """Rich console for progress, notes and warnings."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(value: object) -> None:
    """Print `value` as machine-readable JSON on stdout: never wrapped, never coloured."""
    unicode = "utf" in (getattr(sys.stdout, "encoding", None) or "").lower()
    print(json.dumps(value, indent=2, ensure_ascii=not unicode, allow_nan=False))


def print_line(text: str) -> None:
    """Print a line on stdout without wrapping or markup.

    Control characters, which may come from files, are escaped.
    """
    print(visible(text))


def note(message: str) -> None:
    """Print a note on stderr; a closed stderr is ignored."""
    with suppress(BrokenPipeError):
        print(visible(one_line(message)), file=sys.stderr)


def note_compiling() -> None:
    """Say it if a reconstruction has to compile its loops first."""
    from rvdtool.reconstruct.compiled import must_compile

    if must_compile():
        note("first run on this machine: compiling takes about half a minute, once")


def visible(text: str) -> str:
    """Escape control characters, direction marks and lone surrogates.

    Names and labels come from files, and must not control the terminal.
    """
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in hidden and character != "\n"
        else character
        for character in text
    )


_PLAIN = {"×": "x", "−": "-", "–": "-", "…": "...", "≥": ">=", "≤": "<=", "°": " deg", "²": "2"}
"""Replacements for characters that rvdtool uses and some consoles can't show."""


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    plain = (_PLAIN.get(one, one.encode("unicode_escape").decode()) for one in lacking)
    return "".join(plain), error.end


def print_anywhere() -> None:
    """Make stdout and stderr accept any text in any encoding, so that printing can't fail."""
    codecs.register_error("rvdtool.plainer", _plainer)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="rvdtool.plainer")


def fail(message: str, exit_code: int) -> int:
    """Print an error as one line on stderr and return `exit_code`."""
    note(f"error: {message}")
    return exit_code


@contextmanager
def progress(
    label: str, total: int | None, unit: Unit = "frames"
) -> Iterator[Callable[[int], None]]:
    """Show a progress bar with rate and remaining time on stderr while the block runs.

    When piped, print a line every ten seconds instead.

    Yields `advance(n)`, which counts `n` more units as done. `total` may be None if unknown.
    """
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Amount(ProgressColumn):
        def render(self, task: "Task") -> "Text":
            return Text(_amount(task.completed, task.total, task.speed, unit))

    columns = (TextColumn("{task.description}"), BarColumn(), Amount(), TimeRemainingColumn())
    console = stderr()
    if not console.is_terminal:
        yield _Lines(label, total, unit).advance
        return
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(label, total=total)
        yield lambda amount: bar.advance(task, amount)


class _Lines:
    """Progress as lines of text, for when no bar can be shown."""

    def __init__(self, label: str, total: int | None, unit: Unit) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done, self._started = 0, time.monotonic()
        self._said = self._started

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._said >= _EVERY:
            self._said = now
            speed = self._done / (now - self._started)
            note(f"{self._label}: {_amount(self._done, self._total, speed, self._unit)}")


def _amount(done: float, total: float | None, speed: float | None, unit: Unit) -> str:
    """Progress and speed as text: `12/48 frames 3.1/s`."""
    scale, name = (1e6, "MB") if unit == "bytes" else (1.0, unit)
    if done == 1 and total is None:
        name = name.removesuffix("s")
    of = "" if total is None else f"/{total / scale:.0f}"
    rate = "" if speed is None else f" {speed / scale:.{0 if unit == 'bytes' else 1}f}/s"
    return f"{done / scale:.0f}{of} {name}{rate}"


def one_line(message: str) -> str:
    """The message without line breaks."""
    return " ".join(message.splitlines())
