"""`bayespress compress`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..compress.settings import CompressSettings
from ..errors import InputError
from ..optuna_study import without_password
from ..text import shell_word
from ..workflow.compress_table import TRIALS
from .console import DataDir, JsonFlag, Overwrite, TrustCode, note, print_json, show, size, step, table
from .interrupt import resumable

if TYPE_CHECKING:
    from rich.table import Table

    from ..metric import Metric
    from ..packed_format import PackedRecord, SearchRecord

_DEFAULTS = CompressSettings()
_SEARCH, _PRUNING, _PRECISION = "Search", "Pruning", "Precision"
_RETRAINING, _OWN = "Retraining", "A file of weights"


def compress(
    context: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(help="Run directory written by `train`, or a file of weights: .safetensors, .pt, .onnx."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Packed directory to write; for a file of weights, the .bpz file.",
            show_default="RUN/packed",
        ),
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(
            help="Search for the smallest file with at most this error, in percent or the unit of the task's metric.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(
            help="Search as with --max-error; the limit is in percentage points above the trained network's error.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(help="Search for the lowest error with a file of at most this size.", rich_help_panel=_SEARCH),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            help="Number of settings to try. Without a goal, the search picks the knee of the error-size curve.",
            show_default=str(TRIALS),
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="SQLite file or database URL that keeps the trials of the search.",
            show_default="RUN/search.db",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            help="Score that ranks weights for pruning: log-alpha, signal-to-noise, group-scale, magnitude or random.",
            rich_help_panel=_PRUNING,
        ),
    ] = _DEFAULTS.rule,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Prune all weights whose score is worse than this value.",
            show_default="log-alpha 3; equivalent values for the other rules",
            rich_help_panel=_PRUNING,
        ),
    ] = None,
    sparsity: Annotated[
        float | None,
        typer.Option(
            help="Prune this percentage of all weights, ranked by the rule, instead of using a threshold.",
            rich_help_panel=_PRUNING,
        ),
    ] = None,
    quantizer: Annotated[
        str,
        typer.Option(
            help="How weights are rounded: posterior (grid step from the posterior variance), size (grid step from the "
            "size of the weights), round-off (small floating-point formats) or codebook (shared values).",
            rich_help_panel=_PRECISION,
        ),
    ] = _DEFAULTS.quantizer,
    budget: Annotated[
        float,
        typer.Option(
            help="Allowed cost of rounding under the posterior, in nats per weight. Higher values round more coarsely "
            "and give a smaller file.",
            rich_help_panel=_PRECISION,
        ),
    ] = _DEFAULTS.budget,
    rate_weight: Annotated[
        float,
        typer.Option(
            help="Rate-distortion weight (lambda): higher values prefer cheap codes to exact values. 0 disables it.",
            rich_help_panel=_PRECISION,
        ),
    ] = _DEFAULTS.rate_weight,
    clusters: Annotated[
        int, typer.Option(help="Number of shared values in a codebook.", rich_help_panel=_PRECISION)
    ] = _DEFAULTS.clusters,
    codebook_start: Annotated[
        str,
        typer.Option(
            help="Initial values of k-means for a codebook: linear, density or random.", rich_help_panel=_PRECISION
        ),
    ] = _DEFAULTS.codebook_start,
    shared: Annotated[
        bool,
        typer.Option(
            "--shared", help="Use one codebook for all tensors instead of one per tensor.", rich_help_panel=_PRECISION
        ),
    ] = _DEFAULTS.shared,
    retrain: Annotated[
        int,
        typer.Option(
            help="Epochs of retraining after rounding; it changes grid levels or shared values.",
            rich_help_panel=_RETRAINING,
        ),
    ] = _DEFAULTS.retrain,
    learning_rate: Annotated[
        float, typer.Option(help="Learning rate of retraining, in grid steps per update.", rich_help_panel=_RETRAINING)
    ] = _DEFAULTS.learning_rate,
    distill: Annotated[
        float,
        typer.Option(
            help="Weight of the original network's outputs (distillation) in the loss of retraining, 0 to 1.",
            rich_help_panel=_RETRAINING,
        ),
    ] = _DEFAULTS.distill,
    profile: Annotated[
        str, typer.Option(help="Profile of the file: small, or fast (it decodes faster and is a few percent larger).")
    ] = _DEFAULTS.profile,
    tolerance: Annotated[
        float,
        typer.Option(
            help="Largest relative error of every row and column, and of an ONNX model's outputs.",
            rich_help_panel=_OWN,
        ),
    ] = 0.01,
    threads: Annotated[
        int,
        typer.Option(
            help="Number of tensors to compress at once; each takes about 8 bytes of memory per element.",
            rich_help_panel=_OWN,
        ),
    ] = 1,
    data_dir: DataDir = None,
    overwrite: Overwrite = False,
    trust_code: TrustCode = False,
    as_json: JsonFlag = False,
) -> None:
    """Prune, shrink and quantise a trained network into a .bpz file.

    Example: [bold]bayespress compress runs/lenet -o packed/lenet --max-error 1.0[/]

    With retraining: [bold]bayespress compress runs/lenet --max-bytes 1600 --retrain 10 --trials 12[/]

    Weights from another tool: [bold]bayespress compress net.safetensors -o net.bpz --tolerance 0.02[/]

    Weights with more noise than signal are pruned, units without weights are removed from the network, and the other
    weights are rounded to a grid with a step from the posterior variance. A search measures the error on the part of
    the training set that `train --held-out` kept back, and continues an earlier search with the same goal. The test
    error is only reported after each step; it selects no setting. A recipe may contain settings and a goal in its
    table `compress`; options take precedence. A file of weights has no posterior, so each tensor is rounded to one
    grid; `bayespress decode` restores the tensors.
    """
    from ..files import check_input
    from ..outputs import claimed
    from ..packed_format import PACKED, PackedRecord

    check_input(run, "run directory or file of weights")
    from ..compress.quantize_file import SUFFIXES

    searching = any(value is not None for value in (max_error, max_loss, max_bytes, trials))
    if run.is_file() or (run.suffix in SUFFIXES and not run.is_dir()):
        if searching or retrain:
            raise InputError(
                f"{run} holds only weights and no data, so no error can be measured and no retraining is possible; "
                "choose a --tolerance."
            )
        _compress_file(
            run, out or run.with_suffix(".bpz"), tolerance, profile, threads, overwrite=overwrite, as_json=as_json
        )
        return
    from ..workflow.compress_table import settings_of, wanted_search
    from ..workflow.compression import compress_run

    # An option that the user does not give has the value of the recipe or, if the recipe has none, the default.
    values = {
        "rule": rule, "threshold": threshold, "sparsity": sparsity, "quantizer": quantizer, "budget": budget,
        "rate_weight": rate_weight, "clusters": clusters, "codebook_start": codebook_start, "shared": shared,
        "retrain": retrain, "learning_rate": learning_rate, "distill": distill, "profile": profile,
    }  # fmt: skip
    settings = {name: value for name, value in values.items() if _is_given(context, name)}
    settings_of(settings)  # reject invalid settings before anything is read
    out = out or run / "packed"
    with claimed([(out, PACKED)], overwrite=overwrite, inputs=(run,), within=True), contextlib.ExitStack() as stack:
        search = wanted_search(
            run, settings, max_error=max_error, max_loss=max_loss, max_bytes=max_bytes, trials=trials, storage=storage
        )
        if search is not None:
            kept = f"the finished trials are kept in {without_password(search.storage)}"
            stack.enter_context(resumable(kept))
        packed = compress_run(
            run, out, settings, data_dir=data_dir, search=search, overwrite=overwrite, trust_code=trust_code,
            progress=step,
        )  # fmt: skip
    record = PackedRecord.read(out)
    for text in packed.notes:
        note(text)
    if as_json:
        print_json(record)
        return
    tables: list[Table | str] = [steps_table(record)]
    if record.choice is not None:
        tables.append(curve_table(record.choice, record.measured_by))
    show(*tables, f"Next: bayespress build {shell_word(out)}")


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether the user gave the option."""
    source = context.get_parameter_source(name)
    return source is not None and source.name not in ("DEFAULT", "DEFAULT_MAP")


