"""The figures of RAW frames: their names, units and words."""

import math
from collections.abc import Mapping, Sequence

from rvdtool.evaluate.compare import Comparison
from rvdtool.report.errors import BINS
from rvdtool.report.page import Chart

FIGURES = {
    "PSNR": "dB",
    "SSIM": "",
    "PSNR, paper's protocol": "dB",
    "SSIM, paper's protocol": "",
}
"""What `Scores` holds, in its order, with units."""


def cell(value: float, unit: str) -> str:
    """A figure for a table; an infinite PSNR says that the frames are equal."""
    if not math.isfinite(value):
        return "equal"
    return f"{value:.2f} {unit}" if unit else f"{value:.4f}"


def known(comparison: Comparison, values: Sequence[float]) -> list[float]:
    """A figure of all frames, for a curve: NaN where a frame isn't counted or equals the truth."""
    return [
        value if frame.counted and math.isfinite(value) else math.nan
        for frame, value in zip(comparison.frames, values, strict=True)
    ]


def error_chart(title: str, curves: Mapping[str, Sequence[float]]) -> Chart:
    """RMS errors over the true value, of `BINS` steps each."""
    middles = [100 * (index + 0.5) / BINS for index in range(BINS)]
    axes = ("true value, % of white − black", "RMS error, %")
    return Chart(title, axes, middles, curves)
