"""`bayespress report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .console import show


def report(
    packed: Annotated[Path, typer.Argument(help="Packed directory that `compress` wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Page to write; *.svg gives the picture alone.")] = Path(
        "report.html"
    ),
    bench: Annotated[Path | None, typer.Option(help="JSON that `bench -o` wrote, to show latencies too.")] = None,
) -> None:
    """Draw what compression did: error by step, bytes by tensor and stream, latency.

    Example: [bold]bayespress bench lenet.bundle --packed packed/lenet -o bench.json &&
    bayespress report packed/lenet --bench bench.json -o lenet.html[/]
    """
    run_report(packed, out, bench)
    show(f"{out}")


def run_report(packed: Path, out: Path, bench: Path | None = None) -> None:
    """Write the page, or the picture alone."""
    if out.suffix not in (".html", ".svg"):
        raise InputError(f"{out} ends in neither .html (the page) nor .svg (the picture alone); name it so.")
    from .. import codec
    from ..deploy.bench import BenchReport
    from ..deploy.report import report_html, summary_svg
    from ..files import read_bytes, write_text
    from ..handover import WEIGHTS, PackedRecord

    record = PackedRecord.read(packed)
    layout = codec.layout(read_bytes(packed / WEIGHTS, "weights file"))
    latency = None if bench is None else BenchReport.read(bench)
    draw = summary_svg if out.suffix == ".svg" else report_html
    write_text(out, draw(record, layout, latency))
