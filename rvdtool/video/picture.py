"""What one picture of a folder says before its pixels."""

from dataclasses import dataclass

from rvdtool.errors import VideoError

_ROTATIONS = {1: 0, 6: 90, 3: 180, 8: 270}


@dataclass(frozen=True)
class PictureHeader:
    """What all pictures of a clip must have in common.

    Attributes:
        width, height: pixels, before any rotation.
        bits: per sample.
        layout: `RGB`, or a JPEG's components with their sampling.
        transfer, primaries: H.273 code points; None where the file says nothing.
        rotation: degrees clockwise by which a viewer turns it.
        profile: name of its ICC profile; None if it has none.
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
        """For a message that compares two."""
        turned = f", to be turned by {self.rotation}°" if self.rotation else ""
        layout = "" if self.layout == "RGB" else f", {self.layout}"
        profile = "" if self.profile is None else f", profile {self.profile}"
        return f"{self.width}×{self.height}, {self.bits} bit{layout}{turned}{profile}"


def rotation_of(orientation: int, name: str) -> int:
    """Degrees clockwise by which a TIFF orientation (1..8) turns a picture.

    Raises:
        VideoError: it mirrors it.
    """
    if orientation in (2, 4, 5, 7):
        raise VideoError(
            f"{name}: flagged as mirrored (orientation {orientation}), which isn't "
            "supported; clear that flag (exiftool -Orientation= FILE) if it's wrong"
        )
    return _ROTATIONS.get(orientation, 0)
