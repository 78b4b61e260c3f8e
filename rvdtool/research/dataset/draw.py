"""Draw cameras, ISPs, codecs and motion at random, from the ranges of real ones.

Sources of the ranges:

- Colour matrices: convex mixtures of two real cameras' (dcraw's table of Adobe's coefficients).
- White: 2800 K (incandescent) to 7500 K (shade).
- Levels: pairs of black and white level that cameras of 10 to 14 bits write, RVD's own among them.
- Shot noise: 300 to 20,000 electrons at saturation. Brooks et al. (CVPR 2019) draw 83 to 10,000
  from the Darmstadt set; cameras for video have less gain and larger photosites, so less noise is
  included.
- Read noise: 1.5 to 8 electrons; row noise up to 0.4 of it (Wei et al., CVPR 2020).
- ISP: white balance within 10 % of the truth and 3 % of drift; digital gain, curves and contrast as
  in cameras' own pictures; local tone mapping that removes up to 55 % of large-scale log contrast,
  about the maximum of HDR+ (Hasinoff et al. 2016); unsharp masks up to 1.2 at radius 0.6 to 1.8
  (with the overshoot of action cameras).
- Phone-like ISP: no maker publishes these, so the ranges are wide. Base and detail (Durand and
  Dorsey 2002): 30 to 70 % of the base's log contrast is removed. Fusion of two or three synthetic
  exposures, 1.5 to 3 stops apart: HDR+ fuses two whose gains differ by up to 8. White is at 210 to
  236 of 255. Tone follows content with time constants of 0.2 to 1 s. Sky is darkened by up to 0.8
  stops, faces are brightened by up to 0.7 (semantic tone of Liba et al., "Handheld mobile
  photography in very low light", 2019, and of phones since). Chroma is blurred with sigma 3 to 6
  pixels. Recursive temporal denoising keeps 30 to 80 % of the previous picture.
- Codecs: crf 18 to 23 (H.264) and 19 to 25 (HEVC), which gives cameras' 20 to 100 Mbit/s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rvdtool.raw.frame import CfaPhase
from rvdtool.research.dataset.color import neutral_of
from rvdtool.research.dataset.recipe import (
    CameraIsp,
    Codec,
    Layer,
    Light,
    Matrix3,
    PhoneIsp,
    Sensor,
    Source,
    Trajectory,
)

CameraKind = Literal["tripod", "hand", "walk", "pan"]

Cameras = Mapping[str, tuple[int, ...]]

TRAINING_CAMERAS: Cameras = {
    "Canon EOS 5D Mark II": (4716, 603, -830, -7798, 15474, 2480, -1496, 1937, 6651),
    "Canon EOS 5D Mark III": (6722, -635, -963, -4287, 12460, 2028, -908, 2162, 5668),
    "Canon EOS 6D": (7034, -804, -1014, -4420, 12564, 2058, -851, 1994, 5758),
    "Canon EOS 7D": (6844, -996, -856, -3876, 11761, 2396, -593, 1772, 6198),
    "Sony ILCE-7": (5271, -712, -347, -6153, 13653, 2763, -1601, 2366, 7242),
    "Sony ILCE-7S": (5838, -1430, -246, -3497, 11477, 2297, -748, 1885, 5778),
    "Sony ILCE-6000": (5991, -1456, -455, -4764, 12135, 2980, -707, 1425, 6701),
    "Sony ILCA-68": (6435, -1903, -536, -4722, 12449, 2550, -663, 1363, 6517),
}
"""Matrices XYZ → camera × 10,000, row by row."""

HELD_OUT_CAMERAS: Cameras = {
    "Canon EOS 5DS": (6250, -711, -808, -5153, 12794, 2636, -1249, 2198, 5610),
    "Sony ILCE-7R": (4913, -541, -202, -6130, 13513, 2906, -1564, 2151, 7183),
    "Sony ILCE-6300": (5973, -1695, -419, -3826, 11797, 2293, -639, 1398, 5789),
}
"""Cameras that are never used for training."""

LEVELS = (  # bits, black, white
    (10, 64, 1023),
    (10, 25, 959),
    (12, 128, 4095),
    (12, 256, 4000),
    (12, 240, 4095),
    (14, 512, 16383),
    (14, 600, 16383),
    (14, 1024, 15600),
    (14, 2048, 15600),
    (14, 2047, 16200),
)


@dataclass(frozen=True)
class IspRanges:
    """Ranges (lowest, highest) that a camera-like ISP's parameters are drawn from."""

    demosaic: tuple[str, ...] = ("bilinear", "edge_aware", "malvar")
    denoise_luma: tuple[float, float] = (0, 1.6)
    denoise_chroma: tuple[float, float] = (0.2, 2.2)
    white_balance_error: float = 0.1
    white_balance_drift: tuple[float, float] = (0, 0.03)
    gain: tuple[float, float] = (0.7, 1.6)
    gain_drift: tuple[float, float] = (0, 0.06)
    drift_period: tuple[float, float] = (40, 200)
    saturation: tuple[float, float] = (0.85, 1.4)
    look: float = 0.06
    gamma: tuple[str, ...] = ("srgb", "bt709", "power")
    contrast: tuple[float, float] = (0, 0.6)
    local_tone: tuple[float, float] = (0, 0.55)
    local_sigma: tuple[float, float] = (0.02, 0.12)
    sharpen: tuple[float, float] = (0, 1.2)
    sharpen_radius: tuple[float, float] = (0.6, 1.8)
    vignetting_correction: tuple[float, float] = (0.6, 1)


