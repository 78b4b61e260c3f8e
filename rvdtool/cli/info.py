"""`rvdtool info`: what a bundle holds."""

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from rvdtool.cli import console

if typing.TYPE_CHECKING:
    from rvdtool.bundle.manifest import Reference, Video


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

    manifest = open_bundle(bundle).manifest
    if as_json:
        console.print_json(manifest.model_dump(mode="json"))
        return
    for facts in (_video_facts(manifest.video), *map(_reference_facts, manifest.references)):
        for name, value in facts:
            console.print_line(f"{name:<10} {value}")


def _video_facts(video: "Video") -> Iterator[tuple[str, str]]:
    rate = video.rate.numerator / video.rate.denominator
    tick = video.time_base.numerator / video.time_base.denominator
    shown = (video.timestamps[-1] - video.timestamps[0]) * tick + 1 / rate
    yield "video", f"{video.name} ({sum(m.size for m in video.members):,} bytes)"
    yield "frames", f"{video.frame_count} at {rate:g}/s nominal, {shown:.3f} s"
    yield "size", f"{video.width}×{video.height}, shown turned by {video.rotation}°"
    yield "coding", f"{video.codec}, {video.pixel_format}, {video.bits} bit"
    for name, tag in video.color:
        yield name, f"{tag.value} ({_SOURCES[tag.source]})"


_SOURCES = {"stream": "the stream says so", "assumed": "assumed", "user": "as you said"}


def _reference_facts(reference: "Reference") -> Iterator[tuple[str, str]]:
    raw, transform, crop = reference.raw, reference.transform, reference.transform.crop
    mirrored = "mirrored, " if transform.mirror else ""
    black = ", ".join(f"{level:g}" for level in reference.black)
    yield "RAW", f"{raw.name} ({raw.member.size:,} bytes) of frame {reference.frame_index}"
    yield "camera", reference.profile.unique_model
    yield "levels", f"black {black}, white {reference.white}, {reference.bits} bit"
    yield "CFA phase", f"{reference.phase} on the video's grid"
    yield (
        "lies at",
        f"row {crop.top}, column {crop.left}, {crop.width}×{crop.height} of "
        f"{transform.sensor_width}×{transform.sensor_height}, "
        f"{mirrored}turned by {90 * transform.quarter_turns}°",
    )
    yield "match", f"{reference.match_score:.3f}"
