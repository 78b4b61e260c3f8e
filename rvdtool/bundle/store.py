"""Creates and opens bundles.

An open `Bundle` holds no file handle; it knows where its members are, and reads them on demand.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from rvdtool.bundle import convert
from rvdtool.bundle.archive import (
    MIMETYPE,
    MIMETYPE_MEMBER,
    Advance,
    ArchiveWriter,
    InputFile,
    Slice,
    member_chunks,
    quoted,
    read_archive,
    read_member,
)
from rvdtool.bundle.fields import MAX_MANIFEST_BYTES
from rvdtool.bundle.manifest import (
    FORMAT,
    VERSION,
    Exposures,
    Manifest,
    Member,
    Padding,
    PlanesMember,
    RawMember,
    ReferenceEntry,
    Video,
)
from rvdtool.bundle.manifest_json import manifest_bytes, parse_manifest
from rvdtool.bundle.planes import (
    decode_planes,
    encode_planes,
    padding,
    planes_size,
    require_planes_bytes,
)
from rvdtool.bundle.transform import Homography, Transform
from rvdtool.errors import BundleError, InputError
from rvdtool.files import exclusive, lock_of, write_beside
from rvdtool.raw.bayer import from_planes
from rvdtool.raw.frame import CfaPhase, RawFrame
from rvdtool.raw.read import MosaicLevels
from rvdtool.video.frame import VideoInfo
from rvdtool.video.source import ImageSource, SliceSource, VideoSource

MANIFEST_MEMBER = "manifest.json"
DIGEST_MEMBER = "manifest.sha256"
"""Hash of the manifest in the format of `sha256sum -c`. The first bundles don't have it."""


@dataclass(frozen=True)
class VideoInput:
    """A video to be packed.

    Attributes:
        name: name of the file or folder.
        files: the video file, or a folder's pictures in display order.
        is_folder: whether it is a folder.
        info: the video's properties, as probed.
    """

    name: str
    files: Sequence[InputFile]
    is_folder: bool
    info: VideoInfo


@dataclass(frozen=True, eq=False)
class ReferenceInput:
    """A RAW frame to be packed.

    Attributes:
        file: the user's RAW file.
        index: index of the video frame that it belongs to.
        frame: the RAW frame on the video's grid.
        transform: transform from the RAW's active area to the grid.
        match_score: score of the match, -1..1.
        levels: levels that the user gave for a file without metadata.
    """

    file: InputFile
    index: int
    frame: RawFrame
    transform: Transform
    match_score: float
    levels: MosaicLevels | None = None


@dataclass(frozen=True)
class Reference:
    """A true RAW frame in a bundle. It is read on the first access to `frame`."""

    index: int
    _entry: ReferenceEntry
    _path: Path
    _slice: Slice

    @cached_property
    def frame(self) -> RawFrame:
        """The RAW frame on the video's grid.

        Raises:
            BundleError: its planes are damaged.
        """
        size = self._entry.transform.grid_size
        mosaic = from_planes(self.read_planes(), CfaPhase(self._entry.phase), size)
        return convert.raw_frame(self._entry, mosaic)

    @property
    def is_resampled(self) -> bool:
        """Whether the RAW had to be interpolated to fit the video's grid."""
        return isinstance(self._entry.transform, Homography)

    def read_planes(self) -> NDArray[np.uint16]:
        """Read the planes R, Gr, Gb, B as stored, with their padding: [4, height, width] in DN.

        Raises:
            BundleError: they are damaged.
        """
        member = self._entry.planes.member
        size = planes_size(CfaPhase(self._entry.phase), self._entry.transform.grid_size)
        try:
            require_planes_bytes(member.size, size)
        except BundleError as error:
            raise BundleError(f"{self._path}: {member.name}: {error}") from error
        data = read_member(self._path, self._slice)
        if hashlib.sha256(data).hexdigest() != member.sha256:
            raise BundleError(f"{self._path}: {member.name} is damaged; see `rvdtool verify`")
        try:
            return decode_planes(data, size)
        except BundleError as error:
            raise BundleError(f"{self._path}: {member.name}: {error}") from error


