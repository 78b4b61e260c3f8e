"""Measures how much disk space a run needs."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from rvdtool.bundle.store import Bundle
from rvdtool.delivery.labels import Labels
from rvdtool.errors import OutputError
from rvdtool.files import describe
from rvdtool.raw.dng import Compression, encode_dng
from rvdtool.reconstruct.brightness import BLOCK
from rvdtool.video.sound import list_tracks

_LEAST_SHARE = 0.5
"""Smallest size of the DNGs, relative to the reference's: reconstructed frames have less noise, so
lossless compression makes them smaller, but not by more than this."""


@dataclass(frozen=True)
class Need:
    """Disk space that a run needs, in bytes.

    Attributes:
        dngs: size of all DNGs if each is as large as the first reference.
        sound: size of the WAV files.
        temporary: largest size of the temporary files, for frames between two references.
        free: free space, including that of an earlier run's files in the folder; None if unknown.
    """

    dngs: int
    sound: int
    temporary: int
    free: int | None

    @property
    def words(self) -> str:
        """The need as words for a message."""
        size = self.dngs + self.sound
        there = "free space unknown" if self.free is None else f"{amount(self.free)} free"
        if self.free is not None and size > self.free:
            there += ", which is too little"
        waiting = f" and {amount(self.temporary)} of temporary files" if self.temporary else ""
        return f"{amount(size)}{waiting} ({there})"


def disk_need(
    bundle: Bundle, folder: Path, span: range, labels: Labels, compression: Compression, audio: bool
) -> Need:
    """Disk space that a bundle's frames `span` need.

    Args:
        bundle: a bundle with a RAW.
        folder: folder for the DNGs; need not exist.
        span: the frames to write.
        labels: labels of the clip.
        compression: compression of the DNGs.
        audio: whether the sound is written.

    Raises:
        BundleError: the bundle is damaged.
        InputError: the video can't be read.
        OutputError: the folder can't be read.
    """
    # `replace` copies the reference; the bundle's own would keep its frame in memory.
    frame = replace(bundle.references[0]).frame
    tracks = list_tracks(bundle.checked_video())[0] if audio else []
    depths = [32 if track.depth == "float" else track.depth for track in tracks]
    rate = sum(t.rate * t.channels * depth // 8 for t, depth in zip(tracks, depths, strict=True))
    return Need(
        dngs=len(span) * len(encode_dng(frame, compression=compression)),
        sound=int(rate * labels.seconds),
        temporary=_temporary(bundle, span),
        free=free_space(folder),
    )


def require_space(need: Need, folder: Path, compression: Compression) -> None:
    """Refuse, before it starts, a run that can't fit on the disk.

    Raises:
        OutputError: the disk is surely too small.
    """
    share = 1 if compression == "none" else _LEAST_SHARE
    least = max(int(need.dngs * share) + need.sound, need.temporary)
    if need.free is not None and least > need.free:
        what = "temporary files" if least == need.temporary else "DNGs and sound"
        raise OutputError(
            f"{folder}: needs {amount(least)} at least for {what}, but only {amount(need.free)} "
            "are free; choose a folder on another disk, or a part of the clip with --frames"
        )


def stretches(bundle: Bundle, span: range) -> Iterator[tuple[int, int]]:
    """For each needed stretch between references: number of chains, and of steps in each."""
    indices = [reference.index for reference in bundle.references]
    if span.start < indices[0]:
        yield 1, indices[0] - span.start
    for one, two in pairwise(indices):
        if one + 1 < two and one + 1 < span.stop and span.start < two:
            yield 2, two - one
    if span.stop - 1 > indices[-1]:
        yield 1, span.stop - 1 - indices[-1]


def amount(size: int) -> str:
    """A number of bytes as MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """A time in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def free_space(folder: Path, *, replaced: bool = True) -> int | None:
    """Free bytes for a folder, which need not exist; None if the disk doesn't say.

    Args:
        folder: folder to write into.
        replaced: whether files in it will be replaced, so that their space counts as free.

    Raises:
        OutputError: the folder can't be read.
    """
    try:
        there = folder.iterdir() if replaced and folder.is_dir() else ()
        nearest = next(path for path in (folder, *folder.resolve().parents) if path.is_dir())
        usage = shutil.disk_usage(nearest)
        owned = sum(path.lstat().st_size for path in there)
    except OSError as error:
        raise OutputError(f"{folder}: can't be used as output folder: {describe(error)}") from error
    return usage.free + owned if usage.total else None  # virtual file systems have no size


def _temporary(bundle: Bundle, span: range) -> int:
    info, indices = bundle.video_info, [reference.index for reference in bundle.references]
    photosites = info.height * info.width
    picture = photosites * 3 * (1 if info.bits == 8 else 2)
    chain = photosites * 2 + (info.height // BLOCK) * (info.width // BLOCK) * 12
    return max(
        (
            (steps - 1) * picture + chains * steps * chain
            for chains, steps in stretches(bundle, range(span.start, min(span.stop, indices[-1])))
        ),
        default=0,
    )
