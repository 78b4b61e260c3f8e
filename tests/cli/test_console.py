"""How all commands print."""

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from rvdtool.cli import console


def test_a_short_job_is_silent_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("Packing", 2) as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")


def test_progress_shows_how_much_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(console, "stderr", lambda: terminal)
    with console.progress("Packing", 2_000_000, "bytes") as advance:
        advance(1_000_000)
        advance(1_000_000)
    assert isinstance(terminal.file, io.StringIO)
    shown = terminal.file.getvalue()
    assert "Packing" in shown
    assert "2/2 MB" in shown


def test_json_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"path": "[red]ä" * 100, "numbers": [1, 2.5, None]}
    console.print_json(value)
    assert json.loads(capsys.readouterr().out) == value


def test_results_are_not_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_line("[bold]clip.rvd " + "x" * 300)
    assert capsys.readouterr().out == "[bold]clip.rvd " + "x" * 300 + "\n"


def test_progress_is_a_line_now_and_then_when_piped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 4.0, 11.0, 12.0, 22.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with console.progress("Matching", 40) as advance:
        for _ in range(4):
            advance(10)
    assert capsys.readouterr().err.splitlines() == [
        "Matching: 20/40 frames 1.8/s",
        "Matching: 40/40 frames 1.8/s",
    ]


def test_control_characters_are_escaped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.print_line("a\x1b[31mb\u202egnp.exe\ud800 ü×")
    assert capsys.readouterr().out == "a\\x1b[31mb\\u202egnp.exe\\ud800 ü×\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437"])
def test_output_works_in_every_encoding(shot: Any, encoding: str) -> None:
    command = [sys.executable, "-m", "rvdtool", "info", str(shot.bundle)]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "64×48" in done.stdout.decode(encoding).replace("64x48", "64×48")


@pytest.mark.parametrize("closing", [">&-", "| true"])
def test_a_closed_pipe_is_no_failure(shot: Any, closing: str) -> None:
    script = f'set -o pipefail; "$@" {closing}'
    command = ["bash", "-c", script, "bash", sys.executable, "-m", "rvdtool", "info", shot.bundle]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
