"""`bayespress compress`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .console import DataDir, JsonFlag, note, percent, print_json, show, size, step, table

if TYPE_CHECKING:
    from rich.table import Table

    from ..compress.settings import CompressSettings
    from ..handover import PackedRecord
    from ..train.data import DataSet

_GOLDEN = 16  # examples that every later runtime must reproduce


def compress(
    run: Annotated[
        Path,
        typer.Argument(help="Run directory that `train` wrote; or weights of your own: .safetensors, .pt, .onnx."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Packed directory to write [default: RUN/packed]; of own weights a .bpz."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Of own weights: relative root mean square error of each tensor.")
    ] = 0.01,
    threads: Annotated[
        int, typer.Option(help="Of own weights: tensors at once; each takes about 8 bytes of memory an element.")
    ] = 1,
    rule: Annotated[
        str, typer.Option(help="Which weights go: log-alpha, signal-to-noise, group-scale, magnitude, random.")
    ] = "log-alpha",
    threshold: Annotated[
        float | None, typer.Option(help="Where the rule cuts [default: log-alpha 3, the others alike].")
    ] = None,
    sparsity: Annotated[
        float | None, typer.Option(help="Drop this percentage of all weights instead, ranked by the rule.")
    ] = None,
    budget: Annotated[
        float,
        typer.Option(help="Nats that rounding may cost a weight under the posterior; larger is smaller."),
    ] = 0.03,
    rate: Annotated[
        float, typer.Option(help="Nats of the posterior to give for a nat of the file; 0 keeps the nearest levels.")
    ] = 0.0,
    profile: Annotated[
        str, typer.Option(help="Of the file: small, or fast to decode and some percent larger.")
    ] = "small",
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Prune, shrink and quantise a trained network into a .bpz file.

    Example: [bold]bayespress compress runs/lenet -o packed/lenet --budget 0.2[/]

    Or weights that were trained elsewhere: [bold]bayespress compress net.safetensors -o net.bpz --tolerance 0.02[/]

    Weights that are noise are dropped, dead units leave the network, and what is left is rounded to a grid that
    follows the posterior variance. The test error is reported after each step and chooses nothing. Weights without
    a posterior are rounded to one grid a tensor; `bayespress decode` gives them back.
    """
    from ..compress.standalone import SUFFIXES

    if run.is_file() or (run.suffix in SUFFIXES and not run.is_dir()):
        _compress_file(run, out or run.with_suffix(".bpz"), tolerance, profile, threads, as_json=as_json)
        return
    from ..compress.settings import CompressSettings

    settings = CompressSettings(
        rule=rule, threshold=threshold, sparsity=sparsity, budget=budget, rate=rate, profile=profile
    )
    record, notes = run_compression(run, out or run / "packed", settings, data_dir=data_dir)
    for text in notes:
        note(text)
    if as_json:
        print_json(record)
    else:
        show(steps_table(record), f"Next: bayespress build {out or run / 'packed'}")


def _compress_file(path: Path, out: Path, tolerance: float, profile: str, threads: int, *, as_json: bool) -> None:
    """Weights of the user's own into a .bpz file."""
    from ..compress.standalone import compress_file

    def tell(done: int, count: int) -> None:
        if done == count or done % 10 == 0:
            step(f"tensor {done} of {count}")

    after, errors = compress_file(path, out, tolerance, profile=profile, threads=threads, progress=tell)
    before, worst = path.stat().st_size, max(error for _, error in errors)
    if as_json:
        ratio = before / after
        print_json({"path": str(out), "bytes": after, "ratio": ratio, "relative_error": dict(errors)})
        return
    rows = [
        ("tensors", len(errors)),
        ("before", size(before)),
        ("after", f"{size(after)}, {before / after:.1f}x"),
        ("largest relative error", f"{worst:.2g}"),
    ]
    show(table(str(out), ("", ""), rows), f"Back again: bayespress decode {out} -o {path.stem}.safetensors")


def run_compression(
    run: Path, out: Path, settings: CompressSettings | None = None, *, data_dir: Path | None = None,
    data: DataSet | None = None,
) -> tuple[PackedRecord, tuple[str, ...]]:  # fmt: skip
    """Compress a run directory into a packed directory; the record and what the user should know.

    data  to measure the error on, instead of the data set that the run names
    """
    from ..compress.pipeline import compress_network
    from ..compress.posterior import read_posterior
    from ..handover import Preprocessing
    from ..train.data import load_data
    from ..train.evaluate import error_percent
    from ..train.models import build_model
    from ..train.run import POSTERIOR, RunRecord

    record = RunRecord.read(run)
    if record.status != "complete":
        raise InputError(f"The run in {run} is not complete; finish it with `bayespress train --resume {run}`.")
    folder = data_dir or (Path(record.data.folder) if record.data.folder else None)
    posterior = read_posterior(run / POSTERIOR)
    data = data or load_data(record.data.name, folder)
    packed = compress_network(
        build_model(record.model.name, record.model.options),
        posterior,
        data.train_images[:_GOLDEN],
        settings,
        evaluate=lambda network: error_percent(network, data.test_images, data.test_labels),
        progress=step,
    )
    step("exporting the graph")
    written = packed.write(
        out,
        name=record.model.name.replace(":", "-"),
        golden=data.test_images[:_GOLDEN],
        preprocessing=Preprocessing(scale=data.scale, description=data.description),
        labels=data.labels,
        data=data.name,
    )
    return written, packed.notes


def steps_table(record: PackedRecord) -> Table:
    """Error and size after each step of compression."""
    return table(
        f"{record.name}: {size(record.original_bytes)} -> {size(record.packed_bytes)} ({record.ratio:.0f}x)",
        ("step", "test error", "non-zero parameters", "size"),
        [
            (
                each.name,
                percent(each.error_percent),
                f"{each.nonzero:,}",
                "" if each.bytes is None else size(each.bytes),
            )
            for each in record.steps
        ],
    )
