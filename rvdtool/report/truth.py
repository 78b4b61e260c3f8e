"""The page of `rvdtool metrics`: reconstructed frames beside the true ones."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from statistics import median

from rvdtool.evaluate.compare import WORKERS, Comparison, finite_mean
from rvdtool.evaluate.sheet import Loaded, Picture, color_error, error_scale
from rvdtool.evaluate.shown import video_frames
from rvdtool.raw.read import MosaicLevels
from rvdtool.raw.render import Look, look_of
from rvdtool.report.against import against_page
from rvdtool.report.errors import BINS, SITES, ErrorTable
from rvdtool.report.figures import FIGURES, cell, error_chart, known
from rvdtool.report.page import Chart, Page, Table, Viewer, room_for_pictures, write_page
from rvdtool.report.pictures import Room, choose_frames, color_bar, share_room

LAST = 10
"""Number of frames at the end, whose mean shows whether errors grow."""

RATE = 24.0
"""Frames per second at which the viewer plays, as RAW frames needn't have a rate."""


def write_metrics_report(
    comparisons: Mapping[str, Comparison],
    path: Path,
    *,
    title: str,
    levels: MosaicLevels | None = None,
    video: Path | None = None,
    overwrite: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> None:
    """Write a page with the figures of one or more comparisons, and all frames developed alike.

    White balance and colours are those of the first true frame. The exposure makes that frame
    as bright as its video frame or, without a video, as LibRaw's auto-brightness does.

    Args:
        comparisons: by name, all with the same true frames.
        path: the HTML file.
        title: of the page.
        levels: of TIFF mosaics, as for `compare`.
        video: the sRGB video of these frames, to be shown, too.
        overwrite: replace an existing file.
        advance: called with 1 after every frame.

    Raises:
        InputError: a frame or the video can't be read, or a frame is too small for LibRaw.
        MismatchError: the video has another number of frames.
        OutputError: it exists or can't be written.
    """
    one = next(iter(comparisons.values()))
    count = len(one.frames)
    shown = choose_frames(count)
    pairs = {name: [frame.pair for frame in it.frames] for name, it in comparisons.items()}
    first = Loaded.read(one.frames[0].pair, levels).true
    opening = next(video_frames(video, [0], count))[1] if video else None
    look = look_of(first, opening)

    def load(index: int) -> dict[str, Loaded]:
        return {name: Loaded.read(its[index], levels) for name, its in pairs.items()}

    sample = load(shown[len(shown) // 2])
    scale = error_scale([pair.error for pair in sample.values()])
    inputs = {} if opening is None else {"Input": opening}
    samples = {**inputs, **_pictures(sample, look, scale)}
    # Tables of errors have the same size, whatever their values.
    errors = {name: ErrorTable() for name in comparisons}
    rest = room_for_pictures(_page(comparisons, title, errors))
    room = share_room(list(samples.values()), len(samples) * len(shown), rest)
    series: dict[str, list[str]] = {name: [] for name in samples}
    if video:
        series["Input"] += [room.place(rgb) for _, rgb in video_frames(video, shown, count)]
    visible = set(shown)

    def work(index: int) -> tuple[dict[str, ErrorTable], dict[str, str]]:
        loaded = load(index)
        pictures = _pictures(loaded, look, scale) if index in visible else {}
        return (
            {name: ErrorTable.of(pair) for name, pair in loaded.items()},
            {name: room.place(picture) for name, picture in pictures.items()},
        )

    with ThreadPoolExecutor(WORKERS) as workers:
        for frame, (parts, found) in zip(one.frames, workers.map(work, range(count)), strict=True):
            for name, part in parts.items() if frame.counted else ():
                errors[name].add(part)
            for name, picture in found.items():
                series[name].append(picture)
            advance(1)
    names = list(comparisons)
    worst = _worst(one)
    ends = color_bar(scale), "0", f"{100 * scale:g} % of white − black"
    viewer = Viewer(
        size=room.size,
        frames=shown,
        labels=[_label(comparisons, index) for index in shown],
        series=series,
        pair=(names[0], names[1] if len(names) > 1 else "Truth"),
        start=min(range(len(shown)), key=lambda place: abs(shown[place] - worst)),
        rate=RATE,
        about=_about(room, first.size, len(shown), count, video),
        scale={"Error": ends},
    )
    write_page(_page(comparisons, title, errors), viewer, path, overwrite=overwrite)


def _pictures(pairs: Mapping[str, Loaded], look: Look, scale: float) -> dict[str, Picture]:
    true = next(iter(pairs.values())).true
    results = {name: look.develop(pair.predicted) for name, pair in pairs.items()}
    of = {name: f"Error of {name}" if len(pairs) > 1 else "Error" for name in pairs}
    errors = {of[name]: color_error(pair.error, scale) for name, pair in pairs.items()}
    return {**results, "Truth": look.develop(true), **errors}


def _label(comparisons: Mapping[str, Comparison], index: int) -> str:
    frames = {name: one.frames[index] for name, one in comparisons.items()}
    frame = next(iter(frames.values()))
    given = "" if frame.counted else " (given, not counted)"
    scores = [
        f"{name + ' ' if len(frames) > 1 else ''}PSNR {cell(it.scores.psnr, 'dB')}, "
        f"SSIM {cell(it.scores.ssim, '')}"
        for name, it in frames.items()
    ]
    return f"{frame.pair.true.name}: {'; '.join(scores)}{given}"


def _about(room: Room, size: tuple[int, int], shown: int, count: int, video: Path | None) -> str:
    brightness = "its video frame" if video else "LibRaw's auto-brightness does"
    some = "" if shown == count else f" {shown} of {count} frames, evenly spaced."
    return (
        "LibRaw develops results and truth with the same settings: the first true frame's white "
        f"balance and colours, and an exposure that makes it as bright as {brightness}. Pictures "
        f"of {room.size[0]}×{room.size[1]} (the frames are {size[1]}×{size[0]}), WebP.{some}"
    )


def _page(
    comparisons: Mapping[str, Comparison], title: str, errors: Mapping[str, ErrorTable]
) -> Page:
    if len(comparisons) > 1:
        return against_page(comparisons, title, errors)
    comparison, table = next(iter(comparisons.values())), next(iter(errors.values()))
    frames = comparison.frames
    counted = [index for index, frame in enumerate(frames) if frame.counted]
    columns = zip(*(astuple(frame.scores) for frame in frames), strict=True)
    values = dict(zip(FIGURES, columns, strict=True))
    worst = _worst(comparison)
    summary = [
        f"{len(counted)} of {len(frames)} frames counted, matched by {comparison.matched_by}. "
        f"Mean PSNR {cell(comparison.mean.psnr, 'dB')}, mean SSIM "
        f"{cell(comparison.mean.ssim, '')}; worst frame {worst}: "
        f"{cell(frames[worst].scores.psnr, 'dB')}."
    ]
    if comparison.identical:
        summary.append(
            f"{comparison.identical} frames equal the truth (infinite PSNR); the means of PSNR "
            "leave them out."
        )
    charts = [
        Chart(
            f"{axis.partition(',')[0]} over time",
            ("frame", axis),
            range(len(frames)),
            {name: known(comparison, ys) for name, ys in values.items() if FIGURES[name] == unit},
            by_frame=True,
        )
        for axis, unit in (("PSNR, dB", "dB"), ("SSIM", ""))
    ]
    rms = table.rms()
    sites = {site: list(rms[index]) for index, site in enumerate(SITES)}
    charts.append(error_chart("Error by intensity and CFA site", sites))
    tables = [
        _summary_table({name: [ys[index] for index in counted] for name, ys in values.items()}),
        _error_table(table),
        Table(
            "Every frame",
            ("frame", "true frame", *FIGURES),
            [
                [
                    f"{index}" if frame.counted else f"({index})",
                    frame.pair.true.name,
                    *map(cell, astuple(frame.scores), FIGURES.values()),
                ]
                for index, frame in enumerate(frames)
            ],
            folded=True,
        ),
    ]
    return Page(title, summary, charts, tables)


def _worst(comparison: Comparison) -> int:
    counted = [index for index, frame in enumerate(comparison.frames) if frame.counted]
    return min(counted, key=lambda index: comparison.frames[index].scores.psnr)


def _summary_table(values: Mapping[str, Sequence[float]]) -> Table:
    """Means leave out infinite values, as in `compare`; medians and worst values include them."""
    rows = [
        (
            name,
            *(
                cell(value, FIGURES[name])
                for value in (finite_mean(ys), median(ys), min(ys), finite_mean(ys[-LAST:]))
            ),
        )
        for name, ys in values.items()
    ]
    last = min(LAST, len(next(iter(values.values()))))
    header = ("figure", "mean", "median", "worst", f"mean of the last {last}")
    return Table("Figures over the counted frames", header, rows)


def _error_table(errors: ErrorTable) -> Table:
    rms, share = errors.rms(), errors.counts.sum(axis=0)
    share = 100 * share / max(share.sum(), 1)
    rows = [
        (
            f"{100 * index / BINS:g} to {100 * (index + 1) / BINS:g} %",
            *("–" if math.isnan(value) else f"{value:.3f} %" for value in rms[:, index]),
            f"{share[index]:.1f} %",
        )
        for index in range(BINS)
    ]
    caption = "RMS error by true value and CFA site, in % of white − black"
    return Table(caption, ("true value", *SITES, "of all photosites"), rows, folded=True)
