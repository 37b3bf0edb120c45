"""A training run from its record to its run directory."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError, Interrupted, reason_of, user_code
from .bayesian import BayesianNetwork, bayesianize, check_network
from .checkpoints import has_checkpoint, remove_checkpoints
from .data import DataSet, batches, load_data
from .evaluate import constant_error, evaluate, nonzero_percent
from .fit import EpochMetrics, FitSettings, fit, is_main_process
from .interrupt import stoppable
from .likelihoods import CrossEntropy, Likelihood, name_of
from .models import build_model
from .operation import operation_of
from .probe import Uses, uses_of
from .recipe import LOADING, Choice
from .run import (
    CHECKPOINTS,
    INITIAL,
    POSTERIOR,
    RECORD,
    EpochRecord,
    FinalRecord,
    RunRecord,
    start_from,
    write_initial,
    write_posterior,
)
from .suited import suited
from .trust import check_code, code_names


def train_run(
    folder: Path,
    record: RunRecord,
    *,
    data: DataSet | None = None,
    resume: bool = False,
    live: bool = True,
    devices: str = "1",
    strategy: str = "auto",
    log: Callable[[str], None] = lambda _text: None,
    named: Collection[str | None] = (),
    trust_code: bool = False,
) -> None:
    """Train as `record` says, keeping it up to date in `folder` after each epoch.

    data  what to train on, instead of the data set that the record names
    live  show a progress bar when standard output is a terminal; one line an epoch through `log` otherwise
    devices, strategy  see fit.fit
    named, trust_code  which code a record that was read from a file may name; see trust.check_code

    Raises InputError for settings out of range and for a network and data that do not fit each other, before
    anything is written; for a loss or a posterior that is not finite; and when the folder cannot be written.
    Raises Interrupted after Ctrl-C or SIGTERM, with what was kept and the command that goes on.
    """
    if record.read_from is not None:
        check_code(record, f"the run in {record.read_from}", named, trust_code=trust_code)
    with stoppable():
        try:
            with _writing(folder, record):
                _train(folder, record, data, resume, live, devices, strategy, log)
        except KeyboardInterrupt:
            if not is_main_process():
                raise
            raise Interrupted(_stopped(folder, record)) from None


@contextlib.contextmanager
def _writing(folder: Path, record: RunRecord) -> Iterator[None]:
    """Turn a failure of the file system into an InputError that says how to go on."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"The run directory {folder} cannot be written ({error.strerror or reason_of(error)}); make room, "
            f"then go on with {_going_on(folder, record)}."
        ) from error


def _train(
    folder: Path, record: RunRecord, data: DataSet | None, resume: bool, live: bool, devices: str, strategy: str,
    log: Callable[[str], None],
) -> None:  # fmt: skip
    if data is None:
        log(f"reading {record.data.name}")
        folder_of_data = Path(record.data.folder) if record.data.folder else None
        data = load_data(record.data.name, folder_of_data, likelihood=record.likelihood(), log=log)
    record.training = suited(record.training, len(data.train.inputs))
    numbers = record.training.model_dump()
    loading = {key: numbers.pop(key) for key in LOADING}
    held_out = numbers.pop("held_out")
    settings = FitSettings.of(**numbers)
    seen, likelihood = _begun(record, data, held_out, log)
    torch.manual_seed(settings.seed)
    network = build_model(record.model.name, record.model.options)
    if record.start is not None:
        start_from(network, Path(record.start))
    check_network(network)
    example = data.train.inputs[:2]
    _check_fits(network, data, likelihood)
    uses = _uses(network, example)
    for name in uses.read_past:
        log(f"{name} is kept deterministic: the network reads its weight past the layer, where it cannot be sampled")
    net = bayesianize(network, record.method.name, keep=uses.read_past, **record.method.options)
    _check_copy(net, example, uses)
    for note in net.notes:
        log(note)
    if names := net.deterministic():
        log(f"deterministic parameters: {', '.join(names)}")
    train_batches = batches(*seen.train, seed=settings.seed, **loading)
    live = live and sys.stdout.isatty()
    began, before = time.monotonic(), record.seconds

    def after_epoch(metrics: EpochMetrics) -> None:
        del record.metrics[metrics.epoch :]  # an epoch that was cut off after its record was written
        record.metrics.append(EpochRecord(**asdict(metrics)))
        record.seconds = before + time.monotonic() - began
        with _writing(folder, record):
            record.write(folder)
        if not live:
            figure = likelihood.metric
            log(
                f"epoch {metrics.epoch + 1}/{settings.epochs}  {figure.name} {figure.text(metrics.metric)}"
                f"  noise {metrics.sparsity_percent:.1f} %  nll {metrics.nll:.4f}  kl {metrics.kl:.4f}"
            )

    record.status = "running"
    if resume and not has_checkpoint(folder / CHECKPOINTS):
        log(f"no epoch of {folder} was finished; training from the beginning")
        resume = False
    if not resume and is_main_process():
        # Nothing of an earlier run may be taken for this one's.
        (folder / POSTERIOR).unlink(missing_ok=True)
        remove_checkpoints(folder / CHECKPOINTS)
        record.metrics.clear()
        write_initial(network, folder / INITIAL)
        record.write(folder)
    count = f"{settings.epochs} epoch{'' if settings.epochs == 1 else 's'}"
    log(f"training {record.model.name} on {record.data.name}, {count}")
    fit(
        net,
        train_batches,
        batches(*seen.part(seen.chosen_by), 1000),
        settings,
        likelihood=likelihood,
        folder=folder / CHECKPOINTS, resume=resume, report=after_epoch, progress=live,
        devices=int(devices) if devices.isdigit() else devices, strategy=strategy, log=log,
    )  # fmt: skip
    if not is_main_process():
        return
    _check_finite(net, network)
    for name in _changed_state(net, network):
        log(f"{name} changed in training and is not kept in the run directory; later commands use the model's own")
    # Of the network that is written, not of its twin, in case the model's code distinguishes them.
    reported = evaluate(net.predictive_network(), *data.part(data.reported_on), likelihood)
    write_posterior(net, folder / POSTERIOR, remedy=f"make room there, then go on with {_going_on(folder, record)}")
    record.final = FinalRecord(
        metric=reported.metric,
        part=data.reported_on,
        nonzero_percent=nonzero_percent(net),
        constant=constant_error(data.part(data.reported_on).targets, likelihood),
        confusion=reported.confusion,
        labels=() if reported.confusion is None else tuple(data.labels),
    )
    record.status = "complete"
    record.write(folder)


