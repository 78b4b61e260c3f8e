"""Develops a sequence of RAW frames into a video or linear pictures, with constant settings."""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import OutputError, UsageError
from rvdtool.files import make_folder, write_beside
from rvdtool.raw.bayer import color_index, crop, normalise, orient
from rvdtool.raw.curves import encode_acescct, encode_rec709, encode_srgb
from rvdtool.raw.dng import FRAME_RATE
from rvdtool.raw.frame import CameraProfile, RawFrame
from rvdtool.raw.header import Ifd
from rvdtool.raw.ifd import read_ifds
from rvdtool.raw.read import read_raw
from rvdtool.raw.render import develop_linear, look_of
from rvdtool.raw.tags import neutral_at
from rvdtool.reconstruct.pipeline import ReadAhead
from rvdtool.video.encode import CONTAINERS, Transfer, encode_video

Linear = NDArray[np.float32]
Curve = Literal["rec709", "srgb", "log"]
Codec = Literal["h264", "prores", "dnxhr"]

CODECS: dict[str, tuple[Codec, ...]] = {
    ".mp4": ("h264",),
    ".mkv": ("h264", "prores"),
    ".mov": ("prores", "dnxhr", "h264"),
}
"""Codecs that each kind of file may hold; the first is the default."""

TRANSFERS: dict[Curve, Transfer] = {"rec709": "bt709", "srgb": "srgb", "log": "unspecified"}

GREY_SIDE = 16
"""Side of the square that is averaged around the grey point, in photosites."""

COOLEST, WARMEST = 2000.0, 25000.0

AP1_FROM_AP0 = np.array(
    [
        [1.4514393161, -0.2365107469, -0.2149285693],
        [-0.0765537734, 1.1762296998, -0.0996759264],
        [0.0083161484, -0.0060324498, 0.9977163014],
    ],
    np.float32,
)
"""Matrix from ACES AP0 to AP1 primaries (Academy S-2014-004)."""

AP0 = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
"""Chromaticities x, y of R, G, B and white in ACES2065-1 (SMPTE ST 2065-1)."""

_RATE = Fraction(24)


@dataclass(frozen=True)
class DevelopOptions:
    """How to develop a sequence.

    Attributes:
        white_balance: "as-shot" for the first frame's own; a colour temperature in kelvin; or a
            point (x, y) of the upright first frame that is grey.
        exposure: correction in stops. For videos, it is relative to the exposure at which the first
            frame is as bright as by LibRaw's auto-brightness; for linear pictures, to the RAW's.
        curve: transfer curve of a video. rec709: BT.709; srgb: IEC 61966-2-1; log: ACEScct with AP1
            primaries.
        codec: codec of a video; None for the default of its kind of file.
        rate: frames per second; None for the first frame's rate, or 24 if it has none.
    """

    white_balance: Literal["as-shot"] | float | tuple[int, int] = "as-shot"
    exposure: float = 0.0
    curve: Curve = "rec709"
    codec: Codec | None = None
    rate: Fraction | None = None


@dataclass(frozen=True)
class Developed:
    """What was developed.

    Attributes:
        frames: number of frames.
        size: (width, height) of the pictures in pixels.
        codec: codec of the video; None for pictures.
        rate: frames per second.
        said_rate: whether the rate came from the user or the frames; if not, it is the default.
        neutral: the camera's response to white (R, G, B) that all frames were balanced by.
        stops: exposure relative to the RAW's own, in stops.
    """

    frames: int
    size: tuple[int, int]
    codec: Codec | None
    rate: Fraction
    said_rate: bool
    neutral: tuple[float, float, float]
    stops: float


