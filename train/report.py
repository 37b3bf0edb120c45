"""Drawing what training did: curves, sparsity by layer, signal to noise, weights and filters before and after."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ..errors import CorruptFileError
from ..html_report import BLUE, GREY, ORANGE, html_table, new_figure, page, paragraph, plain, svg_of
from .run import INITIAL, POSTERIOR, RunRecord

Tensors = Mapping[str, npt.NDArray[Any]]

_VARIANCE = "/variance"
_POINTS = 20_000  # of a scatter plot: more only make the file large
_FILTERS = 20


def run_report(folder: Path) -> str:
    """The page of a run directory, finished or not: what is not there yet is left out.

    Raises InputError when there is no run, CorruptFileError when one of its files is damaged.
    """
    record = RunRecord.read(folder)
    posterior, initial = _tensors(folder / POSTERIOR), _tensors(folder / INITIAL)
    sections = []
    if record.metrics:
        sections += [("Training", _curves(record)), ("Weights left, by layer", _sparsity(record))]
    if posterior:
        sections.append(("Signal to noise", _signal_to_noise(posterior)))
    if _weights(posterior) and initial:
        _check_same(folder, initial, posterior)
        sections.append(("Weights before and after", _before_and_after(record, initial, posterior)))
        sections.append(("Filters before and after", _filters(initial, posterior)))
    if record.metrics and record.metrics[-1].mixture:
        sections.append(("Mixture components", _mixture(record)))
    sections.append(("Settings", _settings(record)))
    title = f"{record.model.name} on {record.data.name} by {record.method.name}"
    lead = f"{len(record.metrics)} of {record.training.epochs} epochs in {record.seconds:.0f} s."
    if record.final is not None:
        final = record.final
        figure = record.measured_by
        lead += (
            f" {final.part.capitalize()} {figure.name} {figure.text(final.metric)} with {final.nonzero_percent:.2f} % "
            "of the weights."
        )
    return page(title, lead, sections)


def _curves(record: RunRecord) -> str:
    epochs = [metrics.epoch + 1 for metrics in record.metrics]
    with new_figure(3) as (figure, (errors, losses, divergence)):
        shown = [metrics.metric for metrics in record.metrics]
        if all(error is not None for error in shown):
            errors.plot(epochs, shown, color=ORANGE)
        errors.set(title=plain(record.measured_by.title(record.epochs_measured_on)), xlabel="epoch")
        losses.plot(epochs, [metrics.nll for metrics in record.metrics], color=BLUE)
        losses.set(title="negative log likelihood, nats", xlabel="epoch")
        # Densities may exceed 1, so that losses of real-valued targets may be negative.
        for axes, values in ((errors, shown), (losses, [metrics.nll for metrics in record.metrics])):
            if all(value is None or value >= 0 for value in values):
                axes.set_yscale("log")
        divergence.plot(epochs, [metrics.kl for metrics in record.metrics], color=BLUE, label="KL an example")
        divergence.plot(epochs, [metrics.kl_weight for metrics in record.metrics], color=GREY, label="its weight")
        divergence.set(title="KL, nats", xlabel="epoch")
        divergence.legend(frameon=False)
        return svg_of(figure)


def _sparsity(record: RunRecord) -> str:
    epochs = [metrics.epoch + 1 for metrics in record.metrics]
    with new_figure(1, width=6.0) as (figure, (axes,)):
        for name in record.metrics[-1].nonzero_by_layer:
            axes.plot(epochs, [m.nonzero_by_layer.get(name, math.nan) for m in record.metrics], label=plain(name))
        axes.set(xlabel="epoch", ylabel="non-zero, %", yscale="log")
        axes.legend(frameon=False)
        return svg_of(figure)


def _signal_to_noise(posterior: Tensors) -> str:
    """Density of 10 log10(mean^2 / variance) in dB, by layer (Blundell et al. 2015, figure 4)."""
    with new_figure(1, width=6.0) as (figure, (axes,)):
        drawn = False
        for name, variance in posterior.items():
            mean = posterior.get(name.removesuffix(_VARIANCE))
            if not name.endswith(_VARIANCE) or mean is None:
                continue
            known = (variance > 0) & (mean != 0)
            if known.any():
                decibel = 10.0 * np.log10(mean[known].astype(np.float64) ** 2 / variance[known])
                bins = min(200, max(10, decibel.size // 20))
                axes.hist(decibel, bins, density=True, histtype="step", label=plain(name.removesuffix(_VARIANCE)))
                drawn = True
        if not drawn:
            axes.text(0.5, 0.5, "point estimates: no noise", ha="center", transform=axes.transAxes)
        else:
            axes.legend(frameon=False)
        axes.set(xlabel="mean² / variance, dB", ylabel="density")
        return svg_of(figure)


def _before_and_after(record: RunRecord, initial: Tensors, posterior: Tensors) -> str:
    """Every weight's value at the start and at the end (Ullrich et al. 2017, figures 1 and 3)."""
    names = _weights(posterior)
    before = np.concatenate([initial[name].ravel() for name in names])
    after = np.concatenate([posterior[name].ravel() for name in names])
    if len(before) > _POINTS:
        chosen = np.random.default_rng(0).choice(len(before), _POINTS, replace=False)
        before, after = before[chosen], after[chosen]
    with new_figure(2, width=5.0) as (figure, (scatter, histogram)):
        for mean, deviation, _share in record.metrics[-1].mixture or () if record.metrics else ():
            scatter.axhspan(mean - 2 * deviation, mean + 2 * deviation, color=ORANGE, alpha=0.15, lw=0)
            scatter.axhline(mean, color=ORANGE, lw=0.5)
        scatter.scatter(before, after, s=1, color=BLUE, alpha=0.4, rasterized=True)
        scatter.set(xlabel="at the start", ylabel="at the end")
        for values, colour, label in ((before, GREY, "start"), (after, BLUE, "end")):
            histogram.hist(values, 100, histtype="step", color=colour, label=label)
        histogram.set(xlabel="weight", ylabel="count", yscale="log")
        histogram.legend(frameon=False)
        return svg_of(figure)