def _begun(record: RunRecord, data: DataSet, held_out: float, log: Callable[[str], None]) -> tuple[DataSet, Likelihood]:
    """The data to train on and the likelihood, both written down in the record."""
    likelihood = record.likelihood() or data.likelihood
    if type(data.likelihood) is not type(likelihood):
        data = replace(data, likelihood=likelihood)
    if held_out and data.validation is not None:
        log(f"{data.name} has a validation part of its own, so nothing more of the training part is held out")
    seen = data.held_out(held_out) if held_out else data
    if record.task is None:
        record.task = Choice(name=name_of(likelihood), options=likelihood.options())
    record.measured_by, record.epochs_measured_on = likelihood.metric, seen.chosen_by
    return seen, likelihood


def _stopped(folder: Path, record: RunRecord) -> str:
    """What a run that was stopped has kept, and how to go on."""
    if not (folder / RECORD).is_file():
        return "Training was stopped before anything was written; give the same command to begin again."
    if not has_checkpoint(folder / CHECKPOINTS):
        return f"Training was stopped within its first epoch; begin it again with {_going_on(folder, record)}."
    return (
        f"Training was stopped, and the last whole epoch is kept in {folder}; go on with {_going_on(folder, record)}."
    )


def _going_on(folder: Path, record: RunRecord) -> str:
    trust = " --trust-code" if code_names(record) else ""
    return f"`bayespress train --resume {shlex.quote(str(folder))}{trust}`"


def _uses(network: nn.Module, images: Tensor) -> Uses:
    layers = {name: module for name, module in network.named_modules() if operation_of(module) is not None}
    return _uses_of(network, layers, images)


def _uses_of(network: nn.Module, layers: Mapping[str, nn.Module], images: Tensor) -> Uses:
    with torch.random.fork_rng(), user_code("the model in evaluation mode"):
        return uses_of(network, layers, images)


def _check_copy(net: BayesianNetwork, images: Tensor, original: Uses) -> None:
    """Refuse a network whose copy still runs layers of the one that it was copied from. Raises InputError."""
    unused = _uses_of(net, dict(net.variational_layers()), images).unused
    if lost := [name for name in unused if name not in original.unused]:
        raise InputError(
            f"A copy of the model does not use its own layer {lost[0]}; its forward reaches the layer of the one that "
            "was copied, through a function or a weak reference that it keeps: call self's layers in a method instead."
        )


def _check_fits(network: nn.Module, data: DataSet, likelihood: Likelihood) -> None:
    """Refuse a network that the data cannot go through before hours are spent. Raises InputError."""
    images, targets = (each[:2] for each in data.train)
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng():
            outputs = network(images)
    except (Exception, SystemExit) as error:  # the model's code may raise anything, and must not end the command
        raise InputError(
            f"The network cannot take inputs of shape {tuple(images.shape[1:])} ({type(error).__name__}: "
            f"{reason_of(error)}); choose a network or data that fit each other."
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode
    outputs = likelihood.checked_outputs(outputs, images)
    classes = len(data.labels)
    if isinstance(likelihood, CrossEntropy) and outputs.shape[1] < classes:
        raise InputError(
            f"The network has {outputs.shape[1]} outputs, and the data has {classes} classes; give it one each."
        )
    likelihood.targets(targets, len(images), tuple(outputs.shape[1:]), f"The training set of {data.name}")


def _check_finite(net: BayesianNetwork, network: nn.Module) -> None:
    """Refuse a posterior that diverged in the last steps. What was infinite before training, like a mask, may be."""
    before = network.state_dict()
    for name, tensor in net.posterior_tensors().items():
        was = before.get(name)
        finite = was is None or not isinstance(was, Tensor) or bool(torch.isfinite(was).all())
        if finite and not bool(torch.isfinite(tensor).all()):
            raise InputError(
                f"Training diverged: {name} holds NaN or infinite values; lower the learning rate, and train again."
            )


def _changed_state(net: BayesianNetwork, network: nn.Module) -> list[str]:
    """Names of extra state (get_extra_state), which is no tensor, that is not what the model begins with."""
    before = network.state_dict()
    changed = []
    for name, value in net.network.state_dict().items():
        if not isinstance(value, Tensor):
            try:
                same = bool(before.get(name) == value)
            except Exception:  # an object of the user's may compare in any way
                same = False
            if not same:
                changed.append(name)
    return changed
