"""Draw the paper's figures 7 (error maps) and 8 (curves over time) with Matplotlib."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from rvdtool.errors import UsageError
from rvdtool.evaluate.sheet import error_scale
from rvdtool.files import write_beside
from rvdtool.research.benchmark.measure import VideoResult
from rvdtool.research.benchmark.record import ErrorMap, Place
from rvdtool.research.benchmark.summary import by_method, curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_VIDEOS = 6
"""Largest number of rows in the figure of error maps, spread over the videos."""


def require_matplotlib() -> None:
    """Check that Matplotlib is installed, before any work.

    Raises:
        UsageError: Matplotlib isn't installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "figures need Matplotlib, which isn't installed: pip install "
            "'rvdtool[research]'; or leave out the results' folder, as printed tables "
            "don't need it"
        ) from error


def draw_curves(results: Sequence[VideoResult], path: Path) -> None:
    """Draw figure 8 as PNG: PSNR and SSIM (paper's protocol) of each frame, means over videos.

    Raises:
        OutputError: the file can't be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(12, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, group in by_method(results).items():
        means = curve(group)
        frames = [index + 1 for index in means]  # the paper counts from 1
        marker = "o" if group[0].every > 1 else None
        psnrs = [float("nan") if m.psnr_paper is None else m.psnr_paper for m in means.values()]
        left.plot(frames, psnrs, label=name, marker=marker, linewidth=1.2)
        ssims = [m.ssim_paper for m in means.values()]
        right.plot(frames, ssims, label=name, marker=marker, linewidth=1.2)
    for axes, what in ((left, "PSNR [dB]"), (right, "SSIM (mosaic, range 2)")):
        axes.set_xlabel("frame")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel(what)
        axes.grid(alpha=0.3)
    left.legend(fontsize="small")
    save_png(figure, path)


def draw_error_maps(results: Sequence[VideoResult], folder: Path, path: Path) -> None:
    """Draw figure 7 as PNG: the last frame of some videos, and each method's error map.

    Args:
        results: results at one size.
        folder: the results' folder, with the error maps.
        path: path of the PNG.

    Raises:
        OutputError: a map is missing, or the PNG can't be written.
        InputError: a video's frame can't be read.
    """
    from matplotlib.figure import Figure

    groups = by_method(results)
    clips = [result.clip for result in next(iter(groups.values()))]
    rows = range(0, len(clips), -(-len(clips) // MOST_VIDEOS))
    figure = Figure(figsize=(2.6 * (1 + len(groups)), 1.9 * len(rows) + 0.6), layout="constrained")
    grid = figure.subplots(len(rows), 1 + len(groups), squeeze=False)
    for axes, row in zip(grid, rows, strict=True):
        chosen = [group[row] for group in groups.values()]
        last = chosen[0].record.frames[-1]
        maps = [_map(result, folder) for result in chosen]
        scale = error_scale(maps)
        picture = clips[row].srgb(last.index)
        small = cv2.resize(picture, maps[0].shape[::-1], interpolation=cv2.INTER_AREA)
        axes[0].imshow(small)
        axes[0].set_title(f"{clips[row].name}, frame {last.index}", fontsize="small")
        for one, error, result in zip(axes[1:], maps, chosen, strict=True):
            drawn = one.imshow(100 * error, cmap="inferno", vmin=0, vmax=100 * scale)
            psnr = result.record.frames[-1].psnr_paper
            shown = "∞" if psnr is None else f"{psnr:.2f} dB"
            one.set_title(f"{result.method}: {shown}", fontsize="small")
        bar = figure.colorbar(drawn, ax=list(axes), shrink=0.8)
        bar.set_label("|error| / (white − black) [%]", fontsize="x-small")
    for one in grid.flat:
        one.set_axis_off()
    save_png(figure, path)


def _map(result: VideoResult, folder: Path) -> ErrorMap:
    place = Place(folder, result.method, result.clip.name, result.clip.half)
    return place.read_error_map(result.record.frames[-1].index)


def save_png(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, replacing an earlier one.

    Raises:
        OutputError: the file can't be written.
    """
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)  # a Figure without pyplot uses Agg
    with write_beside(path, overwrite=True) as file:
        file.write(data.getvalue())
