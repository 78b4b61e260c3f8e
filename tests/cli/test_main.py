"""What all commands share: errors in one line, exit codes, no traceback."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from rvdtool import cli
from rvdtool.errors import MismatchError, OutputError, RawError, RvdError


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def app(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)


@pytest.mark.parametrize(
    ("error", "code"), [(RvdError, 1), (RawError, 3), (MismatchError, 4), (OutputError, 5)]
)
def test_our_errors_are_one_line_and_choose_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: type[RvdError],
    code: int,
) -> None:
    fail_with(monkeypatch, error("first line\nsecond line"))
    assert cli.main(["anything"]) == code
    assert capsys.readouterr().err == "error: first line second line\n"


def test_errors_of_the_system_name_the_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, PermissionError(13, "Permission denied", "clip.mp4"))
    assert cli.main(["anything"]) == 1
    assert capsys.readouterr().err == "error: clip.mp4: Permission denied\n"


def test_interrupting_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    assert cli.main(["anything"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no-such-command"], "no-such-command"),
        (["info"], "bundle"),
        (["info", "--no-such-option"], "--no-such-option"),
        (["unpack", "clip.rvd"], "--output"),
    ],
)
def test_wrong_usage_is_one_line_that_says_where_to_look(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert cli.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert told.casefold() in printed.err.casefold()
    assert "--help" in printed.err


@pytest.mark.parametrize("command", [[], ["metrics"], ["models", "list"], ["research", "dataset"]])
def test_help_is_short_too_and_gives_flags_no_type(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, "--help"]) == 0
    long = capsys.readouterr().out
    assert cli.main([*command, "-h"]) == 0
    assert capsys.readouterr().out == long
    assert "bool" not in long.casefold()


def test_the_version_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"rvdtool {version('rvdtool')}\n"


@pytest.mark.parametrize("command", ["train", "dataset", "benchmark"])
def test_commands_that_have_moved_say_where_to(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, "--out", "x"]) == 2
    assert f"rvdtool research {command}" in capsys.readouterr().err
    assert cli.main(["research", command, "--help"]) == 0


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in cli.app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.rstrip("_").replace("_", "-")
        assert cli.main([name, "--help"]) == 0
        assert f"rvdtool {name} " in capsys.readouterr().out.split("Example:")[1]


def test_without_arguments_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert "Usage" in capsys.readouterr().out


def test_starting_imports_nothing_heavy() -> None:
    script = (
        "import sys, rvdtool.cli; rvdtool.cli.main(['--version']);"
        "heavy = {'numpy', 'av', 'cv2', 'torch', 'rawpy', 'pydantic'};"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[1] == "[]"


def test_a_reader_that_goes_away_is_no_error() -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "rvdtool", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.close()
    assert run.stderr.read() == b""
    run.stderr.close()
    run.wait()
