"""`rvdtool info`: shows a bundle's contents."""

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from rvdtool.cli import console

if typing.TYPE_CHECKING:
    from rvdtool.bundle.manifest import Exposures, ReferenceEntry, Video
    from rvdtool.bundle.transform import Transform


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
    exposures = [] if manifest.exposures is None else [_exposure_facts(manifest.exposures)]
    references = map(_reference_facts, manifest.references)
    for facts in (_video_facts(manifest.video), *exposures, *references):
        for name, value in facts:
            console.print_line(f"{name:<10} {value}")


def _video_facts(video: "Video") -> Iterator[tuple[str, str]]:
    from rvdtool.bundle.convert import video_info
    from rvdtool.video.cadence import cadence

    rate = video.rate.numerator / video.rate.denominator
    tick = video.time_base.numerator / video.time_base.denominator
    shown = (video.timestamps[-1] - video.timestamps[0]) * tick + 1 / rate
    yield "video", f"{video.name} ({sum(m.size for m in video.members):,} bytes)"
    yield "frames", f"{video.frame_count} in {shown:.3f} s, {cadence(video_info(video))}"
    yield "size", f"{video.width}×{video.height}, shown rotated by {video.rotation}°"
    aspect = video.sample_aspect
    if aspect is not None and aspect.numerator != aspect.denominator:
        wide = round(video.width * aspect.numerator / aspect.denominator)
        yield "pixels", f"{aspect.numerator}:{aspect.denominator}, shown as {wide}×{video.height}"
    yield "coding", f"{video.codec}, {video.pixel_format}, {video.bits} bit"
    for name, tag in video.color:
        yield name, f"{tag.value} ({_SOURCES[tag.source]})"


_SOURCES = {"stream": "stated by the stream", "assumed": "assumed", "user": "set by --assume"}


def _exposure_facts(exposures: "Exposures") -> Iterator[tuple[str, str]]:
    for name, unit in (("time", " s"), ("iso", ""), ("gain", "×")):
        values = getattr(exposures, name)
        if values is not None:
            label = {"time": "exposed", "iso": "ISO", "gain": "gain"}[name]
            yield label, f"{min(values):g} to {max(values):g}{unit}, given for each frame"
    if exposures.white_balance is not None:
        yield "balance", "white balance, given for each frame"


def _reference_facts(reference: "ReferenceEntry") -> Iterator[tuple[str, str]]:
    raw = reference.raw
    black = ", ".join(f"{level:g}" for level in reference.black)
    yield "RAW", f"{raw.name} ({raw.member.size:,} bytes) of frame {reference.frame_index}"
    yield "camera", reference.profile.unique_model
    yield "levels", f"black {black}, white {reference.white}, {reference.bits} bit"
    yield "CFA phase", f"{reference.phase} on the video's grid"
    yield "position", _position(reference.transform)
    if reference.profile.dropped:
        yield "dropped", ", ".join(reference.profile.dropped)
    yield "match", f"{reference.match_score:.3f} with frame {reference.frame_index}"


def _position(transform: "Transform") -> str:
    from rvdtool.bundle.convert import geometry

    sensor = f"{transform.sensor_width}×{transform.sensor_height}"
    if transform.kind == "crop_and_turn":
        crop = transform.crop
        mirrored = "mirrored, " if transform.mirror else ""
        return (
            f"row {crop.top}, column {crop.left}, {crop.width}×{crop.height} of {sensor}, "
            f"{mirrored}rotated by {90 * transform.quarter_turns}°, not resampled"
        )
    lies = geometry(transform)
    wide, high = (f"{scale:.4f}" for scale in lies.scales)
    bent = "" if transform.lens is None else ", lens distortion corrected"
    return (
        f"centre at row {lies.row:.1f}, column {lies.column:.1f} of {sensor}, "
        f"{'mirrored, ' if lies.mirrored else ''}rotated by {lies.degrees:.2f}°, "
        f"{wide}×{high} photosites per pixel: resampled{bent}"
    )
