"""Models of a bundle's manifest, `manifest.json`.

These models define the format; docs/formats/manifest.schema.json is generated from them and
docs/formats/bundle.md explains them. They are strict: unknown fields, numbers given as text, and
NaN are refused.
"""

from itertools import pairwise
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints
from pydantic import model_validator as check

from rvdtool.bundle.fields import (
    MAX_FRAMES,
    MAX_IMAGES,
    MAX_RATE,
    MAX_REFERENCES,
    MAX_TAG_NUMBERS,
    FileName,
    FrameIndex,
    Int64,
    Levels4,
    Number,
    Phase,
    Positive,
    Positive3,
    Rotation,
    Row3,
    Sha256,
    Side,
    StrictModel,
    Text,
    folded,
    no_truth_value,
    require_file_name,
)
from rvdtool.bundle.transform import Transform
from rvdtool.raw.dng import SMALLEST
from rvdtool.raw.frame import levels_fit
from rvdtool.raw.ifd import MOST_NUMBERS

FORMAT: Final = "rvdtool bundle"
VERSION: Final = 1


class RationalEntry(StrictModel):
    """An exact number: numerator / denominator."""

    numerator: Int64
    denominator: Annotated[int, Field(ge=1, le=2**63 - 1)]


class Member(StrictModel):
    """One member of the archive."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    """Name in the archive, with `/` between folders."""
    size: Annotated[int, Field(ge=1, le=2**63 - 1)]
    """Size in bytes."""
    sha256: Sha256
    """SHA-256 of the bytes, in lower-case hexadecimal."""


class Color(StrictModel):
    """A property of the video's colour and its source."""

    value: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    source: Literal["stream", "assumed", "user"]
    """`stream`: stated by the stream; `assumed`: stated nowhere; `user`: stated by the user."""


class ColorEntry(StrictModel):
    """Interpretation of decoded samples as R'G'B'."""

    matrix: Color
    """`bt601`, `bt709`, `bt2020`, or `rgb` if no matrix applies."""
    range: Color
    """`limited` or `full`."""
    transfer: Color
    """FFmpeg's name: `bt709`, `iec61966-2-1`, …"""
    primaries: Color
    """FFmpeg's name: `bt709`, `smpte170m`, …"""


class Video(StrictModel):
    """The video: its members, and the result of decoding them."""

    kind: Literal["file", "png_folder", "picture_folder"]
    """`file`: a video file (one member). `png_folder`, `picture_folder`: a folder of frames (one
    member each, in display order) that are PNGs, or JPEGs or TIFFs according to `codec`."""
    name: FileName
    """Name of the file or folder."""
    members: Annotated[
        tuple[Member, ...], Field(min_length=1, max_length=MAX_IMAGES, fail_fast=True)
    ]
    """`video/<name>`, or for a folder `video/<name>/<file name>` for each frame."""
    width: Side
    """Decoded width in pixels, before any rotation."""
    height: Side
    """Decoded height in pixels, before any rotation."""
    frame_count: Annotated[int, Field(ge=1, le=MAX_FRAMES)]
    timestamps: Annotated[
        tuple[Int64, ...], Field(min_length=1, max_length=MAX_FRAMES, fail_fast=True)
    ]
    """Presentation time of each frame in units of `time_base`, in display order, never decreasing.
    """
    time_base: RationalEntry
    """Seconds per timestamp unit."""
    rate: RationalEntry
    """Nominal frames per second."""
    rotation: Rotation
    """Degrees clockwise by which players rotate the decoded picture."""
    codec: Text
    """FFmpeg's name of the codec."""
    pixel_format: Text
    """FFmpeg's name of the pixel format."""
    bits: Annotated[int, Field(ge=1, le=16)]
    """Bits per sample of the stream."""
    color: ColorEntry
    stream: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Number of the stream in the file, as FFmpeg counts; null for the first video stream."""
    sample_aspect: RationalEntry | None = None
    """Width of a pixel divided by its height; null if the file doesn't say."""
    taken_as_progressive: bool = False
    """Whether the user stated that the video is progressive, whatever its flags say."""
    undecodable: Annotated[int, Field(ge=0, le=MAX_FRAMES)] = 0
    """Number of undecodable pictures before the first frame. Clips that were cut without
    re-encoding may have some."""

    @check(mode="after")
    def _is_consistent(self) -> Self:
        if len(self.timestamps) != self.frame_count:
            raise ValueError(f"{len(self.timestamps)} timestamps for {self.frame_count} frames")
        if any(late < early for early, late in pairwise(self.timestamps)):
            raise ValueError("timestamps must not decrease")
        if self.time_base.numerator < 1:
            raise ValueError("time_base must be above 0")
        above, below = self.rate.numerator, self.rate.denominator
        if not (above <= MAX_RATE * below and below <= MAX_RATE * above):
            raise ValueError(f"rate must be 1/{MAX_RATE} to {MAX_RATE}")
        if min(self.width, self.height) < SMALLEST:
            raise ValueError(f"width and height must be at least {SMALLEST}, as in a DNG")
        if self.sample_aspect is not None and self.sample_aspect.numerator < 1:
            raise ValueError("sample_aspect must be above 0")
        prefix = f"video/{self.name}"
        names = [member.name for member in self.members]
        if self.kind == "file" and names != [prefix]:
            raise ValueError(f"a video file's only member is {prefix!r}; got {names[:2]}")
        if self.kind != "file":
            if len(names) != self.frame_count:
                raise ValueError(f"{len(names)} members for {self.frame_count} frames")
            for name in names:
                if not name.startswith(prefix + "/"):
                    raise ValueError(f"{name!r} is not in {prefix + '/'!r}")
                require_file_name(name[len(prefix) + 1 :])
        return self


