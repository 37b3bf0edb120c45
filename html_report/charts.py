"""Charts as Vega-Lite specifications, made with Altair, and the same as SVG, drawn by vl-convert.

Colours are CSS variables of the page (templates/page.css), so that a chart follows its light and dark mode. Fields of
the data have names of ours; what strangers named stands in the data alone, where nothing is obeyed.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from ..optional import require
from ..text import printable

NUMBER = ",.6~r"  # d3-format: six digits at most, grouped, never as a power of ten
COLOURS = tuple(f"var(--c{number})" for number in range(10))
STRONG, ACCENT, MUTED = COLOURS[0], COLOURS[1], COLOURS[9]
MOST_POINTS = 100  # of a line; a page has to stay below a megabyte
_MOST_OF_ALL = 600  # points of all lines of a chart
MOST_NAMES = 30  # bars, or lines, of one chart
_MOST_TILES = 1500
_HEIGHT = 240  # pixels
_ROW = 26  # pixels of a bar with its gap
_STATIC_WIDTH = 420  # pixels, where no window gives the width
_TEXT = "currentColor"
_MARK = re.compile(r'<(path|line) aria-label="([^"]*)"([^>]*?)/>')
_IDENTIFIER = re.compile(r'id="(\w+)"')
_FONT = "system-ui, sans-serif"
_TITLED = {"labelColor": _TEXT, "titleColor": _TEXT, "labelFont": _FONT, "titleFont": _FONT, "titleFontWeight": 600}
# What all charts share; the page hands it to the script once.
CONFIG: Mapping[str, Any] = {
    "background": None,
    "font": _FONT,
    "numberFormat": NUMBER,
    "view": {"stroke": None},
    "axis": {
        **_TITLED, "domainColor": "var(--soft)", "tickColor": "var(--soft)", "gridColor": "var(--grid)",
        "labelFontSize": 11, "titleFontSize": 11, "labelLimit": 150, "labelPadding": 6, "titlePadding": 8,
    },
    "legend": {
        **_TITLED, "labelFontSize": 11, "titleFontSize": 11, "orient": "bottom", "columns": 3, "labelLimit": 140,
        "symbolType": "circle", "symbolStrokeWidth": 0,
    },
    "title": {
        "color": _TEXT, "subtitleColor": _TEXT, "font": _FONT, "fontSize": 13, "anchor": "start", "frame": "group",
    },
    "text": {"color": _TEXT, "font": _FONT, "fontSize": 11},
    "range": {"category": list(COLOURS)},
    "bar": {"color": STRONG},
    "line": {"color": STRONG, "strokeWidth": 2},
    "point": {"color": STRONG, "filled": True},
    "rule": {"color": _TEXT},
}  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """A bar, or the part of one that belongs to a group.

    low, high  of a spread that is drawn over it
    strong     drawn in the main colour, where other bars are muted
    """

    name: str
    value: float
    group: str = ""
    low: float | None = None
    high: float | None = None
    strong: bool = True


def bar_chart(bars: Sequence[Bar], value: str, *, name: str = "", group: str = "", log: bool = False) -> Any:
    """Horizontal bars, the first on top; those of one place, named alike and of several groups, are stacked.

    value, name, group  what these are called on axes and on hover
    log   needs positive values
    """
    alt = require("altair")
    given = list(dict.fromkeys(bar.name for bar in bars))
    places = given[:MOST_NAMES]
    rows: list[dict[str, Any]] = [
        {"name": printable(bar.name), "value": bar.value, "group": printable(bar.group),
         "place": places.index(bar.name), "low": bar.low, "high": bar.high, "muted": not bar.strong}
        for bar in bars if bar.name in places
    ]  # fmt: skip
    for row in rows:
        unused = [key for key, is_used in (("group", group), ("low", row["low"] is not None),
                  ("high", row["high"] is not None), ("muted", row["muted"])) if not is_used]  # fmt: skip
        for key in unused:
            del row[key]
    names = [printable(place) for place in places]
    label = f"{_javascript(names)}[datum.value]"  # bars of one shown name stay bars of their own
    scale = alt.Scale(type="log", domain=[1, max([10.0, *(bar.value for bar in bars)])]) if log else alt.Undefined
    x = alt.X("value:Q", title=value, scale=scale, axis=_axis(log=log))
    y = alt.Y("place:O", title=None, axis=alt.Axis(labelExpr=label, grid=False, ticks=False, domain=False))
    shown = [alt.Tooltip("name:N", title=name or "name"), alt.Tooltip("value:Q", title=value)]
    shown += [alt.Tooltip("group:N", title=group)] if group else []
    spread = any(bar.low is not None for bar in bars)
    if spread:
        shown += [alt.Tooltip("low:Q", title="10th percentile"), alt.Tooltip("high:Q", title="90th percentile")]
    colour: dict[str, Any] = {}
    if group:
        order = list(dict.fromkeys(row["group"] for row in rows))
        colour["color"] = alt.Color("group:N", title=None, sort=order)
        colour["order"] = alt.Order("rank:Q")
        for row in rows:
            row["rank"] = order.index(row["group"])
    elif any(not bar.strong for bar in bars):
        colour["color"] = alt.condition("datum.muted", alt.value(MUTED), alt.value(STRONG))
    if log:
        colour["x2"] = alt.datum(1)
    base = alt.Chart(alt.Data(values=rows))
    chart = base.mark_bar(cornerRadiusEnd=0 if group else 2).encode(x=x, y=y, tooltip=shown, **colour)
    if spread:
        rule = base.mark_rule(strokeWidth=1.5).encode(x=alt.X("low:Q", title=value), x2="high:Q", y=y, tooltip=shown)
        chart = alt.layer(chart, rule)
    elif not group:
        text = base.mark_text(align="left", dx=4).encode(x=x, y=y, text=alt.Text("value:Q"), tooltip=shown)
        chart = alt.layer(chart, text)
    return chart.properties(width="container", height=max(60, _ROW * len(places)), **_cut(len(places), len(given)))


@dataclass(frozen=True)
class Line:
    """A named line through points (x, y); points without a finite y are left out."""

    name: str
    points: Sequence[tuple[float, float | None]]
    colour: str | None = None


def line_chart(
    lines: Sequence[Line], x: str, y: str, *, log: bool = False, step: bool = False, dots: bool = False
) -> Any:
    """Lines over a common axis, with their figures on hover.

    log    logarithmic where all values are positive, else linear
    step   levels instead of slopes, for densities
    dots   every point is marked
    """
    alt = require("altair")
    most = min(MOST_POINTS, _MOST_OF_ALL // max(1, min(len(lines), MOST_NAMES)))
    shown = [
        (
            line,
            [
                (place, value)
                for place, value in _thinned(line.points, most)
                if value is not None and math.isfinite(value)
            ],
        )
        for line in lines[:MOST_NAMES]
    ]
    values = [value for _, points in shown for _, value in points]
    rows = [
        {"x": [_short(place) for place, _ in points], "y": [_short(value) for _, value in points],
         "name": printable(line.name)}
        for line, points in shown
    ]  # fmt: skip
    is_log = log and bool(values) and min(values) > 0
    scale = alt.Scale(type="log") if is_log else alt.Scale(zero=bool(values) and min(values) >= 0 and not log)
    colours = [line.colour or COLOURS[number % len(COLOURS)] for number, (line, _) in enumerate(shown)]
    names = [printable(line.name) for line, _ in shown]
    channels: dict[str, Any] = {
        "x": alt.X("x:Q", title=x, axis=_axis(), scale=alt.Scale(zero=False, nice=False)),
        "y": alt.Y("y:Q", title=y, axis=_axis(log=is_log), scale=scale),
        "color": alt.Color(
            "name:N", title=None, scale=alt.Scale(domain=names, range=colours),
            legend=alt.Undefined if len(lines) > 1 else None,
        ),
    }  # fmt: skip
    tips = [*([alt.Tooltip("name:N", title="of")] if len(lines) > 1 else []),
            alt.Tooltip("x:Q", title=x), alt.Tooltip("y:Q", title=y)]  # fmt: skip
    base = alt.Chart(alt.Data(values=rows)).transform_flatten(["x", "y"])
    curve = base.mark_line(interpolate="step" if step else "linear").encode(**channels)
    # Points that are not seen are what the pointer meets.
    points = base.mark_point(size=40 if dots else 60, opacity=1 if dots else 0).encode(**channels, tooltip=tips)
    return alt.layer(curve, points).properties(width="container", height=_HEIGHT, **_cut(len(shown), len(lines)))


def scatter_chart(
    groups: Mapping[str, Sequence[tuple[float, float]]],
    x: str,
    y: str,
    *,
    log_x: bool = False,
    most_y: float | None = None,
) -> Any:
    """Points by group, in the order of the groups; the last is drawn on top.

    most_y  end of the axis; points above it are left out
    """
    alt = require("altair")
    rows = []
    for name, points in groups.items():
        kept = [(place, value) for place, value in points if most_y is None or value <= most_y]
        rows.append({"x": [place for place, _ in kept], "y": [_short(value) for _, value in kept], "name": name})
    colours = (MUTED, STRONG, ACCENT)[: len(groups)]
    across = alt.Scale(type="log") if log_x else alt.Scale(zero=False)
    return (
        alt.Chart(alt.Data(values=rows))
        .transform_flatten(["x", "y"])
        .mark_point(size=70, opacity=1)
        .encode(
            x=alt.X("x:Q", title=x, axis=_axis(log=log_x), scale=across),
            y=alt.Y("y:Q", title=y, axis=_axis(), scale=alt.Scale(zero=False)),
            color=alt.Color("name:N", title=None, scale=alt.Scale(domain=list(groups), range=list(colours))),
            tooltip=[alt.Tooltip("name:N", title="setting"), alt.Tooltip("x:Q", title=x), alt.Tooltip("y:Q", title=y)],
        )
        .properties(width="container", height=_HEIGHT)
    )


def table_chart(counts: Sequence[Sequence[int]], names: Sequence[str], rows: str, columns: str, value: str) -> Any:
    """A square table of counts as tiles: the more of its row, the stronger; the counts inside where they fit.

    names, rows, columns, value  of the classes, of the axes, and of what is counted
    """
    alt = require("altair")
    shown = [f"{number}: {printable(name)}" if name != str(number) else name for number, name in enumerate(names)]
    cells = [(count, row, column) for row, line in enumerate(counts) for column, count in enumerate(line) if count]
    largest = sorted(cells, reverse=True)[:_MOST_TILES]
    totals = [max(1, sum(line)) for line in counts]
    data = {
        "row": [row for _, row, _ in largest],
        "column": [column for _, _, column in largest],
        "count": [count for count, _, _ in largest],
        "share": [round(100.0 * count / totals[row], 2) for count, row, _ in largest],
    }
    label = f"{_javascript(shown)}[datum.value]"
    short = len(names) <= 12 and max(map(len, shown), default=0) <= 4
    below = alt.Axis(labelLimit=70, labelAngle=0 if short else -90, grid=False, labelExpr=label)
    domain = alt.Scale(domain=list(range(len(names))))
    base = (
        alt.Chart(alt.Data(values=[data]))
        .transform_flatten(list(data))
        .transform_calculate(
            row_name=f"{_javascript(shown)}[datum.row]", column_name=f"{_javascript(shown)}[datum.column]"
        )
        .encode(
            x=alt.X("column:O", title=columns, scale=domain, axis=below),
            y=alt.Y("row:O", title=rows, scale=domain, axis=alt.Axis(grid=False, labelExpr=label)),
            tooltip=[
                alt.Tooltip("row_name:N", title=rows), alt.Tooltip("column_name:N", title=columns),
                alt.Tooltip("count:Q", title=value), alt.Tooltip("share:Q", title=f"% of the {rows}"),
            ],
        )
    )  # fmt: skip
    strength = alt.Opacity("share:Q", scale=alt.Scale(type="sqrt", domain=[0, 100], range=[0.06, 0.85]), legend=None)
    # What is right in the main colour, what is wrong in the accent.
    colour = alt.condition("datum.row == datum.column", alt.value(STRONG), alt.value(ACCENT))
    chart = base.mark_rect().encode(opacity=strength, color=colour)
    if len(names) <= 12:
        chart = alt.layer(chart, base.mark_text(fontSize=10).encode(text=alt.Text("count:Q", format=",")))
    height = max(180, min(560, 26 * len(names)))
    return chart.properties(width="container", height=height, **_cut(len(largest), len(cells), "largest"))


def density_chart(cells: Iterable[tuple[float, float, int]], sides: tuple[float, float], x: str, y: str) -> Any:
    """How many points fall into each cell of a grid: the logarithm of the count as strength.

    cells  centre and count of the cells that hold something
    sides  of a cell
    """
    alt = require("altair")
    width, height = (_short(side) for side in sides)
    found = [(_short(cx - width / 2), _short(cy - height / 2), count) for cx, cy, count in cells]
    columns = {name: [cell[place] for cell in found] for place, name in enumerate(("x", "y", "count"))}
    return (
        alt.Chart(alt.Data(values=[columns]))
        .transform_flatten(["x", "y", "count"])
        .transform_calculate(x2=f"datum.x + {width!r}", y2=f"datum.y + {height!r}")
        .mark_rect(color=STRONG)
        .encode(
            x=alt.X("x:Q", title=x, axis=_axis(), scale=alt.Scale(zero=False)), x2="x2:Q",
            y=alt.Y("y:Q", title=y, axis=_axis(), scale=alt.Scale(zero=False)), y2="y2:Q",
            opacity=alt.Opacity("count:Q", scale=alt.Scale(type="log", range=[0.15, 1]), legend=None),
            tooltip=[alt.Tooltip("x:Q", title=f"{x}, from"), alt.Tooltip("y:Q", title=f"{y}, from"),
                     alt.Tooltip("count:Q", title="weights")],
        )
        .properties(width="container", height=_HEIGHT)
    )  # fmt: skip


def specification(chart: Any) -> dict[str, Any]:
    """The chart as Vega-Lite's JSON, checked by Altair against Vega-Lite's schema; CONFIG is left to the reader."""
    found: dict[str, Any] = chart.to_dict()
    found.pop("config", None)
    return found


def chart_svg(chart: Any) -> str:
    """The chart as an SVG element for inside a page: its figures appear on hover, as titles of the marks."""
    given = copy.deepcopy(specification(chart))
    _set_width(given)
    given.setdefault("padding", 10)  # the reader's fonts may be wider than those that were measured
    drawn: str = require("vl_convert").vegalite_to_svg(given, config=dict(CONFIG), allowed_base_urls=[])
    drawn = _MARK.sub(lambda mark: f"<{mark[1]}{mark[3]}><title>{_figures(mark[2])}</title></{mark[1]}>", drawn)
    # Vega numbers what is referred to within a process; a page has several charts, and the same chart the same text.
    prefix = hashlib.sha256(json.dumps(given).encode()).hexdigest()[:8]
    numbers = {name: f"{prefix}-{place}" for place, name in enumerate(dict.fromkeys(_IDENTIFIER.findall(drawn)))}
    return re.sub(r'(id="|url\(#)(\w+)', lambda found: found[1] + numbers.get(found[2], found[2]), drawn)


def _figures(label: str) -> str:
    """What Vega says of a mark, without the place of a bar, which is a number of ours."""
    return "; ".join(part for part in label.split("; ") if not part.startswith("place: "))


def _set_width(given: dict[str, Any]) -> None:
    """A width of its own for each view that takes its container's."""
    if given.get("width") == "container":
        given["width"] = _STATIC_WIDTH
    for part in (*given.get("concat", ()), *given.get("layer", ())):
        _set_width(part)


