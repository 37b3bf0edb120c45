"""`bayespress report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import Overwrite, show


def report(
    path: Annotated[
        Path, typer.Argument(help="Run directory (what training did) or packed directory (what compression did).")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Page to write; *.svg gives a packed directory's picture alone.")
    ] = Path("report.html"),
    bench: Annotated[Path | None, typer.Option(help="JSON that `bench -o` wrote, to show latencies too.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw what training or compression did, on one page.

    Example: [bold]bayespress report runs/lenet -o training.html[/]

    Or: [bold]bayespress report packed/lenet --bench bench.json -o lenet.html[/]

    Of a run: curves, weights left by layer, signal to noise, weights and filters before and after, the mixture.
    Of a packed directory: error by step, bytes by tensor and stream, latency.
    """
    from ..workflow.report import write_report

    show(f"{write_report(path, out, bench, overwrite=overwrite)}")
