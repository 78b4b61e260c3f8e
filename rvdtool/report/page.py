"""A report as one HTML file: opens from disk, loads nothing, 8 MB at most."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rvdtool._version import __version__
from rvdtool.errors import UsageError
from rvdtool.files import require_new, write_beside

LIMIT = 8_000_000
"""Bytes of a page."""

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: what it shows.
        header: of the columns.
        rows: their cells; the first one names the row.
        folded: hidden until the reader opens it.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False


@dataclass(frozen=True)
class Chart:
    """Curves over one x axis.

    Attributes:
        title: what they show.
        axes: what x and y are, with units.
        x: shared by all curves.
        curves: name → y, NaN where nothing is known.
        by_frame: whether x is a frame: then a click shows it in the viewer.
    """

    title: str
    axes: tuple[str, str]
    x: Sequence[float]
    curves: Mapping[str, Sequence[float]]
    by_frame: bool = False

    @property
    def has_values(self) -> bool:
        """Whether there is anything to draw."""
        return any(math.isfinite(y) for ys in self.curves.values() for y in ys)


@dataclass(frozen=True)
class Viewer:
    """Pictures of some frames of a clip.

    Attributes:
        size: (width, height) of a picture.
        frames: indices of these frames.
        labels: text about each of them.
        series: name → data URI of each of these frames.
        pair: the series shown at first, left and right.
        start: position in `frames` of the picture shown first.
        rate: frames per second.
        about: how the pictures were made.
        scale: name of a series → its colour scale as a data URI, and the meanings of its left and
            right ends.
    """

    size: tuple[int, int]
    frames: Sequence[int]
    labels: Sequence[str]
    series: Mapping[str, Sequence[str]]
    pair: tuple[str, str]
    start: int
    rate: float
    about: str
    scale: Mapping[str, tuple[str, str, str]]


@dataclass(frozen=True)
class Page:
    """The content of a report.

    Attributes:
        title: of the page.
        summary: sentences below it.
        charts: drawn first.
        tables: below the viewer, unless there is none.
        notes: what was assumed, dropped or doubtful.
    """

    title: str
    summary: Sequence[str]
    charts: Sequence[Chart]
    tables: Sequence[Table]
    notes: Sequence[str] = ()


def require_report(path: Path, overwrite: bool) -> None:
    """Refuse a report that can't be written, before any work.

    Raises:
        UsageError: Bokeh isn't installed.
        OutputError: it exists (without `overwrite`), or its folder doesn't.
    """
    try:
        import bokeh  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "--report needs Bokeh, which isn't installed: pip install 'rvdtool[report]'"
        ) from error
    require_new(path, overwrite)


def room_for_pictures(page: Page) -> int:
    """How many bytes of pictures fit on the page, before they are encoded in base64."""
    return int((LIMIT - len(_html(page, None).encode()) - 50_000) * 3 / 4)


def write_page(page: Page, viewer: Viewer | None, path: Path, *, overwrite: bool = False) -> None:
    """Write a report.

    Args:
        page: its content.
        viewer: its pictures, within `room_for_pictures`.
        path: the HTML file.
        overwrite: replace an existing file.

    Raises:
        OutputError: it exists or can't be written.
    """
    with write_beside(path, overwrite=overwrite) as file:
        file.write(_html(page, viewer).encode())


def _html(page: Page, viewer: Viewer | None) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from rvdtool.report.charts import item, library

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    charts = [chart for chart in page.charts if chart.has_values]  # Bokeh can't draw none
    # Sorted, as they are by default, Bokeh's objects would come before what they consist of.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment.get_template("page.html").render(
        page=page,
        charts=charts,
        plots=[item(chart) for chart in charts],
        library=library(),
        viewer=viewer,
        version=__version__,
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=(_HERE / "page.js").read_text(encoding="utf-8"),
    )
