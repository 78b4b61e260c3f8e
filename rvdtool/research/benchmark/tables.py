"""Make the paper's tables, and further ones, from results."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rvdtool.research.benchmark.measure import VideoResult
from rvdtool.research.benchmark.summary import (
    Means,
    by_method,
    by_tag,
    drift,
    mean_drift,
    mean_of_frames,
    mean_of_videos,
)

PAPER = "PSNR/SSIM as the paper: DN truncated, / (2^bits − 1), peak 1; SSIM on the mosaic, range 2"
STRICT = "strict: DN rounded, (DN − black) / (white − black), peak 1; SSIM on the planes, range 1"

CHALLENGES = {
    "Fast motion": frozenset({"fast_motion"}),
    "Dark lighting": frozenset({"dark", "dark_lighting", "low_light"}),
}
"""Table 2's rows → tags that select their videos (in any case, with spaces or underscores)."""

FIGURES = ("PSNR", "SSIM", "PSNR strict", "SSIM strict")


@dataclass(frozen=True)
class ResultTable:
    """A table of text, with a file name, a title and a note on its figures."""

    name: str
    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table as Markdown, with title and note."""
        cells = [self.header, ("---",) * len(self.header), *self.rows]
        escaped = ([cell.replace("|", "\\|") for cell in row] for row in cells)
        lines = "\n".join(f"| {' | '.join(row)} |" for row in escaped)
        return f"## {self.title}\n\n{self.note}\n\n{lines}\n"

    def csv(self) -> str:
        """The header and rows as CSV."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.header, *self.rows])
        return text.getvalue()


def all_tables(
    results: Sequence[VideoResult], switches: Mapping[str, Mapping[str, bool]]
) -> list[ResultTable]:
    """All tables that the results allow.

    Args:
        results: results of all methods, videos and sizes.
        switches: for each model, the switches of its configuration (Table 3).
    """
    full = [result for result in results if not result.clip.half]
    tables = [comparison(full), conditions(full, strict=False), conditions(full, strict=True)]
    challenges = challenging(results)
    if challenges.rows:
        tables.append(challenges)
    differing = ablation(full, switches)
    if differing.rows:
        tables.append(differing)
    return [*tables, per_video(full), per_video_drift(full)]


def comparison(results: Sequence[VideoResult]) -> ResultTable:
    """Table 1: all methods over all videos, with their costs."""
    rows = []
    for group in by_method(results).values():
        means = mean_of_videos(group)
        scored = sum(len(result.record.frames) for result in group)
        rows.append(
            (
                _label(group),
                *_figures(means),
                _signed(mean_drift(group)),
                f"{means.seconds:.3g}",
                f"{means.metadata_bytes:,.0f}",
                str(scored),
            )
        )
    header = ("method", *FIGURES, "drift", "s / frame", "RAW bytes / frame", "frames scored")
    note = (
        f"{PAPER}. {STRICT[0].upper()}{STRICT[1:]}. Means over all frames but the "
        "first, then over videos. Drift: PSNR of the last ten frames minus the first "
        "ten. RAW bytes: what the camera has to store, at its bits, uncompressed."
    )
    return ResultTable("table1", "Table 1: all videos", note, header, tuple(rows))


def conditions(results: Sequence[VideoResult], *, strict: bool) -> ResultTable:
    """Means over the videos of each tag."""
    tags = list(by_tag(results))
    rows = []
    for group in by_method(results).values():
        means = [mean_of_videos(tagged) for tagged in by_tag(group).values()]
        rows.append((_label(group), *(_pair(one, strict=strict) for one in means)))
    kind = "strict" if strict else "paper's"
    return ResultTable(
        f"conditions_{'strict' if strict else 'paper'}",
        f"By tag, {kind} protocol (PSNR / SSIM)",
        f"{STRICT if strict else PAPER}.",
        ("method", *tags),
        tuple(rows),
    )


def challenging(results: Sequence[VideoResult]) -> ResultTable:
    """Table 2: low resolution, fast motion, dark lighting."""
    full = [result for result in results if not result.clip.half]
    groups = {"Low resolution": [result for result in results if result.clip.half]}
    for name, tags in CHALLENGES.items():
        groups[name] = [result for result in full if tags & _spelt_alike(result.clip.tags)]
    rows = [
        (condition, _label(group), *_figures(mean_of_videos(group)))
        for condition, chosen in groups.items()
        for group in by_method(chosen).values()
    ]
    note = f"{PAPER}; {STRICT}. Low resolution: everything at half size. The rest by tags."
    header = ("condition", "method", *FIGURES)
    return ResultTable("table2", "Table 2: challenging scenes", note, header, tuple(rows))


def ablation(
    results: Sequence[VideoResult], switches: Mapping[str, Mapping[str, bool]]
) -> ResultTable:
    """Table 3: models with different switches in their configuration; no rows if none differ."""
    groups = {name: group for name, group in by_method(results).items() if switches.get(name)}
    names = dict.fromkeys(name for model in groups for name in switches[model])
    differing = [name for name in names if len({switches[model].get(name) for model in groups}) > 1]
    rows = [
        (
            _label(group),
            *("✓" if switches[model].get(name) else "" for name in differing),
            *_figures(mean_of_videos(group)),
        )
        for model, group in groups.items()
        if differing
    ]
    header = ("model", *(name.replace("_", " ") for name in differing), *FIGURES)
    note = f"{PAPER}; {STRICT}."
    return ResultTable("table3", "Table 3: ablation", note, header, tuple(rows))


def per_video(results: Sequence[VideoResult]) -> ResultTable:
    """PSNR of each video."""
    groups = by_method(results)
    names = [result.clip.name for result in next(iter(groups.values()))]
    rows = [
        (name, *(_db(mean_of_frames(group[row]).psnr_paper) for group in groups.values()))
        for row, name in enumerate(names)
    ]
    header = ("video", *(_label(group) for group in groups.values()))
    return ResultTable(
        "videos", "Per video: PSNR, paper's protocol", f"{PAPER}.", header, tuple(rows)
    )


def per_video_drift(results: Sequence[VideoResult]) -> ResultTable:
    """Drift of each video."""
    groups = by_method(results)
    names = [result.clip.name for result in next(iter(groups.values()))]
    rows = [
        (name, *(_signed(drift(group[row])) for group in groups.values()))
        for row, name in enumerate(names)
    ]
    header = ("video", *(_label(group) for group in groups.values()))
    note = "PSNR (paper's protocol) of the last ten frames minus the first ten, dB."
    return ResultTable("drift", "Per video: drift", note, header, tuple(rows))


def _label(group: Sequence[VideoResult]) -> str:
    """The method's name, and whether only every n-th frame was scored."""
    every = group[0].every
    return group[0].method + (f" (every {every}th frame)" if every > 1 else "")


def _figures(means: Means) -> tuple[str, ...]:
    return (
        _db(means.psnr_paper),
        f"{means.ssim_paper:.4f}",
        _db(means.psnr),
        f"{means.ssim:.4f}",
    )


def _pair(means: Means, *, strict: bool) -> str:
    if strict:
        return f"{_db(means.psnr)} / {means.ssim:.4f}"
    return f"{_db(means.psnr_paper)} / {means.ssim_paper:.4f}"


def _db(value: float | None) -> str:
    return "∞" if value is None else f"{value:.2f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def _spelt_alike(tags: Sequence[str]) -> frozenset[str]:
    return frozenset(tag.lower().replace(" ", "_").replace("-", "_") for tag in tags)