def require_place(path: Path, options: DevelopOptions) -> None:
    """Check, before any work, that an output path fits the options.

    Raises:
        UsageError: the name is neither a video's nor a folder's; the codec doesn't fit the kind of
            file, or the curve the codec; an option doesn't apply to pictures; or OpenEXR isn't
            installed.
    """
    suffix = path.suffix.lower()
    if suffix in CONTAINERS:
        codec = options.codec or CODECS[suffix][0]
        if codec not in CODECS[suffix]:
            fitting = " or ".join(name for name, codecs in CODECS.items() if codec in codecs)
            raise UsageError(f"{path}: {codec} goes into {fitting}; choose another name or --codec")
        if options.curve == "log" and codec == "h264":
            raise UsageError(
                "--curve log needs 10 bits: write prores or dnxhr into a .mov, or leave it out"
            )
        return
    if suffix and not path.is_dir():
        raise UsageError(
            f"{path}: neither a video ({', '.join(CONTAINERS)}) nor a folder (a name "
            "without suffix)"
        )
    if options.codec or options.curve != "rec709":
        raise UsageError(
            f"{path}: a folder gets linear OpenEXR; --codec and --curve are for videos"
        )
    try:
        import OpenEXR  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"{path}: pictures need OpenEXR, which isn't installed: pip install 'rvdtool[exr]'; "
            "or name a video"
        ) from error


