"""`bayespress demo`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import CheckFailedError, InputError
from .console import DataDir, JsonFlag, Overwrite, note, percent, print_json, show, size, step, table
from .interrupt import resumable

# Recipes of the package.
_RECIPES = {"digits": "demo/digits", "mnist": "demo/mnist"}
# In the folder of a demo: what is there was made by the demo, so the demo may make it again.
_MARK = "demo.json"
_MARK_FIELDS = ("made_by", "version")


def demo(
    data: Annotated[str, typer.Option(help="digits (nothing to download), or mnist with --data-dir.")] = "digits",
    data_dir: DataDir = None,
    model: Annotated[
        str, typer.Option(help="lenet-300-100, lenet-5-caffe, or your own as module:callable.")
    ] = "lenet-300-100",
    epochs: Annotated[int | None, typer.Option(help="Instead of the demo's own number.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for everything.", show_default="out/DATA")
    ] = None,
    android: Annotated[
        Path | None,
        typer.Option(help="Also put the network into this app, the folder android_demo.", show_default=False),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train again even if the same run is there.")] = False,
    overwrite: Overwrite = False,
    as_json: JsonFlag = False,
) -> None:
    """Do everything once: train, compress, build, bench, verify.

    Example: [bold]bayespress demo[/], or [bold]bayespress demo --data mnist --data-dir ~/data[/]

    A run that is there already with the same settings is used again, and one that was cut short goes on. What an
    earlier demo wrote into its folder is written anew; --overwrite is for a folder that no demo has made.
    """
    from ..files import locked
    from ..outputs import check_container

    if data not in _RECIPES:
        raise InputError(
            f"The demo knows the data sets {' and '.join(_RECIPES)}, not {data!r}; use the single commands."
        )
    folder = out or Path("out") / data
    check_container(folder)
    with locked(folder), resumable(f"what was finished is kept in {folder}"):
        _demo(folder, data, data_dir, model, epochs, android, fresh=fresh, overwrite=overwrite, as_json=as_json)


def _demo(
    folder: Path,
    data: str,
    data_dir: Path | None,
    model: str,
    epochs: int | None,
    android: Path | None,
    *,
    fresh: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """The demo in a folder that nobody else writes."""
    from ..deploy.builder.app import APP_TARGETS, check_app, put_into_app
    from ..deploy.bundle.format import BUNDLE, ZIPPED_BUNDLE
    from ..outputs import PAGE, check_output, record_file, write_output
    from ..packed_format import PACKED
    from .bench import latency_table
    from .compress import steps_table
    from .compression import run_compression
    from .inspect import streams_table
    from .kinds import BENCH_REPORT
    from .report import report_packed
    from .train import file_name
    from .verify import checks_table

    if android is not None:
        check_app(android, overwrite=True)  # a bundle, if anything, see rule 2 of outputs.py
    run, packed, bundle = folder / "run", folder / "packed", folder / file_name(f"{model}.bundle")
    phones, bench_json, page = folder / file_name(f"{model}.android.zip"), folder / "bench.json", folder / "report.html"
    written = {packed: PACKED, bundle: BUNDLE, bench_json: BENCH_REPORT, page: PAGE}
    if android is not None:
        written[phones] = ZIPPED_BUNDLE
    mark = record_file("the mark of a demo", _MARK_FIELDS)
    check_output(folder / _MARK, mark, overwrite=True)
    again = overwrite or (folder / _MARK).exists()
    for path, kind in written.items():
        check_output(path, kind, overwrite=again)
    _train(run, model, data, data_dir, epochs, fresh=fresh, overwrite=again, live=not as_json)
    if not (folder / _MARK).exists():
        text = json.dumps(dict(zip(_MARK_FIELDS, ("bayespress demo", 1), strict=True)))
        write_output(folder / _MARK, mark, text + "\n")
    record, notes = run_compression(run, packed, data_dir=data_dir, overwrite=True, named=(model,))
    for text in notes:
        note(text)

    from .. import codec
    from ..deploy.measure.bench import bench as run_bench
    from ..deploy.verify.verify import verify as run_verify
    from ..packed_format import WEIGHTS
    from .build import run_build

    run_build(packed, bundle, ["host", "arm64-linux"], overwrite=True)
    if android is not None:
        run_build(packed, phones, list(APP_TARGETS), overwrite=True)
        step(f"the app has it: {put_into_app(phones, android, overwrite=True)}")
    latency = run_bench(bundle, packed, seconds=1.0, progress=lambda text: step(f"bench: {text}"))
    write_output(bench_json, BENCH_REPORT, latency.model_dump_json(indent=2) + "\n", overwrite=True)
    checks = run_verify(bundle, progress=lambda text: step(f"verify: {text}"))
    report_packed(packed, page, bench_json, overwrite=True)
    layout = codec.layout((packed / WEIGHTS).read_bytes())
    summary: dict[str, Any] = {
        "model": record.name,
        "data": record.data,
        "error_before_percent": record.steps[0].error_percent,
        "error_after_percent": record.steps[-1].error_percent,
        "parameters": record.original_parameters,
        "nonzero": record.steps[-1].nonzero,
        "original_bytes": record.original_bytes,
        "bpz_bytes": record.packed_bytes,
        "ratio": record.ratio,
        "bytes_by_stream": layout.by_stream(),
        "decode_us": latency.decode_us,
        "start_ms": latency.start_ms,
        "latency": latency.model_dump()["rows"],
        "verified": checks.passed,
        "bundle": str(bundle),
        "report": str(page),
    }
    if as_json:
        print_json(summary)
    else:
        show(
            steps_table(record),
            streams_table(layout),
            latency_table(latency),
            checks_table(checks),
            _summary(summary),
        )
    if not checks.passed:
        raise CheckFailedError(f"The bundle {bundle} did not verify; see the checks above.")


def _summary(summary: dict[str, Any]) -> Any:
    before, after = percent(summary["error_before_percent"]), percent(summary["error_after_percent"])
    by_label = {row["label"]: row for row in summary["latency"]}
    rows = [
        ("test error before → after", f"{before} → {after}"),
        ("non-zero parameters", f"{summary['nonzero']:,} of {summary['parameters']:,}"),
        ("file", f"{size(summary['original_bytes'])} → {size(summary['bpz_bytes'])}, {summary['ratio']:.0f}x smaller"),
        ("decode time", f"{summary['decode_us']:.0f} µs"),
        ("latency", f"{by_label['ONNX Runtime, original']['median_us']:.1f} µs dense (ONNX Runtime) → "
         f"{by_label['compiled']['median_us']:.1f} µs compressed (compiled)"),
        ("process start to all golden outputs", f"{summary['start_ms']:.1f} ms"),
        ("verification", "passed" if summary["verified"] else "FAILED"),
        ("report", summary["report"]),
        ("bundle", summary["bundle"]),
    ]  # fmt: skip
    return table(f"{summary['model']} on {summary['data']}", ("", ""), rows)


def _train(
    run: Path,
    model: str,
    data: str,
    data_dir: Path | None,
    epochs: int | None,
    *,
    fresh: bool,
    overwrite: bool,
    live: bool,
) -> None:
    """Train, or take or resume the run that is there if it is of the same settings.

    Raises InputError for a run of other settings that no demo has made, without `overwrite` or `fresh`.
    """
    from ..train.training_run import train_run
    from .train import new_record, run_kept_safe

    folder = None if data_dir is None else str(data_dir)
    record = new_record(_RECIPES[data], {"model.name": model, "training.epochs": epochs, "data.folder": folder})
    previous = None if fresh else _same_run(run, record)
    if previous is not None and previous.status == "complete":
        step(f"training: {run} is there already (--fresh trains again)")
        return
    began = time.monotonic()
    with run_kept_safe(run, resume=previous is not None, overwrite=overwrite or fresh):
        train_run(run, previous or record, resume=previous is not None, live=live, tell=step, named=(model,))
    step(f"trained in {time.monotonic() - began:.0f} s")


def _same_run(run: Path, wanted: Any) -> Any:
    """The record in `run` if it is of these settings and can be used or resumed, else None."""
    from ..train.run import CHECKPOINTS, POSTERIOR, RECORD, RunRecord

    if not (run / RECORD).is_file():
        return None
    found = RunRecord.read(run)
    same = ("method", "model", "training", "libraries")
    if found.data.name != wanted.data.name or any(getattr(found, key) != getattr(wanted, key) for key in same):
        return None
    needed = run / POSTERIOR if found.status == "complete" else run / CHECKPOINTS / "last.ckpt"
    return found if needed.is_file() else None
