"""The page of a run: curves, sparsity by layer, signal to noise, weights and filters before and after."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ..errors import CorruptFileError
from ..html_report.charts import ACCENT, MUTED, STRONG, Line, density_chart, line_chart
from ..html_report.figures import class_parts
from ..html_report.page import Card, Chart, Page, Part, Picture, Section, Table, Text
from ..optional import require
from .run import INITIAL, POSTERIOR, EpochRecord, RunRecord

Tensors = Mapping[str, npt.NDArray[Any]]

_VARIANCE = "/variance"
_CELLS = 24  # of the picture of weights before and after, along each side
_LOWEST = 2.0  # percent of a layer's weights, which the histogram of signal to noise leaves out
_BINS = 60  # of a histogram
_FILTERS = 20
_SHADES = 16  # of either colour of a filter's picture


def run_page(folder: Path) -> Page:
    """The page of a run directory, finished or not: what is not there yet is left out.

    Raises InputError when there is no run, CorruptFileError when one of its files is damaged.
    """
    record = RunRecord.read(folder)
    posterior, initial = _tensors(folder / POSTERIOR), _tensors(folder / INITIAL)
    sections: list[Section] = []
    final = record.final
    if final is not None and final.confusion is not None:
        by_class = class_parts(None, final.confusion.counts, final.labels, final.part)
        sections.append(Section("Errors by class", by_class))
    if record.metrics:
        sections += [Section("Training", _curves(record)), Section("Weights left, by layer", [_sparsity(record)])]
    if posterior:
        sections.append(Section("Signal-to-noise ratio", [_signal_to_noise(posterior)]))
    if _weights(posterior) and initial:
        _check_same(folder, initial, posterior)
        sections.append(Section("Weights before and after", _before_and_after(initial, posterior)))
        sections.append(Section("Filters before and after", [_filters(initial, posterior)]))
    if record.metrics and record.metrics[-1].mixture:
        sections.append(Section("Mixture components", _mixture(record)))
    sections.append(Section("Settings", [_settings(record)]))
    title = f"{record.model.name} on {record.data.name} by {record.method.name}"
    state = "complete" if record.status == "complete" else "not complete"
    lead = f"A run directory, {state}: {len(record.metrics)} of {record.training.epochs} epochs."
    return Page(title, lead, _cards(record), sections)


def _cards(record: RunRecord) -> list[Card]:
    cards = []
    final, metric = record.final, record.measured_by
    if final is not None:
        note = "" if final.constant is None else f"always the most frequent class: {metric.text(final.constant)}"
        cards.append(Card(f"{final.part.capitalize()} {metric.name}", metric.text(final.metric), note))
        cards.append(Card("Weights left", f"{final.nonzero_percent:.2f} %", "of the variational layers"))
    elif record.metrics and record.metrics[-1].metric is not None:
        name = f"{record.epochs_measured_on.capitalize()} {metric.name}"
        cards.append(Card(name, metric.text(record.metrics[-1].metric), "after the last epoch so far"))
    cards.append(Card("Epochs", f"{len(record.metrics):,}", f"of {record.training.epochs:,}"))
    cards.append(Card("Training time", _duration(record.seconds), "wall time, all resumptions together"))
    return cards


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _over_epochs(record: RunRecord, value: Any) -> list[tuple[float, float | None]]:
    """A figure of each epoch, from 1; `value` takes it from an EpochRecord."""
    return [(float(metrics.epoch + 1), value(metrics)) for metrics in record.metrics]


def _curves(record: RunRecord) -> list[Part]:
    title = record.measured_by.title(record.epochs_measured_on)

    def metric(epoch: EpochRecord) -> float | None:
        return epoch.metric

    # Densities may exceed 1, so that losses of real-valued targets may be negative; the axis is linear then.
    parts: list[Part] = []
    if any(metrics.metric is not None for metrics in record.metrics):
        line = Line(title, _over_epochs(record, metric), ACCENT)
        parts.append(Chart(_capital(title), line_chart([line], "epoch", title, log=True)))
    loss = Line("loss", _over_epochs(record, lambda epoch: epoch.nll))
    parts.append(Chart("Negative log likelihood", line_chart([loss], "epoch", "nats an example", log=True)))
    divergence = Line("KL divergence", _over_epochs(record, lambda epoch: epoch.kl))
    parts.append(Chart("KL divergence", line_chart([divergence], "epoch", "nats an example")))
    if len({metrics.kl_weight for metrics in record.metrics}) > 1:
        weight = Line("weight", _over_epochs(record, lambda epoch: epoch.kl_weight), MUTED)
        parts.append(Chart("Weight of the KL divergence", line_chart([weight], "epoch", "factor")))
    return parts


def _sparsity(record: RunRecord) -> Chart:
    names = list(record.metrics[-1].nonzero_by_layer)

    def left(name: str) -> Any:
        return lambda epoch: epoch.nonzero_by_layer.get(name)

    lines = [Line(name, _over_epochs(record, left(name))) for name in names]
    return Chart("Non-zero weights", line_chart(lines, "epoch", "non-zero, %", log=True), wide=True)


def _signal_to_noise(posterior: Tensors) -> Part:
    """Density of 10 log10(mean^2 / variance) in dB, by layer (Blundell et al. 2015, figure 4)."""
    lines = []
    for name, variance in posterior.items():
        mean = posterior.get(name.removesuffix(_VARIANCE))
        if not name.endswith(_VARIANCE) or mean is None:
            continue
        known = (variance > 0) & (mean != 0)
        if known.any():
            decibel = 10.0 * np.log10(mean[known].astype(np.float64) ** 2 / variance[known])
            # A few weights of next to no mean would press the rest into one bin.
            shown = decibel[decibel >= np.percentile(decibel, _LOWEST)]
            density = [(place, value or None) for place, value in _histogram(shown, density=True)]
            lines.append(Line(name.removesuffix(_VARIANCE), density))
    if not lines:
        return Text("The method gives point estimates, which have no noise.")
    note = f"10 log10 of squared mean over variance; of each layer without the lowest {_LOWEST:g} %."
    chart = line_chart(lines, "signal-to-noise ratio, dB", "density", step=True, log=True)
    return Chart("Posterior means against their standard deviations", chart, note, wide=True)


def _histogram(values: npt.NDArray[Any], *, density: bool = False) -> list[tuple[float, float | None]]:
    """Centres of bins, and how many values lie in each, or their density."""
    found, edges = np.histogram(values, min(_BINS, max(10, values.size // 20)), density=density)
    centres = (edges[:-1] + edges[1:]) / 2
    return [(float(centre), float(value)) for centre, value in zip(centres, found, strict=True)]


def _before_and_after(initial: Tensors, posterior: Tensors) -> list[Part]:
    """Every weight's value at the start and at the end (Ullrich et al. 2017, figures 1 and 3)."""
    names = _weights(posterior)
    before = np.concatenate([initial[name].ravel() for name in names]).astype(np.float64)
    after = np.concatenate([posterior[name].ravel() for name in names]).astype(np.float64)
    counts, across, up = np.histogram2d(before, after, _CELLS)
    filled = [
        (float(across[i] + across[i + 1]) / 2, float(up[j] + up[j + 1]) / 2, int(counts[i, j]))
        for i, j in np.argwhere(counts > 0)
    ]
    sides = float(across[1] - across[0]), float(up[1] - up[0])
    lines = [
        Line(name, [(place, count or None) for place, count in _histogram(values)], colour)
        for name, values, colour in (("start", before, MUTED), ("end", after, STRONG))
    ]
    return [
        Chart("Each weight at the start and at the end", density_chart(filled, sides, "at the start", "at the end"),
              "The stronger the colour, the more weights."),
        Chart("Weights by value", line_chart(lines, "weight", "count", step=True, log=True)),
    ]  # fmt: skip


