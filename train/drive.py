"""A training run from its record to its run directory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError, reason_of
from .bayesian import bayesianize
from .data import DataSet, batches, load_data
from .evaluate import error_percent, nonzero_percent
from .fit import EpochMetrics, FitSettings, fit, is_main_process
from .models import build_model
from .recipe import LOADING
from .run import (
    CHECKPOINTS,
    INITIAL,
    POSTERIOR,
    EpochRecord,
    FinalRecord,
    RunRecord,
    start_from,
    write_initial,
    write_posterior,
)
from .trust import check_code


def train_run(
    folder: Path,
    record: RunRecord,
    *,
    data: DataSet | None = None,
    resume: bool = False,
    live: bool = True,
    devices: str = "1",
    strategy: str = "auto",
    tell: Callable[[str], None] = lambda _text: None,
    named: Collection[str | None] = (),
    trust_code: bool = False,
) -> None:
    """Train as `record` says, keeping it up to date in `folder` after each epoch.

    data  what to train on, instead of the data set that the record names
    live  show a progress bar when standard output is a terminal; one line an epoch through `tell` otherwise
    devices, strategy  see fit.fit
    named, trust_code  which code a record that was read from a file may name; see trust.check_code

    Raises InputError for settings out of range and for a network and data that do not fit each other, before
    anything is written.
    """
    if record.read_from is not None:
        check_code(record, f"the run in {record.read_from}", named, trust_code=trust_code)
    numbers = record.training.model_dump()
    loading = {key: numbers.pop(key) for key in LOADING}
    held_out = numbers.pop("held_out")
    settings = FitSettings(**numbers)
    if data is None:
        data = load_data(record.data.name, Path(record.data.folder) if record.data.folder else None)
    seen = data.held_out(held_out) if held_out else data
    torch.manual_seed(settings.seed)
    network = build_model(record.model.name, record.model.options)
    if record.start is not None:
        start_from(network, Path(record.start))
    net = bayesianize(network, record.method.name, **record.method.options)
    if names := net.deterministic():
        tell(f"deterministic parameters: {', '.join(names)}")
    _check_fits(net, data.train_images[:2], len(data.labels))
    train_batches = batches(seen.train_images, seen.train_labels, seed=settings.seed, **loading)
    live = live and sys.stdout.isatty()
    began, before = time.monotonic(), record.seconds

    def after_epoch(metrics: EpochMetrics) -> None:
        del record.metrics[metrics.epoch :]  # an epoch that was cut off after its record was written
        record.metrics.append(EpochRecord(**asdict(metrics)))
        record.seconds = before + time.monotonic() - began
        record.write(folder)
        if not live:
            tell(
                f"epoch {metrics.epoch + 1}/{settings.epochs}  error {_percent(metrics.error_percent)}"
                f"  noise {metrics.sparsity_percent:.1f} %  nll {metrics.nll:.4f}  kl {metrics.kl:.4f}"
            )

    record.status = "running"
    if not resume and is_main_process():
        (folder / POSTERIOR).unlink(missing_ok=True)
        write_initial(network, folder / INITIAL)
        record.write(folder)
    tell(f"training {record.model.name} on {record.data.name}, {settings.epochs} epochs")
    try:
        fit(
            net,
            train_batches,
            batches(seen.test_images, seen.test_labels, 1000),
            settings,
            folder=folder / CHECKPOINTS, resume=resume, report=after_epoch, progress=live,
            devices=int(devices) if devices.isdigit() else devices, strategy=strategy,
        )  # fmt: skip
    except KeyboardInterrupt:
        tell(f"stopped; go on with: bayespress train --resume {folder}")
        raise
    if not is_main_process():
        return
    write_posterior(net, folder / POSTERIOR)
    record.final = FinalRecord(
        error_percent=error_percent(net, data.test_images, data.test_labels), nonzero_percent=nonzero_percent(net)
    )
    record.status = "complete"
    record.write(folder)


def _check_fits(network: nn.Module, images: Tensor, classes: int) -> None:
    """Refuse a network that the data cannot go through before hours are spent. Raises InputError."""
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
    if shape[1] < classes:
        raise InputError(f"The network has {shape[1]} outputs, and the data has {classes} classes; give it one each.")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} %"
