"""`rvdtool unpack`: extracts the user's files from a bundle."""

from pathlib import Path
from typing import Annotated

import typer

from rvdtool.cli import console


def unpack(
    bundle: Annotated[Path, typer.Argument(help="A bundle (.rvd).", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the files.", show_default=False)
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Extract the video and the RAW frames from a bundle, byte for byte.

    Example: rvdtool unpack clip.rvd -o originals/
    """
    from rvdtool.bundle.store import open_bundle
    from rvdtool.bundle.unpack import unpack as unpack_bundle

    opened = open_bundle(bundle)
    total = sum(member.size for member in opened.manifest.members)
    with console.progress("Unpacking", total, "bytes") as advance:
        paths = unpack_bundle(opened, output, overwrite=overwrite, advance=advance)
    for path in paths:
        console.print_line(str(path))
