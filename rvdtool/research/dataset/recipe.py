"""Recipes of simulated sequences: all parameters that determine the pixels, and a seed.

A recipe is stored as a small JSON file. The same recipe, sources and library versions give the same
bytes.
"""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rvdtool.errors import InputError
from rvdtool.files import require_file
from rvdtool.raw.frame import CfaPhase

Matrix3 = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
Triple = tuple[float, float, float]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RawLevels(_Model):
    """Metadata of a mosaic without header (PNG, TIFF, plain numbers)."""

    black: float
    white: int
    bits: int
    phase: CfaPhase
    color_matrix: Matrix3
    """Matrix XYZ → camera."""
    neutral: Triple
    """The camera's response to white."""
    shape: tuple[int, int] | None = None
    """(height, width) of a headerless little-endian uint16 file."""


class Source(_Model):
    """A picture or clip that provides the light of a scene.

    Attributes:
        kind: `photo` (8-bit sRGB still), `raw` (RAW still), `clip` (8-bit video), or `leaves`,
            which are drawn (`rvdtool.research.dataset.leaves`) and need no file.
        path: path of the file, relative to one of the source folders given on the command line.
        seed: seed of leaves, to which otherwise only `shrink` and `defocus` apply.
        shrink: factor by which each side is divided; 2 or more removes noise, compression
            artefacts and demosaicing artefacts.
        defocus: standard deviation in pixels of the blur of leaves, after shrinking.
        start: first frame used of a clip.
        levels: for RAW stills without a header.
        s_curve: how much of a camera's contrast curve is removed (0 none, 1 a full smoothstep);
            photographs and clips only.
        saturation: factor on the saturation after linearising; below 1 compensates for a
            photograph's boosted colours.
        highlights: linear value of white in the source: 1 doesn't change it, 3 makes it three
            times as bright, like lights and skies.
    """

    kind: Literal["photo", "raw", "clip", "leaves"]
    path: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    shrink: Annotated[float, Field(ge=1, le=16)] = 2
    defocus: Annotated[float, Field(ge=0, le=32)] = 0
    start: Annotated[int, Field(ge=0)] = 0
    levels: RawLevels | None = None
    s_curve: Annotated[float, Field(ge=0, le=1)] = 0.3
    saturation: Annotated[float, Field(gt=0, le=1.5)] = 0.9
    highlights: Annotated[float, Field(ge=1, le=16)] = 1

    @model_validator(mode="after")
    def _has_a_file_or_needs_none(self) -> Self:
        if (self.kind == "leaves") == bool(self.path):
            raise ValueError("a source has a path, unless it is of kind 'leaves'")
        return self


class Trajectory(_Model):
    """A smooth path, defined at all times, so that motion blur and rolling shutter are exact.

    Offset = start + velocity·t + sway·sin(2π(t/period + phase)) + shake; pixels, frames, degrees.
    """

    start: tuple[float, float] = (0, 0)
    velocity: tuple[float, float] = (0, 0)
    sway: tuple[float, float] = (0, 0)
    period: Annotated[float, Field(gt=0)] = 60
    phase: float = 0
    shake: Annotated[float, Field(ge=0)] = 0
    """RMS hand shake per axis in pixels; rotation shakes by a hundredth of this in degrees."""
    shake_period: Annotated[float, Field(gt=0)] = 20
    angle: float = 0
    """Angle at t = 0 in degrees."""
    spin: float = 0
    """Rotation in degrees per frame."""
    roll: float = 0
    """Amplitude in degrees of an oscillating rotation with `period`."""
    zoom: Annotated[float, Field(gt=0)] = 1
    """Output pixels per source pixel at t = 0."""
    zoom_rate: float = 0
    """Relative change of zoom per frame."""


class Layer(_Model):
    """A foreground object that moves by itself and occludes the background.

    Attributes:
        source: the source of its texture.
        center: centre of the piece of the source, as fractions (x, y) of its width and height.
        radius: mean radius of the outline in texture pixels.
        lobes: deviation of the outline from a circle (0 circle … 0.5 ragged).
        motion: path relative to the centre of the world; the camera's motion is added.
        parallax: factor on the camera's motion relative to the background (above 1: nearer).
        wobble: amplitude in texture pixels of a travelling deformation.
        gain: factor on its brightness.
    """

    source: Source
    center: tuple[float, float] = (0.5, 0.5)
    radius: Annotated[float, Field(ge=4)] = 80
    lobes: Annotated[float, Field(ge=0, le=0.6)] = 0.3
    motion: Trajectory = Trajectory()
    parallax: Annotated[float, Field(ge=0, le=8)] = 1.3
    wobble: Annotated[float, Field(ge=0)] = 0
    gain: Annotated[float, Field(gt=0)] = 1


