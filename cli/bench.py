"""`bayespress bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..files import write_text
from .console import JsonFlag, print_json, show, step, table

if TYPE_CHECKING:
    from rich.table import Table

    from ..deploy.bench import BenchReport


def bench(
    bundle: Annotated[Path, typer.Argument(help="Bundle (folder or .zip) that `build` wrote.")],
    packed: Annotated[
        Path | None, typer.Option(help="Packed directory: adds PyTorch, and the network before compression.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to measure each contender.")] = 2.0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Also write the JSON report to this file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure latency on this machine: the compiled network against ONNX Runtime and PyTorch.

    Example: [bold]bayespress bench lenet.bundle --packed packed/lenet[/]

    One example at a time, one thread, contenders interleaved in one process; median and spread.
    """
    from ..deploy.bench import bench as run_bench

    report = run_bench(bundle, packed, seconds=seconds, progress=None if as_json else step)
    if out is not None:
        write_text(out, report.model_dump_json(indent=2) + "\n")
    if as_json:
        print_json(report)
    else:
        show(latency_table(report))


def latency_table(report: BenchReport) -> Table:
    """One row a contender; the ratio says how many times slower than the compiled network it is."""
    rows = [
        (row.label, f"{row.median_us:,.1f}", f"{row.p10_us:,.1f} to {row.p90_us:,.1f}", f"{row.ratio:.2f}x")
        for row in report.rows
    ]
    return table(
        f"latency on {report.cpu}, batch 1, one thread",
        ("", "median µs", "p10 to p90", "against compiled"),
        rows,
    )
