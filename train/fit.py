"""Maximising the ELBO of a Bayesian network with Lightning: progress, metrics by epoch, checkpoints, resuming."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from torch import Tensor

from ..errors import InputError, reason_of
from ..files import StrPath, remove_abandoned
from ..signatures import shows_settings
from .bayesian import BayesianNetwork
from .checkpoints import check_extra_state, read_checkpoint
from .compiled import uncompiled
from .data import BatchOrder
from .elbo_module import ElboModule, is_main_process
from .guard import guarded
from .interrupt import leaving_the_trainer
from .likelihoods import LikelihoodLike, likelihood_of
from .optimizers import OptimizerFactory
from .progress_bar import progress_bar
from .settings import EpochMetrics, FitOptions, FitSettings
from .trainer import checked_arguments, checked_callbacks, chosen_logger, make_trainer

__all__ = ["EpochMetrics", "FitSettings", "fit", "is_main_process"]


@shows_settings(FitSettings)
def fit(
    net: BayesianNetwork | Callable[..., Any],
    train_loader: Iterable[tuple[Tensor, Tensor]],
    val_loader: Iterable[tuple[Tensor, Tensor]] | None = None,
    settings: FitSettings | None = None,
    *,
    likelihood: LikelihoodLike = "cross-entropy",
    optimizer: OptimizerFactory | None = None,
    examples: int | None = None,
    folder: StrPath | None = None,
    resume: bool = False,
    report: Callable[[EpochMetrics], None] | None = None,
    progress: bool | None = None,
    callbacks: Callback | Iterable[Callback] = (),
    logger: Logger | Iterable[Logger] | bool | None = None,
    devices: int | str = 1,
    strategy: str = "auto",
    trainer_arguments: Mapping[str, Any] | None = None,
    log: Callable[[str], None] | None = None,
    **overrides: Unpack[FitOptions],
) -> BayesianNetwork:
    """Train `net` in place by the ELBO and return it in evaluation mode.

    net        what `bayesianize` returned, or that network compiled by torch.compile: it then trains compiled, and the
               network inside, which has the same parameters, is returned
    train_loader, val_loader  batches (inputs (n, ...), targets). They have a length, and give their batches anew in
               each epoch
    likelihood  of the targets: cross-entropy (class numbers, (n,) or (n, 1), or one-hot), gaussian (real numbers),
               binary and multi-label (0 or 1), pixel-cross-entropy (class numbers (n, height, width)), module:callable;
               a Likelihood, as train.likelihoods.Gaussian(sigma=0.1); or your own loss function of outputs and
               targets, see train.likelihoods.Custom
    optimizer  makes the optimiser from parameter groups, as torch.optim's classes do: `torch.optim.SGD`, or
               `functools.partial(torch.optim.AdamW, weight_decay=0.01)`; by default Adam. Each group has its learning
               rate, since a method's scales may have their own, and all fall linearly to 0 over the run
    examples   size of the training set; by default `len(train_loader.dataset)`
    folder     where checkpoints (after each epoch) and TensorBoard events go; nothing is written without it
    resume     continue from the folder's last checkpoint, or from the one before if that is not whole; with the same
               optimizer= and callbacks=, whose states the checkpoint has
    report     called with each epoch's EpochMetrics; what it raises ends training and reaches the caller
    progress   a live bar; by default on a terminal and in a notebook
    callbacks  Lightning's, as EarlyStopping(monitor="error"): the figures of an epoch are nll, kl, sparsity and the
               likelihood's metric under its own name; what they raise reaches the caller
    logger     Lightning's, one or several; False for none; by default TensorBoard's, if there is a folder
    devices, strategy  Lightning's, for several GPUs or processes; loaders of data.batches share out each batch
    trainer_arguments  of Lightning's Trainer, those that are not set here, as {"gradient_clip_val": 1.0}
    log        called with notes: a checkpoint that was not whole, a layer that takes no part; by default warnings.warn
    overrides  fields of FitSettings, as in `fit(net, loader, epochs=200)`, in place of those of `settings`

    Raises InputError when a loader, batch, target, output or optimizer is not of that kind, when code of the network,
    of a loader or of the optimizer raises, for an argument of the Trainer that is unknown or set here, when a weight is
    read past its layer (see bayesianize), when there is nothing to resume from, when the loss stops being finite, and
    when the folder cannot be written. KeyboardInterrupt passes through; the folder then holds the last whole epoch.

    >>> import torch, bayespress
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> inputs = torch.randn(64, 4)
    >>> loader = DataLoader(TensorDataset(inputs, (inputs[:, 0] > 0).long()), batch_size=16)
    >>> net = bayespress.bayesianize(torch.nn.Linear(4, 2))
    >>> epochs = []
    >>> _ = bayespress.fit(net, loader, epochs=2, report=epochs.append)
    >>> [metrics.epoch for metrics in epochs], net.training
    ([0, 1], False)
    """
    folder = None if folder is None else Path(folder)
    settings = FitSettings.of(**{**(vars(settings) if settings else {}), **overrides})
    log = log or (lambda text: warnings.warn(text, stacklevel=3))
    given_net, net = net, uncompiled(net)
    if not isinstance(net, BayesianNetwork):
        raise InputError(f"A {type(net).__name__} was given to train; give what bayesianize returns.")
    arguments, callbacks = checked_arguments(trainer_arguments), checked_callbacks(callbacks)
    chosen = chosen_logger(logger, folder)
    alone = devices in (1, "1")
    given = ((train_loader, "the training loader"), (val_loader, "the validation loader"))
    loaders = [guarded(loader, what) for loader, what in given if loader is not None or loader is train_loader]
    examples = _examples(train_loader, examples)
    net.likelihood = likelihood_of(likelihood)
    module = ElboModule(
        net, settings, examples, report or (lambda _metrics: None), log, net.likelihood, optimizer=optimizer,
        compiled=None if given_net is net else given_net,
    )  # fmt: skip
    check_extra_state({} if folder is None else module.state_dict())
    if folder is not None and is_main_process():
        remove_abandoned(folder)  # a half-written checkpoint of a run that was killed
    resumed = None
    if resume:
        if folder is None:
            raise InputError("There is no folder to resume from; give fit its folder=.")
        resumed = module.resumed = read_checkpoint(folder, module.state_dict())
        if resumed.note:
            log(resumed.note)
    net.train()  # Lightning keeps the mode it finds, and in evaluation mode nothing would be sampled
    with _quiet_lightning(), leaving_the_trainer() as interrupts, _disk_faults(folder):
        lightning.seed_everything(settings.seed, verbose=False)
        trainer = make_trainer(
            epochs=settings.epochs, autocast=settings.autocast, devices=devices, strategy=strategy,
            # Ours share out their batches themselves.
            share_batches=not isinstance(getattr(train_loader, "sampler", None), BatchOrder),
            folder=folder, resumed=resumed, bar=progress_bar(progress), logger=chosen,
            callbacks=[*callbacks, interrupts], arguments=arguments,
        )  # fmt: skip
        trainer.fit(
            module,
            # Lightning makes loaders for several processes from what DataLoaders are made of.
            *(loaders if alone else (train_loader, val_loader)),
            ckpt_path=None if resumed is None else str(resumed.path),
            weights_only=None if resumed is None else True,
        )
    net.finish()
    return net.eval()


def _examples(loader: Any, given: int | None) -> int:
    """The size of the training set. Raises InputError when it is not known, or no size."""
    examples: Any = given
    if examples is None:
        try:
            examples = len(loader.dataset)
        except (AttributeError, TypeError):
            raise InputError(
                "The training loader has no data set with a length; pass examples=, the training set's size."
            ) from None
    if not isinstance(examples, int) or isinstance(examples, bool) or examples < 1:
        raise InputError(f"The training set has {examples} examples; at least 1 is needed.")
    return examples


@contextlib.contextmanager
def _disk_faults(folder: Path | None) -> Iterator[None]:
    """Turn a disk that is full, or gone, into a sentence; code of the user's is caught where it is called."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"Training cannot write to {error.filename or folder} ({error.strerror or reason_of(error)}); free "
            "some space there, then train again, with --resume if an epoch was finished."
        ) from error


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence the notices that tell a user of ours nothing (devices found, worker counts, step intervals)."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", category=FutureWarning, message=".*treespec.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
