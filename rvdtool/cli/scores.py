"""Metrics of RAW frames as text, tables and JSON."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rvdtool.cli import console

if TYPE_CHECKING:
    from rvdtool.evaluate.compare import Comparison
    from rvdtool.evaluate.edits import EditScores
    from rvdtool.evaluate.metrics import Scores

PROTOCOLS = {
    "psnr": "mosaic, (DN − black) / (white − black), peak 1",
    "ssim": "planes, (DN − black) / (white − black), range 1",
    "psnr_paper": "mosaic, DN / (2^bits − 1), peak 1",
    "ssim_paper": "mosaic, DN / (2^bits − 1), range 2",
}
"""What each metric is measured on: its unit and range, shown beside its value."""


EDITS_VERSION = 2
"""Version of the JSON that `--edits` adds."""


def cells(scores: "Scores") -> list[str]:
    """Each metric as text with its unit."""
    return [_cell(name, value) for name, value in asdict(scores).items()]


def _cell(figure: str, value: float) -> str:
    return f"{value:.2f} dB" if figure.startswith("psnr") else f"{value:.4f}"


def summary(comparison: "Comparison") -> str:
    """A line of text about the frames that the mean covers."""
    counted = sum(frame.counted for frame in comparison.frames)
    left_out = "" if counted == len(comparison.frames) else "; the first was given, not counted"
    identical = (
        f"; {comparison.identical} equal to the truth, left out of the mean PSNR"
        if comparison.identical
        else ""
    )
    total = len(comparison.frames)
    return f"{counted} of {total} frames, matched by {comparison.matched_by}{left_out}{identical}"


def comparison_as_json(
    comparison: "Comparison",
    predicted: Path,
    true: Path,
    edits: Mapping[str, "EditScores"] | None = None,
) -> dict[str, Any]:
    """A comparison for `--json`. JSON has no infinity, so the PSNR of identical frames is null."""
    edited = {} if edits is None else {"edits": _edits_as_json(edits)}
    return {
        "predicted": str(predicted),
        "true": str(true),
        "matched_by": comparison.matched_by,
        "protocols": PROTOCOLS,
        "counted": sum(frame.counted for frame in comparison.frames),
        "identical": comparison.identical,
        "mean": _finite(comparison.mean),
        **edited,
        "frames": [
            {
                "frame": index,
                "predicted": frame.pair.predicted.name,
                "true": frame.pair.true.name,
                "counted": frame.counted,
                **_finite(frame.scores),
            }
            for index, frame in enumerate(comparison.frames)
        ],
    }


def _edits_as_json(edits: Mapping[str, "EditScores"]) -> dict[str, Any]:
    """Scores after edits, as docs/research/edits.schema.json specifies. A change of meaning needs
    another version."""
    return {
        "version": EDITS_VERSION,
        "scores": {
            name: {**asdict(one), "areas": dict(one.areas), "psnr": _or_null(one.psnr)}
            for name, one in edits.items()
        },
    }


def print_edits(edits: Mapping[str, Mapping[str, "EditScores"]]) -> None:
    """Print a table of scores after edits for each reconstruction."""
    from rich.box import SIMPLE
    from rich.table import Column, Table

    for method, scores in edits.items():
        areas = next(iter(scores.values())).areas
        columns = ("ΔE", "95 %", "PSNR", "flicker", "JOD", *areas)
        name = Column("edit", no_wrap=True)
        table = Table(name, *columns, box=SIMPLE, pad_edge=False)
        for edit, one in scores.items():
            seen = (_two(value) for value in (one.flicker, one.jod, *one.areas.values()))
            figures = (_two(value) for value in (one.delta_e, one.delta_e_95, one.psnr))
            table.add_row(edit, *figures, *seen)
        if len(edits) > 1:
            console.print_line(f"{method}:")
        console.stdout().print(table)
    if edits:
        console.print_line(
            "ΔE: CIEDE2000, mean, 95th percentile, and mean in areas; PSNR on the display, dB; "
            "flicker: 1 is the truth's; JOD: 10 is no visible difference"
        )


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _finite(scores: "Scores") -> dict[str, float | None]:
    return {name: _or_null(value) for name, value in asdict(scores).items()}


def _or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None


def ranking_as_json(
    comparisons: Mapping[str, "Comparison"],
    methods: Mapping[str, Path],
    true: Path,
    edits: Mapping[str, Mapping[str, "EditScores"]],
) -> dict[str, Any]:
    """A comparison of several reconstructions for `--json`: metrics and rankings."""
    from rvdtool.evaluate.against import rank

    return {
        "true": str(true),
        "reconstructions": {
            name: comparison_as_json(comparison, methods[name], true, edits.get(name))
            for name, comparison in comparisons.items()
        },
        "ranking": [
            {
                "figure": row.figure,
                "winner": row.winner,
                "second": row.second,
                "lead": _or_null(row.lead.mean),
                "interval": [_or_null(row.lead.low), _or_null(row.lead.high)],
                "clear": row.lead.is_clear,
                "frames": row.lead.frames,
                "wins": dict(row.wins),
            }
            for row in rank(comparisons)
        ],
    }


def print_ranking(comparisons: Mapping[str, "Comparison"], per_frame: bool) -> None:
    """Print which reconstruction is better in each metric, by how much, and how certain that is."""
    from rich.box import SIMPLE
    from rich.table import Column, Table

    from rvdtool.evaluate.against import best_of, rank

    output = console.stdout()
    if per_frame:
        name = Column("true frame", overflow="fold")
        table = Table("frame", name, *comparisons, "winner", box=SIMPLE, pad_edge=False)
        rows = zip(*(one.frames for one in comparisons.values()), strict=True)
        for index, frames in enumerate(rows):
            values = dict(zip(comparisons, (it.scores.psnr for it in frames), strict=True))
            number = f"{index}" if frames[0].counted else f"({index})"
            shown = (_cell("psnr", value) for value in values.values())
            winner = best_of(values) or "draw"
            table.add_row(number, frames[0].pair.true.name, *shown, winner)
        output.print(table)
    table = Table(
        "mean", *comparisons, "winner", "lead", "95 % interval", box=SIMPLE, pad_edge=False
    )
    ranking = rank(comparisons)
    for row in ranking:
        means = (_cell(row.figure, mean) for mean in row.means.values())
        table.add_row(
            row.figure,
            *means,
            row.winner,
            *row.lead.words(2 if row.figure.startswith("psnr") else 4),
        )
    output.print(table)
    for row in ranking:
        if not row.lead.is_clear:
            console.print_line(
                f"{row.figure}: the interval includes 0, so {row.winner} isn't certain to be "
                f"better than {row.second}"
            )
    console.print_line(summary(next(iter(comparisons.values()))))