class Light(_Model):
    """Exposure and light of a sequence.

    Attributes:
        exposure: normalised sensor value (green) of source white; above 1 it clips.
        steps: (frame, factor) pairs: from that frame on, the light is multiplied by the factor.
        flicker, flicker_period: relative amplitude and period in frames of a slow change.
        shutter: exposure time as a fraction of the frame interval, 0..1; determines motion blur.
        readout: rolling shutter: time from first to last row, as a fraction of the frame interval.
        vignetting: fraction of the light that is missing in the corners, 0..0.8.
    """

    exposure: Annotated[float, Field(gt=0)] = 0.9
    steps: tuple[tuple[int, float], ...] = ()
    flicker: Annotated[float, Field(ge=0, lt=1)] = 0
    flicker_period: Annotated[float, Field(gt=0)] = 40
    shutter: Annotated[float, Field(ge=0, le=1)] = 0.4
    readout: Annotated[float, Field(ge=0, le=1)] = 0
    vignetting: Annotated[float, Field(ge=0, le=0.8)] = 0


class Sensor(_Model):
    """A sensor, which converts light to DN.

    Attributes:
        name: the DNG's UniqueCameraModel.
        bits, black, white, phase: as in RawFrame; black is one level for all four positions.
        color_matrix: XYZ → camera.
        neutral: camera response to the scene's white, largest 1.
        electrons_per_dn: 1 / gain; fewer mean more noise.
        read_noise: RMS read noise in electrons.
        row_noise: RMS row noise in DN, drawn for each row and frame.
        hot_pixels: fraction of photosites with a constant offset.
    """

    name: str
    bits: Annotated[int, Field(ge=10, le=16)] = 14
    black: Annotated[float, Field(ge=0)] = 512
    white: int = 16383
    phase: CfaPhase = CfaPhase.RGGB
    color_matrix: Matrix3
    neutral: Triple
    electrons_per_dn: Annotated[float, Field(gt=0)] = 1
    read_noise: Annotated[float, Field(ge=0)] = 3
    row_noise: Annotated[float, Field(ge=0)] = 0
    hot_pixels: Annotated[float, Field(ge=0, le=0.01)] = 0

    @model_validator(mode="after")
    def _levels_fit(self) -> Self:
        if not self.black < self.white < 2**self.bits:
            raise ValueError(
                f"levels must hold black < white < 2^bits; got {self.black}, {self.white}, "
                f"{self.bits} bits"
            )
        return self


class LibRawIsp(_Model):
    """Rendering by LibRaw: `default` as in the paper, or `steady` (no per-frame brightness)."""

    kind: Literal["libraw"]
    brightness: Literal["default", "steady"] = "default"


class CameraIsp(_Model):
    """Parameters of a camera-like ISP; `isp.py` applies them, `draw.py` has their ranges."""

    kind: Literal["camera"]
    demosaic: Literal["bilinear", "edge_aware", "malvar"] = "malvar"
    denoise_luma: Annotated[float, Field(ge=0, le=2)] = 0.5
    denoise_chroma: Annotated[float, Field(ge=0, le=3)] = 1
    white_balance_error: Triple = (1, 1, 1)
    """Factors on the true white balance gains, constant over the sequence."""
    white_balance_drift: Annotated[float, Field(ge=0, lt=0.5)] = 0.01
    """Relative amplitude of a slow drift of the red and blue gains."""
    gain: Annotated[float, Field(gt=0)] = 1.2
    gain_drift: Annotated[float, Field(ge=0, lt=0.5)] = 0.02
    """Relative amplitude of a slow drift of the digital gain."""
    drift_period: Annotated[float, Field(gt=0)] = 90
    saturation: Annotated[float, Field(ge=0, le=2)] = 1.1
    look: Matrix3 = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    """The maker's look: linear sRGB → linear sRGB, after the true matrix; rows sum to 1."""
    gamma: Literal["srgb", "bt709", "power"] = "srgb"
    contrast: Annotated[float, Field(ge=0, le=1)] = 0.3
    local_tone: Annotated[float, Field(ge=0, le=0.8)] = 0.3
    """Fraction of the large-scale contrast (in log2) that local tone mapping removes."""
    local_sigma: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """Spatial scale of the local tone mapping as a fraction of the width."""
    sharpen: Annotated[float, Field(ge=0, le=2)] = 0.5
    sharpen_radius: Annotated[float, Field(gt=0, le=4)] = 1
    vignetting_correction: Annotated[float, Field(ge=0, le=1)] = 1


