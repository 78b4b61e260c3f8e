"""What is done with a mutated file: all that rvdtool does with such a file."""

import hashlib
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from rvdtool.bundle.convert import geometry
from rvdtool.bundle.store import Bundle, open_bundle
from rvdtool.bundle.transform import Homography
from rvdtool.bundle.unpack import unpack
from rvdtool.bundle.verify import verify
from rvdtool.errors import RvdError
from rvdtool.raw.dng import encode_dng
from rvdtool.raw.frame import CfaPhase
from rvdtool.raw.mlv import read_mlv
from rvdtool.raw.one_frame import one_frame_file
from rvdtool.raw.read import MosaicLevels, read_raw
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.source import FileSource

_LONGEST = 1000
"""Characters of a message."""

OUT = "out"
"""The only folder, beside the mutated file, in which something may be written."""

LEVELS = MosaicLevels((64.0,) * 4, 1023, CfaPhase.RGGB, 10)


def use_bundle(path: Path) -> list[str]:
    """Open, tell, verify, write DNGs, decode, unpack: each whatever became of the one before."""
    opened: list[Bundle] = []
    told = said(lambda: opened.append(open_bundle(path)))
    return told + (_use_opened(opened[0], path.parent / OUT) if opened else [])


def _use_opened(bundle: Bundle, out: Path) -> list[str]:
    return [
        *said(lambda: _told(bundle)),
        *said(lambda: _require_ok(bundle)),
        *said(lambda: [encode_dng(reference.frame) for reference in bundle.references]),
        *said(lambda: list(islice(read_frames(bundle.checked_video(), bundle.video_info), 20))),
        *said(lambda: _unpack(bundle, out)),
    ]


def _told(bundle: Bundle) -> None:
    """What `info` tells, and what de-rendering asks, of the manifest alone."""
    _ = bundle.video_info, bundle.exposures
    for reference in bundle.manifest.references:
        if isinstance(reference.transform, Homography):
            geometry(reference.transform)


def _unpack(bundle: Bundle, out: Path) -> None:
    """Whether or not it is refused halfway, what lies there is what was packed.

    Raises:
        AssertionError: it isn't.
    """
    try:
        unpack(bundle, out)
    finally:
        known = {member.sha256 for member in bundle.manifest.members}
        for file in out.rglob("*"):
            if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() not in known:
                raise AssertionError(f"{file} was unpacked, but never packed")


def use_raw(path: Path) -> list[str]:
    """A DNG, or any file that LibRaw may take for RAW."""
    return said(lambda: read_raw(path))


def use_plain(path: Path) -> list[str]:
    """A 16-bit TIFF or PNG."""
    return said(lambda: read_raw(path, levels=LEVELS))


def use_mlv(path: Path) -> list[str]:
    """A recording: its first frame, as the file that a bundle would keep, and all of them."""
    return said(lambda: read_raw(path)) + said(lambda: _cut(path)) + said(lambda: _read_all(path))


def use_video(path: Path) -> list[str]:
    """A video, as pack reads it: before anybody knows a checksum."""

    def read() -> None:
        source = FileSource(path)
        info = probe(source)
        for _ in islice(read_frames(source, info), 20):
            pass

    return said(read)


def _read_all(path: Path) -> None:
    video = read_mlv(path)
    for index in range(len(video.frames)):
        video.read(index)


def _cut(path: Path) -> None:
    with one_frame_file(path) as alone:
        read_raw(alone)


def _require_ok(bundle: Bundle) -> None:
    failed = [check.name for check in verify(bundle) if not check.ok]
    if failed:
        raise RvdError(f"verify: {failed[0]}")


def said(action: Callable[[], object]) -> list[str]:
    """The typed error, in words; any other error is for the watcher."""
    try:
        action()
    except RvdError as error:
        if len(str(error)) > _LONGEST or "\n" in str(error):
            raise ValueError(f"not one line to be read: {str(error)[:_LONGEST]!r}") from error
        return [f"{type(error).__name__}: {error}"]
    return []
