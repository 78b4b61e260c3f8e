"""`rvdtool info`: what a bundle holds."""

import typing
from pathlib import Path
from typing import Annotated

import typer

from rvdtool.cli import console

if typing.TYPE_CHECKING:
    from rvdtool.bundle.store import Bundle


def info(
    bundle: Annotated[Path, typer.Argument(help="A bundle (.rvd).", show_default=False)],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole manifest as JSON.")
    ] = False,
) -> None:
    """Show what a bundle holds: the video, its RAW frames, and how they match.

    Example: rvdtool info clip.rvd
    """
    from rvdtool.bundle.store import open_bundle

    opened = open_bundle(bundle)
    if as_json:
        console.print_json({"path": str(bundle), **opened.manifest.model_dump(mode="json")})
    else:
        _print_facts(opened)


def _print_facts(bundle: "Bundle") -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, value in bundle.manifest.facts():
        table.add_row(name, value)
    console.stdout().print(table)
