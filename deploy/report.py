"""Drawing what compression did: error and size by step, where the bytes are, latency."""

from __future__ import annotations

import html
import io
from typing import TYPE_CHECKING, Any

from ..codec import FileLayout
from ..handover import PackedRecord
from .tools import require

if TYPE_CHECKING:
    from .bench import BenchReport

_BLUE, _ORANGE, _GREY = "#2a6fbb", "#d9762b", "#9aa3ad"
_STREAM_COLOURS = {
    "values": "#2a6fbb", "indices": "#d9762b", "rows": "#5aa469", "masks": "#8a63b3", "tables": "#c9a227",
    "map": "#b0413e", "name": "#6b7a8f", "shape": "#93a1b0", "frame": "#b9c3cd", "padding": "#d5dbe1",
}  # fmt: skip


def summary_svg(record: PackedRecord, layout: FileLayout, latency: BenchReport | None = None) -> str:
    """The picture: non-zero weights and error by step, bytes by tensor and stream, latencies if measured."""
    require("matplotlib")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings = {
        "svg.fonttype": "path",
        "svg.hashsalt": "bayespress",
        "font.size": 9,
        "axes.titleweight": "bold",
    }
    panels = 2 if latency is None else 3
    with mpl.rc_context(settings):  # type: ignore[arg-type]
        figure = Figure(figsize=(4.2 * panels, 3.2), layout="constrained")
        axes = figure.subplots(1, panels)
        _draw_steps(axes[0], record)
        _draw_bytes(axes[1], layout)
        if latency is not None:
            _draw_latency(axes[2], latency)
        for each in figure.axes:
            each.spines[["top"]].set_visible(False)
        title = f"{record.name}{f' on {record.data}' if record.data else ''}"
        figure.suptitle(f"{title}: {record.original_bytes:,} B → {record.packed_bytes:,} B, {record.ratio:.0f}×")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "bayespress"})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _draw_steps(axes: Any, record: PackedRecord) -> None:
    names = [step.name for step in record.steps]
    bars = axes.bar(names, [step.nonzero for step in record.steps], color=_BLUE, width=0.55)
    axes.bar_label(bars, [f"{step.nonzero:,}" for step in record.steps], fontsize=8)
    axes.set_yscale("log")
    axes.set_ylabel("non-zero parameters")
    axes.set_title("by step")
    errors = [step.error_percent for step in record.steps]
    if all(error is not None for error in errors):
        twin = axes.twinx()
        twin.plot(names, errors, color=_ORANGE, marker="o")
        twin.set_ylabel("test error, %", color=_ORANGE)
        twin.set_ylim(0, 1.6 * max(0.1, *(error for error in errors if error is not None)))


def _draw_bytes(axes: Any, layout: FileLayout) -> None:
    names = [tensor.name for tensor in layout.tensors][::-1]
    left = [0.0] * len(names)
    for stream, colour in _STREAM_COLOURS.items():
        widths = [tensor.streams[stream] for tensor in layout.tensors][::-1]
        if sum(widths) > 0:
            axes.barh(names, widths, left=left, color=colour, label=stream)
            left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_xlabel("bytes")
    axes.set_title("where the bytes are")
    axes.legend(fontsize=7, frameon=False)


def _draw_latency(axes: Any, latency: BenchReport) -> None:
    rows = latency.rows[::-1]
    bars = axes.barh(
        [row.label for row in rows],
        [row.median_us for row in rows],
        color=[_BLUE if row.ratio == 1.0 else _GREY for row in rows],
    )
    axes.bar_label(bars, [f"{row.median_us:.1f}" for row in rows], padding=2, fontsize=8)
    axes.set_xlabel("median µs, batch 1, one thread")
    axes.set_title("latency on this machine")
    axes.margins(x=0.15)


def report_html(record: PackedRecord, layout: FileLayout, latency: BenchReport | None = None) -> str:
    """A page of its own, without scripts and without anything fetched."""
    svg = summary_svg(record, layout, latency)
    picture = svg[svg.index("<svg") :]
    steps = _rows(
        ("step", "test error, %", "non-zero", "bytes"),
        [
            (
                s.name,
                "" if s.error_percent is None else f"{s.error_percent:.2f}",
                f"{s.nonzero:,}",
                _or_empty(s.bytes),
            )
            for s in record.steps
        ],
    )
    tensors = _rows(
        ("tensor", "shape", "values", "layout", "non-zero", "p", "bytes"),
        [
            (
                t.name, "×".join(map(str, t.shape)), t.kind, t.entries or "", f"{t.nonzero:,}",
                "" if t.index_bits is None else str(t.index_bits), f"{t.bytes:,.1f}",
            )
            for t in layout.tensors
        ],
    )  # fmt: skip
    name = html.escape(record.name)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title><style>'
        "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1c232b}"
        "table{border-collapse:collapse;margin:1rem 0}"
        "td,th{padding:.2rem .9rem;text-align:right;border-bottom:1px solid #dde3ea}"
        "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}</style></head><body>"
        f"<h1>{name}</h1><p>{record.original_parameters:,} parameters in {record.original_bytes:,} bytes became "
        f"{record.packed_bytes:,} bytes, {record.ratio:.0f} times fewer.</p>\n{picture}\n"
        f"<h2>Steps</h2>{steps}<h2>Tensors</h2>{tensors}</body></html>\n"
    )


def _rows(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{cells}</tr>{body}</table>"


def _or_empty(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
