"""Render sRGB from RAW: by LibRaw's defaults as in the paper, steadily, or a camera-like ISP.

Phone-like ISPs, which also use earlier frames, are in `phone.py`.

The camera-like ISP has these steps, in the usual order of such chips:
black level and lens shading, white balance, demosaicing, denoising, colour matrix, gain, local
tone mapping, curve, sharpening, 8 bits.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.frame import CfaPhase, RawFrame
from rvdtool.raw.render import default_render, render
from rvdtool.research.dataset.color import balanced_from_srgb
from rvdtool.research.dataset.pixels import (
    Image,
    Plane,
    bilateral,
    blur,
    enlarge,
    filter_with,
    luminance,
    mix,
    saturate,
    shrink,
)
from rvdtool.research.dataset.recipe import CameraIsp, LibRawIsp, Light
from rvdtool.research.dataset.sensor import falloff

Rgb8 = NDArray[np.uint8]

# OpenCV names a CFA pattern by the cell that starts at the second row and column.
_BILINEAR = {
    CfaPhase.RGGB: cv2.COLOR_BayerBG2RGB,
    CfaPhase.BGGR: cv2.COLOR_BayerRG2RGB,
    CfaPhase.GRBG: cv2.COLOR_BayerGB2RGB,
    CfaPhase.GBRG: cv2.COLOR_BayerGR2RGB,
}
_EDGE_AWARE = {
    CfaPhase.RGGB: cv2.COLOR_BayerBG2RGB_EA,
    CfaPhase.BGGR: cv2.COLOR_BayerRG2RGB_EA,
    CfaPhase.GRBG: cv2.COLOR_BayerGB2RGB_EA,
    CfaPhase.GBRG: cv2.COLOR_BayerGR2RGB_EA,
}


def develop(frame: RawFrame, isp: LibRawIsp | CameraIsp, index: int, light: Light) -> Rgb8:
    """Render frame `index` of a sequence by an ISP that treats each frame by itself.

    Returns:
        uint8 [H, W, 3].
    """
    if isinstance(isp, CameraIsp):
        return camera_render(frame, isp, index, light)
    return default_render(frame) if isp.brightness == "default" else render(frame)


def camera_render(frame: RawFrame, isp: CameraIsp, index: int, light: Light) -> Rgb8:
    """Render a RAW frame by the camera-like ISP, uint8 [H, W, 3]."""
    linear = camera_light(frame, isp, index, light)
    linear = local_tone(linear, isp.local_tone, isp.local_sigma)
    coded = curve(linear, isp.gamma, isp.contrast)
    return to_bytes(sharpen(coded, isp.sharpen, isp.sharpen_radius))


def camera_light(frame: RawFrame, isp: CameraIsp, index: int, light: Light) -> Image:
    """All steps before tone mapping: linear sRGB [H, W, 3], not clipped; 1 is the curve's white."""
    mosaic = subtract_black(frame)
    mosaic = correct_shading(mosaic, light.vignetting * isp.vignetting_correction)
    mosaic = white_balance(mosaic, frame, isp, index)
    linear = demosaic(mosaic, frame.phase, isp.demosaic)
    linear = denoise(linear, isp.denoise_luma, isp.denoise_chroma)
    linear = to_srgb(linear, frame, isp)
    linear *= isp.gain * (1 + isp.gain_drift * np.sin(2 * np.pi * index / isp.drift_period))
    return linear


def to_bytes(coded: Image) -> Rgb8:
    """0..1, clipped, to uint8."""
    return np.rint(np.clip(coded, 0, 1) * 255).astype(np.uint8)


