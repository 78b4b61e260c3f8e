"""Names, units and text of the figures of RAW frames."""

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
"""The fields of `Scores` in their order, with units."""


def cell(value: float, unit: str) -> str:
    """A figure for a table; an infinite PSNR is shown as "equal"."""
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
    """A chart of RMS errors over the true value; each curve has `BINS` values."""
    middles = [100 * (index + 0.5) / BINS for index in range(BINS)]
    axes = ("true value, % of white − black", "RMS error, %")
    return Chart(title, axes, middles, curves)