TRAINING_ISP = IspRanges()

HELD_OUT_ISP = IspRanges(
    demosaic=("malvar", "edge_aware"),
    denoise_luma=(1.6, 1.9),
    local_tone=(0.55, 0.65),
    sharpen=(1.2, 1.5),
    contrast=(0.6, 0.8),
)
"""Ranges outside of the training ranges in denoising, local tone mapping, sharpening, contrast."""


PHONE_CAMERA = IspRanges(
    denoise_luma=(0.8, 1.6),
    denoise_chroma=(1.5, 3),
    gain=(0.9, 1.4),
    gain_drift=(0, 0.02),
    contrast=(0, 0.5),
    local_tone=(0, 0),
    sharpen=(0.3, 1.2),
)
"""What a phone-like ISP shares with the camera-like one."""


def draw_sensor(rng: np.random.Generator, cameras: Cameras, electrons: float) -> Sensor:
    """Draw a sensor whose photosites have `electrons` at saturation."""
    names = list(cameras)
    one, two = rng.choice(len(names), 2, replace=False)
    share = rng.uniform()
    mixed = share * np.array(cameras[names[one]]) + (1 - share) * np.array(cameras[names[two]])
    matrix = _matrix((mixed / 1e4).round(4).reshape(3, 3))
    bits, black, white = LEVELS[rng.integers(len(LEVELS))]
    read_noise = _log_uniform(rng, 1.5, 8)
    per_dn = electrons / (white - black)
    noisy = electrons < 3000
    neutral = neutral_of(matrix, 1e6 / rng.uniform(1e6 / 7500, 1e6 / 2800))
    return Sensor(
        name="Simulated",
        bits=bits,
        black=black,
        white=white,
        phase=list(CfaPhase)[rng.integers(4)],
        color_matrix=matrix,
        neutral=(round(neutral[0], 5), round(neutral[1], 5), round(neutral[2], 5)),
        electrons_per_dn=round(per_dn, 4),
        read_noise=round(read_noise, 2),
        row_noise=round(rng.uniform(0, 0.4) * read_noise / per_dn, 3) if noisy else 0,
        hot_pixels=round(rng.uniform(0, 3e-4), 6) if noisy else 0,
    )