@dataclass(frozen=True)
class Bundle:
    """An open bundle, whose structure has been checked. It holds no file handle.

    Attributes:
        path: path of the file.
        manifest: the manifest.
        slices: position of each member in the file, by name.
        references: the true RAW frames, in the order of their indices.
    """

    path: Path
    manifest: Manifest
    slices: dict[str, Slice]
    references: tuple[Reference, ...]

    def checked_video(self) -> VideoSource:
        """The video, to be decoded in place, after a check of its hashes.

        Decoders should never see damaged bytes. So the first call reads the whole video; later
        calls return the same source.

        Raises:
            InputError: the file can't be read.
            BundleError: the video is damaged.
        """
        return self._checked_video

    @cached_property
    def _checked_video(self) -> VideoSource:
        for member in self.manifest.video.members:
            if not is_intact(self, member):
                raise BundleError(
                    f"{self.path}: {member.name} is damaged: its bytes were altered; copy the "
                    "bundle again, or see `rvdtool verify`"
                )
        return self.unchecked_video

    @cached_property
    def unchecked_video(self) -> VideoSource:
        """The video without a check of its hashes: for `verify`, which checks them itself."""
        entry = self.manifest.video
        parts = tuple(self._source(member) for member in entry.members)
        return parts[0] if entry.kind == "file" else ImageSource(parts, self.video_info.rate)

    @cached_property
    def video_info(self) -> VideoInfo:
        """Properties of the video when it was packed."""
        return convert.video_info(self.manifest.video)

    @cached_property
    def exposures(self) -> tuple[float, ...] | None:
        """Exposure of each frame relative to frame 0; None if not given.

        It is the product of exposure time, ISO and gain, as far as the bundle has them. RAW values
        (above black) from the same light are proportional to it.
        """
        said = self.manifest.exposures
        known = () if said is None else (said.time, said.iso, said.gain)
        columns = [values for values in known if values is not None]
        if not columns:
            return None
        totals = [math.prod(values) for values in zip(*columns, strict=True)]
        return tuple(total / totals[0] for total in totals)

    def _source(self, member: Member) -> SliceSource:
        part = self.slices[member.name]
        return SliceSource(self.path, part.offset, part.size)


def is_intact(bundle: Bundle, member: Member, advance: Advance | None = None) -> bool:
    """Whether a member's bytes have the SHA-256 that the manifest states.

    Args:
        bundle: an open bundle.
        member: a member from its manifest.
        advance: called with the number of bytes hashed since the last call.

    Raises:
        InputError: the file can't be read.
        BundleError: the file ends before the member does.
    """
    digest = hashlib.sha256()
    for chunk in member_chunks(bundle.path, bundle.slices[member.name]):
        digest.update(chunk)
        if advance is not None:
            advance(len(chunk))
    return digest.hexdigest() == member.sha256


def create(
    path: Path,
    video: VideoInput,
    references: Iterable[ReferenceInput],
    *,
    exposures: Exposures | None = None,
    overwrite: bool = False,
    advance: Advance | None = None,
) -> None:
    """Write a bundle, either completely or not at all. The same input gives the same bytes.

    Args:
        path: path of the new bundle.
        video: the video.
        references: its RAW frames, in ascending order of index. Each is released once written.
        exposures: the camera's exposure of each video frame, if known.
        overwrite: replace an existing file.
        advance: called with the number of bytes copied since the last call.

    Raises:
        InputError: an input can't be read, changed meanwhile, or exceeds the format's limits.
        OutputError: `path` exists (without `overwrite`), is being written by another process, or
            can't be written.
    """
    taken = f"{path}: is being written by another run of rvdtool; wait for it, or stop it"
    try:
        with (
            exclusive(lock_of(path), taken),
            write_beside(path, overwrite=overwrite) as file,
            ArchiveWriter(file, advance) as archive,
        ):
            archive.add_bytes(MIMETYPE_MEMBER, MIMETYPE)
            entry = _add_video(archive, video)
            files = [*video.files]
            entries = []
            for reference in references:
                files.append(reference.file)
                entries.append(_add_reference(archive, reference))
            manifest = Manifest(
                format=FORMAT,
                version=VERSION,
                video=entry,
                references=tuple(entries),
                exposures=exposures,
            )
            written = archive.add_bytes(MANIFEST_MEMBER, manifest_bytes(manifest))
            archive.add_bytes(DIGEST_MEMBER, _digest_line(written.sha256))
            # Checked together at the end, so that all files are from the same moment.
            for source in files:
                source.require_unchanged()
    except ValidationError as error:
        raise InputError(
            f"{path}: these inputs exceed the limits of a bundle: {error.errors()[0]['msg']}"
        ) from error


