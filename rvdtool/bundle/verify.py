"""Checks that a bundle is still what was packed: its bytes, its frames, its RAW and its planes."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rvdtool.bundle import convert
from rvdtool.bundle.archive import Advance, member_chunks
from rvdtool.bundle.headers import first_altered_byte
from rvdtool.bundle.manifest import Member, ReferenceEntry
from rvdtool.bundle.planes import padding
from rvdtool.bundle.store import DIGEST_MEMBER, MANIFEST_MEMBER, Bundle, Reference, is_intact
from rvdtool.errors import InputError, RvdError
from rvdtool.files import describe
from rvdtool.raw.bayer import to_planes
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.read import read_raw
from rvdtool.video.container import open_video
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.source import ImageSource

ARCHIVE = "archive"
"""Name of the check of all bytes that aren't in a member."""


@dataclass(frozen=True)
class Check:
    """The result of a check."""

    name: str
    ok: bool
    detail: str


def verify(bundle: Bundle, *, deep: bool = True, advance: Advance | None = None) -> list[Check]:
    """Check a bundle part by part. After a failed part, the check continues.

    Args:
        bundle: an open bundle (opening it has checked its structure).
        deep: also decode every video frame, and compare the RAW files with their planes. Otherwise
            only hashes are checked.
        advance: called with the number of bytes hashed since the last call.

    Returns:
        One Check each for the archive, the manifest and every member's hash. If `deep`, also one
        for the video and one for each reference, provided that their members are intact.

    Raises:
        InputError: the file can no longer be read.
        BundleError: the file was truncated meanwhile.
    """
    checks = [_check_archive(bundle), _check_manifest(bundle)]
    checks += [_check_hash(bundle, member, advance) for member in bundle.manifest.members]
    if not deep:
        return checks
    intact = {check.name for check in checks if check.ok}
    # Decoders must never see damaged bytes.
    if {member.name for member in bundle.manifest.video.members} <= intact:
        checks.append(_check_video(bundle))
    for entry, reference in zip(bundle.manifest.references, bundle.references, strict=True):
        if {entry.raw.member.name, entry.planes.member.name} <= intact:
            checks.append(_check_reference(bundle, entry, reference))
    return checks


def _check_archive(bundle: Bundle) -> Check:
    """Check that all bytes between the members are those that rvdtool writes."""
    try:
        place = first_altered_byte(bundle.path, bundle.slices.values())
    except OSError as error:
        raise InputError(f"{bundle.path}: can't be read: {describe(error)}") from error
    if place is None:
        return Check(ARCHIVE, True, "all bytes between the members are as expected")
    return Check(ARCHIVE, False, f"altered at byte {place}, or written by another program")


def _check_manifest(bundle: Bundle) -> Check:
    """Report on the manifest's hash, which was checked when the bundle was opened, if present."""
    if DIGEST_MEMBER in bundle.slices:
        return Check(MANIFEST_MEMBER, True, f"SHA-256 matches {DIGEST_MEMBER}")
    return Check(
        MANIFEST_MEMBER, True, "CRC-32 matches; by an early rvdtool, the bundle has no SHA-256"
    )


def _check_hash(bundle: Bundle, member: Member, advance: Advance | None) -> Check:
    same = is_intact(bundle, member, advance)
    return Check(member.name, same, "SHA-256 matches" if same else "its bytes were altered")


def _check_video(bundle: Bundle) -> Check:
    """Check that the video has the properties in the manifest, and decodes completely."""
    name = f"decoding {bundle.manifest.video.name}"
    entry, said = bundle.manifest.video, bundle.video_info
    try:
        found = probe(bundle.unchecked_video, convert.assumptions(entry), stream=_stream(bundle))
        # Older manifests lack some fields.
        stated = {k: v for k, v in vars(said).items() if k in entry.model_fields_set}
        different = [k for k, v in stated.items() if getattr(found, k) != v]
        if different:
            return Check(name, False, f"differs from the manifest: {', '.join(different)}")
        count = sum(1 for _ in read_frames(bundle.unchecked_video, said))
    except RvdError as error:
        return Check(name, False, str(error))
    return Check(name, True, f"all {count} frames decode")


def _stream(bundle: Bundle) -> int | None:
    """Number of the video's stream; looked up if an older manifest means the first video stream."""
    source, index = bundle.unchecked_video, bundle.video_info.stream
    if index is not None or isinstance(source, ImageSource):
        return index
    with open_video(source) as (_, stream):
        return int(stream.index)


def _check_reference(bundle: Bundle, entry: ReferenceEntry, reference: Reference) -> Check:
    """Check that the RAW file, brought onto the video's grid, gives the planes and their levels."""
    name = f"planes of {entry.raw.name}"
    try:
        sensor = _read_raw_member(bundle, entry)
        info = bundle.video_info
        expected = convert.on_grid(sensor, entry.transform, info.rotation)
        expected = convert.with_pixel_aspect(expected, info.sample_aspect)
        stored, planes = reference.frame, reference.read_planes()
    except RvdError as error:
        return Check(name, False, str(error))
    if not np.array_equal(to_planes(expected.mosaic, expected.phase), planes):
        return Check(name, False, "its pixels differ from the RAW file's")
    said = entry.planes.padding
    if padding(expected.phase, expected.size) != (said.top, said.left, said.bottom, said.right):
        return Check(name, False, "its padding differs from the manifest's")
    levels = (expected.phase, expected.black, expected.white, expected.bits, expected.orientation)
    if levels != (stored.phase, stored.black, stored.white, stored.bits, stored.orientation):
        return Check(name, False, "levels, CFA phase or orientation differ from the RAW file's")
    altered = [
        field
        for said_entry, expected_entry in (
            (entry.profile, convert.profile_entry(expected.profile)),
            (entry.exposure, convert.exposure_entry(expected.exposure)),
        )
        for field, value in said_entry
        if getattr(expected_entry, field) != value
    ]
    if altered:
        what = ", ".join(altered)
        return Check(
            name, False, f"the manifest's {what} is not what the RAW file states; pack it again"
        )
    return Check(name, True, f"match the RAW file, which belongs to frame {entry.frame_index}")


def _read_raw_member(bundle: Bundle, entry: ReferenceEntry) -> RawFrame:
    """Read the RAW file from a temporary copy, because its libraries need a file of its own."""
    member = entry.raw.member
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(member.name).name
        with path.open("wb") as file:
            for chunk in member_chunks(bundle.path, bundle.slices[member.name]):
                file.write(chunk)
        return read_raw(path, levels=convert.mosaic_levels(entry.raw.given_levels))
