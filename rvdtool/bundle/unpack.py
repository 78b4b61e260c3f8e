"""Extracts the user's files from a bundle, byte for byte."""

import hashlib
from pathlib import Path

from rvdtool.bundle.archive import Advance, member_chunks
from rvdtool.bundle.fields import folded
from rvdtool.bundle.manifest import Member
from rvdtool.bundle.store import Bundle
from rvdtool.errors import BundleError, OutputError
from rvdtool.files import describe, write_beside


def unpack(
    bundle: Bundle, folder: Path, *, overwrite: bool = False, advance: Advance | None = None
) -> list[Path]:
    """Extract the video (a file or a folder of pictures) and the RAW frames, with original names.

    Args:
        bundle: an open bundle.
        folder: output folder; created if it doesn't exist.
        overwrite: replace existing files.
        advance: called with the number of bytes written since the last call.

    Returns:
        Paths of the files.

    Raises:
        BundleError: a member's bytes have changed since packing; that member isn't written.
        OutputError: a file exists (without `overwrite`) or can't be written. Existing files are
            detected before anything is written.
    """
    targets = _targets(bundle)
    paths = [folder / name for name in targets]
    taken = [path for path in paths if path.exists()]
    if taken and not overwrite:
        raise OutputError(f"{taken[0]}: already exists; choose another folder, or use --overwrite")
    for path, member in zip(paths, targets.values(), strict=True):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path.parent}: can't be created: {describe(error)}") from error
        _write(bundle, member, path, overwrite, advance)
    return paths


def _targets(bundle: Bundle) -> dict[str, Member]:
    """Map relative paths to members. The manifest's checks keep paths inside the folder.

    Raises:
        BundleError: two files would have the same name.
    """
    video = bundle.manifest.video
    files = [(member.name.removeprefix("video/"), member) for member in video.members]
    files += [(ref.raw.name, ref.raw.member) for ref in bundle.manifest.references]
    targets = dict(files)
    names = {folded(name) for name in targets}
    if len(names) < len(files) or (video.kind != "file" and folded(video.name) in names):
        raise BundleError(f"{bundle.path}: two of its files have the same name; use unzip")
    return targets


def _write(
    bundle: Bundle, member: Member, path: Path, overwrite: bool, advance: Advance | None
) -> None:
    digest = hashlib.sha256()
    with write_beside(path, overwrite=overwrite) as file:
        for chunk in member_chunks(bundle.path, bundle.slices[member.name]):
            digest.update(chunk)
            file.write(chunk)
            if advance is not None:
                advance(len(chunk))
        if digest.hexdigest() != member.sha256:
            raise BundleError(
                f"{bundle.path}: {member.name} was altered, so it isn't unpacked; "
                "see `rvdtool verify` (unzip extracts it unchanged)"
            )