class LevelsEntry(StrictModel):
    """The user's statements about a RAW file without metadata (a TIFF or PNG mosaic)."""

    black: Levels4
    """DN per position of the CFA cell at the file's top-left corner, row by row."""
    white: Annotated[int, Field(ge=1, le=65_535)]
    phase: Phase
    bits: Annotated[int, Field(ge=1, le=16)]


class RawMember(StrictModel):
    """The user's RAW file, byte for byte."""

    member: Member
    name: FileName
    """Original name of the file."""
    given_levels: LevelsEntry | None
    """The user's statements about the file; null if its own metadata are used."""


class Padding(StrictModel):
    """Numbers of rows and columns, each 0 or 1, added by reflection to complete RGGB cells."""

    top: Annotated[int, Field(ge=0, le=1)]
    left: Annotated[int, Field(ge=0, le=1)]
    bottom: Annotated[int, Field(ge=0, le=1)]
    right: Annotated[int, Field(ge=0, le=1)]


class PlanesMember(StrictModel):
    """The RAW frame on the video's grid, packed into planes R, Gr, Gb, B (TIFF, uint16)."""

    member: Member
    padding: Padding


class TagEntry(StrictModel):
    """A TIFF tag of the source DNG that describes the camera."""

    code: Annotated[int, Field(ge=0, le=65_535)]
    dtype: Annotated[int, Field(ge=1, le=13)]
    """TIFF data type: 1 BYTE, 2 ASCII, 3 SHORT, 4 LONG, 5 RATIONAL, 7 UNDEFINED, 10 SRATIONAL, …"""
    count: Annotated[int, Field(ge=1, le=MAX_TAG_NUMBERS)]
    value: Annotated["Numbers | Characters | Bytes", Field(discriminator="kind")]


class Numbers(StrictModel):
    """A tag's value as numbers; a rational takes two."""

    kind: Literal["numbers"]
    numbers: Annotated[
        tuple[int | Number, ...], Field(min_length=1, max_length=2 * MOST_NUMBERS, fail_fast=True)
    ]


class Characters(StrictModel):
    """A tag's value as text."""

    kind: Literal["text"]
    text: Annotated[str, StringConstraints(max_length=MAX_TAG_NUMBERS)]


class Bytes(StrictModel):
    """A tag's value as bytes, little-endian."""

    kind: Literal["hex"]
    hex: Annotated[
        str, StringConstraints(pattern=r"^([0-9a-f]{2})*$", max_length=2 * MAX_TAG_NUMBERS)
    ]


class Profile(StrictModel):
    """The camera and its colours, in terms of the DNG specification."""

    make: Text
    model: Text
    unique_model: Annotated[str, StringConstraints(min_length=1, max_length=65_535)]
    """UniqueCameraModel."""
    as_shot_neutral: Row3
    """The camera's response to white: R, G, B."""
    color_matrix: tuple[Row3, Row3, Row3] | None
    """ColorMatrix1: XYZ to camera; null if unknown."""
    illuminant: Annotated[int, Field(ge=0, le=65_535)]
    """CalibrationIlluminant1, an EXIF LightSource."""
    tags: Annotated[tuple[TagEntry, ...], Field(max_length=1000, fail_fast=True)]
    """Further tags that remain valid for reconstructed frames."""
    dropped: Annotated[tuple[Text, ...], Field(max_length=1000, fail_fast=True)] = ()
    """Names of metadata in the RAW file that frames on the video's grid can't keep, such as
    `WarpRectilinear (OpcodeList3)`. Not recorded by older writers."""


