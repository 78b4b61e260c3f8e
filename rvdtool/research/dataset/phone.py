"""A phone-like ISP, whose tone depends on content, position and time, and whose white is below 255.

The steps before tone are those of the camera-like ISP (`isp.py`). Then: denoising over time; a gain
that follows the mean brightness; base and detail (Durand and Dorsey, "Fast bilateral filtering for
the display of high-dynamic-range images", SIGGRAPH 2002); gains for sky and faces; fusion of
synthetic exposures of the one RAW frame (Mertens et al., "Exposure fusion", 2007, as Hasinoff et
al., "Burst photography", 2016, use it); a curve whose white lies below 255; sharpening.
"""

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from rvdtool.raw.frame import RawFrame
from rvdtool.research.dataset.isp import Rgb8, camera_light, curve, guided, sharpen, to_bytes
from rvdtool.research.dataset.pixels import Image, Plane, blur, enlarge, luminance, shrink
from rvdtool.research.dataset.recipe import Light, PhoneIsp

_SMALL = 4
"""The base layer is computed at a quarter of the size, as in real-time local tone mapping."""

_DARKEST = 1e-4
"""Lower limit of linear light."""

_GRAY = float(np.log2(0.18))
_MOST_GAIN = 1.5
"""Largest change by the automatic gain, in stops."""

_UNMOVED = 0.02
"""Difference of square roots that is attributed to noise (about twice the noise in good light)."""


@dataclass(frozen=True)
class _Tone:
    """The parameters of a frame's tone map, which follow the content slowly.

    Attributes:
        gain: gain of the whole frame in stops.
        slope, offset: the base as a linear function of log2 luminance, at a quarter of the size.
        mask: gain in stops for sky and faces, at a quarter of the size.
    """

    gain: float
    slope: Plane
    offset: Plane
    mask: Plane

    def toward(self, other: "_Tone", share: float) -> "_Tone":
        """Mix with `other`, whose weight is `share`."""
        return _Tone(
            self.gain + share * (other.gain - self.gain),
            self.slope + np.float32(share) * (other.slope - self.slope),
            self.offset + np.float32(share) * (other.offset - self.offset),
            self.mask + np.float32(share) * (other.mask - self.mask),
        )


class Phone:
    """Renders the frames of one sequence, in order.

    Args:
        isp: the ISP's parameters.
        light: the recipe's light, for the lens shading that the ISP corrects.
        rate: frames per second.
    """

    def __init__(self, isp: PhoneIsp, light: Light, rate: Fraction) -> None:
        self._isp, self._light = isp, light
        self._share = 1 - float(np.exp(-1 / (isp.settle * rate)))
        self._linear: Image | None = None
        self._tone: _Tone | None = None

    def render(self, frame: RawFrame, index: int) -> Rgb8:
        """Render the next frame, uint8 [H, W, 3]."""
        isp = self._isp
        linear = camera_light(frame, isp.camera, index, self._light)
        if self._linear is not None:
            linear = denoise_over_time(linear, self._linear, isp.temporal_denoise)
        self._linear = linear
        wanted = _look(linear, isp, index)
        self._tone = wanted if self._tone is None else self._tone.toward(wanted, self._share)
        coded = _fuse(linear, self._tone, isp)
        coded = sharpen(roll_off(coded, isp.white), isp.camera.sharpen, isp.camera.sharpen_radius)
        return to_bytes(coded)


def denoise_over_time(linear: Image, previous: Image, share: float) -> Image:
    """Average with the previous picture, shifted globally, where the two differ only by noise.

    Args:
        linear, previous: [H, W, 3].
        share: weight of the previous picture where both are the same.
    """
    if not share:
        return linear
    here, there = (np.sqrt(np.maximum(luminance(image), 0)) for image in (linear, previous))
    window = cv2.createHanningWindow(here.shape[::-1], cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(there, here, window)
    move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    size = here.shape[::-1]
    there = cv2.warpAffine(there, move, size, borderMode=cv2.BORDER_REFLECT_101)
    moved = cv2.warpAffine(previous, move, size, borderMode=cv2.BORDER_REFLECT_101)
    same = np.exp(-((blur(np.abs(here - there), 1.5) / _UNMOVED) ** 2))
    return np.asarray(linear + np.float32(share) * same[..., None] * (moved - linear), np.float32)


def _look(linear: Image, isp: PhoneIsp, index: int) -> _Tone:
    """The tone map for this frame alone."""
    log = np.log2(np.maximum(shrink(luminance(linear), _SMALL), _DARKEST))
    gain = float(np.clip(isp.auto_gain * (_GRAY - log.mean()), -_MOST_GAIN, _MOST_GAIN))
    slope, offset = guided(log, isp.base_sigma * log.shape[1], epsilon=0.25)
    height, width = log.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    bright = 1 / (1 + np.exp(-3 * (slope * log + offset + gain + 1)))
    sky = bright * np.clip(1 - y / (0.6 * height), 0, 1)
    away = np.hypot(x - isp.face_center[0] * width, 0.75 * (y - isp.face_center[1] * height))
    face = np.exp(-((away / (isp.face_radius * width)) ** 2)) * (index >= isp.face_start)
    mask = blur(np.asarray(isp.sky * sky + isp.face * face, np.float32), 0.02 * width)
    return _Tone(gain, slope, offset, mask)


def _fuse(linear: Image, tone: _Tone, isp: PhoneIsp) -> Image:
    """Tone-map and code each synthetic exposure, and average them with weights as smooth as the
    base."""
    log = np.log2(np.maximum(luminance(linear), _DARKEST))
    slope, offset, mask = (
        enlarge(plane, log.shape) for plane in (tone.slope, tone.offset, tone.mask)
    )
    base = slope * log + offset
    pull = isp.compression * (np.log2(isp.pivot) - tone.gain - base)
    stops = np.asarray(tone.gain + mask + pull, np.float32)
    lit = linear * np.exp2(stops + (isp.detail - 1) * (log - base))[..., None]
    camera = isp.camera
    weight = np.zeros(log.shape, np.float32)
    total = np.zeros_like(linear)
    for number in range(isp.exposures):
        factor = np.float32(2 ** (isp.exposure_step * (number - (isp.exposures - 1) / 2)))
        shown = curve(factor * np.exp2(base + stops), camera.gamma, camera.contrast)
        # Mertens' weight for well-exposed pixels, plus a little, so that none is 0 everywhere.
        good = np.exp(-((shown - np.float32(0.5)) ** 2) / np.float32(0.08)) + np.float32(1e-3)
        total += good[..., None] * curve(factor * lit, camera.gamma, camera.contrast)
        weight += good
    return total / weight[..., None]


def roll_off(coded: Image, white: float) -> Image:
    """Compress highlights towards `white`, which isn't reached; values below white − 0.2 are kept.

    Args:
        coded: gamma-coded values, 0..1 and above.
        white: the gamma-coded limit.
    """
    knee = np.float32(white - 0.2)
    over = np.maximum(coded - knee, 0)
    return np.minimum(coded, knee) + np.float32(0.2) * (1 - np.exp(-over / np.float32(0.2)))
