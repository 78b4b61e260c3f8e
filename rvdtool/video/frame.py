"""What a video is (`VideoInfo`) and what comes out of decoding it (`VideoFrame`)."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8] | NDArray[np.uint16]
"""Display R'G'B' (gamma-coded), [H, W, 3]: uint8 (0..255) or uint16 (0..65535)."""

Source = Literal["stream", "assumed", "user"]
"""Where a value comes from: the stream says so, we assumed it, or the user told us."""


@dataclass(frozen=True)
class ColorTag:
    """One property of a stream's colour, and how we know it."""

    value: str
    source: Source


@dataclass(frozen=True)
class ColorInterpretation:
    """How the decoded numbers become sRGB-like R'G'B'.

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
    """A video's decoded geometry, time and colour.

    Attributes:
        width, height: decoded size in pixels, before any rotation.
        timestamps: when each frame is shown, in `time_base`, in display order; starts anywhere.
        time_base: seconds per timestamp tick.
        rate: nominal frames per second, by the header and the timestamps; `rvdtool.video.cadence`
            says whether the frames keep it.
        rotation: degrees clockwise by which a player turns the picture: 0, 90, 180 or 270.
        codec, pixel_format: FFmpeg's names.
        bits: bits per sample of the stream: 8, 10, 12, …
        color: how the numbers are read.
        stream: FFmpeg's number of the stream in its file; None for the first video stream (and for
            pictures).
        sample_aspect: width of a pixel divided by its height; None if not stated.
        taken_as_progressive: the user says so, whatever flag its frames have.
        undecodable: pictures before the first frame that no decoder gives, as a clip cut without
            re-encoding has them.
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
        """How many frames decoding gives."""
        return len(self.timestamps)


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One decoded frame, display-referred (gamma-coded) RGB at full size.

    Attributes:
        index: 0, 1, 2, … in display order.
        rgb: [H, W, 3]; uint8 (0..255) from 8-bit streams, uint16 (0..65535) from deeper ones.
        pts: timestamp in the video's time base.
    """

    index: int
    rgb: Rgb
    pts: int
