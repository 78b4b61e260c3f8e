"""The header of a picture file: size, bit depth, colour and orientation."""

from dataclasses import dataclass

from rvdtool.errors import VideoError

_ALWAYS_READ = 8192 * 4320 * 6
"""Bytes of a decoded 8K picture of 16 bits per sample; up to this, any file size is plausible."""

_LARGEST_RATIO = 32
"""Decoded bytes per stored byte of larger pictures: one quarter of a bit per 8-bit sample."""

_ROTATIONS = {1: 0, 6: 90, 3: 180, 8: 270}


@dataclass(frozen=True)
class PictureHeader:
    """A picture file's header, which must be the same for all pictures of a clip.

    Attributes:
        width, height: size in pixels, before any rotation.
        bits: bits per sample.
        layout: `RGB`, or a JPEG's components with their sampling.
        transfer, primaries: H.273 code points; None if not stated.
        rotation: degrees clockwise by which a viewer rotates the picture.
        profile: name of the ICC profile; None if there is none.
    """

    width: int
    height: int
    bits: int
    layout: str
    transfer: int | None = None
    primaries: int | None = None
    rotation: int = 0
    profile: str | None = None

    def __str__(self) -> str:
        """A description for messages that compare two headers."""
        rotated = f", rotated by {self.rotation}°" if self.rotation else ""
        layout = "" if self.layout == "RGB" else f", {self.layout}"
        profile = "" if self.profile is None else f", profile {self.profile}"
        return f"{self.width}×{self.height}, {self.bits} bit{layout}{rotated}{profile}"


def most_bytes(stored: int) -> int:
    """Largest plausible size in bytes of a decoded picture, checked before decoding.

    A few kilobytes can claim gigabytes: a picture of one colour compresses by a factor of 1,000.
    So large pictures must have been stored in a plausible number of bytes.

    Args:
        stored: the file's size in bytes.
    """
    return max(_ALWAYS_READ, _LARGEST_RATIO * stored)


def require_plausible(header: PictureHeader, stored: int, name: str) -> PictureHeader:
    """Return the header if a file of `stored` bytes can contain such a picture.

    Raises:
        VideoError: the picture is much too large for the file.
    """
    if 3 * header.width * header.height * ((header.bits + 7) // 8) > most_bytes(stored):
        raise VideoError(
            f"{name}: claims {header.width}×{header.height} pixels in {stored:,} bytes, which is "
            "not plausible; it is damaged or forged"
        )
    return header


def rotation_of(orientation: int, name: str) -> int:
    """Rotation in degrees clockwise that a TIFF orientation (1..8) stands for.

    Raises:
        VideoError: the orientation is a mirrored one.
    """
    if orientation in (2, 4, 5, 7):
        raise VideoError(
            f"{name}: flagged as mirrored (orientation {orientation}), which isn't "
            "supported; clear that flag (exiftool -Orientation= FILE) if it's wrong"
        )
    return _ROTATIONS.get(orientation, 0)
