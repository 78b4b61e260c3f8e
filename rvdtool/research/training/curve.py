"""Logs of a run: `curve.csv` (loss), `validation.csv` (PSNR per video), `curve.png` (both)."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rvdtool.errors import UsageError
from rvdtool.files import write_beside

CURVE, VALIDATION, PICTURE = "curve.csv", "validation.csv", "curve.png"


class Log:
    """A CSV file that rows are appended to; its first column is the step."""

    def __init__(self, path: Path, columns: Sequence[str], step: int) -> None:
        """Continue after `step`: later rows are removed, since their steps are repeated."""
        kept = [row for row in _rows(path) if int(row[0]) <= step]
        self._path = path
        with write_beside(path, overwrite=True) as file:
            lines = [columns, *kept]
            file.write("".join(",".join(line) + "\n" for line in lines).encode())

    def add(self, *values: object) -> None:
        """Append a row; floats get three decimals."""
        with self._path.open("a", newline="") as file:
            row = [f"{value:.3f}" if isinstance(value, float) else value for value in values]
            csv.writer(file, lineterminator="\n").writerow(row)


def require_matplotlib() -> None:
    """Check that matplotlib is installed.

    Raises:
        UsageError: matplotlib isn't installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "training needs matplotlib for its curve: pip install 'rvdtool[research]'"
        ) from error


def draw_curve(folder: Path, figures: Sequence[str], scores: Sequence[str]) -> None:
    """Draw both logs of a run as `curve.png`.

    Args:
        folder: the run's folder.
        figures: columns of curve.csv after step and loss.
        scores: columns of validation.csv after step and video.

    Raises:
        OutputError: the file can't be written.
    """
    from matplotlib.figure import Figure  # without pyplot: no display, no global state

    figure = Figure(figsize=(8, 8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    rows = _rows(folder / CURVE)
    steps = [int(row[0]) for row in rows]
    for column, name in enumerate(("loss", *figures), start=1):
        above.plot(steps, _smooth([float(row[column]) for row in rows]), label=name)
    by_step: dict[int, list[list[float]]] = defaultdict(list)
    for row in _rows(folder / VALIDATION):
        by_step[int(row[0])].append([float(value) for value in row[2:]])
    for column, name in enumerate(scores):
        means = [np.mean([video[column] for video in videos]) for videos in by_step.values()]
        below.plot(list(by_step), means, marker="o", label=name)
    above.set_ylabel("training")
    below.set_ylabel("validation, chained, mean PSNR in dB")
    below.set_xlabel("step")
    for axes in (above, below):
        axes.grid(visible=True, alpha=0.3)
        if axes.lines:
            axes.legend()
    with write_beside(folder / PICTURE, overwrite=True) as file:
        figure.savefig(file, format="png")


def _rows(path: Path) -> list[list[str]]:
    """All rows except the header, and without an incomplete last row."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row and row[0].isdecimal()]
    if rows and len(rows[-1]) < len(rows[0]):
        rows.pop()
    return rows


def _smooth(values: Sequence[float]) -> Sequence[float]:
    """Running mean over a fiftieth of the curve, since single rows are noisy."""
    width = len(values) // 50
    if width < 2:
        return values
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    smooth: list[float] = np.convolve(padded, np.full(width, 1 / width), mode="valid").tolist()
    return smooth
