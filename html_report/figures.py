"""Cards, tables and charts that several pages share; what they show is described here as far as they need it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..metric import Metric
from .charts import Bar, bar_chart, table_chart
from .page import Card, Chart, Table

_ORIGINAL = "original"  # how the labels of runtimes end that ran the network before compression


class Step(Protocol):
    """State of a network after one step of compression."""

    @property
    def name(self) -> str: ...
    @property
    def metric(self) -> float | None: ...
    @property
    def nonzero(self) -> int: ...
    @property
    def bytes(self) -> int | None: ...


class LatencyRow(Protocol):
    """One runtime's figures, in microseconds, and how many times the compiled network's median its own is."""

    @property
    def label(self) -> str: ...
    @property
    def median_us(self) -> float: ...
    @property
    def p10_us(self) -> float: ...
    @property
    def p90_us(self) -> float: ...
    @property
    def ratio(self) -> float: ...


class Latency(Protocol):
    """What `bench` measured in one process of one machine; the compiled network comes first."""

    @property
    def cpu(self) -> str: ...
    @property
    def rows(self) -> Sequence[LatencyRow]: ...


def metric_cards(steps: Sequence[Step], metric: Metric, part: str | None) -> list[Card]:
    """The metric after compression, and before; nothing where it was not measured."""
    measured = [step.metric for step in steps if step.metric is not None]
    if not measured:
        return []
    before = f"before compression {metric.text(measured[0])}" if len(measured) > 1 else ""
    return [Card(_capital(f"{part or ''} {metric.name}".strip()), metric.text(measured[-1]), before)]


def size_cards(original: int, packed: int) -> list[Card]:
    """Bytes of the weights after compression, and how many times fewer they are.

    original  4 bytes a parameter of the network as given
    packed    size of the .bpz file
    """
    return [
        Card("Weights", f"{packed:,} bytes", f"before {original:,}, at 4 bytes a parameter"),
        Card("Compression ratio", f"{original / max(1, packed):,.0f}×", "bytes before over bytes of the file"),
    ]


def latency_cards(latency: Latency | None) -> list[Card]:
    """The compiled network's median with its machine, and the ratios of the others to it."""
    if latency is None or not latency.rows:
        return []
    first, *others = latency.rows
    cards = [Card("Latency", f"{first.median_us:,.1f} µs", f"median of one example on {latency.cpu}")]
    compared = [*others[:1], *[row for row in others[1:] if row.label.endswith(_ORIGINAL)][:1]]
    return cards + [Card("Speed-up", f"{row.ratio:,.1f}×", f"over {row.label}") for row in compared]


def nonzero_chart(steps: Sequence[Step]) -> Chart:
    """Non-zero parameters after each step."""
    bars = [Bar(step.name, max(1, step.nonzero)) for step in steps]
    return Chart("Non-zero parameters by step", bar_chart(bars, "non-zero parameters", name="step", log=True))


def metric_charts(steps: Sequence[Step], metric: Metric, part: str | None) -> list[Chart]:
    """The metric after each step; nothing where it was not measured, or where bars cannot show it."""
    digits = ".2f" if metric.unit == "%" else ".4g"
    bars = [Bar(step.name, float(f"{step.metric:{digits}}")) for step in steps if step.metric is not None]
    if not bars or min(bar.value for bar in bars) < 0:
        return []
    name = _capital(f"{part or ''} {metric.name}".strip())
    return [Chart(f"{name} by step", bar_chart(bars, metric.title(part or ""), name="step"))]


def steps_table(steps: Sequence[Step], metric: Metric, part: str | None) -> Table:
    """Metric, non-zero parameters and bytes after each step."""
    rows = [
        (step.name, metric.text(step.metric), f"{step.nonzero:,}", "" if step.bytes is None else f"{step.bytes:,}")
        for step in steps
    ]
    return Table(("step", f"{part or ''} {metric.name}".strip(), "non-zero parameters", "bytes"), rows)


def latency_charts(latency: Latency | None) -> list[Chart]:
    """Medians of all runtimes on one machine, with their spread; nothing where none was measured."""
    if latency is None or not latency.rows:
        return []
    bars = [
        Bar(row.label, round(row.median_us, 3), low=round(row.p10_us, 3), high=round(row.p90_us, 3),
            strong=row.ratio == 1.0)
        for row in latency.rows
    ]  # fmt: skip
    note = f"One example at a time on one thread; the lines reach from the 10th to the 90th percentile. {latency.cpu}"
    return [Chart("Latency", bar_chart(bars, "median, µs", name="runtime"), note)]


def class_parts(
    before: Sequence[Sequence[int]] | None,
    after: Sequence[Sequence[int]] | None,
    labels: Sequence[str],
    part: str | None,
) -> list[Chart | Table]:
    """Confusion matrix and errors by class; nothing where no counts were recorded.

    before, after  how many examples of each class (first axis) were taken for each class (second axis), by the network
                   before and after compression; None where that was not measured
    labels         names of the classes; without them they are numbered
    """
    last = after if after is not None else before
    if last is None:
        return []
    names = list(labels) if len(labels) == len(last) else [str(number) for number in range(len(last))]
    matrix = Chart(
        "Confusion matrix", table_chart(last, names, "class", "prediction", "examples"),
        f"Counts of {f'the {part} part' if part else 'examples'}; colours give the share of the class.",
    )  # fmt: skip
    both = before is not None and after is not None
    head = ("class", "examples", *(("error before",) if both else ()), "error", "most often taken for")
    rows = []
    for number, (name, line) in enumerate(zip(names, last, strict=True)):
        earlier = (_error(before[number], number),) if both and before is not None else ()
        rows.append((name, f"{sum(line):,}", *earlier, _error(line, number), _confused(line, number, names)))
    return [matrix, Table(head, rows, wide=False)]


def _error(line: Sequence[int], number: int) -> str:
    total = sum(line)
    return "–" if not total else f"{100.0 * (total - line[number]) / total:.2f} %"


def _confused(line: Sequence[int], number: int, names: Sequence[str]) -> str:
    """The class that examples of class `number` are most often taken for, with the count."""
    wrong, other = max(((count, place) for place, count in enumerate(line) if place != number), default=(0, 0))
    return f"{names[other]} ({wrong:,} of {sum(line):,})" if wrong else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