class PhoneIsp(_Model):
    """Parameters of a phone-like ISP; `phone.py` applies them, `draw.py` has their ranges.

    Attributes:
        camera: the steps that it shares with a camera-like ISP; `local_tone` must be 0.
        temporal_denoise: share of the previous picture where nothing seems to move.
        auto_gain: how much of the distance (in log2) of the mean brightness from middle grey is
            corrected.
        exposures: synthetic exposures that are fused; 1 fuses none.
        exposure_step: stops between two of them.
        compression: how much of the base's contrast (in log2) is removed.
        pivot: linear brightness that the compression doesn't change.
        detail: factor on the detail, which is what the base lacks.
        base_sigma: the base's spatial scale as a share of the width.
        settle: time constant in seconds with which gain and base follow the content.
        white: coded value to which white is rolled off.
        sky: stops by which bright areas near the top are changed.
        face: stops by which an oval is changed, as if a face had been found there.
        face_center: centre of the oval, as shares of width and height.
        face_radius: its radii, as shares of the width.
        face_start: the frame in which the face is found; the gain then follows with `settle`.
    """

    kind: Literal["phone"]
    camera: CameraIsp
    temporal_denoise: Annotated[float, Field(ge=0, lt=1)] = 0.5
    auto_gain: Annotated[float, Field(ge=0, le=1)] = 0.4
    exposures: Annotated[int, Field(ge=1, le=3)] = 1
    exposure_step: Annotated[float, Field(ge=0, le=4)] = 2
    compression: Annotated[float, Field(ge=0, le=0.8)] = 0.5
    pivot: Annotated[float, Field(gt=0, le=1)] = 0.4
    detail: Annotated[float, Field(gt=0, le=2)] = 1.1
    base_sigma: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    settle: Annotated[float, Field(gt=0, le=10)] = 0.5
    white: Annotated[float, Field(ge=0.75, le=1)] = 0.92
    sky: Annotated[float, Field(ge=-2, le=2)] = 0
    face: Annotated[float, Field(ge=-2, le=2)] = 0
    face_center: tuple[float, float] = (0.5, 0.5)
    face_radius: Annotated[float, Field(gt=0, le=1)] = 0.15
    face_start: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_tone_mapping(self) -> Self:
        if self.camera.local_tone:
            raise ValueError("camera.local_tone must be 0: a phone-like ISP has its own tone map")
        return self


class Codec(_Model):
    """How the sRGB frames are stored: `png` (lossless) or a video at constant rate factor."""

    kind: Literal["png", "h264", "hevc"]
    crf: Annotated[int, Field(ge=0, le=51)] = 20


class Recipe(_Model):
    """One simulated sequence."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: Annotated[int, Field(ge=0)]
    width: Annotated[int, Field(ge=16, le=8192)]
    height: Annotated[int, Field(ge=16, le=8192)]
    frames: Annotated[int, Field(ge=1)]
    rate: Fraction = Fraction(24)
    background: Source
    camera: Trajectory = Trajectory()
    layers: tuple[Layer, ...] = ()
    light: Light = Light()
    sensor: Sensor
    isp: Annotated[LibRawIsp | CameraIsp | PhoneIsp, Field(discriminator="kind")] = LibRawIsp(
        kind="libraw"
    )
    codec: Codec = Codec(kind="png")

    @property
    def sources(self) -> tuple[Source, ...]:
        """All sources of the sequence."""
        return self.background, *(layer.source for layer in self.layers)

    @field_validator("rate")
    @classmethod
    def _positive(cls, rate: Fraction) -> Fraction:
        if rate <= 0:
            raise ValueError(f"rate must be above 0; got {rate}")
        return rate

    @model_validator(mode="after")
    def _even_for_video(self) -> Self:
        if self.codec.kind != "png" and (self.width % 2 or self.height % 2):
            raise ValueError(
                f"4:2:0 video ({self.codec.kind}) needs even sizes; got {self.width}×{self.height}"
            )
        return self


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file.

    Raises:
        InputError: the file doesn't exist or isn't a recipe; the message names the first wrong
            field.
    """
    try:
        return Recipe.model_validate_json(require_file(path, "a recipe").read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"{path}: not a recipe: {where}: {first['msg']}") from error
