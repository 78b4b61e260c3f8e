"""Converts between the manifest's models and the types of other packages, without loss."""

import math
import struct
from dataclasses import dataclass, replace
from fractions import Fraction

from rvdtool.bundle import manifest as m
from rvdtool.bundle import transform as t
from rvdtool.errors import RawError
from rvdtool.raw.bayer import crop, orient
from rvdtool.raw.carried import require_carried
from rvdtool.raw.frame import CameraProfile, CfaPhase, Exposure, Mosaic, RawFrame, Rect, Tag
from rvdtool.raw.lens import Lens
from rvdtool.raw.move import DEFAULT_SCALE, scale_tag
from rvdtool.raw.read import MosaicLevels
from rvdtool.raw.resample import resample
from rvdtool.video.decode import Assume
from rvdtool.video.frame import ColorInterpretation, ColorTag, VideoInfo

UPRIGHT_AFTER = {0: 1, 90: 6, 180: 3, 270: 8}
"""TIFF orientation for each clockwise rotation, in degrees, that players apply to the video."""

Turn = tuple[bool, int]
"""Whether to mirror left-right first, and the number of clockwise quarter turns after that."""

TURNS: dict[int, Turn] = {
    1: (False, 0),
    2: (True, 0),
    3: (False, 2),
    4: (True, 2),
    5: (True, 3),
    6: (False, 1),
    7: (True, 1),
    8: (False, 3),
}
"""TIFF orientation → the turn that shows the picture upright."""

_ORIENTATIONS = {turn: orientation for orientation, turn in TURNS.items()}
_FLOATS = {11: "f", 12: "d"}


def crop_and_turn(sensor: tuple[int, int], rect: Rect, turn: Turn) -> t.CropAndTurn:
    """The transform that crops an active area to `rect` and then turns it.

    Args:
        sensor: (height, width) of the active area.
        rect: the part to keep, in active-area coordinates.
        turn: mirroring and rotation to apply to it.
    """
    mirror, quarter_turns = turn
    return t.CropAndTurn(
        kind="crop_and_turn",
        sensor_height=sensor[0],
        sensor_width=sensor[1],
        crop=t.RectEntry(top=rect.top, left=rect.left, height=rect.height, width=rect.width),
        mirror=mirror,
        quarter_turns=quarter_turns,
    )


@dataclass(frozen=True)
class Geometry:
    """A homography at the middle of the video's grid, as position, scale and rotation.

    Attributes:
        row, column: position of the grid's middle on the active area.
        scales: photosites per pixel along the grid's width and height.
        degrees: clockwise rotation of the RAW, after mirroring, that aligns it with the grid.
        mirrored: whether left and right are swapped first.
    """

    row: float
    column: float
    scales: tuple[float, float]
    degrees: float
    mirrored: bool


def geometry(transform: t.Homography) -> Geometry:
    """Position, scales and rotation of a homography at the middle of the video's grid."""
    x, y = (transform.grid_width - 1) / 2, (transform.grid_height - 1) / 2
    (a, b, _), (d, e, _), (g, h, _) = transform.matrix
    column, row, w = (p * x + q * y + r for p, q, r in transform.matrix)
    column, row = column / w, row / w
    # The derivatives of column and row by x and y.
    (across, over), (along, down) = (
        ((a - column * g) / w, (b - column * h) / w),
        ((d - row * g) / w, (e - row * h) / w),
    )
    area = across * down - over * along
    mirrored = area < 0
    degrees = -math.degrees(math.atan2(along, -across if mirrored else across))
    scales = math.hypot(across, along), math.hypot(over, down)
    return Geometry(row, column, scales, degrees + 0.0, mirrored)


def lens(transform: t.Homography) -> Lens | None:
    """The lens distortion that the RAW has and the video hasn't; None if there is none."""
    size = transform.sensor_height, transform.sensor_width
    return None if transform.lens is None else Lens(transform.lens, size)


