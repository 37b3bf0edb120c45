"""`bayespress bench`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..deploy.devices.registry import devices_help
from ..errors import InputError
from ..files import check_input
from ..outputs import PICTURE, Kind, claimed, write_output
from ..text import printable
from .console import JsonFlag, Overwrite, print_json, show, step, table

if TYPE_CHECKING:
    from rich.table import Table

    from ..deploy.measure.report import BenchReport, DeviceReport


_MOST_DIGITS = 18


def bench(
    bundle: Annotated[Path | None, typer.Argument(help="Bundle (folder or .zip) written by `build`.")] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            help=f"Device to measure on; repeat the option for several devices: {devices_help()}.",
        ),
    ] = None,
    packed: Annotated[
        Path | None,
        typer.Option(help="Packed directory of the bundle; adds PyTorch and the network before compression."),
    ] = None,
    compare: Annotated[
        str,
        typer.Option(
            help="Runtimes to compare with on this machine: onnxruntime, torch, both (as the default) or none."
        ),
    ] = "onnxruntime,torch",
    threads: Annotated[
        str, typer.Option(help="Also measure batches on these numbers of threads, as in 1,2,4; empty for no batches.")
    ] = "",
    batch: Annotated[str, typer.Option(help="Number of examples in a batch; several numbers as in 64,256.")] = "256",
    key: Annotated[
        Path | None, typer.Option(help="Public key in PEM; the bundle must be signed by the owner of this key.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Measuring time for each contender and for each device, in seconds.")
    ] = 2.0,
    time_limit: Annotated[
        float,
        typer.Option(help="Stop a run on a device after this number of seconds in addition to the measuring time."),
    ] = 300.0,
    imported: Annotated[
        list[Path] | None,
        typer.Option("--import", help="JSON report of another machine to include; repeat the option for several."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Also write the report as JSON to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw the report as a bar chart into this .svg file.")] = None,
    overwrite: Overwrite = False,
    as_json: JsonFlag = False,
) -> None:
    """Measure the latency of a bundle on this machine, on boards and on phones.

    Example: [bold]bayespress bench lenet.bundle --packed packed/lenet[/]

    On a phone: [bold]bayespress bench lenet.bundle -d adb --threads 1,2,4 -o phone.json[/]

    All in one report: [bold]bayespress bench lenet.bundle --import phone.json --import board.json --plot all.svg[/]

    Each run takes one example on one thread; the table shows the median and the percentiles 10 and 90. On this machine
    the compiled network, ONNX Runtime and PyTorch run alternately in one process. On other devices the bundle's runner
    measures itself. Emulators count instructions instead of time.
    """
    from ..deploy.measure.report import BenchReport, gathered
    from ..workflow.kinds import BENCH_REPORT

    if bundle is None and not imported:
        raise InputError("There is nothing to measure; give a bundle, or reports with --import.")
    if plot is not None and plot.suffix != ".svg":
        raise InputError(f"{plot} does not end in .svg, the only format of the picture; change its ending.")
    if bundle is not None:
        check_input(bundle, "bundle")
    wanted: list[tuple[Path, Kind]] = []
    if out is not None:
        wanted.append((out, BENCH_REPORT))
    if plot is not None:
        wanted.append((plot, PICTURE))
    inputs = (bundle, packed, *(imported or ()))
    with claimed(wanted, overwrite=overwrite, inputs=inputs):
        reports = [BenchReport.read(path) for path in imported or ()]
        if bundle is not None:
            from ..deploy.measure.bench import bench as run_bench

            reports.insert(
                0,
                run_bench(
                    bundle,
                    packed,
                    seconds=seconds,
                    progress=None if as_json else step,
                    devices=device or ["host"],
                    compare=[peer for peer in compare.split(",") if peer not in ("", "none")],
                    threads=list(_numbers(threads)),
                    batches=list(_numbers(batch)),
                    key=key,
                    time_limit=time_limit,
                ),
            )
        report = gathered(reports)
        if out is not None:
            text = report.model_dump_json(indent=2) + "\n"
            write_output(out, BENCH_REPORT, text, overwrite=overwrite, inputs=inputs)
        if plot is not None:
            from ..deploy.measure.picture import bench_picture

            write_output(plot, PICTURE, bench_picture(report), overwrite=overwrite, inputs=inputs)
    if as_json:
        print_json(report)
    else:
        show(*([latency_table(report)] if report.rows else []), *map(device_table, report.devices))


def latency_table(report: BenchReport) -> Table:
    """One row per contender; the ratio is its median divided by that of the compiled network."""
    rows = [
        (row.label, f"{row.median_us:,.1f}", f"{row.p10_us:,.1f} to {row.p90_us:,.1f}", f"{row.ratio:.2f}x")
        for row in report.rows
    ]
    return table(
        f"latency on {report.cpu}, batch 1, one thread",
        ("", "median µs", "p10 to p90", "relative to compiled"),
        rows,
    )


def device_table(report: DeviceReport) -> Table:
    """All measurements of one device."""
    measurements = table(f"{report.description}", ("", "value"), list(_device_rows(report)))
    measurements.columns[1].justify = "right"
    return measurements


def _device_rows(report: DeviceReport) -> Iterator[tuple[str, str]]:
    facts = (
        ("processor", report.cpu, ""), ("governor", report.governor, ""), ("temperature", report.temperature_c, " °C"),
        ("peak memory", report.peak_kb, " kB"), ("load and decode", report.load_us, " µs"),
        ("first run", report.first_us, " µs"), ("median", report.median_us, " µs"),
        ("percentile 90", report.p90_us, " µs"), ("percentile 99", report.p99_us, " µs"),
        ("instructions per run (emulated)", report.instructions, ""),
    )  # fmt: skip
    for name, value, unit in facts:
        if isinstance(value, str):
            yield name, value
        elif value is not None:
            yield name, f"{value:,.1f}{unit}" if isinstance(value, float) else f"{value:,}{unit}"
    for layer in report.layers:
        yield f"  {layer.kernel}", f"{layer.mean_us:,.2f} µs"
    for batch in report.batches:
        throughput = batch.examples / batch.median_ms * 1e3
        yield (
            f"batch of {batch.examples}, {batch.threads} threads",
            f"{batch.median_ms:,.2f} ms, {throughput:,.0f} examples per second",
        )


def _numbers(text: str) -> Iterator[int]:
    for part in filter(None, text.split(",")):
        digits = part.strip()
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS):
            shown = printable(part[: 2 * _MOST_DIGITS])
            raise InputError(f"{shown!r} is not a whole number; write numbers as in --threads 1,2,4.")
        yield int(digits)