def picture(charts: Sequence[tuple[str, Any]], title: str) -> str:
    """An SVG document with titled charts, two in a row; its background is light or dark, as the reader prefers."""
    alt = require("altair")
    titled = [chart.properties(title=printable(name)) for name, chart in charts]
    whole = alt.concat(*titled, columns=2, spacing=36).resolve_scale(color="independent", opacity="independent")
    drawn = chart_svg(whole.properties(title=alt.Title(printable(title), fontSize=16, offset=18), padding=16))
    style = files(__package__).joinpath("templates", "page.css").read_text("utf-8")
    variables = style[: style.index("* {")]  # the colours, which stand first
    head = (
        '<metadata><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Description><dc:title>bayespress</dc:title>'
        f"</rdf:Description></rdf:RDF></metadata><style>{variables}svg {{ color: var(--text); }}</style>"
        '<rect width="100%" height="100%" fill="var(--card)"/>'
    )
    return '<?xml version="1.0" encoding="utf-8"?>\n' + drawn.replace(">", f">{head}", 1) + "\n"


def _axis(*, log: bool = False) -> Any:
    alt = require("altair")
    return alt.Axis(
        format=NUMBER,
        tickCount=5,
        grid=True,
        labelOverlap="greedy",
        labelSeparation=8,
        **({"gridOpacity": 0.5} if log else {}),
    )


def _javascript(names: Sequence[str]) -> str:
    """A list of strings as a Vega expression."""
    return json.dumps(list(names))


def _thinned(points: Sequence[tuple[float, float | None]], most: int) -> Sequence[tuple[float, float | None]]:
    """At most so many of the points, evenly, with the last one."""
    every = math.ceil(len(points) / most) or 1
    return points[(len(points) - 1) % every :: every]


def _cut(shown: int, given: int, which: str = "first") -> dict[str, Any]:
    """The title that says how much of what was given is shown, where that is not all."""
    return {} if shown == given else {"title": {"text": "", "subtitle": f"The {which} {shown:,} of {given:,}"}}


def _short(value: float) -> float:
    """Six digits are more than a chart shows, and keep the page small."""
    return float(f"{value:.6g}")
