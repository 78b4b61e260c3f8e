"""Properties of a video (`VideoInfo`) and one decoded frame (`VideoFrame`)."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8] | NDArray[np.uint16]
"""Display R'G'B' (gamma-coded), [H, W, 3]: uint8 (0..255) or uint16 (0..65535)."""

Source = Literal["stream", "assumed", "user"]
"""Where a value comes from: the stream's tags, a default, or the user."""


@dataclass(frozen=True)
class ColorTag:
    """One colour property of a stream, and where the value comes from."""

    value: str
    source: Source


@dataclass(frozen=True)
class ColorInterpretation:
    """How decoded samples are converted to sRGB-like R'G'B'.

    Attributes:
        matrix: `bt601`, `bt709`, `bt2020` or `rgb` (no matrix).
        range: `limited` or `full`.
        transfer, primaries: FFmpeg's names (`bt709`, `smpte170m`, `iec61966-2-1`, …).
    """

    matrix: ColorTag
    range: ColorTag
    transfer: ColorTag
    primaries: ColorTag


@dataclass(frozen=True)
class VideoInfo:
    """A video's frame size, timing and colour.

    Attributes:
        width, height: decoded size in pixels, before any rotation.
        timestamps: presentation time of each frame in units of `time_base`, in display order; the
            first need not be 0.
        time_base: seconds per timestamp tick.
        rate: nominal frame rate, from header and timestamps; `rvdtool.video.cadence` finds whether
            it is constant.
        rotation: degrees clockwise by which a player rotates the picture: 0, 90, 180 or 270.
        codec, pixel_format: FFmpeg's names.
        bits: bits per sample of the stream: 8, 10, 12, …
        color: how the samples are interpreted.
        stream: FFmpeg's index of the stream in its file; None for the first video stream (and for
            folders of pictures).
        sample_aspect: width of a pixel divided by its height; None if not stated.
        taken_as_progressive: the user asked to ignore the frames' interlaced flag.
        undecodable: number of pictures before the first frame that can't be decoded, as in a clip
            that was cut without re-encoding.
    """

    width: int
    height: int
    timestamps: tuple[int, ...]
    time_base: Fraction
    rate: Fraction
    rotation: int
    codec: str
    pixel_format: str
    bits: int
    color: ColorInterpretation
    stream: int | None = None
    sample_aspect: Fraction | None = None
    taken_as_progressive: bool = False
    undecodable: int = 0

    @property
    def frame_count(self) -> int:
        """Number of decoded frames."""
        return len(self.timestamps)


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One decoded frame, display-referred (gamma-coded) RGB at full size.

    Attributes:
        index: frame number in display order, from 0.
        rgb: [H, W, 3]; uint8 (0..255) from 8-bit streams, uint16 (0..65535) from deeper ones.
        pts: timestamp in the video's time base.
    """

    index: int
    rgb: Rgb
    pts: int
