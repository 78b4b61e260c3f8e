"""The page that compares several reconstructions of one clip."""

from collections.abc import Mapping
from dataclasses import astuple

from rvdtool.evaluate.against import best_of, rank
from rvdtool.evaluate.compare import Comparison
from rvdtool.report.errors import ErrorTable
from rvdtool.report.figures import FIGURES, cell, error_chart, known
from rvdtool.report.page import Chart, Page, Table


def against_page(
    comparisons: Mapping[str, Comparison], title: str, errors: Mapping[str, ErrorTable]
) -> Page:
    """Curves of all reconstructions, the winner of each figure, and its lead.

    Args:
        comparisons: by name, all with the same true frames.
        title: of the page.
        errors: of each of them.
    """
    one = next(iter(comparisons.values()))
    counted = sum(frame.counted for frame in one.frames)
    summary = [
        f"{', '.join(comparisons)}: {counted} of {len(one.frames)} frames counted. A lead is the "
        "mean difference between the best and the second, with its 95 % confidence interval "
        "(Newey–West, since errors of neighbouring frames are correlated)."
    ]
    charts = [
        Chart(
            f"{name} over time",
            ("frame", unit or "SSIM"),
            range(len(one.frames)),
            {
                method: known(its, [astuple(frame.scores)[place] for frame in its.frames])
                for method, its in comparisons.items()
            },
            by_frame=True,
        )
        for place, (name, unit) in enumerate(FIGURES.items())
    ]
    whole = {name: list(table.rms_of_all_sites()) for name, table in errors.items()}
    charts.append(error_chart("Error by intensity", whole))
    return Page(title, summary, charts, [_ranking(comparisons), _every(comparisons)])


def _ranking(comparisons: Mapping[str, Comparison]) -> Table:
    rows = []
    for row, (name, unit) in zip(rank(comparisons), FIGURES.items(), strict=True):
        lead = row.lead
        winner = row.winner if lead.is_clear else f"{row.winner}, not certain"
        mean, interval = lead.words(2 if unit else 4)
        rows.append(
            [
                name,
                *(cell(mean, unit) for mean in row.means.values()),
                winner,
                f"{mean} ({interval})",
                ", ".join(f"{method} {count}" for method, count in row.wins.items()),
            ]
        )
    header = ("mean of", *comparisons, "winner", "lead (95 % interval)", "frames won")
    return Table("Who is better", header, rows)


def _every(comparisons: Mapping[str, Comparison]) -> Table:
    rows = []
    for index, frames in enumerate(zip(*(one.frames for one in comparisons.values()), strict=True)):
        values = dict(zip(comparisons, (frame.scores.psnr for frame in frames), strict=True))
        number = f"{index}" if frames[0].counted else f"({index})"
        cells = (cell(value, "dB") for value in values.values())
        rows.append([number, frames[0].pair.true.name, *cells, best_of(values) or "draw"])
    header = ("frame", "true frame", *comparisons, "winner")
    return Table("PSNR of every frame", header, rows, folded=True)
