"""`bayespress train`."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError, reason_of
from .console import DataDir, JsonFlag, percent, print_json, show, step, table

if TYPE_CHECKING:
    from ..train.fit import EpochMetrics
    from ..train.run import RunRecord


# Written out: the methods themselves need torch, and --help shall not wait for it.
METHOD_NAMES = (
    "bayes-by-backprop", "deep-compression", "dynamic-network-surgery", "group-horseshoe", "group-normal-jeffreys",
    "mc-dropout", "soft-weight-sharing", "sparse-vd",
)  # fmt: skip


def train(
    model: Annotated[
        str, typer.Option(help="lenet-300-100, lenet-5-caffe, or your own as module:callable.")
    ] = "lenet-300-100",
    method: Annotated[str, typer.Option(help=f"How to train: {', '.join(METHOD_NAMES)}.")] = "sparse-vd",
    data: Annotated[str, typer.Option(help="digits (inside scikit-learn) or mnist (IDX files).")] = "digits",
    data_dir: DataDir = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training set.")] = 60,
    batch_size: Annotated[int, typer.Option(help="Examples a step.")] = 100,
    learning_rate: Annotated[float, typer.Option(help="Adam's at the start; falls linearly to 0.")] = 1e-3,
    warmup_start: Annotated[float, typer.Option(help="Fraction of the run before the KL term sets in.")] = 0.0,
    warmup_end: Annotated[float, typer.Option(help="Fraction of the run by which the KL term is whole.")] = 0.3,
    kl_weighting: Annotated[
        str, typer.Option(help="Of an epoch's mini-batches: uniform, or blundell (2^(M-i)/(2^M-1)).")
    ] = "uniform",
    start: Annotated[
        Path | None, typer.Option(help="Start from the posterior means of this run, instead of random weights.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of initial weights, noise and batch order.")] = 0,
    model_args: Annotated[str, typer.Option(help="Arguments of the model as a JSON object.")] = "{}",
    method_args: Annotated[str, typer.Option(help="Settings of the method as a JSON object.")] = "{}",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Run directory to write [default: runs/MODEL-METHOD-DATA]."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Continue this run from its last checkpoint; other options are its own."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that is there already.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train a network with variational Bayes and write a run directory.

    Example: [bold]bayespress train --model lenet-300-100 --data mnist --data-dir ~/data --epochs 60 -o runs/lenet[/]

    The run directory holds run.json (settings and metrics by epoch), posterior.safetensors (all that compress
    needs) and checkpoints. A run that was cut short goes on with --resume.
    """
    if resume is not None:
        folder, record = resume, _unfinished(resume)
        if data_dir is not None:
            record.data.folder = str(data_dir)
    else:
        folder = out or Path("runs") / f"{model}-{method}-{data}".replace(":", "-")
        record = new_record(
            model=model, model_args=_json_object("--model-args", model_args), method=method,
            method_args=_json_object("--method-args", method_args), data=data, data_dir=data_dir, epochs=epochs,
            batch_size=batch_size, learning_rate=learning_rate, warmup_start=warmup_start, warmup_end=warmup_end,
            kl_weighting=kl_weighting, start=start, seed=seed,
        )  # fmt: skip
        if folder.is_file():
            raise InputError(f"{folder} is a file, and a run directory is to be written there; give another --out.")
        if (folder / "run.json").exists() and not overwrite:
            raise InputError(f"{folder} holds a run already; give another --out, or --resume {folder}, or --overwrite.")
    run_training(folder, record, resume=resume is not None, live=not as_json)
    if as_json:
        print_json(record)
        return
    last, final = record.metrics[-1], record.final
    show(
        table(
            f"{record.model.name} on {record.data.name} by {record.method.name}",
            ("", ""),
            [
                ("test error", percent(final.error_percent if final else None)),
                ("weights left", percent(final.nonzero_percent if final else None)),
                ("KL, nats an example", f"{last.kl:.4f}"),
                ("seconds", f"{record.seconds:.0f}"),
                ("run directory", folder),
            ],
        ),
        f"Next: bayespress compress {folder}",
    )