def on_grid(frame: RawFrame, transform: t.Transform, rotation: int) -> RawFrame:
    """Bring a RAW frame onto the video's grid.

    For a crop and turn, every photosite keeps its value. For a homography, values are resampled by
    `rvdtool.raw.resample`.

    Args:
        frame: the RAW frame as read, with the active area's mosaic.
        transform: transform from the active area to the grid.
        rotation: degrees clockwise by which players rotate the video.

    Returns:
        The frame with the grid's mosaic, CFA phase and black levels, without a default crop. Its
        orientation shows it as players show the video.

    Raises:
        RawError: the transform is for an active area of another size.
    """
    if frame.size != (transform.sensor_height, transform.sensor_width):
        raise RawError(
            "expected an active area of "
            f"{transform.sensor_width}×{transform.sensor_height}; the RAW's is "
            f"{frame.size[1]}×{frame.size[0]}"
        )
    match transform:
        case t.CropAndTurn(crop=rect):
            cut = crop(frame, Rect(rect.top, rect.left, rect.height, rect.width))
            turn = _ORIENTATIONS[transform.mirror, transform.quarter_turns]
            placed = orient(replace(cut, orientation=turn))
        case t.Homography():
            placed = resample(frame, transform.matrix, transform.grid_size, lens(transform))
    return replace(placed, orientation=UPRIGHT_AFTER[rotation], default_crop=None)


def with_pixel_aspect(frame: RawFrame, aspect: Fraction | None) -> RawFrame:
    """The frame with the video's pixel aspect, as a DefaultScale tag.

    Args:
        frame: the RAW frame on the video's grid.
        aspect: width of a pixel divided by its height. None (unknown) and 1 (which encoders write
            by default) keep the camera's own value.
    """
    if aspect is None or aspect == 1:
        return frame
    kept = [tag for tag in frame.profile.tags if tag.code != DEFAULT_SCALE]
    tags = (*kept, scale_tag(aspect))
    return replace(frame, profile=replace(frame.profile, tags=tags))


def video_entry(info: VideoInfo, *, kind: str, name: str, members: tuple[m.Member, ...]) -> m.Video:
    """Convert a video's properties to the manifest's model.

    Raises:
        pydantic.ValidationError: the video exceeds the manifest's limits.
    """
    color = {
        field: m.Color(value=tag.value, source=tag.source)
        for field, tag in vars(info.color).items()
    }
    return m.Video.model_validate(
        {
            "kind": kind,
            "name": name,
            "members": members,
            "width": info.width,
            "height": info.height,
            "frame_count": info.frame_count,
            "timestamps": info.timestamps,
            "time_base": _ratio(info.time_base),
            "rate": _ratio(info.rate),
            "rotation": info.rotation,
            "codec": info.codec,
            "pixel_format": info.pixel_format,
            "bits": info.bits,
            "color": m.ColorEntry(**color),
            "stream": info.stream,
            "sample_aspect": _ratio_or_none(info.sample_aspect),
            "taken_as_progressive": info.taken_as_progressive,
            "undecodable": info.undecodable,
        }
    )


def video_info(video: m.Video) -> VideoInfo:
    """The result of `probe` at the time of packing, from the manifest."""
    color = {field: ColorTag(value=tag.value, source=tag.source) for field, tag in video.color}
    return VideoInfo(
        width=video.width,
        height=video.height,
        timestamps=video.timestamps,
        time_base=_fraction(video.time_base),
        rate=_fraction(video.rate),
        rotation=video.rotation,
        codec=video.codec,
        pixel_format=video.pixel_format,
        bits=video.bits,
        color=ColorInterpretation(**color),
        stream=video.stream,
        sample_aspect=_fraction_or_none(video.sample_aspect),
        taken_as_progressive=video.taken_as_progressive,
        undecodable=video.undecodable,
    )


def assumptions(video: m.Video) -> Assume:
    """The user's statements about the video at the time of packing, from the manifest."""
    said = {field: tag.value for field, tag in video.color if tag.source == "user"}
    return Assume(**said, progressive=video.taken_as_progressive)


def profile_entry(profile: CameraProfile) -> m.Profile:
    """Convert a camera profile to the manifest's model."""
    matrix = profile.color_matrix and tuple(tuple(row) for row in profile.color_matrix)
    return m.Profile.model_validate(
        {
            "make": profile.make,
            "model": profile.model,
            "unique_model": profile.unique_model,
            "as_shot_neutral": profile.as_shot_neutral,
            "color_matrix": matrix,
            "illuminant": profile.illuminant,
            "tags": tuple(_tag_entry(tag) for tag in profile.tags),
            "dropped": profile.dropped,
        }
    )


def exposure_entry(exposure: Exposure) -> m.ExposureEntry:
    """Convert a frame's exposure to the manifest's model."""
    return m.ExposureEntry(
        time=_ratio_or_none(exposure.time),
        f_number=_ratio_or_none(exposure.f_number),
        iso=exposure.iso,
        focal_length=_ratio_or_none(exposure.focal_length),
        lens_model=exposure.lens_model,
        date_time_original=exposure.date_time_original,
    )


