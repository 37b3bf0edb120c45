"""Drawing what compression did: error and size by step, where the bytes are, latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..codec import FileLayout
from ..handover import PackedRecord
from ..pages import BLUE, GREY, ORANGE, html_table, new_figure, page, svg_of

if TYPE_CHECKING:
    from .bench import BenchReport

_STREAM_COLOURS = {
    "values": "#2a6fbb", "indices": "#d9762b", "rows": "#5aa469", "masks": "#8a63b3", "tables": "#c9a227",
    "map": "#b0413e", "name": "#6b7a8f", "shape": "#93a1b0", "frame": "#b9c3cd", "padding": "#d5dbe1",
}  # fmt: skip


def summary_svg(record: PackedRecord, layout: FileLayout, latency: BenchReport | None = None) -> str:
    """The picture: non-zero weights and error by step, bytes by tensor and stream, latencies if measured."""
    with new_figure(2 if latency is None else 3) as (figure, axes):
        _draw_steps(axes[0], record)
        _draw_bytes(axes[1], layout)
        if latency is not None:
            _draw_latency(axes[2], latency)
        title = f"{record.name}{f' on {record.data}' if record.data else ''}"
        figure.suptitle(f"{title}: {record.original_bytes:,} B → {record.packed_bytes:,} B, {record.ratio:.0f}×")
        return svg_of(figure)


def _draw_steps(axes: Any, record: PackedRecord) -> None:
    names = [step.name for step in record.steps]
    bars = axes.bar(names, [step.nonzero for step in record.steps], color=BLUE, width=0.55)
    axes.bar_label(bars, [f"{step.nonzero:,}" for step in record.steps], fontsize=8)
    axes.set_yscale("log")
    axes.set_ylabel("non-zero parameters")
    axes.set_title("by step")
    errors = [step.error_percent for step in record.steps]
    if all(error is not None for error in errors):
        twin = axes.twinx()
        twin.plot(names, errors, color=ORANGE, marker="o")
        twin.set_ylabel("test error, %", color=ORANGE)
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
    # Half as wide again as the longest bar, so that the list of streams lies beside the bars and not on them.
    axes.set_xlim(0, 1.5 * max(tensor.bytes for tensor in layout.tensors))
    axes.legend(fontsize=7, frameon=False, loc="center right")


def _draw_latency(axes: Any, latency: BenchReport) -> None:
    rows = latency.rows[::-1]
    bars = axes.barh(
        [row.label for row in rows],
        [row.median_us for row in rows],
        color=[BLUE if row.ratio == 1.0 else GREY for row in rows],
    )
    axes.bar_label(bars, [f"{row.median_us:.1f}" for row in rows], padding=2, fontsize=8)
    axes.set_xlabel("median µs, batch 1, one thread")
    axes.set_title("latency on this machine")
    axes.margins(x=0.15)


def report_html(record: PackedRecord, layout: FileLayout, latency: BenchReport | None = None) -> str:
    """The picture on a page of its own, with the figures behind it."""
    steps = [
        (
            step.name,
            "" if step.error_percent is None else f"{step.error_percent:.2f}",
            f"{step.nonzero:,}",
            "" if step.bytes is None else f"{step.bytes:,}",
        )
        for step in record.steps
    ]
    tensors = [
        (
            t.name, "×".join(map(str, t.shape)), t.kind, t.entries or "", f"{t.nonzero:,}",
            "" if t.index_bits is None else str(t.index_bits), f"{t.bytes:,.1f}",
        )
        for t in layout.tensors
    ]  # fmt: skip
    return page(
        record.name,
        f"{record.original_parameters:,} parameters in {record.original_bytes:,} bytes became "
        f"{record.packed_bytes:,} bytes, {record.ratio:.0f} times fewer.",
        [
            ("", summary_svg(record, layout, latency)),
            ("Steps", html_table(("step", "test error, %", "non-zero", "bytes"), steps)),
            ("Tensors", html_table(("tensor", "shape", "values", "layout", "non-zero", "p", "bytes"), tensors)),
        ],
    )
