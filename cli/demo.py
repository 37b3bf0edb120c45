"""`bayespress demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import CheckFailedError
from .console import DataDir, JsonFlag, Overwrite, note, percent, print_json, show, size, step, table
from .interrupt import resumable


def demo(
    data: Annotated[
        str, typer.Option(help="Data set: digits (part of scikit-learn, no download), or mnist with --data-dir.")
    ] = "digits",
    data_dir: DataDir = None,
    model: Annotated[
        str, typer.Option(help="Network: lenet-300-100, lenet-5-caffe, or your own as module:callable.")
    ] = "lenet-300-100",
    epochs: Annotated[int | None, typer.Option(help="Passes over the training set.", show_default="the demo's")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for all outputs.", show_default="out/DATA")
    ] = None,
    android: Annotated[
        Path | None,
        typer.Option(help="Also copy the bundle into this Android app (the folder android_demo).", show_default=False),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Train again even if a finished run with the same settings exists.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: JsonFlag = False,
) -> None:
    """Run all steps once on a small network: train, compress, build, bench, verify.

    Example: [bold]bayespress demo[/], or [bold]bayespress demo --data mnist --data-dir ~/data[/]

    A finished run with the same settings is used again, and an interrupted one is continued. The outputs of an earlier
    demo are replaced; --overwrite is necessary only for a folder that another command wrote.
    """
    from ..workflow.demo import run_demo
    from .bench import latency_table
    from .compress import steps_table
    from .inspect import streams_table
    from .verify import checks_table

    folder = out or Path("out") / data
    with resumable(f"the finished steps are kept in {folder}"):
        result = run_demo(
            folder, data, data_dir=data_dir, model=model, epochs=epochs, android=android, fresh=fresh,
            overwrite=overwrite, live=not as_json, progress=step,
        )  # fmt: skip
    for text in result.notes:
        note(text)
    summary = result.summary()
    if as_json:
        print_json(summary)
    else:
        show(
            steps_table(result.record),
            streams_table(result.layout),
            latency_table(result.latency),
            checks_table(result.checks),
            _summary(summary),
        )
    if not result.checks.passed:
        raise CheckFailedError(f"Verification of the bundle {result.bundle} failed; see the checks above.")


def _summary(summary: dict[str, Any]) -> Any:
    before, after = percent(summary["metric_before"]), percent(summary["metric_after"])
    by_label = {row["label"]: row for row in summary["latency"]}
    rows = [
        ("test error before → after", f"{before} → {after}"),
        ("non-zero parameters", f"{summary['nonzero']:,} of {summary['parameters']:,}"),
        ("file", f"{size(summary['original_bytes'])} → {size(summary['bpz_bytes'])}, {summary['ratio']:.0f}x smaller"),
        ("decode time", f"{summary['decode_us']:.0f} µs"),
        ("latency", f"{by_label['ONNX Runtime, original']['median_us']:.1f} µs dense (ONNX Runtime) → "
         f"{by_label['compiled']['median_us']:.1f} µs compressed (compiled)"),
        ("start of the process to the last golden output", f"{summary['start_ms']:.1f} ms"),
        ("verification", "passed" if summary["verified"] else "FAILED"),
        ("report", summary["report"]),
        ("bundle", summary["bundle"]),
    ]  # fmt: skip
    return table(f"{summary['model']} on {summary['data']}", ("", ""), rows)