def develop_sequence(
    frames: Sequence[Path],
    path: Path,
    options: DevelopOptions = DevelopOptions(),
    *,
    overwrite: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> Developed:
    """Develop RAW frames into a video, or into linear OpenEXR pictures in a folder.

    Frames are developed by LibRaw (AHD) without lens corrections, with the first frame's colours
    and white balance. Pictures are upright with square pixels; videos are cropped to even sides, as
    their codecs require.

    Args:
        frames: DNGs of one clip, in order.
        path: a video (`.mp4`, `.mov`, `.mkv`), or a folder for pictures: half-float RGB, linear
            ACES AP0, in which 1 is where the first channel saturates.
        options: see `DevelopOptions`.
        overwrite: replace existing files.
        advance: called with the number of frames just done.

    Raises:
        UsageError: see `require_place`; or the grey point can't be used.
        InputError: a frame can't be read.
        OutputError: files exist, or can't be written.
    """
    require_place(path, options)
    is_video = path.suffix.lower() in CONTAINERS
    first = _read(frames[0])
    profile = replace(first.profile, as_shot_neutral=_neutral(first, options.white_balance))
    own = math.log2(look_of(replace(first, profile=profile)).brightness) if is_video else 0.0
    stops = own + options.exposure
    said = _rate_of(frames[0])
    rate = options.rate or said or _RATE
    scene_linear = not is_video or options.curve == "log"

    def developed() -> Iterator[Linear]:
        for frame in frames:
            light = develop_linear(replace(_read(frame), profile=profile), aces=scene_linear)
            yield _squared(light * np.float32(2**stops), profile)

    sizes: list[tuple[int, int]] = []

    def counted() -> Iterator[Linear]:
        with ReadAhead(developed()) as ahead:
            for light in ahead:
                sizes.append((light.shape[1], light.shape[0]))
                yield light
                advance(1)

    codec = None
    if is_video:
        codec = options.codec or CODECS[path.suffix.lower()][0]
        coded = (_coded(light, options.curve, deep=codec != "h264") for light in counted())
        encode_video(
            coded,
            path,
            rate=rate,
            codec=codec,
            transfer=TRANSFERS[options.curve],
            overwrite=overwrite,
        )
    else:
        _write_pictures(frames, counted(), path, overwrite)
    width, height = sizes[0]
    size = (width // 2 * 2, height // 2 * 2) if is_video else sizes[0]
    known = options.rate is not None or said is not None
    return Developed(len(frames), size, codec, rate, known, profile.as_shot_neutral, stops)


def encode_curve(light: Linear, curve: Curve) -> Linear:
    """Encode linear light as code values 0..1, [H, W, 3].

    Args:
        light: linear RGB [H, W, 3] with sRGB's primaries; for log, with ACES AP0's.
        curve: see `DevelopOptions`.
    """
    if curve == "log":
        return np.clip(encode_acescct(light @ AP1_FROM_AP0.T), 0, 1)
    return encode_srgb(light) if curve == "srgb" else encode_rec709(light)


def _coded(light: Linear, curve: Curve, *, deep: bool) -> NDArray[np.uint8] | NDArray[np.uint16]:
    height, width = light.shape[:2]
    coded = encode_curve(light[: height // 2 * 2, : width // 2 * 2], curve)
    if deep:
        return np.rint(coded * 65535).astype(np.uint16)
    return np.rint(coded * 255).astype(np.uint8)


def _read(path: Path) -> RawFrame:
    """Read a frame, cropped and upright."""
    frame = read_raw(path)
    return orient(frame if frame.default_crop is None else crop(frame, frame.default_crop))


def _squared(light: Linear, profile: CameraProfile) -> Linear:
    """The picture with square pixels: stretched by the camera's DefaultScale, if it has one."""
    scale = Ifd({tag.code: tag for tag in profile.tags}).numbers("DefaultScale", 2)
    if not scale or scale[0] == scale[1]:
        return light
    height, width = light.shape[:2]
    wide, high = (float(one / min(scale)) for one in scale)
    stretched: Linear = cv2.resize(light, (round(width * wide), round(height * high)))
    return stretched


def _neutral(
    first: RawFrame, balance: Literal["as-shot"] | float | tuple[int, int]
) -> tuple[float, float, float]:
    if balance == "as-shot":
        return first.profile.as_shot_neutral
    if isinstance(balance, tuple):
        return _neutral_of_point(first, *balance)
    if not COOLEST <= balance <= WARMEST:
        raise UsageError(
            f"--white-balance {balance:g}: a colour temperature is {COOLEST:g} to {WARMEST:g} K"
        )
    return neutral_at(first.profile, balance)


def _neutral_of_point(frame: RawFrame, x: int, y: int) -> tuple[float, float, float]:
    """The camera's response to grey: means around a grey point, scaled so that the largest is 1."""
    height, width = frame.size
    if not (0 <= x < width and 0 <= y < height):
        raise UsageError(
            f"--white-balance {x},{y}: outside of the frame, which is {width}×{height}"
        )
    half = GREY_SIDE // 2
    area = slice(max(y - half, 0), y + half), slice(max(x - half, 0), x + half)
    values = normalise(frame.mosaic, frame.black, frame.white)[area]
    colors = color_index(frame.phase, frame.size)[area]
    means = [float(values[colors == color].mean()) for color in range(3)]
    if values.max() >= 1 or min(means) < 0.005:
        what = "saturated" if values.max() >= 1 else "too dark"
        raise UsageError(
            f"--white-balance {x},{y}: {what} there; choose a point that is grey and well lit"
        )
    red, green, blue = (mean / max(means) for mean in means)
    return red, green, blue


def _rate_of(path: Path) -> Fraction | None:
    """A DNG's FrameRate tag; None if it has no valid one."""
    tree = read_ifds(path)
    tag = None if tree is None else tree.first.get(FRAME_RATE)
    if tag is None or not isinstance(tag.value, tuple) or len(tag.value) != 2:
        return None
    above, below = tag.value
    return Fraction(above, below) if above > 0 and below > 0 else None


def _write_pictures(
    frames: Sequence[Path], pictures: Iterator[Linear], folder: Path, overwrite: bool
) -> None:
    """Write half-float OpenEXR pictures, ZIP-compressed and tagged with AP0's chromaticities."""
    import OpenEXR

    names = [frame.with_suffix(".exr").name for frame in frames]
    make_folder(folder)
    there = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
    if there and not overwrite:
        raise OutputError(f"{folder}: has files in it; choose an empty folder, or use --overwrite")
    if strangers := sorted(there - set(names)):
        raise OutputError(
            f"{folder}: {strangers[0]} isn't part of this clip; choose an empty folder"
        )
    header = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "chromaticities": AP0,
    }
    with tempfile.TemporaryDirectory() as scratch:
        part = Path(scratch) / "part.exr"
        for name, light in zip(names, pictures, strict=True):
            pixels = np.ascontiguousarray(light, np.float16)
            OpenEXR.File(header, {"RGB": pixels}).write(str(part))
            with write_beside(folder / name, overwrite=overwrite) as file:
                file.write(part.read_bytes())
