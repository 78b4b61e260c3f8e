"""The command line: `rvdtool COMMAND …`.

One file per command, each with one function of the same name: parse → one library call → print.
Only here is anything printed and an exit code chosen. Nothing heavy (numpy, av, cv2, torch) is
imported before a command runs.

Exit codes: 0 done, 1 a system error, 2 wrong usage, 3 a file can't be used, 4 inputs don't
belong together, 5 the result can't be written (`rvdtool.errors`), 6 some of several
files failed (`rvdtool.cli.several`), 130 interrupted.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, cast

import typer

from rvdtool._version import __version__
from rvdtool.cli import (
    console,
    derender,
    doctor,
    info,
    metrics,
    models,
    pack,
    render,
    unpack,
    verify,
)
from rvdtool.cli.help import use_help
from rvdtool.errors import RvdError, UsageError
from rvdtool.files import describe

app = typer.Typer(
    name="rvdtool",
    help="sRGB video + one RAW frame in, a RAW (DNG) frame for every video frame out.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

# A new command is registered here, in one line, in the order in which it is used.
app.command()(pack.pack)
app.command()(derender.derender)
app.command()(info.info)
app.command()(verify.verify)
app.command()(unpack.unpack)
app.command()(metrics.metrics)
app.command()(render.render)
app.add_typer(models.app)
app.command()(doctor.doctor)
# By name, as the product doesn't depend on research, which may be left out of an installation.
if find_spec("rvdtool.research"):
    app.add_typer(import_module("rvdtool.research.cli").app)
use_help(app)

MOVED = ("benchmark", "dataset", "train")
"""Commands that were the product's own before they went to `rvdtool research`."""

# Typer exports BadParameter but not its parent, which is click's class in older versions of typer
# and typer's own in newer ones.
_TyperUsageError = cast(type[Exception], typer.BadParameter.__mro__[1])


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"rvdtool {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options of `rvdtool` itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: an error is one line on stderr, no traceback.

    Args:
        arguments: what follows `rvdtool`; None for this process's own.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given and given[0] in MOVED:
        return console.fail(
            f"{given[0]}: is now `rvdtool research {given[0]}`", UsageError.exit_code
        )
    console.print_anywhere()
    try:
        code = app(given or ["--help"], prog_name="rvdtool", standalone_mode=False)
        if sys.stdout is not None:  # None: closed by whoever started us
            sys.stdout.flush()
    except _TyperUsageError as error:
        return console.fail(_explain(error), UsageError.exit_code)
    except RvdError as error:
        return console.fail(str(error), error.exit_code)
    except BrokenPipeError:
        return _nobody_reads()
    except SystemExit as ended:  # how typer ends when a print finds no reader
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        return _nobody_reads()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return console.fail(f"{where}{describe(error)}", RvdError.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return console.fail("interrupted", console.INTERRUPTED)
    if (
        code == console.INTERRUPTED
    ):  # newer typers catch KeyboardInterrupt themselves, and say nothing
        return console.fail("interrupted", console.INTERRUPTED)
    return code if isinstance(code, int) else 0


def _nobody_reads() -> int:
    """The reader (`head`, a pager) has gone while the result was printed: no failure.

    The interpreter flushes stdout once more at the end, which must not fail either.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _explain(error: Exception) -> str:
    """A usage error in one line, with the help command to run."""
    message: str = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "rvdtool"
    return f"{message.rstrip('.')}; see {command} --help"
