"""`rvdtool pack`: a video and a RAW frame become a bundle."""

from pathlib import Path
from typing import Annotated

import typer

from rvdtool.cli import console


def pack(
    video: Annotated[
        Path, typer.Argument(help="Video file, or a folder of PNG frames.", show_default=False)
    ],
    raw: Annotated[
        Path, typer.Argument(help="RAW of the video's first frame.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The bundle; by default VIDEO with suffix .rvd."),
    ] = None,
) -> None:
    """Put a video and its one RAW frame into a bundle.

    Example: rvdtool pack clip.mp4 first.dng -o clip.rvd
    """
    from rvdtool.capture.pack import pack as pack_bundle

    console.print_line(str(pack_bundle(video, raw, output)))
