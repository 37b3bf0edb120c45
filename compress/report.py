"""The page of a packed directory: error and size by step, where the bytes are, the search, published rows, latency."""

from __future__ import annotations

from collections.abc import Sequence

from ..codec import FileLayout
from ..codec.layout import STREAMS
from ..html_report.charts import Bar, bar_chart, picture, scatter_chart
from ..html_report.figures import (
    Latency,
    class_parts,
    latency_cards,
    latency_charts,
    metric_cards,
    metric_charts,
    nonzero_chart,
    size_cards,
    steps_table,
)
from ..html_report.page import Card, Chart, Page, Part, Section, Table, Text
from ..metric import Metric
from ..packed_format import LayerRecord, PackedRecord, SearchRecord
from .published import published


def packed_page(record: PackedRecord, layout: FileLayout, latency: Latency | None = None) -> Page:
    """The page of a packed directory.

    layout   of its weights file
    latency  what `bench` measured of the network, if anything
    """
    sections = [
        Section("", _charts(record, layout, latency)),
        Section("Steps", [steps_table(record.steps, record.measured_by, record.part)] if record.steps else []),
        Section("Errors by class", _classes(record)),
        *([_search(record.choice, record.measured_by)] if record.choice is not None else []),
        Section("Layers", [_layers(record.layers)] if record.layers else []),
        Section("Tensors of the file", [_tensors(layout)]),
        Section("Beside published results", [_beside(record)] if record.papers is not None else []),
        Section("Settings", [Table((), [(k, str(v)) for k, v in record.settings.items()])] if record.settings else []),
    ]
    lead = (
        f"{record.original_parameters:,} parameters{f', trained on {record.data},' if record.data else ''} in "
        f"{record.packed_bytes:,} bytes."
    )
    return Page(record.name, lead, _cards(record, latency), sections)


def packed_picture(record: PackedRecord, layout: FileLayout, latency: Latency | None = None) -> str:
    """The charts of the page's top alone, as an SVG document."""
    charts = _charts(record, layout, latency)
    title = f"{record.name}{f' on {record.data}' if record.data else ''}"
    sizes = f"{record.original_bytes:,} bytes to {record.packed_bytes:,}, {record.ratio:,.0f} times smaller"
    return picture([(chart.title, chart.chart) for chart in charts], f"{title}: {sizes}")


def _cards(record: PackedRecord, latency: Latency | None) -> list[Card]:
    cards = metric_cards(record.steps, record.measured_by, record.part)
    cards += size_cards(record.original_bytes, record.packed_bytes)
    if record.steps:
        left = record.steps[-1].nonzero
        share = 100.0 * left / max(1, record.original_parameters)
        cards.append(Card("Non-zero parameters", f"{left:,}", f"of {record.original_parameters:,}, {share:.2g} %"))
    return cards + latency_cards(latency)


def _charts(record: PackedRecord, layout: FileLayout, latency: Latency | None) -> list[Chart]:
    """What the page begins with, and all that the picture has."""
    steps, metric = record.steps, record.measured_by
    return [nonzero_chart(steps), *metric_charts(steps, metric, record.part), _bytes(layout), *latency_charts(latency)]


def _classes(record: PackedRecord) -> list[Chart | Table]:
    before, after = (None if found is None else found.counts for found in (record.confusion_before, record.confusion))
    return class_parts(before, after, record.labels, record.part)


def _bytes(layout: FileLayout) -> Chart:
    total = layout.by_stream()
    largest_first = sorted(STREAMS, key=lambda stream: -total[stream])
    bars = [
        Bar(tensor.name, round(tensor.streams[stream], 1), stream)
        for tensor in layout.tensors for stream in largest_first if tensor.streams[stream] > 0
    ]  # fmt: skip
    return Chart("Bytes by tensor and stream", bar_chart(bars, "bytes", name="tensor", group="stream"))


def _search(choice: SearchRecord, metric: Metric) -> Section:
    """Error against bytes of all that was tried."""
    front = choice.front()
    # What lost the network altogether would press the rest flat.
    most = 3 * max(0.1 if metric.unit == "%" else 0.0, choice.metric) if choice.metric > 0 else None
    chart = scatter_chart(
        {
            "tried": [(point.bytes, point.metric) for point in choice.points],
            "beaten by none": [(point.bytes, point.metric) for point in front],
            "chosen": [(choice.bytes, choice.metric)],
        },
        "bytes", metric.title("held-out"), log_x=True, most_y=most,
    )  # fmt: skip
    names = list(front[0].settings) if front else []
    rows = [
        (f"{p.bytes:,}", metric.text(p.metric), *(f"{p.settings[name]:.3g}" for name in names)) for p in front
    ]  # fmt: skip
    lead = (
        f"{len(choice.points)} settings, measured on {choice.measured_on()}. Chosen: {metric.text(choice.metric)} at "
        f"{choice.bytes:,} bytes. The test set chose nothing."
    )
    head = ("bytes", f"held-out {metric.name}", *(name.replace("_", " ") for name in names))
    parts: list[Part] = [Text(lead), Chart("All settings of the search", chart, wide=True), Table(head, rows)]
    return Section(f"Search for {choice.goal}", parts)


def _layers(layers: Sequence[LayerRecord]) -> Table:
    streams = [name for name in STREAMS[::-1] if any(name in layer.bits for layer in layers)]
    rows = [
        (
            layer.name,
            "×".join(map(str, layer.original_shape)) or "none",
            "×".join(map(str, layer.shape)),
            f"{layer.nonzero:,}",
            layer.coding,
            "" if layer.step is None else f"{layer.step:.4g}",
            *(f"{layer.bits[name]:,.0f}" if name in layer.bits else "" for name in streams),
        )
        for layer in layers
    ]
    head = ("layer", "shape before", "after", "non-zero", "values", "step", *(f"{name}, bits" for name in streams))
    return Table(head, rows)


def _tensors(layout: FileLayout) -> Table:
    rows = [
        (
            t.name, "×".join(map(str, t.shape)), t.kind, t.entries or "", f"{t.nonzero:,}",
            "" if t.index_bits is None else str(t.index_bits), f"{t.bytes:,.1f}",
        )
        for t in layout.tensors
    ]  # fmt: skip
    return Table(("tensor", "shape", "values", "layout", "non-zero", "bits of an index", "bytes"), rows)


def _beside(record: PackedRecord) -> Table:
    """The file's ratio beside the papers' two columns for the same network, and beside their own rows."""
    figure = record.steps[-1].metric if record.steps else None
    shown = "" if figure is None else record.measured_by.text(figure)
    own = [("this file", "file", f"{record.ratio:,.0f}", shown)]
    if record.papers is not None:
        for kind, size in (
            ("structure alone, 32 bits (fast prediction)", record.papers.fast_prediction),
            ("the scheme of Han et al. (maximum compression)", record.papers.maximum_compression),
        ):
            own.append(("this network", kind, f"{record.original_bytes / max(1, size):,.0f}", shown))
    rows = published(record.name, record.data)
    theirs = [(row.method, row.kind, f"{row.ratio:,.0f}", f"{row.error_percent:.2f} %") for row in rows]
    head = ("method", "kind of figure", "ratio", f"{record.part or ''} {record.measured_by.name}".strip())
    return Table(head, own + theirs)