def raw_frame(reference: m.ReferenceEntry, mosaic: Mosaic) -> RawFrame:
    """The RAW frame on the video's grid, from its mosaic and the manifest.

    Raises:
        RawError: the manifest contradicts itself.
    """
    return RawFrame(
        mosaic=mosaic,
        phase=CfaPhase(reference.phase),
        black=reference.black,
        white=reference.white,
        bits=reference.bits,
        profile=camera_profile(reference.profile),
        orientation=reference.orientation,
        exposure=frame_exposure(reference.exposure),
    )


def camera_profile(profile: m.Profile) -> CameraProfile:
    """The camera profile from the manifest.

    Raises:
        RawError: a DNG can't contain it.
    """
    tags = tuple(_tag(tag) for tag in profile.tags)
    for tag in tags:
        require_carried(tag)
    if len({tag.code for tag in tags}) < len(tags):
        raise RawError("it has the same tag twice")
    return CameraProfile(
        unique_model=profile.unique_model,
        as_shot_neutral=profile.as_shot_neutral,
        make=profile.make,
        model=profile.model,
        color_matrix=profile.color_matrix,
        illuminant=profile.illuminant,
        tags=tags,
        dropped=profile.dropped,
    )


def frame_exposure(exposure: m.ExposureEntry) -> Exposure:
    """A frame's exposure from the manifest.

    Raises:
        RawError: a DNG can't contain it.
    """
    return Exposure(
        time=_fraction_or_none(exposure.time),
        f_number=_fraction_or_none(exposure.f_number),
        iso=exposure.iso,
        focal_length=_fraction_or_none(exposure.focal_length),
        lens_model=exposure.lens_model,
        date_time_original=exposure.date_time_original,
    )


def levels_entry(levels: MosaicLevels | None) -> m.LevelsEntry | None:
    """Convert the levels that the user gave for a plain mosaic to the manifest's model."""
    if levels is None:
        return None
    return m.LevelsEntry(
        black=levels.black, white=levels.white, phase=levels.phase.value, bits=levels.bits
    )


def mosaic_levels(levels: m.LevelsEntry | None) -> MosaicLevels | None:
    """The levels that the user gave for a plain mosaic, from the manifest."""
    if levels is None:
        return None
    return MosaicLevels(
        black=levels.black, white=levels.white, phase=CfaPhase(levels.phase), bits=levels.bits
    )


def _ratio(value: Fraction) -> m.RationalEntry:
    return m.RationalEntry(numerator=value.numerator, denominator=value.denominator)


def _fraction(ratio: m.RationalEntry) -> Fraction:
    return Fraction(ratio.numerator, ratio.denominator)


def _ratio_or_none(value: Fraction | None) -> m.RationalEntry | None:
    return None if value is None else _ratio(value)


def _fraction_or_none(ratio: m.RationalEntry | None) -> Fraction | None:
    return None if ratio is None else _fraction(ratio)


def _tag_entry(tag: Tag) -> m.TagEntry:
    """Convert a tag to JSON's types. Floats that JSON can't express (NaN) become bytes."""
    value = tag.value
    numbers = value if isinstance(value, tuple) else (value,)
    said: m.Numbers | m.Characters | m.Bytes
    if isinstance(value, str):
        said = m.Characters(kind="text", text=value)
    elif isinstance(value, bytes):
        said = m.Bytes(kind="hex", hex=value.hex())
    elif tag.dtype in _FLOATS and not all(map(math.isfinite, numbers)):
        packed = struct.pack(f"<{len(numbers)}{_FLOATS[tag.dtype]}", *numbers)
        said = m.Bytes(kind="hex", hex=packed.hex())
    else:
        said = m.Numbers(kind="numbers", numbers=numbers)
    return m.TagEntry(code=tag.code, dtype=tag.dtype, count=tag.count, value=said)


def _tag(tag: m.TagEntry) -> Tag:
    match tag.value:
        case m.Characters(text=text):
            return Tag(tag.code, tag.dtype, tag.count, text)
        case m.Bytes(hex=digits):
            return Tag(tag.code, tag.dtype, tag.count, bytes.fromhex(digits))
        case m.Numbers(numbers=numbers):
            return Tag(tag.code, tag.dtype, tag.count, numbers if len(numbers) > 1 else numbers[0])
