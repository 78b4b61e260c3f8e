"""`rvdtool verify`: checks bundles for damage."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rvdtool.cli import console
from rvdtool.cli.several import for_each
from rvdtool.errors import BundleError, RvdError

if TYPE_CHECKING:
    from rvdtool.bundle.verify import Check


def verify(
    bundles: Annotated[
        list[Path], typer.Argument(help="One bundle (.rvd), or several.", show_default=False)
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="Check hashes only; decode nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the checks as JSON; a list for several bundles.")
    ] = False,
) -> None:
    """Check bundles: all hashes match, every frame decodes, each RAW equals its planes.

    For a damaged bundle, the exit code is 3, and a message says what is damaged. Several bundles
    are all checked; if any fails, the exit code is 6.

    Example: rvdtool verify clip.rvd
    """
    several = len(bundles) > 1
    results: list[dict[str, object]] = []

    def check(path: Path) -> None:
        try:
            checks = _checks(path, quick, advance)
        except RvdError as error:
            if as_json and several:
                results.append({"path": str(path), "ok": False, "checks": [], "error": str(error)})
            raise
        failed = [one for one in checks if not one.ok]
        if as_json:
            facts = [{"name": c.name, "ok": c.ok, "detail": c.detail} for c in checks]
            results.append({"path": str(path), "ok": not failed, "checks": facts})
        for one in () if as_json else checks:
            of = f"{path}: " if several else ""
            console.print_line(f"{'ok ' if one.ok else 'BAD'} {of}{one.name}: {one.detail}")
        if failed:
            first, *others = failed
            more = f" (and {len(others)} more)" if others else ""
            raise BundleError(f"{path}: damaged: {first.name}: {first.detail}{more}")

    total = sum(path.stat().st_size for path in bundles if path.is_file())
    try:
        with console.progress("Verifying", total, "bytes") as advance:
            for_each(bundles, check)
    finally:
        if results:
            console.print_json(results if several else results[0])


def _checks(path: Path, quick: bool, advance: Callable[[int], None]) -> "list[Check]":
    from rvdtool.bundle.store import open_bundle
    from rvdtool.bundle.verify import verify as verify_bundle

    return verify_bundle(open_bundle(path), deep=not quick, advance=advance)
