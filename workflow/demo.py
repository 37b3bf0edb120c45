"""Everything once: train, compress, build, bench and verify, in one folder that can be used again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .bundle import DEFAULT_TARGETS, build_packed
from .compression import compress_run
from .kinds import BENCH_REPORT
from .report import write_report
from .training import file_name, new_record, run_kept_safe

if TYPE_CHECKING:
    from ..codec.layout import FileLayout
    from ..deploy.measure.report import BenchReport
    from ..deploy.verify.checks import VerifyReport
    from ..packed_format import PackedRecord

# Recipes of the package, by data set.
RECIPES = {"digits": "demo/digits", "mnist": "demo/mnist"}
# In the folder of a demo: what is there was made by the demo, so the demo may make it again.
_MARK = "demo.json"
_MARK_FIELDS = ("made_by", "version")


@dataclass(frozen=True)
class DemoResult:
    """What a demo made and measured.

    record   of the packed directory
    layout   of the .bpz file
    latency  on this machine
    checks   of the bundle
    notes    that the user should read
    bundle   path of the bundle
    page     path of the report page
    """

    record: PackedRecord
    layout: FileLayout
    latency: BenchReport
    checks: VerifyReport
    notes: tuple[str, ...]
    bundle: Path
    page: Path

    def summary(self) -> dict[str, Any]:
        """The figures by name, as `bayespress demo --json` prints them."""
        record = self.record
        return {
            "model": record.name,
            "data": record.data,
            "measured_by": record.measured_by.model_dump(),
            "metric_before": record.steps[0].metric,
            "metric_after": record.steps[-1].metric,
            "parameters": record.original_parameters,
            "nonzero": record.steps[-1].nonzero,
            "original_bytes": record.original_bytes,
            "bpz_bytes": record.packed_bytes,
            "ratio": record.ratio,
            "bytes_by_stream": self.layout.by_stream(),
            "decode_us": self.latency.decode_us,
            "start_ms": self.latency.start_ms,
            "latency": self.latency.model_dump()["rows"],
            "verified": self.checks.passed,
            "bundle": str(self.bundle),
            "report": str(self.page),
        }


def run_demo(
    folder: Path,
    data: str = "digits",
    *,
    data_dir: Path | None = None,
    model: str = "lenet-300-100",
    epochs: int | None = None,
    android: Path | None = None,
    fresh: bool = False,
    overwrite: bool = False,
    live: bool = False,
    progress: Callable[[str], None] = lambda _step: None,
) -> DemoResult:
    """Train, compress, build, measure and verify one network in `folder`.

    A run that is there already with the same settings is used again, and one that was cut short is resumed.

    data       digits, or mnist with its files in `data_dir`
    model      name of a network, or module:callable
    epochs     in place of the number that the recipe has
    android    Gradle project of the app, which gets the network too
    fresh      train again even if the same run is there
    overwrite  replace outputs in a folder that no demo has made
    live       show a progress bar while training, on a terminal
    progress   called with one line of text as each step begins

    A bundle that fails its checks is no exception: see DemoResult.checks.
    Raises InputError for an unknown data set and when the folder may not be written.
    """
    from ..files import locked
    from ..outputs import check_container

    if data not in RECIPES:
        raise InputError(
            f"The demo knows the data sets {' and '.join(RECIPES)}, not {data!r}; use the single commands."
        )
    check_container(folder)
    with locked(folder):
        return _demo(
            folder, data, data_dir, model, epochs, android, fresh=fresh, overwrite=overwrite, live=live,
            progress=progress,
        )  # fmt: skip


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
    live: bool,
    progress: Callable[[str], None],
) -> DemoResult:
    """The demo in a folder that nobody else writes."""
    from ..deploy.builder.app import APP_TARGETS, check_app, put_into_app
    from ..deploy.bundle.format import BUNDLE, ZIPPED_BUNDLE
    from ..outputs import PAGE, check_output, record_file, write_output
    from ..packed_format import PACKED, WEIGHTS, PackedRecord

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
    _train(run, model, data, data_dir, epochs, fresh=fresh, overwrite=again, live=live, progress=progress)
    if not (folder / _MARK).exists():
        text = json.dumps(dict(zip(_MARK_FIELDS, ("bayespress demo", 1), strict=True)))
        write_output(folder / _MARK, mark, text + "\n")
    notes = compress_run(run, packed, data_dir=data_dir, overwrite=True, named=(model,), progress=progress).notes
    record = PackedRecord.read(packed)

    from .. import codec
    from ..deploy.measure.bench import bench
    from ..deploy.verify.verify import verify

    build_packed(packed, bundle, DEFAULT_TARGETS, overwrite=True, progress=progress)
    if android is not None:
        build_packed(packed, phones, APP_TARGETS, overwrite=True, progress=progress)
        progress(f"the app has it: {put_into_app(phones, android, overwrite=True)}")
    latency = bench(bundle, packed, seconds=1.0, progress=lambda text: progress(f"bench: {text}"))
    write_output(bench_json, BENCH_REPORT, latency.model_dump_json(indent=2) + "\n", overwrite=True)
    checks = verify(bundle, progress=lambda text: progress(f"verify: {text}"))
    write_report(packed, page, bench_json, overwrite=True)
    layout = codec.layout((packed / WEIGHTS).read_bytes())
    return DemoResult(record, layout, latency, checks, notes, bundle, page)


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
    progress: Callable[[str], None],
) -> None:
    """Train, or take or resume the run that is there if it is of the same settings.

    Raises InputError for a run of other settings that no demo has made, without `overwrite` or `fresh`.
    """
    from ..train.training_run import train_run

    folder = None if data_dir is None else str(data_dir)
    record = new_record(RECIPES[data], {"model.name": model, "training.epochs": epochs, "data.folder": folder})
    previous = None if fresh else _same_run(run, record)
    if previous is not None and previous.status == "complete":
        progress(f"training: {run} is there already (--fresh trains again)")
        return
    began = time.monotonic()
    with run_kept_safe(run, resume=previous is not None, overwrite=overwrite or fresh):
        train_run(run, previous or record, resume=previous is not None, live=live, log=progress, named=(model,))
    progress(f"trained in {time.monotonic() - began:.0f} s")


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
