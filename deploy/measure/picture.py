"""A bench report as a picture: contenders, layers, threads."""

from __future__ import annotations

from ...html_report import BLUE, GREY, ORANGE, name_bars, new_figure, plain, svg_of
from .report import BenchReport


def bench_svg(report: BenchReport) -> str:
    """An SVG document: medians of all contenders on this machine, and on each device the time by kernel."""
    timed = [device for device in report.devices if device.median_us is not None]
    panels = (1 if report.rows else 0) + len(timed)
    with new_figure(max(1, panels)) as (figure, axes):
        figure.suptitle(plain(f"{report.name}: latency, one example"))
        remaining = iter(axes)
        if report.rows:
            panel = next(remaining)
            rows = report.rows[::-1]
            colours = [BLUE if row.ratio == 1.0 else GREY for row in rows]
            panel.barh(range(len(rows)), [row.median_us for row in rows], color=colours)
            name_bars(panel, [row.label for row in rows])
            for place, row in enumerate(rows):
                panel.annotate(f" {row.ratio:.1f}x", (row.median_us, place), va="center", fontsize=8)
            panel.set_title("this machine")
            panel.set_xlabel("median, µs")
            panel.margins(x=0.2)
        for device in timed:
            panel = next(remaining)
            layers = device.layers[::-1]
            panel.barh(range(len(layers)), [layer.mean_us for layer in layers], color=ORANGE)
            name_bars(panel, [layer.kernel for layer in layers])
            panel.set_title(plain(f"{device.device}: {device.median_us:,.1f} µs"))
            panel.set_xlabel("mean of each kernel, µs")
        return svg_of(figure)
