"""The page of a bench report, and its picture: contenders, kernels, batches on several threads."""

from __future__ import annotations

from ...html_report.charts import Bar, Line, bar_chart, line_chart, picture
from ...html_report.figures import latency_cards, latency_charts
from ...html_report.page import Card, Chart, Page, Part, Section, Table
from .report import BenchReport, DeviceReport


def bench_page(report: BenchReport) -> Page:
    """The page of what `bench` measured on this machine and on devices."""
    cards = latency_cards(report)
    if report.decode_us is not None:
        cards.append(Card("Decoding the weights", f"{report.decode_us:,.1f} µs", "in this process"))
    if report.start_ms is not None:
        cards.append(Card("Start to end", f"{report.start_ms:,.1f} ms", "of the runner, with all golden inputs"))
    for device in report.devices:
        if device.median_us is not None:
            cards.append(Card(f"On {device.device}", f"{device.median_us:,.1f} µs", device.cpu or device.description))
    sections = [
        Section("", latency_charts(report)),
        Section("Runtimes on this machine", [_rows(report)] if report.rows else []),
        *(Section(device.description, _device(device)) for device in report.devices),
    ]
    return Page(f"{report.name}: latency", f"Measured on {report.cpu}.", cards, sections)


def bench_picture(report: BenchReport) -> str:
    """An SVG document: medians of all contenders on this machine, and on each device the time by kernel."""
    charts = [*latency_charts(report), *(chart for device in report.devices for chart in _kernels(device))]
    if not charts:
        charts = [Chart("Latency", bar_chart([], "median, µs"))]
    return picture([(chart.title, chart.chart) for chart in charts], f"{report.name}: latency, one example")


def _rows(report: BenchReport) -> Table:
    rows = [
        (row.label, f"{row.median_us:,.1f}", f"{row.p10_us:,.1f}", f"{row.p90_us:,.1f}", f"{row.ratio:,.2f}×",
         f"{row.runs:,}")
        for row in report.rows
    ]  # fmt: skip
    head = ("runtime", "median, µs", "10th percentile, µs", "90th percentile, µs", "against compiled", "runs")
    return Table(head, rows)


def _device(device: DeviceReport) -> list[Part]:
    parts: list[Part] = [*_kernels(device), *_batches(device)]
    return [*parts, Table((), _facts(device))]


def _kernels(device: DeviceReport) -> list[Chart]:
    if device.median_us is None or not device.layers:
        return []
    bars = [Bar(layer.kernel, round(layer.mean_us, 3)) for layer in device.layers]
    note = f"Timed one by one, with the clock's own time; a whole run takes {device.median_us:,.1f} µs."
    return [Chart(f"Kernels on {device.device}", bar_chart(bars, "mean, µs", name="kernel"), note)]


def _batches(device: DeviceReport) -> list[Chart]:
    if not device.batches:
        return []
    sizes = sorted({batch.examples for batch in device.batches})
    lines = [
        Line(f"{size:,} examples", [
            (float(batch.threads), batch.examples / batch.median_ms * 1000.0)
            for batch in sorted(device.batches, key=lambda batch: batch.threads) if batch.examples == size
        ])
        for size in sizes
    ]  # fmt: skip
    chart = line_chart(lines, "threads", "examples a second", dots=True)
    return [Chart(f"Batches on {device.device}", chart)]


def _facts(device: DeviceReport) -> list[tuple[str, str]]:
    """What is known of a device, by name; what it does not tell is left out."""
    shown = [
        ("processor", device.cpu),
        ("governor", device.governor),
        ("temperature, °C", device.temperature_c),
        ("emulated", "yes, so times would say nothing" if device.emulated else None),
        ("peak memory, kB", device.peak_kb),
        ("workspace, bytes", device.workspace_bytes),
        ("loading, µs", device.load_us),
        ("first run, µs", device.first_us),
        ("runs", device.runs or None),
        ("least, µs", device.min_us),
        ("median, µs", device.median_us),
        ("90th percentile, µs", device.p90_us),
        ("99th percentile, µs", device.p99_us),
        ("instructions of a run", device.instructions),
    ]
    found = [(name, value if isinstance(value, str) else f"{value:,}") for name, value in shown if value is not None]
    found += [
        (f"{batch.examples:,} examples on {batch.threads} threads, ms", f"{batch.median_ms:,.3f}")
        for batch in device.batches
    ]
    return found