def _compress_file(
    path: Path, out: Path, tolerance: float, profile: str, threads: int, *, overwrite: bool, as_json: bool
) -> None:
    """Compress a file of weights into a .bpz file."""
    from ..compress.quantize_file import check_ending, compress_file
    from ..outputs import WEIGHT_FILE, claimed

    def log(done: int, count: int) -> None:
        if done == count or done % 10 == 0:
            step(f"tensor {done} of {count}")

    check_ending(path)
    with claimed([(out, WEIGHT_FILE)], overwrite=overwrite, inputs=(path,)):
        result = compress_file(
            path, out, tolerance, profile=profile, threads=threads, progress=log, overwrite=overwrite
        )
    for text in result.notes:
        note(text)
    before, after, errors = path.stat().st_size, result.size, result.errors
    worst = max(error for _, error in errors)
    if as_json:
        report = {"path": str(out), "bytes": after, "ratio": before / after, "relative_error": dict(errors)}
        print_json(report | {"outputs_error": result.outputs_error, "notes": list(result.notes)})
        return
    rows = [
        ("tensors", len(errors)),
        ("before", size(before)),
        ("after", f"{size(after)}, {before / after:.1f}x"),
        ("largest relative error of a row or column", f"{worst:.2g}"),
        *([] if result.outputs_error is None else [("relative error of the outputs", f"{result.outputs_error:.2g}")]),
    ]
    # Decoded weights are rounded, so the suggested name differs from the original's.
    decoded = Path(f"{path.stem}.decoded.safetensors")
    advice = f"To decode: bayespress decode {shell_word(out)} -o {shell_word(decoded)}"
    show(table(str(out), ("", ""), rows), advice)


def steps_table(record: PackedRecord) -> Table:
    """Error and size after each step of compression."""
    return table(
        f"{record.name}: {size(record.original_bytes)} -> {size(record.packed_bytes)} ({record.ratio:.0f}x)",
        ("step", f"{record.part or ''} {record.measured_by.name}".strip(), "non-zero parameters", "size"),
        [
            (
                step.name,
                record.measured_by.text(step.metric),
                f"{step.nonzero:,}",
                "" if step.bytes is None else size(step.bytes),
            )
            for step in record.steps
        ],
    )


def curve_table(choice: SearchRecord, metric: Metric) -> Table:
    """The Pareto-optimal points of a search, with a mark at the chosen one."""
    rows = []
    for point in choice.front():
        chosen = (point.metric, point.bytes) == (choice.metric, choice.bytes)
        words = ", ".join(f"{name} {value:.3g}" for name, value in point.settings.items())
        rows.append((f"{size(point.bytes)}{' ← chosen' if chosen else ''}", metric.text(point.metric), words))
    title = f"{choice.goal}: {len(choice.points)} settings tried, measured on {choice.measured_on()}"
    return table(title, ("size", f"held-out {metric.name}", "settings"), rows)
