"""Drawing what compression did: error and size by step, where the bytes are, the search, published rows, latency."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, Protocol

from ..codec import FileLayout
from ..html_report import BLUE, GREY, ORANGE, html_table, name_bars, new_figure, page, plain, svg_of
from ..metric import Metric
from ..packed_format import ChoiceRecord, LayerRecord, PackedRecord
from .published import Published, published


class LatencyRow(Protocol):
    """One runtime's figures; deploy's are such."""

    @property
    def label(self) -> str: ...
    @property
    def median_us(self) -> float: ...
    @property
    def ratio(self) -> float: ...


class Latency(Protocol):
    """What `bench` measured."""

    @property
    def rows(self) -> Sequence[LatencyRow]: ...


_STREAM_COLOURS = {
    "values": "#2a6fbb", "indices": "#d9762b", "rows": "#5aa469", "masks": "#8a63b3", "tables": "#c9a227",
    "map": "#b0413e", "name": "#6b7a8f", "shape": "#93a1b0", "frame": "#b9c3cd", "padding": "#d5dbe1",
}  # fmt: skip


def summary_svg(record: PackedRecord, layout: FileLayout, latency: Latency | None = None) -> str:
    """The picture: non-zero weights and error by step, bytes by tensor and stream, latencies if measured."""
    with new_figure(2 if latency is None else 3) as (figure, axes):
        _draw_steps(axes[0], record)
        _draw_bytes(axes[1], layout)
        if latency is not None:
            _draw_latency(axes[2], latency)
        title = plain(f"{record.name}{f' on {record.data}' if record.data else ''}")
        figure.suptitle(f"{title}: {record.original_bytes:,} B → {record.packed_bytes:,} B, {record.ratio:.0f}×")
        return svg_of(figure)


def _draw_steps(axes: Any, record: PackedRecord) -> None:
    names = [plain(step.name) for step in record.steps]
    places = range(len(names))
    bars = axes.bar(places, [step.nonzero for step in record.steps], color=BLUE, width=0.55)
    axes.bar_label(bars, [f"{step.nonzero:,}" for step in record.steps], fontsize=8)
    axes.set_xticks(places, names)
    axes.set_yscale("log")
    axes.set_ylabel("non-zero parameters")
    axes.set_title("by step")
    errors = [step.metric for step in record.steps]
    if all(error is not None for error in errors):
        twin = axes.twinx()
        twin.plot(places, errors, color=ORANGE, marker="o")
        twin.set_ylabel(plain(record.measured_by.title(record.part or "")), color=ORANGE)
        twin.set_ylim(0, 1.6 * max(0.1, *(error for error in errors if error is not None)))


def _draw_bytes(axes: Any, layout: FileLayout) -> None:
    names = [tensor.name for tensor in layout.tensors][::-1]
    left = [0.0] * len(names)
    for stream, colour in _STREAM_COLOURS.items():
        widths = [tensor.streams[stream] for tensor in layout.tensors][::-1]
        if sum(widths) > 0:
            axes.barh(range(len(names)), widths, left=left, color=colour, label=stream)
            left = [start + width for start, width in zip(left, widths, strict=True)]
    name_bars(axes, names)
    axes.set_xlabel("bytes")
    axes.set_title("where the bytes are")
    # Half as wide again as the longest bar, so that the list of streams lies beside the bars and not on them.
    axes.set_xlim(0, 1.5 * max((tensor.bytes for tensor in layout.tensors), default=1.0))
    axes.legend(fontsize=7, frameon=False, loc="center right")


def _draw_latency(axes: Any, latency: Latency) -> None:
    rows = latency.rows[::-1]
    bars = axes.barh(
        range(len(rows)),
        [row.median_us for row in rows],
        color=[BLUE if row.ratio == 1.0 else GREY for row in rows],
    )
    axes.bar_label(bars, [f"{row.median_us:.1f}" for row in rows], padding=2, fontsize=8)
    name_bars(axes, [row.label for row in rows])
    axes.set_xlabel("median µs, batch 1, one thread")
    axes.set_title("latency on this machine")
    axes.margins(x=0.15)


def report_html(record: PackedRecord, layout: FileLayout, latency: Latency | None = None) -> str:
    """The picture on a page of its own, with the figures behind it."""
    steps = [
        (
            step.name,
            "" if step.metric is None else record.measured_by.text(step.metric),
            f"{step.nonzero:,}",
            "" if step.bytes is None else f"{step.bytes:,}",
        )
        for step in record.steps
    ]
    sections = [
        ("", summary_svg(record, layout, latency)),
        (
            "Steps",
            html_table(("step", f"{record.part or ''} {record.measured_by.name}".strip(), "non-zero", "bytes"), steps),
        ),
    ]
    if record.choice is not None:
        sections.append((f"Search for {record.choice.goal}", _search(record.choice, record.measured_by)))
    if record.layers:
        sections.append(("Layers", _layers(record.layers)))
    sections.append(("Tensors of the file", _tensors(layout)))
    if record.papers is not None:
        sections.append(("Beside published results", _beside(record, published(record.name, record.data))))
    if record.settings:
        sections.append(("Settings", html_table(("", ""), [(k, str(v)) for k, v in record.settings.items()])))
    return page(
        record.name,
        f"{record.original_parameters:,} parameters in {record.original_bytes:,} bytes became "
        f"{record.packed_bytes:,} bytes, {record.ratio:.0f} times fewer.",
        sections,
    )


def _search(choice: ChoiceRecord, metric: Metric) -> str:
    """Error against bytes of all that was tried."""
    front = choice.front()
    with new_figure(1, width=6.0, height=4.0) as (figure, (axes,)):
        axes.scatter([p.bytes for p in choice.points], [p.metric for p in choice.points], s=14, color=GREY)
        axes.step([p.bytes for p in front], [p.metric for p in front], where="post", color=BLUE)
        axes.scatter([choice.bytes], [choice.metric], s=40, color=ORANGE, label="chosen", zorder=3)
        # What lost the network altogether would press the rest flat.
        if choice.metric > 0:
            axes.set_ylim(0, 3 * max(0.1 if metric.unit == "%" else 0.0, choice.metric))
        axes.set(xlabel="bytes", ylabel=plain(metric.title("held-out")), xscale="log")
        axes.legend(frameon=False)
        picture = svg_of(figure)
    names = list(front[0].settings)
    rows = [
        (f"{p.bytes:,}", metric.text(p.metric), *(f"{p.settings[name]:.3g}" for name in names)) for p in front
    ]  # fmt: skip
    lead = (
        f"<p>{len(choice.points)} settings, measured on {choice.measured_on()}. "
        f"Chosen: {html.escape(metric.text(choice.metric))} at {choice.bytes:,} bytes. "
        "The test set chose nothing.</p>"
    )
    return lead + picture[picture.index("<svg") :] + html_table(("bytes", f"held-out {metric.name}", *names), rows)


def _layers(layers: Sequence[LayerRecord]) -> str:
    streams = [name for name in _STREAM_COLOURS if any(name in layer.bits for layer in layers)]
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
    return html_table(head, rows)


def _tensors(layout: FileLayout) -> str:
    rows = [
        (
            t.name, "×".join(map(str, t.shape)), t.kind, t.entries or "", f"{t.nonzero:,}",
            "" if t.index_bits is None else str(t.index_bits), f"{t.bytes:,.1f}",
        )
        for t in layout.tensors
    ]  # fmt: skip
    return html_table(("tensor", "shape", "values", "layout", "non-zero", "p", "bytes"), rows)


def _beside(record: PackedRecord, rows: Sequence[Published]) -> str:
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
    theirs = [(row.method, row.kind, f"{row.ratio:,.0f}", f"{row.error_percent:.2f} %") for row in rows]
    return html_table(
        ("method", "kind of figure", "ratio", f"{record.part or ''} {record.measured_by.name}".strip()), own + theirs
    )
