"""Develop a RAW frame into an sRGB picture with LibRaw."""

from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
import rawpy
from numpy.typing import NDArray

from rvdtool.raw.dng import encode_dng
from rvdtool.raw.frame import CameraProfile, RawFrame
from rvdtool.raw.move import DEFAULT_SCALE

RGB8 = NDArray[np.uint8]

LARGE = 1280
"""Longer side in photosites above which a frame is developed at half its size."""

_DARKEST, _BRIGHTEST = 0.25, 8.0


@dataclass(frozen=True)
class Look:
    """Constant development settings for a clip, so that any flicker is in the RAW itself.

    Attributes:
        profile: the camera profile, for white balance and colour.
        brightness: factor on the light.
    """

    profile: CameraProfile
    brightness: float

    def develop(self, frame: RawFrame, *, upright: bool = False) -> RGB8:
        """Develop a frame as `render` does, at half its size if it is larger than `LARGE`.

        Raises:
            RawError: the frame is smaller than LibRaw allows.
        """
        frame = replace(frame, profile=self.profile)
        half = max(frame.size) > LARGE
        return render(frame, upright=upright, half=half, brightness=self.brightness)


def look_of(reference: RawFrame, shown: NDArray[np.integer[Any]] | None = None) -> Look:
    """A look with a frame's own white balance and colours, and a matching brightness.

    Args:
        reference: any frame of the clip.
        shown: a gamma-coded picture [H, W, 3], whose median brightness is to be matched; None to
            match LibRaw's auto-brightness.

    Raises:
        RawError: the frame is smaller than LibRaw allows.
    """
    look = Look(reference.profile, 1.0)
    if shown is None:
        shown = render(reference, auto_bright=True, upright=False, half=True)
    light = [
        np.median((picture.mean(axis=2) / np.iinfo(picture.dtype).max) ** 2.2)
        for picture in (shown, look.develop(reference))
    ]
    brightness = float(np.clip(light[0] / max(light[1], 1e-6), _DARKEST, _BRIGHTEST))
    return replace(look, brightness=brightness)


def render(
    frame: RawFrame,
    *,
    auto_bright: bool = False,
    upright: bool = True,
    half: bool = False,
    brightness: float = 1.0,
) -> RGB8:
    """Develop a frame with the as-shot white balance: uint8 [H, W, 3], gamma-coded sRGB.

    Args:
        frame: any RAW frame of at least 22×22.
        auto_bright: brighten until 1 % clips. The gain depends on the frame, so a video flickers.
        upright: apply the frame's orientation; else the picture is oriented like the mosaic.
        half: develop at half the size, without demosaicing.
        brightness: factor applied to the linear values.

    Raises:
        RawError: the frame is smaller than LibRaw allows.
    """
    picture: RGB8 = _develop(
        frame,
        half_size=half,
        bright=brightness,
        use_camera_wb=True,
        no_auto_bright=not auto_bright,
        adjust_maximum_thr=0.0,
        user_flip=None if upright else 0,
    )
    return picture


def default_render(frame: RawFrame) -> RGB8:
    """Develop with all of rawpy's defaults, as Zhang et al. (CVPR 2024) do: uint8 [H, W, 3].

    That is daylight white balance, AHD, and auto-brightness that clips 1 % of each frame.

    Raises:
        RawError: the frame is smaller than LibRaw allows.
    """
    picture: RGB8 = _develop(frame)
    return picture


def develop_linear(frame: RawFrame, *, aces: bool = False) -> NDArray[np.float32]:
    """Develop a frame to linear light with the as-shot white balance: float32 [H, W, 3], 0..1.

    1 is where the first channel saturates; colours outside the gamut are clipped. The frame's
    orientation isn't applied.

    Args:
        frame: any RAW frame of at least 22×22.
        aces: use the primaries of ACES AP0 (SMPTE ST 2065-1, white about D60) instead of those of
            sRGB and BT.709.

    Raises:
        RawError: the frame is smaller than LibRaw allows.
    """
    picture: NDArray[np.uint16] = _develop(
        frame,
        use_camera_wb=True,
        no_auto_bright=True,
        adjust_maximum_thr=0.0,
        user_flip=0,
        output_bps=16,
        gamma=(1, 1),
        output_color=rawpy.ColorSpace.ACES if aces else rawpy.ColorSpace.sRGB,
    )
    return picture.astype(np.float32) / np.float32(65535)


def _develop(frame: RawFrame, **options: Any) -> Any:
    # Without DefaultScale, by which LibRaw would stretch the picture beyond the mosaic's size.
    tags = tuple(tag for tag in frame.profile.tags if tag.code != DEFAULT_SCALE)
    frame = replace(frame, profile=replace(frame.profile, tags=tags))
    dng = encode_dng(frame, compression="none")
    with rawpy.imread(BytesIO(dng)) as raw:
        return raw.postprocess(**options)
