"""`rvdtool verify`: check a bundle for damage."""

from pathlib import Path
from typing import Annotated

import typer

from rvdtool.cli import console


def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle (.rvd).", show_default=False)],
    quick: Annotated[
        bool, typer.Option("--quick", help="Check hashes only; decode nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Check a bundle: all hashes match, every frame decodes, each RAW equals its planes.

    Ends with exit code 3 if anything is damaged, and says what.

    Example: rvdtool verify clip.rvd
    """
    from rvdtool.bundle.store import open_bundle
    from rvdtool.bundle.verify import verify as verify_bundle
    from rvdtool.errors import BundleError

    opened = open_bundle(bundle)
    total = sum(member.size for member in opened.manifest.members)
    with console.progress("Verifying", total, "bytes") as advance:
        checks = verify_bundle(opened, deep=not quick, advance=advance)
    failed = [check for check in checks if not check.ok]
    if as_json:
        results = [{"name": c.name, "ok": c.ok, "detail": c.detail} for c in checks]
        console.print_json({"path": str(bundle), "ok": not failed, "checks": results})
    else:
        for check in checks:
            console.print_line(f"{'ok ' if check.ok else 'BAD'} {check.name}: {check.detail}")
    if failed:
        first, *others = failed
        more = f" (and {len(others)} more)" if others else ""
        raise BundleError(f"{bundle}: damaged: {first.name}: {first.detail}{more}")