def open_bundle(path: Path) -> Bundle:
    """Open a bundle and check its structure: archive, manifest, and that they agree.

    No video or pixels are read; `rvdtool.bundle.verify` checks the members' contents.

    Raises:
        InputError: the file doesn't exist or can't be read.
        BundleError: it isn't a bundle, is truncated, damaged or of a newer version, or a member is
            missing, added, misnamed or of another size.
    """
    slices = read_archive(path)
    described = slices.get(MANIFEST_MEMBER)
    if described is None:
        raise BundleError(f"{path}: has no {MANIFEST_MEMBER}, so it isn't a bundle")
    if described.size > MAX_MANIFEST_BYTES:
        raise BundleError(
            f"{path}: its {MANIFEST_MEMBER} is larger than {MAX_MANIFEST_BYTES} bytes"
        )
    try:
        manifest = parse_manifest(_read_manifest(path, slices))
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    _require_same_members(path, slices, manifest)
    references = tuple(
        Reference(entry.frame_index, entry, path, slices[entry.planes.member.name])
        for entry in manifest.references
    )
    return Bundle(path, manifest, slices, references)


def _digest_line(digest: str) -> bytes:
    return f"{digest}  {MANIFEST_MEMBER}\n".encode()


def _read_manifest(path: Path, slices: dict[str, Slice]) -> bytes:
    """Read the manifest's bytes and check their hash, if the bundle has it.

    Raises:
        BundleError: the hash differs.
    """
    data = read_member(path, slices[MANIFEST_MEMBER])
    said = slices.get(DIGEST_MEMBER)
    if said is not None:
        right = _digest_line(hashlib.sha256(data).hexdigest())
        if said.size != len(right) or read_member(path, said) != right:
            raise BundleError(
                f"its {MANIFEST_MEMBER} was altered: it doesn't match {DIGEST_MEMBER}"
            )
    return data


def _add_video(archive: ArchiveWriter, video: VideoInput) -> Video:
    folder = f"video/{video.name}"
    members = tuple(
        archive.add_file(f"{folder}/{file.path.name}" if video.is_folder else folder, file)
        for file in video.files
    )
    kind = "file"
    if video.is_folder:
        kind = "png_folder" if video.info.codec == "png" else "picture_folder"
    return convert.video_entry(video.info, kind=kind, name=video.name, members=members)


def _add_reference(archive: ArchiveWriter, reference: ReferenceInput) -> ReferenceEntry:
    """Add the user's RAW file and its planes on the video's grid."""
    frame = reference.frame
    stem = f"reference/{reference.index:06d}"
    suffix = reference.file.path.suffix.lower()
    usable = suffix.isascii() and suffix[1:].isalnum()
    raw = archive.add_file(f"{stem}{suffix if usable else '.raw'}", reference.file)
    planes = archive.add_bytes(f"{stem}.planes.tiff", encode_planes(frame))
    top, left, bottom, right = padding(frame.phase, frame.size)
    return ReferenceEntry(
        frame_index=reference.index,
        raw=RawMember(
            member=raw,
            name=reference.file.path.name,
            given_levels=convert.levels_entry(reference.levels),
        ),
        planes=PlanesMember(
            member=planes, padding=Padding(top=top, left=left, bottom=bottom, right=right)
        ),
        transform=reference.transform,
        match_score=reference.match_score,
        phase=frame.phase.value,
        black=frame.black,
        white=frame.white,
        bits=frame.bits,
        orientation=frame.orientation,
        profile=convert.profile_entry(frame.profile),
        exposure=convert.exposure_entry(frame.exposure),
    )


def _require_same_members(path: Path, slices: dict[str, Slice], manifest: Manifest) -> None:
    """Require that the archive's members agree with the manifest in name and size.

    Raises:
        BundleError: a member is missing, extra or of another size.
    """
    expected = {MIMETYPE_MEMBER: len(MIMETYPE), MANIFEST_MEMBER: slices[MANIFEST_MEMBER].size}
    expected |= {member.name: member.size for member in manifest.members}
    if DIGEST_MEMBER in slices:
        expected[DIGEST_MEMBER] = slices[DIGEST_MEMBER].size
    for name, size in expected.items():
        if name not in slices:
            raise BundleError(f"{path}: member {quoted(name)} is missing")
        if slices[name].size != size:
            raise BundleError(
                f"{path}: member {quoted(name)} has {slices[name].size} bytes; its manifest says "
                f"{size}"
            )
    added = sorted(slices.keys() - expected.keys())
    if added:
        raise BundleError(f"{path}: member {quoted(added[0])} isn't in its manifest")