def draw_isp(rng: np.random.Generator, ranges: IspRanges = TRAINING_ISP) -> CameraIsp:
    """Draw a camera-like ISP."""

    def between(limits: tuple[float, float]) -> float:
        return round(float(rng.uniform(*limits)), 3)

    error = np.exp(rng.uniform(-1, 1, 2) * ranges.white_balance_error).round(3)
    look = np.eye(3) + rng.uniform(-1, 1, (3, 3)) * ranges.look
    look = (look / look.sum(axis=1, keepdims=True)).round(4)
    return CameraIsp.model_validate(
        {
            "kind": "camera",
            "demosaic": ranges.demosaic[rng.integers(len(ranges.demosaic))],
            "denoise_luma": between(ranges.denoise_luma),
            "denoise_chroma": between(ranges.denoise_chroma),
            "white_balance_error": (float(error[0]), 1, float(error[1])),
            "white_balance_drift": between(ranges.white_balance_drift),
            "gain": between(ranges.gain),
            "gain_drift": between(ranges.gain_drift),
            "drift_period": between(ranges.drift_period),
            "saturation": between(ranges.saturation),
            "look": _matrix(look),
            "gamma": ranges.gamma[rng.integers(len(ranges.gamma))],
            "contrast": between(ranges.contrast),
            "local_tone": between(ranges.local_tone),
            "local_sigma": between(ranges.local_sigma),
            "sharpen": between(ranges.sharpen),
            "sharpen_radius": between(ranges.sharpen_radius),
            "vignetting_correction": between(ranges.vignetting_correction),
        }
    )


