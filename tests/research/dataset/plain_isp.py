"""A camera-like ISP that only converts colours and applies sRGB's curve."""

from rvdtool.research.dataset.recipe import CameraIsp

PLAIN = CameraIsp(
    kind="camera",
    denoise_luma=0,
    denoise_chroma=0,
    white_balance_drift=0,
    gain=1,
    gain_drift=0,
    saturation=1,
    contrast=0,
    local_tone=0,
    sharpen=0,
)
