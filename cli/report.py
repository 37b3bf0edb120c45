"""`bayespress report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import Overwrite, show


def report(
    path: Annotated[
        Path, typer.Argument(help="Run directory, packed directory, bundle (folder or .zip), or JSON of `bench -o`.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="HTML page to write; with the ending .svg, only the picture of a packed directory or bench report.",
        ),
    ] = Path("report.html"),
    bench: Annotated[
        Path | None,
        typer.Option(help="JSON written by `bench -o`; adds latencies to the page of a packed directory or bundle."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a self-contained HTML page about a run, a packed directory, a bundle or a bench report.

    Example: [bold]bayespress report runs/lenet -o training.html[/]

    Or: [bold]bayespress report packed/lenet --bench bench.json -o lenet.html[/]

    The page of a run shows the error, training curves, the remaining weights of each layer, signal-to-noise ratios, and
    weights and filters before and after training. A packed directory: error and size after each step, bytes of each
    tensor and stream, the search, errors by class. A bundle: targets, how much an app grows, the kernel of each layer.
    A bench report: latency on each device.
    """
    from ..workflow.report import write_report

    show(f"{write_report(path, out, bench, overwrite=overwrite)}")
