"""The page of `rvdtool derender`: a reconstruction, without the true frames."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import imagecodecs
import numpy as np

from rvdtool.bundle.store import Bundle
from rvdtool.delivery.folder import DerenderReport
from rvdtool.delivery.preview import fitted, steady_look, upright
from rvdtool.evaluate.sheet import Picture, color_error
from rvdtool.raw.read import read_raw
from rvdtool.raw.sequence import frame_name
from rvdtool.reconstruct.confidence import PER_DB, confidence_map
from rvdtool.reconstruct.pipeline import ReadAhead
from rvdtool.reconstruct.references import Result
from rvdtool.report.page import Chart, Page, Table, Viewer, room_for_pictures, write_page
from rvdtool.report.pictures import choose_frames, color_bar, share_room
from rvdtool.video.decode import read_frames

POOR, GOOD = 20, 60
"""Expected PSNR in dB at the dark and at the bright end of the confidence map."""


class ConfidenceRecord:
    """The confidence maps of a run, by index: pass `watch` to `derender_to_folder`.

    Attributes:
        maps: by block, as PNGs, which take some kilobytes each.
    """

    def __init__(self) -> None:
        self.maps: dict[int, bytes] = {}

    def watch(self, result: Result) -> None:
        """Keep a frame's map, if it has one."""
        known = result.expected
        if known is not None:
            blocks = confidence_map(known, known.shape)
            self.maps[result.index] = bytes(imagecodecs.png_encode(blocks, level=1))


def write_run_report(
    bundle: Bundle,
    report: DerenderReport,
    record: ConfidenceRecord,
    path: Path,
    *,
    summary: Sequence[str],
    overwrite: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> None:
    """Write a page about a run: input, result and confidence of its frames.

    Args:
        bundle: what was reconstructed.
        report: of the run; the frames are read from its folder.
        record: of the run, too; it lacks the frames of an earlier run that this one resumed.
        path: the HTML file.
        summary: sentences at the top of the page.
        overwrite: replace an existing file.
        advance: called with 1 after every frame that is shown.

    Raises:
        InputError: a frame or the video can't be read.
        OutputError: it exists or can't be written.
    """
    page = _page(bundle, report, summary)
    shown = [report.first + index for index in choose_frames(report.frames)]
    sample = next(_pictures(bundle, report, record, [shown[len(shown) // 2]]))
    series: dict[str, list[str]] = {name: [] for name in sample}
    room = share_room(list(sample.values()), len(sample) * len(shown), room_for_pictures(page))
    with ReadAhead(_pictures(bundle, report, record, shown)) as ahead:
        for pictures in ahead:
            for name, picture in pictures.items():
                series[name].append(room.place(picture))
            advance(1)
    some = "" if len(shown) == report.frames else f" {len(shown)} of {report.frames} frames."
    viewer = Viewer(
        size=room.size,
        frames=shown,
        labels=[f"Frame {index}: {', '.join(_words(report, bundle, index))}" for index in shown],
        series=series,
        pair=("Input", "Result"),
        start=0,
        rate=float(report.labels.rate),
        about="LibRaw develops all results with the same settings: the first reference's white "
        "balance and colours, and the exposure at which that reference is as bright as its video "
        f"frame. Lens corrections aren't applied. Pictures of {room.size[0]}×{room.size[1]}, "
        f"WebP.{some}",
        scale={"Confidence": (color_bar(1), f"{POOR} dB or less", f"{GOOD} dB or more")},
    )
    write_page(page, viewer, path, overwrite=overwrite)


def _pictures(
    bundle: Bundle, report: DerenderReport, record: ConfidenceRecord, wanted: Sequence[int]
) -> Iterator[dict[str, Picture]]:
    info, look = bundle.video_info, steady_look(bundle)
    for frame in read_frames(bundle.checked_video(), info):
        if frame.index in wanted:
            result = look.develop(read_raw(report.folder / _name(report, frame.index)))
            found = {
                "Input": fitted(frame.rgb, result),
                "Result": result,
                "Confidence": _confidence(bundle, report, record, frame.index, result),
            }
            yield {name: upright(picture, info) for name, picture in found.items()}
        if frame.index == wanted[-1]:
            return


def _confidence(
    bundle: Bundle, report: DerenderReport, record: ConfidenceRecord, index: int, like: Picture
) -> Picture:
    """The expected PSNR in colours; grey where it isn't known: for frames of an earlier run, and
    with the paper's network."""
    height, width = like.shape[:2]
    given = any(reference.index == index for reference in bundle.references)
    if index in record.maps:
        blocks = imagecodecs.png_decode(record.maps[index])
    elif given and math.isnan(report.figures[index].expected):
        blocks = confidence_map(None, (1, 1))  # the true RAW as it is
    else:
        return np.full((height, width, 3), 128, np.uint8)
    decibels = cv2.resize(blocks, (width, height)).astype(np.float32) / PER_DB
    return color_error(np.maximum(decibels - POOR, 0), GOOD - POOR)


def _name(report: DerenderReport, index: int) -> str:
    return frame_name(report.labels.stem, index)


def _words(report: DerenderReport, bundle: Bundle, index: int) -> list[str]:
    """What is known about a frame."""
    figures, words = report.figures[index], []
    if index < report.resumed_at:
        words.append("made by the earlier run that this one resumed")
    if any(reference.index == index for reference in bundle.references):
        words.append("has a RAW of its own")
    if not math.isnan(figures.expected):
        words.append(f"expected PSNR {figures.expected:.1f} dB")
    if figures.cut:
        words.append("cut, or blank frame")
    return [*words, f"brightness {figures.brightness:.3f}, exposure {figures.exposure:.3f}"]


def _page(bundle: Bundle, report: DerenderReport, summary: Sequence[str]) -> Page:
    span, figures = list(report.figures), report.figures.values()
    expected = {"expected PSNR": [one.expected for one in figures]}
    light = {
        "brightness": [one.brightness for one in figures],
        "exposure": [one.exposure for one in figures],
    }
    charts = [
        Chart("Expected PSNR", ("frame", "dB"), span, expected, by_frame=True),
        Chart("Relative to the reference frame", ("frame", "factor"), span, light, by_frame=True),
    ]
    references = Table(
        "RAW frames given",
        ("file", "frame", "match score", "share that differs from the video"),
        [
            (
                one.raw.name,
                str(one.frame_index),
                f"{one.match_score:.3f}",
                f"{report.differing.get(one.frame_index, 0):.1%}",
            )
            for one in bundle.manifest.references
        ],
    )
    every = Table(
        "Every frame",
        ("frame", "file", "what is known"),
        [
            (str(index), _name(report, index), ", ".join(_words(report, bundle, index)))
            for index in span
        ],
        folded=True,
    )
    title = f"{report.labels.stem}: reconstructed RAW frames"
    return Page(title, summary, charts, (references, every), _notes(bundle, report))


def _notes(bundle: Bundle, report: DerenderReport) -> list[str]:
    """The run's notes, and what `pack` assumed or dropped."""
    manifest = bundle.manifest
    assumed = [
        f"{manifest.video.name}: {name} assumed to be {tag.value}, as the video doesn't state it"
        for name, tag in manifest.video.color
        if tag.source == "assumed"
    ]
    dropped = [
        f"{one.raw.name}: dropped: {', '.join(one.profile.dropped)}"
        for one in manifest.references
        if one.profile.dropped
    ]
    return [*assumed, *dropped, *report.notes]
