"""The command line: `rvdtool COMMAND …`.

One file per command, each with a function of the same name: parse → one library call → print.
Only this package prints and chooses exit codes. Nothing heavy (numpy, av, cv2, torch) is imported
before a command runs.

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
    plan,
    render,
    unpack,
    verify,
)
from rvdtool.cli.help import use_help
from rvdtool.errors import RvdError, UsageError
from rvdtool.files import describe

# NumPy's matrix products are small here: more threads spin longer than they compute. OpenBLAS reads
# this when NumPy is imported; set later, it would only mislead.
if "numpy" not in sys.modules:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

app = typer.Typer(
    name="rvdtool",
    help="sRGB video + one RAW frame in, a RAW (DNG) frame for every video frame out.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

# New commands are registered here, one line each, in the order in which users need them.
app.command()(pack.pack)
app.command()(derender.derender)
app.command()(plan.plan)
app.command()(info.info)
app.command()(verify.verify)
app.command()(unpack.unpack)
app.command()(metrics.metrics)
app.command()(render.render)
app.add_typer(models.app)
app.command()(doctor.doctor)
# Imported by name: the product doesn't depend on research, which an installation may lack.
if find_spec("rvdtool.research"):
    app.add_typer(import_module("rvdtool.research.cli").app)
use_help(app)

MOVED = ("benchmark", "dataset", "train")
"""Commands that have moved to `rvdtool research`."""

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
    """Run a command and return its exit code. An error is printed as one line, without a traceback.

    Args:
        arguments: arguments after `rvdtool`; None for those of this process.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given and given[0] in MOVED:
        return console.fail(
            f"{given[0]}: is now `rvdtool research {given[0]}`", UsageError.exit_code
        )
    console.print_anywhere()
    try:
        code = app(given or ["--help"], prog_name="rvdtool", standalone_mode=False)
        if sys.stdout is not None:  # None if the parent process closed it
            sys.stdout.flush()
    except _TyperUsageError as error:
        return console.fail(_explain(error), UsageError.exit_code)
    except RvdError as error:
        return console.fail(str(error), error.exit_code)
    except BrokenPipeError:
        return _end_without_reader()
    except SystemExit as ended:  # typer exits like this if printing raises BrokenPipeError
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        return _end_without_reader()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return console.fail(f"{where}{describe(error)}", RvdError.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return console.fail("interrupted", console.INTERRUPTED)
    if (
        code == console.INTERRUPTED
    ):  # newer versions of typer catch KeyboardInterrupt and print nothing
        return console.fail("interrupted", console.INTERRUPTED)
    return code if isinstance(code, int) else 0


def _end_without_reader() -> int:
    """Exit normally after the reader (`head`, a pager) has closed the pipe.

    The interpreter flushes stdout again on exit, which must not fail either.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _explain(error: Exception) -> str:
    """A usage error in one line, with the help command to run."""
    message: str = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "rvdtool"
    return f"{message.rstrip('.')}; see {command} --help"