class ExposureEntry(StrictModel):
    """The RAW frame's exposure; null for values that its file doesn't state."""

    time: RationalEntry | None
    """Exposure time in seconds."""
    f_number: RationalEntry | None
    iso: Annotated[int, Field(ge=0, le=2**32 - 1)] | None
    focal_length: RationalEntry | None
    """Focal length in millimetres."""
    lens_model: Text | None
    date_time_original: Text | None
    """Date and time as `YYYY:MM:DD HH:MM:SS`."""


class ReferenceEntry(StrictModel):
    """A true RAW frame.

    `phase`, `black` and `orientation` refer to the video's grid: they hold after `transform`.
    """

    frame_index: FrameIndex
    """Index of the video frame that it belongs to, from 0 in display order."""
    raw: RawMember
    planes: PlanesMember
    transform: Annotated[Transform, Field(discriminator="kind")]
    match_score: Annotated[float, Field(ge=-1, le=1)]
    """Correlation of detail between the RAW's greens on the grid and the frame's luma; 1: best."""
    phase: Phase
    """CFA cell at the top-left corner of the video's grid, row by row."""
    black: Levels4
    """Black level of each position of that cell, in DN."""
    white: Annotated[int, Field(ge=1, le=65_535)]
    """DN at which photosites are saturated."""
    bits: Annotated[int, Field(ge=1, le=16)]
    """Bits per DN."""
    orientation: Annotated[int, Field(ge=1, le=8)]
    """TIFF orientation that shows the grid as players show the video."""
    profile: Profile
    exposure: ExposureEntry

    @check(mode="after")
    def _is_consistent(self) -> Self:
        if not levels_fit(self.black, self.white, self.bits):
            raise ValueError("levels must hold 0 ≤ black ≤ white − 1 and white < 2^bits")
        stem = f"reference/{self.frame_index:06d}."
        for member in (self.raw.member, self.planes.member):
            if not member.name.startswith(stem) or "/" in member.name[len(stem) :]:
                raise ValueError(f"member {member.name!r} should be {stem}…")
        if self.planes.member.name != f"{stem}planes.tiff":
            raise ValueError(f"planes should be {stem}planes.tiff; got {self.planes.member.name!r}")
        if self.raw.member.name == self.planes.member.name:
            raise ValueError("raw and planes are the same member")
        return self


class Exposures(StrictModel):
    """How the camera exposed and developed each frame.

    Each list has a value for every frame of the video, or is null if nothing is known.
    """

    time: Annotated[tuple[Positive, ...], Field(max_length=MAX_FRAMES, fail_fast=True)] | None
    """Exposure time in seconds."""
    iso: Annotated[tuple[Positive, ...], Field(max_length=MAX_FRAMES, fail_fast=True)] | None
    """ISO sensitivity: proportional to the RAW values that the same light gives."""
    gain: Annotated[tuple[Positive, ...], Field(max_length=MAX_FRAMES, fail_fast=True)] | None
    """Further factor on the RAW values."""
    white_balance: (
        Annotated[tuple[Positive3, ...], Field(max_length=MAX_FRAMES, fail_fast=True)] | None
    )
    """Factors by which the camera's processing multiplied R, G, B."""


class Manifest(StrictModel):
    """The manifest of a bundle."""

    format: Literal["rvdtool bundle"]
    version: Annotated[Literal[1], BeforeValidator(no_truth_value)]
    video: Video
    references: Annotated[
        tuple[ReferenceEntry, ...], Field(min_length=1, max_length=MAX_REFERENCES, fail_fast=True)
    ]
    """References in ascending order of `frame_index`."""
    exposures: Exposures | None = None

    @property
    def members(self) -> tuple[Member, ...]:
        """All members that the manifest describes, in the archive's order."""
        references = [m for r in self.references for m in (r.raw.member, r.planes.member)]
        return (*self.video.members, *references)

    @check(mode="after")
    def _is_consistent(self) -> Self:
        indices = [reference.frame_index for reference in self.references]
        if sorted(set(indices)) != indices:
            raise ValueError(
                f"references must be in ascending order of frame_index; got {indices[:10]}"
            )
        if indices[-1] >= self.video.frame_count:
            raise ValueError(
                f"reference of frame {indices[-1]}, but the video has {self.video.frame_count}"
            )
        size = (self.video.height, self.video.width)
        for reference in self.references:
            if reference.transform.grid_size != size:
                raise ValueError(
                    f"the transform of reference {reference.frame_index} leads to "
                    f"{reference.transform.grid_size}, not to the video's {size}"
                )
        for name, values in self.exposures or ():
            if values is not None and len(values) != self.video.frame_count:
                raise ValueError(
                    f"{len(values)} exposures' {name} for {self.video.frame_count} frames"
                )
        if len({folded(member.name) for member in self.members}) != len(self.members):
            raise ValueError("two members have names that differ only in upper and lower case")
        return self
