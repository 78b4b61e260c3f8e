"""Curves, drawn by Bokeh in the reader's browser."""

from typing import TYPE_CHECKING, Any

from rvdtool.report.page import Chart

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure

COLORS = ("#2f86d6", "#d9781c", "#2a9d6f", "#b45bb0", "#c2453d", "#8a8a00")
"""Distinguishable with colour blindness, and on light and dark backgrounds."""

_DASHES = ("solid", "dashed", "dotted", "dotdash")

_MARKED = 60
"""Largest number of points for which each gets a mark."""

_TO_VIEWER = "document.dispatchEvent(new CustomEvent('frame', {detail: Math.round(cb_obj.x)}))"


def library() -> str:
    """Bokeh itself, as script elements."""
    from bokeh.resources import Resources

    return str(Resources(mode="inline", components=["bokeh"]).render_js())


def item(chart: Chart) -> Any:
    """A chart as JSON for `Bokeh.embed.embed_item`."""
    from bokeh.embed import json_item

    return json_item(_figure(chart))


def _figure(chart: Chart) -> "Figure":
    from bokeh.events import Tap
    from bokeh.models import ColumnDataSource, CustomJS, HoverTool, NumeralTickFormatter
    from bokeh.models.annotations import Span
    from bokeh.plotting import figure

    drawn = figure(
        height=260,
        sizing_mode="stretch_width",
        x_axis_label=chart.axes[0],
        y_axis_label=chart.axes[1],
        tools="xpan,xwheel_zoom,xbox_zoom,reset",
        active_drag=None,  # so that a finger scrolls the page
        toolbar_location="right",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
    )
    drawn.toolbar.logo = None
    # Columns by number: names may hold anything.
    columns = {f"y{index}": list(map(float, ys)) for index, ys in enumerate(chart.curves.values())}
    source = ColumnDataSource({"x": list(map(float, chart.x)), **columns})
    lines: list[Any] = []
    for index, name in enumerate(chart.curves):
        color, dash = COLORS[index % len(COLORS)], _DASHES[index // len(COLORS) % len(_DASHES)]
        look: dict[str, Any] = {"x": "x", "y": f"y{index}", "source": source, "color": color}
        lines.append(drawn.line(**look, legend_label=name, line_width=2, line_dash=dash))
        if len(chart.x) <= _MARKED:
            drawn.scatter(**look, size=5)
    tooltips = [(name, f"@y{index}{{0.000}}") for index, name in enumerate(chart.curves)]
    first = (chart.axes[0], "@x{0}" if chart.by_frame else "@x{0.0}")
    drawn.add_tools(HoverTool(renderers=lines[:1], mode="vline", tooltips=[first, *tooltips]))
    drawn.legend.orientation = "horizontal"
    drawn.legend.background_fill_alpha = 0
    drawn.legend.border_line_color = None
    drawn.add_layout(drawn.legend[0], "above")
    if chart.by_frame:
        drawn.xaxis.formatter = NumeralTickFormatter(format="0")
        drawn.add_layout(
            Span(location=0, dimension="height", line_color="#888888", line_dash="dotted",
                 name="frame")
        )  # fmt: skip
        drawn.js_on_event(Tap, CustomJS(code=_TO_VIEWER))
    return drawn
