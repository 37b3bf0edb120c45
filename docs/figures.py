"""Draws the figures of explanation/posterior-to-bits.md: `python docs/figures.py` writes them anew.

Nothing in them is trained: they show what the equations say, and in the last one what the codec makes of drawn weights.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayespress import codec

FOLDER = Path(__file__).parent / "explanation"
KEPT, REMOVED, GREY = "#2a6fbb", "#d9762b", "#808a94"
# Glyphs as paths and fixed ids make the files the same on every machine; grey is legible on light and dark pages.
_STYLE = {
    "svg.fonttype": "path",
    "svg.hashsalt": "bayespress",
    "font.size": 9,
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
}


def density(x: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """Of the normal distribution, scaled to 1 at its peak."""
    return np.exp(-0.5 * ((x - mean) / deviation) ** 2)


def signal_to_noise(axes: Axes) -> None:
    """Posteriors of three weights, and the log alpha of each."""
    x = np.linspace(-1.5, 1.5, 201)
    for mean, deviation, colour in ((0.8, 0.08, KEPT), (0.35, 0.3, KEPT), (0.04, 0.45, REMOVED)):
        log_alpha = math.log(deviation**2 / mean**2)
        fate = "removed" if log_alpha > 3 else "kept"
        label = f"|mean| / deviation = {abs(mean) / deviation:.2g}, log alpha = {log_alpha:.1f}: {fate}"
        axes.fill_between(x, density(x, mean, deviation), alpha=0.25, color=colour, linewidth=0)
        axes.plot(x, density(x, mean, deviation), color=colour, label=label, linestyle="-" if deviation < 0.2 else "--")
    axes.axvline(0.0, ymax=0.6, color=GREY, linewidth=0.8)
    axes.set(xlabel="weight", yticks=[], ylim=(0, 1.75))
    axes.spines["left"].set_visible(False)
    axes.legend(loc="upper left")


def grid_steps(axes: Axes) -> None:
    """Two posteriors, each on the grid that costs the same by equation (3)."""
    x = np.linspace(-1.0, 1.0, 201)
    for base, mean, deviation, budget in ((0.0, 0.27, 0.05, 0.1), (1.3, 0.27, 0.2, 0.1)):
        step = codec.grid_step([deviation**2], budget)
        points = np.arange(-math.floor(1 / step), math.floor(1 / step) + 1) * step
        axes.fill_between(x, base, base + density(x, mean, deviation), alpha=0.25, color=KEPT, linewidth=0)
        axes.plot(points, np.full(len(points), base), "|", color=GREY, markersize=9)
        nearest = np.rint(mean / step) * step
        axes.plot([mean, mean], [base, base + 1], color=KEPT, linewidth=1)
        axes.plot(nearest, base, "o", color=REMOVED, markersize=5)
        axes.text(-0.98, base + 0.45, f"deviation {deviation:g}\nstep {step:.3f}")
    axes.set(xlabel="weight", yticks=[], xlim=(-1, 1), ylim=(-0.15, 2.45))
    axes.spines["left"].set_visible(False)


def rate(axes: Axes) -> None:
    """Bits for each weight by equation (7), and what the codec takes for weights drawn at random."""
    deviation, posterior = 0.3, 0.02
    weights = np.random.default_rng(0).normal(0.0, deviation, (200, 100))
    budgets = np.geomspace(0.003, 3.0, 13)
    steps = [codec.grid_step([posterior**2], budget) for budget in budgets]
    differential = 0.5 * math.log2(2 * math.pi * math.e * deviation**2)
    measured = []
    for step in steps:
        levels = np.rint(weights / step).astype(np.int32)
        data = codec.encode([codec.QuantizedTensor("w", levels, codec.Grid(step))])
        measured.append(8 * len(data) / weights.size)
    axes.plot(budgets, [differential - math.log2(step) for step in steps], color=GREY, label="equation (7)")
    axes.plot(budgets, measured, "o", color=KEPT, markersize=4, label=".bpz file, measured")
    axes.set(xscale="log", xlabel="budget, nats for each weight", ylabel="bits for each weight", ylim=(0, None))
    axes.legend()


FIGURES: dict[str, Callable[[Axes], None]] = {
    "signal-to-noise.svg": signal_to_noise,
    "grid-steps.svg": grid_steps,
    "rate.svg": rate,
}


def drawn(name: str) -> str:
    """A figure as SVG, the same in every run."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 2.8), layout="constrained")
        figure.patch.set_alpha(0.0)
        axes = figure.subplots()
        axes.patch.set_alpha(0.0)
        axes.spines[["top", "right"]].set_visible(False)
        FIGURES[name](axes)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


if __name__ == "__main__":
    for name in FIGURES:
        (FOLDER / name).write_text(drawn(name))