def subtract_black(frame: RawFrame) -> Plane:
    """Normalised mosaic [H, W]: 0 is black, 1 saturated."""
    mosaic = frame.mosaic.astype(np.float32)
    for position, black in enumerate(frame.black):
        part = mosaic[position // 2 :: 2, position % 2 :: 2]
        part -= np.float32(black)
        part /= np.float32(frame.white - black)
    return mosaic


def correct_shading(mosaic: Plane, vignetting: float) -> Plane:
    """Correct vignetting that leaves 1 − vignetting of the light in the corners."""
    return mosaic / falloff(vignetting, mosaic.shape) if vignetting else mosaic


def white_balance(mosaic: Plane, frame: RawFrame, isp: CameraIsp, index: int) -> Plane:
    """Scale red and blue to green, with the ISP's constant error and slow drift; clip at 1."""
    neutral = np.asarray(frame.profile.as_shot_neutral)
    gains = neutral.max() / neutral * np.asarray(isp.white_balance_error)
    swing = isp.white_balance_drift * np.sin(2 * np.pi * index / isp.drift_period + 1)
    gains = gains * np.array([1 + swing, 1, 1 - swing])
    balanced = np.empty_like(mosaic)
    for (row, column), color in np.ndenumerate(frame.phase.pattern):
        balanced[row::2, column::2] = mosaic[row::2, column::2] * np.float32(gains[color])
    return np.clip(balanced, 0, 1)


def demosaic(mosaic: Plane, phase: CfaPhase, method: str) -> Image:
    """Interpolate a mosaic in 0..1 to [H, W, 3]."""
    if method == "malvar":
        return _malvar(mosaic, phase)
    code = (_BILINEAR if method == "bilinear" else _EDGE_AWARE)[phase]
    coded = cv2.cvtColor(np.rint(mosaic * 65535).astype(np.uint16), code)
    return np.asarray(coded, np.float32) / np.float32(65535)


_AT_RED_GREEN = np.array(
    [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]
) / np.float32(8)
_AT_GREEN_ALONG = np.array(
    [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]
) / np.float32(8)
_AT_RED_BLUE = np.array(
    [
        [0, 0, -1.5, 0, 0],
        [0, 2, 0, 2, 0],
        [-1.5, 0, 6, 0, -1.5],
        [0, 2, 0, 2, 0],
        [0, 0, -1.5, 0, 0],
    ]
) / np.float32(8)


def _malvar(mosaic: Plane, phase: CfaPhase) -> Image:
    """Malvar, He, Cutler: "High-quality linear interpolation for demosaicing" (ICASSP 2004)."""
    green, row, column, cross = (
        filter_with(mosaic, kernel)
        for kernel in (_AT_RED_GREEN, _AT_GREEN_ALONG, _AT_GREEN_ALONG.T, _AT_RED_BLUE)
    )
    rgb = np.empty((*mosaic.shape, 3), np.float32)
    pattern = phase.pattern
    for (y, x), color in np.ndenumerate(pattern):
        here = (slice(y, None, 2), slice(x, None, 2))
        rgb[(*here, color)] = mosaic[here]
        if color == 1:
            rgb[(*here, int(pattern[y, 1 - x]))] = row[here]
            rgb[(*here, int(pattern[1 - y, x]))] = column[here]
        else:
            rgb[(*here, 1)] = green[here]
            rgb[(*here, 2 - color)] = cross[here]
    return np.clip(rgb, 0, None)


def denoise(linear: Image, luma: float, chroma: float) -> Image:
    """Denoise luma with a bilateral filter and chroma with a blur.

    The filters work on square roots, where noise is about uniform. `luma` scales the bilateral
    filter's range, `chroma` is half the blur's sigma in pixels; 0 turns either off.
    """
    root = np.sqrt(np.maximum(linear, 0))
    gray = luminance(root)
    color = root - gray[..., None]
    if chroma:
        color = blur(color, 2 * chroma)
    if luma:
        gray = bilateral(gray, 5, 0.06 * luma, 1.5)
    return np.asarray(np.maximum(gray[..., None] + color, 0) ** 2, np.float32)


def to_srgb(linear: Image, frame: RawFrame, isp: CameraIsp) -> Image:
    """Convert white-balanced camera RGB to linear sRGB, with the maker's look and saturation."""
    matrix = frame.profile.color_matrix
    if matrix is not None:
        linear = mix(linear, np.linalg.inv(balanced_from_srgb(matrix)))
    return np.maximum(saturate(mix(linear, isp.look), isp.saturation), 0)


_TONE_PIVOT = float(np.log2(0.7))
"""Log luminance below which local tone mapping brightens; brighter areas hardly change."""


def local_tone(linear: Image, strength: float, sigma: float) -> Image:
    """Reduce the large-scale contrast of log luminance: shadows get brighter, white doesn't change.

    The base layer is log luminance after an edge-preserving guided filter at a quarter of the size,
    as in real-time local tone mapping.
    """
    if not strength:
        return linear
    log = np.log2(np.maximum(luminance(linear), 1e-4))
    small = shrink(log, 4)
    slope, offset = guided(small, sigma * small.shape[1], epsilon=0.25)
    base = enlarge(slope, log.shape) * log + enlarge(offset, log.shape)
    return np.asarray(linear * np.exp2(-strength * (base - _TONE_PIVOT))[..., None], np.float32)


def guided(image: Plane, sigma: float, epsilon: float) -> tuple[Plane, Plane]:
    """Self-guided filter (He et al., "Guided image filtering"): local linear coefficients.

    Returns:
        Slope and offset at each pixel: slope × image + offset is the image without its detail.
    """
    mean = blur(image, sigma)
    variance = np.maximum(blur(image * image, sigma) - mean * mean, 0)
    slope = np.asarray(variance / (variance + epsilon), np.float32)
    return blur(slope, sigma), blur(mean - slope * mean, sigma)


def curve(linear: Image, gamma: str, contrast: float) -> Image:
    """Apply a soft shoulder towards white, the transfer curve, and a smoothstep for contrast."""
    knee = np.float32(0.8)
    over = np.maximum(linear - knee, 0)
    linear = np.minimum(linear, knee) + (1 - knee) * (1 - np.exp(-over / (1 - knee)))
    if gamma == "srgb":
        coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    elif gamma == "bt709":
        coded = np.where(linear < 0.018, 4.5 * linear, 1.099 * linear**0.45 - 0.099)
    else:
        coded = linear ** np.float32(1 / 2.2)
    return np.asarray(
        (1 - contrast) * coded + contrast * coded * coded * (3 - 2 * coded), np.float32
    )


def sharpen(coded: Image, amount: float, radius: float) -> Image:
    """Unsharp mask on luma."""
    if not amount:
        return coded
    gray = luminance(coded)
    return coded + np.float32(amount) * (gray - blur(gray, radius))[..., None]