def _filters(initial: Tensors, posterior: Tensors) -> str:
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
            return paragraph(f"The filters of {name} are no pictures.")
    with new_figure(1, width=10.0, height=1.6) as (figure, (axes,)):
        limit = max(float(np.abs(pictures).max()) for pictures in rows) or 1.0
        strips = [np.concatenate([np.pad(each, 1) for each in pictures], 1) for pictures in rows]
        axes.imshow(np.concatenate(strips, 0), cmap="RdBu", vmin=-limit, vmax=limit)
        axes.set_axis_off()
        axes.set_title(f"{plain(name)}: above at the start, below at the end")
        return svg_of(figure)


def _mixture(record: RunRecord) -> str:
    epochs = [metrics.epoch + 1 for metrics in record.metrics]
    count = len(record.metrics[-1].mixture or ())
    with new_figure(2, width=5.0) as (figure, (means, deviations)):
        for component in range(count):
            colour = ORANGE if component == 0 else BLUE
            trace = [(metrics.mixture or [])[component] for metrics in record.metrics]
            means.plot(epochs, [mean for mean, _, _ in trace], color=colour, lw=1)
            deviations.plot(epochs, [deviation for _, deviation, _ in trace], color=colour, lw=1)
        means.set(title="means", xlabel="epoch")
        deviations.set(title="standard deviations", xlabel="epoch", yscale="log")
        return svg_of(figure)


def _settings(record: RunRecord) -> str:
    rows = [("model", f"{record.model.name} {record.model.options or ''}"),
            ("method", f"{record.method.name} {record.method.options or ''}"),
            ("data", record.data.name), ("start", record.start or "random weights")]  # fmt: skip
    rows += [(key, str(value)) for key, value in record.training.model_dump().items()]
    rows += [(name, version) for name, version in record.libraries.items()]
    return html_table(("", ""), rows)


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