def _filters(initial: Tensors, posterior: Tensors) -> Part:
    """The first layer's filters as pictures: kernels of a convolution, or rows of a square input."""
    name = _weights(posterior)[0]
    rows = []
    for tensors in (initial, posterior):
        weight = tensors[name]
        side = math.isqrt(weight.shape[1]) if weight.ndim == 2 else 0
        if weight.ndim == 4:
            rows.append(weight[:_FILTERS, 0])
        elif weight.ndim == 2 and side**2 == weight.shape[1]:
            rows.append(weight[:_FILTERS].reshape(-1, side, side))
        else:
            return Text(f"The filters of {name} are no pictures.")
    note = f"The first {len(rows[0])}; blue is positive, red is negative, both scaled to the largest of all."
    return Picture(f"{name}: above at the start, below at the end", _png(rows), note)


def _png(rows: Iterable[npt.NDArray[Any]]) -> bytes:
    """Rows of pictures (n, height, width), with a gap between them, transparent where they are zero."""
    strips = [np.concatenate([np.pad(each, 1) for each in pictures], 1) for pictures in rows]
    values = np.concatenate(strips, 0).astype(np.float64)
    strength = np.sqrt(np.abs(values) / (float(np.abs(values).max()) or 1.0))
    shades = (strength * (_SHADES - 1)).round().astype(np.uint8) + _SHADES * (values < 0).astype(np.uint8)
    shown = require("PIL.Image").fromarray(shades, "P")
    shown.putpalette([*(60, 130, 210) * _SHADES, *(205, 65, 50) * _SHADES])
    stream = io.BytesIO()
    opacity = bytes(255 * shade // (_SHADES - 1) for shade in range(_SHADES))
    shown.save(stream, "PNG", optimize=True, transparency=opacity * 2)
    return stream.getvalue()


def _mixture(record: RunRecord) -> list[Part]:
    count = len(record.metrics[-1].mixture or ())
    parts: list[Part] = []
    for title, place in (("means", 0), ("standard deviations", 1)):

        def of(component: int, place: int = place) -> Any:
            return lambda epoch: (epoch.mixture or [])[component][place]

        lines = [
            Line(f"component {component}", _over_epochs(record, of(component)), ACCENT if component == 0 else STRONG)
            for component in range(count)
        ]
        parts.append(Chart(_capital(title), line_chart(lines, "epoch", title, log=place == 1)))
    return parts


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _settings(record: RunRecord) -> Table:
    rows = [("model", f"{record.model.name} {record.model.options or ''}"),
            ("method", f"{record.method.name} {record.method.options or ''}"),
            ("data", record.data.name), ("start", record.start or "random weights")]  # fmt: skip
    rows += [(key, str(value)) for key, value in record.training.model_dump().items()]
    rows += [(name, version) for name, version in record.libraries.items()]
    return Table((), rows)


def _weights(posterior: Tensors) -> list[str]:
    """Names of the variational weights, in the network's order as far as names show it."""
    return sorted((name.removesuffix(_VARIANCE) for name in posterior if name.endswith(_VARIANCE)), key=_natural)


def _check_same(folder: Path, initial: Tensors, posterior: Tensors) -> None:
    """Raises CorruptFileError unless the weights at the start and at the end are of one network."""
    for name in _weights(posterior):
        before, after = initial.get(name), posterior.get(name)
        if before is None or after is None or before.shape != after.shape:
            raise CorruptFileError(
                f"Weight {name} of {folder} is not of one shape in {INITIAL} and {POSTERIOR}; train again."
            )


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """Numbers in a name compare as numbers."""
    return tuple((int(part), "") if part.isascii() and part.isdigit() else (0, part) for part in name.split("."))


def _tensors(path: Path) -> Tensors:
    if not path.is_file():
        return {}
    try:
        tensors: Tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CorruptFileError(f"{path} is not a whole safetensors file ({error}); train again.") from None
    return tensors