def new_record(
    *, model: str, data: str, data_dir: Path | None, epochs: int, batch_size: int, learning_rate: float,
    warmup_start: float, warmup_end: float, seed: int, method: str = "sparse-vd",
    model_args: dict[str, Any] | None = None, method_args: dict[str, Any] | None = None,
    kl_weighting: str = "uniform", start: Path | None = None,
) -> RunRecord:  # fmt: skip
    """The record of a run that is about to start."""
    from ..train.run import Choice, DataChoice, RunRecord, Training

    if batch_size < 1:
        raise InputError(f"The batch size is {batch_size}; at least 1 is needed.")
    return RunRecord(
        method=Choice(name=method, options=method_args or {}),
        model=Choice(name=model, options=model_args or {}),
        data=DataChoice(name=data, folder=None if data_dir is None else str(data_dir)),
        training=Training(
            epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, warmup_start=warmup_start,
            warmup_end=warmup_end, kl_weighting=kl_weighting, seed=seed,
        ),
        start=None if start is None else str(start),
    )  # fmt: skip


def run_training(folder: Path, record: RunRecord, *, resume: bool = False, live: bool = True) -> None:
    """Train as `record` says, keeping it up to date in `folder` after each epoch.

    live  show a progress bar when standard output is a terminal; one line an epoch otherwise
    """
    import sys

    import torch

    from ..train.bayesian import bayesianize
    from ..train.data import batches, load_data
    from ..train.evaluate import error_percent, nonzero_percent
    from ..train.fit import FitSettings, fit
    from ..train.models import build_model
    from ..train.run import CHECKPOINTS, POSTERIOR, EpochRecord, FinalRecord, start_from, write_posterior

    settings = FitSettings(**record.training.model_dump(exclude={"batch_size"}))
    data = load_data(record.data.name, Path(record.data.folder) if record.data.folder else None)
    torch.manual_seed(settings.seed)
    network = build_model(record.model.name, record.model.options)
    if record.start is not None:
        start_from(network, Path(record.start))
    net = bayesianize(network, record.method.name, **record.method.options)
    if names := net.deterministic():
        step(f"deterministic parameters: {', '.join(names)}")
    check_fits(net, data.train_images[:2])
    live = live and sys.stdout.isatty()
    began, before = time.monotonic(), record.seconds

    def after_epoch(metrics: EpochMetrics) -> None:
        del record.metrics[metrics.epoch :]  # an epoch that was cut off after its record was written
        record.metrics.append(EpochRecord(**asdict(metrics)))
        record.seconds = before + time.monotonic() - began
        record.write(folder)
        if not live:
            step(
                f"epoch {metrics.epoch + 1}/{settings.epochs}  error {percent(metrics.error_percent)}"
                f"  noise {metrics.sparsity_percent:.1f} %  nll {metrics.nll:.4f}  kl {metrics.kl:.4f}"
            )

    record.status = "running"
    if not resume:
        (folder / POSTERIOR).unlink(missing_ok=True)
        record.write(folder)
    step(f"training {record.model.name} on {record.data.name}, {settings.epochs} epochs")
    try:
        fit(
            net,
            batches(data.train_images, data.train_labels, record.training.batch_size, seed=settings.seed),
            batches(data.test_images, data.test_labels, 1000),
            settings,
            folder=folder / CHECKPOINTS, resume=resume, report=after_epoch, progress=live,
        )  # fmt: skip
    except KeyboardInterrupt:
        step(f"stopped; go on with: bayespress train --resume {folder}")
        raise
    write_posterior(net, folder / POSTERIOR)
    record.final = FinalRecord(
        error_percent=error_percent(net, data.test_images, data.test_labels), nonzero_percent=nonzero_percent(net)
    )
    record.status = "complete"
    record.write(folder)


def check_fits(network: Any, images: Any) -> None:
    """Refuse a network that the data cannot go through before hours are spent. Raises InputError."""
    import torch

    network.eval()
    try:
        with torch.no_grad():
            shape = tuple(network(images).shape)
    except RuntimeError as error:
        raise InputError(
            f"The network cannot take inputs of shape {tuple(images.shape[1:])} ({reason_of(error)}); "
            "choose a network or data that fit each other."
        ) from error
    if len(shape) != 2:
        raise InputError(f"The network gives outputs of shape {shape[1:]}, and one logit a class is needed.")


def _unfinished(folder: Path) -> RunRecord:
    from ..train.run import RunRecord

    record = RunRecord.read(folder)
    if record.status == "complete":
        raise InputError(f"The run in {folder} is complete; there is nothing to resume.")
    return record


def _json_object(option: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f'{option} {text!r} is not JSON ({error.msg}); write it like {{"width": 64}}.') from None
    if not isinstance(value, dict):
        raise InputError(f'{option} {text!r} is not a JSON object; write it like {{"width": 64}}.')
    return value