def draw_phone_isp(rng: np.random.Generator, frames: int) -> PhoneIsp:
    """Draw a phone-like ISP: base and detail, or (one in three) fusion and less of both."""
    camera = draw_isp(rng, PHONE_CAMERA)

    def between(low: float, high: float) -> float:
        return round(float(rng.uniform(low, high)), 3)

    fused = rng.uniform() < 1 / 3
    face = rng.uniform() < 0.5
    return PhoneIsp(
        kind="phone",
        camera=camera,
        temporal_denoise=between(0.3, 0.8),
        auto_gain=between(0.2, 0.6),
        exposures=int(rng.integers(2, 4)) if fused else 1,
        exposure_step=between(1.5, 3),
        compression=between(0, 0.3) if fused else between(0.3, 0.7),
        pivot=between(0.25, 0.7),
        detail=between(1, 1.4),
        base_sigma=between(0.02, 0.12),
        settle=between(0.2, 1),
        white=between(0.86, 1),
        sky=between(-0.8, 0),
        face=between(0.2, 0.7) if face else 0,
        face_center=(between(0.3, 0.7), between(0.3, 0.6)),
        face_radius=between(0.08, 0.2),
        face_start=int(rng.integers(max(1, frames // 2))),
    )


def draw_codec(rng: np.random.Generator) -> Codec:
    """Draw a codec: H.264 or HEVC at a bit rate that cameras use."""
    if rng.uniform() < 0.5:
        return Codec(kind="h264", crf=int(rng.integers(18, 24)))
    return Codec(kind="hevc", crf=int(rng.integers(19, 26)))


def draw_light(rng: np.random.Generator, exposure: float) -> Light:
    """Draw exposure time, rolling shutter, shading, and sometimes a change of light."""
    steps: tuple[tuple[int, float], ...] = ()
    if rng.uniform() < 0.15:
        steps = ((int(rng.integers(3, 14)), round(_log_uniform(rng, 0.6, 1.6), 3)),)
    return Light(
        exposure=round(exposure, 3),
        steps=steps,
        flicker=round(rng.uniform(0, 0.06), 3) if rng.uniform() < 0.2 else 0,
        flicker_period=round(rng.uniform(15, 80), 1),
        shutter=round(rng.uniform(0.05, 0.7), 2),
        readout=round(rng.uniform(0, 0.7), 2) if rng.uniform() < 0.7 else 0,
        vignetting=round(rng.uniform(0, 0.5), 2) if rng.uniform() < 0.5 else 0,
    )


def draw_camera(
    rng: np.random.Generator, kind: CameraKind | None, slack: tuple[float, float], frames: int
) -> Trajectory:
    """Draw a camera path within about ±slack pixels (x, y) of the centre; kind None is random."""
    kinds: tuple[CameraKind, ...] = ("tripod", "hand", "walk", "pan")
    kind = kind or kinds[rng.choice(4, p=[0.1, 0.4, 0.25, 0.25])]
    room = np.maximum(np.array(slack), 0)
    start = rng.uniform(-0.4, 0.4, 2) * room
    if kind == "tripod":
        return Trajectory(start=_pair(start))
    if kind == "pan":
        sway = rng.uniform(0.3, 0.9, 2) * (room - np.abs(start)) * rng.choice([-1, 1], 2)
        period = max(30.0, 2 * np.pi * float(np.abs(sway).max()) / rng.uniform(6, 25))
        return Trajectory(
            start=_pair(start),
            sway=_pair(sway),
            period=round(period, 1),
            phase=round(rng.uniform(), 3),
            shake=round(rng.uniform(0, 2), 2),
            roll=round(rng.uniform(0, 1), 2),
        )
    fast = 2 if kind == "walk" else 1
    velocity = np.clip(rng.normal(0, fast, 2), -0.4 * room / frames, 0.4 * room / frames)
    return Trajectory(
        start=_pair(start),
        velocity=_pair(velocity),
        shake=round(fast * rng.uniform(1, 3.5), 2),
        shake_period=round(rng.uniform(16, 40), 1),
        spin=round(rng.uniform(-0.05, 0.05), 3),
        roll=round(rng.uniform(0, 0.8), 2),
        period=round(rng.uniform(30, 90), 1),
        zoom=round(rng.uniform(1, 1.15), 3),
        zoom_rate=round(rng.uniform(0, 0.003) * (fast - 1), 4),
    )


def draw_layer(
    rng: np.random.Generator, source: Source, size: tuple[int, int], frames: int
) -> Layer:
    """Draw a foreground layer that crosses the picture (height, width) during the sequence."""
    height, width = size
    direction = rng.uniform(0, 2 * np.pi)
    speed = _log_uniform(rng, 2, 18)
    velocity = speed * np.array([np.cos(direction), np.sin(direction)])
    meeting = rng.uniform(-0.35, 0.35, 2) * (width, height)
    start = meeting - velocity * frames * rng.uniform(0.3, 0.7)
    return Layer(
        source=source,
        center=_pair(rng.uniform(0.25, 0.75, 2), 3),
        radius=round(min(height, width) * rng.uniform(0.08, 0.22), 1),
        lobes=round(rng.uniform(0.05, 0.45), 2),
        motion=Trajectory(
            start=_pair(start),
            velocity=_pair(velocity),
            sway=_pair(rng.uniform(0, 20, 2)),
            period=round(rng.uniform(12, 50), 1),
            spin=round(rng.normal(0, 1.2), 2),
            zoom=round(rng.uniform(1, 1.2), 3),
            zoom_rate=round(rng.uniform(-0.002, 0.005), 4),
        ),
        parallax=round(rng.uniform(1, 2), 2),
        wobble=round(rng.uniform(0, 5), 1),
        gain=round(_log_uniform(rng, 0.5, 1.6), 2),
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _pair(values: np.ndarray, digits: int = 2) -> tuple[float, float]:
    x, y = values.round(digits).tolist()
    return x, y


def _matrix(values: np.ndarray) -> Matrix3:
    rows = [(x, y, z) for x, y, z in values.tolist()]
    return rows[0], rows[1], rows[2]
