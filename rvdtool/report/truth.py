"""The page of `rvdtool metrics`: reconstructed frames beside the true ones."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from statistics import fmean, median

from rvdtool.evaluate.compare import WORKERS, Comparison
from rvdtool.evaluate.sheet import Picture, color_error, error_scale
from rvdtool.evaluate.shown import video_frames
from rvdtool.raw.read import MosaicLevels
from rvdtool.raw.render import Look, look_of
from rvdtool.report.errors import BINS, SITES, ErrorTable, Loaded
from rvdtool.report.page import Chart, Page, Table, Viewer, room_for_pictures, write_page
from rvdtool.report.pictures import Room, choose_frames, color_bar, share_room

LAST = 10
"""Frames at the end, whose mean shows whether errors grow."""

RATE = 24.0
"""Frames per second at which the viewer plays: RAW frames needn't say their own."""

FIGURES = {
    "PSNR": "dB",
    "SSIM": "",
    "PSNR, published protocol": "dB",
    "SSIM, published protocol": "",
}
"""What `Scores` holds, in its order, with units."""


def write_metrics_report(
    comparison: Comparison,
    path: Path,
    *,
    title: str,
    levels: MosaicLevels | None = None,
    video: Path | None = None,
    overwrite: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> None:
    """Write a page with the figures of a comparison and its frames, developed alike.

    White balance and colours are the first true frame's; the exposure is the one at which that is
    as bright as its video frame, or as LibRaw's auto-brightness makes it without a video.

    Args:
        comparison: from `compare`.
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
    count = len(comparison.frames)
    shown = choose_frames(count)
    pairs = [frame.pair for frame in comparison.frames]
    first = Loaded.read(pairs[0], levels).true
    opening = next(video_frames(video, [0], count))[1] if video else None
    look = look_of(first, opening)
    sample = Loaded.read(pairs[shown[len(shown) // 2]], levels)
    scale = error_scale([sample.error])
    inputs = {} if opening is None else {"Input": opening}
    samples = {**inputs, **_pictures(sample, look, scale)}
    # The table of errors takes the same room, whatever is in it.
    rest = room_for_pictures(_page(comparison, title, ErrorTable()))
    room = share_room(list(samples.values()), len(samples) * len(shown), rest)
    series: dict[str, list[str]] = {name: [] for name in samples}
    if video:
        series["Input"] += [room.place(rgb) for _, rgb in video_frames(video, shown, count)]
    visible, total = set(shown), ErrorTable()

    def work(index: int) -> tuple[ErrorTable, dict[str, str]]:
        pair = Loaded.read(pairs[index], levels)
        pictures = _pictures(pair, look, scale) if index in visible else {}
        return ErrorTable.of(pair), {name: room.place(one) for name, one in pictures.items()}

    with ThreadPoolExecutor(WORKERS) as workers:
        for frame, (part, found) in zip(
            comparison.frames, workers.map(work, range(count)), strict=True
        ):
            if frame.counted:
                total.add(part)
            for name, picture in found.items():
                series[name].append(picture)
            advance(1)
    viewer = Viewer(
        size=room.size,
        frames=shown,
        labels=[_label(comparison, index) for index in shown],
        series=series,
        pair=("Result", "Truth"),
        start=min(range(len(shown)), key=lambda one: abs(shown[one] - _worst(comparison))),
        rate=RATE,
        about=_about(room, first.size, len(shown), count, video),
        scale={"Error": (color_bar(scale), "0", f"{100 * scale:g} % of white − black")},
    )
    write_page(_page(comparison, title, total), viewer, path, overwrite=overwrite)


def _pictures(pair: Loaded, look: Look, scale: float) -> dict[str, Picture]:
    return {
        "Result": look.develop(pair.predicted),
        "Truth": look.develop(pair.true),
        "Error": color_error(pair.error, scale),
    }


def _label(comparison: Comparison, index: int) -> str:
    frame = comparison.frames[index]
    given = "" if frame.counted else " (given, not counted)"
    return (
        f"{frame.pair.true.name}: PSNR {_cell(frame.scores.psnr, 'dB')}, "
        f"SSIM {_cell(frame.scores.ssim, '')}{given}"
    )


def _about(room: Room, size: tuple[int, int], shown: int, count: int, video: Path | None) -> str:
    brightness = "its video frame" if video else "LibRaw's auto-brightness makes it"
    some = "" if shown == count else f" {shown} of {count} frames, evenly spaced."
    return (
        "LibRaw develops result and truth alike: white balance and colours of the first true "
        f"frame, which is as bright as {brightness}. Pictures of {room.size[0]}×{room.size[1]} "
        f"(the frames are {size[1]}×{size[0]}), WebP.{some}"
    )


def _page(comparison: Comparison, title: str, errors: ErrorTable) -> Page:
    frames = comparison.frames
    counted = [index for index, frame in enumerate(frames) if frame.counted]
    values = dict(
        zip(FIGURES, zip(*(astuple(one.scores) for one in frames), strict=True), strict=True)
    )
    worst = _worst(comparison)
    summary = [
        f"{len(counted)} of {len(frames)} frames counted, matched by {comparison.matched_by}. "
        f"Mean PSNR {_cell(comparison.mean.psnr, 'dB')}, mean SSIM "
        f"{_cell(comparison.mean.ssim, '')}; worst frame {worst}: "
        f"{_cell(frames[worst].scores.psnr, 'dB')}."
    ]
    if comparison.identical:
        summary.append(
            f"{comparison.identical} frames equal the truth (infinite PSNR); the means of PSNR "
            "leave them out."
        )
    known = {
        name: [
            value if frame.counted and math.isfinite(value) else math.nan
            for frame, value in zip(frames, ys, strict=True)
        ]
        for name, ys in values.items()
    }
    charts = [
        Chart(
            f"{axis.partition(',')[0]} over time",
            ("frame", axis),
            range(len(frames)),
            {name: ys for name, ys in known.items() if FIGURES[name] == unit},
            by_frame=True,
        )
        for axis, unit in (("PSNR, dB", "dB"), ("SSIM", ""))
    ]
    rms = errors.rms()
    charts.append(
        Chart(
            "Error by intensity and CFA site",
            ("true value, % of white − black", "RMS error, % of white − black"),
            [(100 * (index + 0.5)) / BINS for index in range(BINS)],
            {site: list(rms[index]) for index, site in enumerate(SITES)},
        )
    )
    tables = [
        _summary_table({name: [ys[index] for index in counted] for name, ys in values.items()}),
        _error_table(errors),
        Table(
            "Every frame",
            ("frame", "true frame", *FIGURES),
            [
                [
                    f"{index}" if frame.counted else f"({index})",
                    frame.pair.true.name,
                    *map(_cell, astuple(frame.scores), FIGURES.values()),
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
    """Means leave out infinite values, as `compare` does; the median and the worst needn't."""
    rows = [
        (
            name,
            *(
                _cell(value, FIGURES[name])
                for value in (_mean(ys), median(ys), min(ys), _mean(ys[-LAST:]))
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


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return fmean(finite) if finite else math.inf


def _cell(value: float, unit: str) -> str:
    if not math.isfinite(value):
        return "equal"
    return f"{value:.2f} {unit}" if unit else f"{value:.4f}"
