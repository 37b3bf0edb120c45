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
            "--out", "-o", help="Page to write; *.svg gives the picture alone of a packed directory or bench report."
        ),
    ] = Path("report.html"),
    bench: Annotated[
        Path | None,
        typer.Option(help="JSON that `bench -o` wrote, to show latencies on a packed directory's or bundle's page."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write one self-contained page about a run, a packed directory, a bundle or a bench report.

    Example: [bold]bayespress report runs/lenet -o training.html[/]

    Or: [bold]bayespress report packed/lenet --bench bench.json -o lenet.html[/]

    Of a run: error, curves, weights left by layer, signal-to-noise ratio, weights and filters before and after.
    Of a packed directory: error and size by step, bytes by tensor and stream, the search, errors by class.
    Of a bundle: targets, what an app grows by, the kernel of each layer. Of a bench report: latency on each device.
    """
    from ..workflow.report import write_report

    show(f"{write_report(path, out, bench, overwrite=overwrite)}")
