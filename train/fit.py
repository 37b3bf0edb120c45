"""Maximising the ELBO of a Bayesian network with Lightning: progress, metrics by epoch, checkpoints, resuming."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from ..errors import InputError
from .bayesian import BayesianNetwork
from .data import BatchOrder
from .elbo import blundell_weight, kl_warmup, negative_elbo
from .evaluate import nonzero_by_layer, nonzero_percent

LAST_CHECKPOINT = "last.ckpt"
KL_WEIGHTINGS = ("uniform", "blundell")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class FitSettings:
    """How to train; the defaults suit the LeNets from scratch.

    epochs         passes over the training set
    learning_rate  Adam's at the start; it falls linearly to 0 over the run
    warmup_start, warmup_end  fractions of the run between which the KL weight rises linearly from 0 to 1
    kl_weighting   of the mini-batches of an epoch: uniform, or blundell (see elbo.blundell_weight)
    precision      of the network's products: 32-true, or bf16-mixed and 16-mixed (Lightning's), faster where the
                   processor has instructions for them; parameters, KL and optimiser stay in float32
    seed           of initial noise, sampled weights and batch order
    """

    epochs: int = 60
    learning_rate: float = 1e-3
    warmup_start: float = 0.0
    warmup_end: float = 0.3
    kl_weighting: str = "uniform"
    precision: str = "32-true"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for a setting outside its range."""
        if self.epochs < 1:
            raise InputError(f"{self.epochs} epochs were asked for; at least 1 is needed.")
        if not 0 <= self.seed < 1 << 32:
            raise InputError(f"The seed is {self.seed}; it has to be a number from 0 to {(1 << 32) - 1}.")
        if not self.learning_rate > 0.0:
            raise InputError(f"The learning rate is {self.learning_rate}; it has to be above 0.")
        if not 0.0 <= self.warmup_start <= self.warmup_end <= 1.0:
            raise InputError(
                f"The KL warm-up runs from {self.warmup_start} to {self.warmup_end}; "
                "both are fractions of the run, the first not above the second."
            )
        if self.kl_weighting not in KL_WEIGHTINGS:
            raise InputError(f"The KL weighting is {self.kl_weighting!r}; it is {' or '.join(KL_WEIGHTINGS)}.")
        if self.precision not in PRECISIONS:
            raise InputError(f"The precision is {self.precision!r}; it is one of {', '.join(PRECISIONS)}.")


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch came to. Losses in nats per example; error in percent on the validation batches, if any.

    nonzero_by_layer  weights that the point prediction does not take for zero, in percent of the layer's
    mixture           mean, standard deviation and share of each component of a mixture prior, the one at zero first
    """

    epoch: int
    nll: float
    kl: float
    kl_weight: float
    error_percent: float | None
    sparsity_percent: float
    nonzero_by_layer: dict[str, float]
    mixture: list[tuple[float, float, float]] | None


class ElboModule(lightning.LightningModule):  # type: ignore[misc]
    """The Bayesian network, its ELBO and its optimiser, in the shape that Lightning trains."""

    def __init__(
        self,
        net: BayesianNetwork,
        settings: FitSettings,
        examples: int,
        report: Callable[[EpochMetrics], None],
    ) -> None:
        super().__init__()
        self.net, self.settings, self.examples, self.report = net, settings, examples, report
        self._nll_sum, self._batches, self._wrong, self._seen = 0.0, 0, 0, 0
        self._random_state: Tensor | None = None
        self._prior_started = False
        self._step_kl_weight = 0.0

    def configure_optimizers(self) -> Any:
        """Adam with a learning rate that falls linearly to zero, stepped by batch."""
        groups = self.net.method.parameter_groups(self.net, self.settings.learning_rate)
        optimizer = torch.optim.Adam(groups, fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1.0 - step / steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def kl_weight(self, batch_index: int) -> float:
        """Weight of the KL term at this batch of the present epoch."""
        epoch = self.current_epoch + batch_index / max(1, int(self.trainer.num_training_batches))
        total = self.settings.epochs
        return kl_warmup(epoch, self.settings.warmup_start * total, self.settings.warmup_end * total)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """Negative ELBO of a mini-batch, in nats per example."""
        inputs, labels = batch
        nll = F.cross_entropy(self.net(inputs), labels)
        # Processes average their gradients; their parts of a batch may differ by one example.
        loss = nll if self.trainer.world_size == 1 else nll * self._share(len(labels))
        weight = self.kl_weight(batch_index)
        if weight > 0.0:
            if not self._prior_started:
                self.net.start_prior()
                self._prior_started = True
            if self.settings.kl_weighting == "blundell":
                weight *= blundell_weight(batch_index, int(self.trainer.num_training_batches))
            if not self._adds_gradient():
                loss = negative_elbo(loss, self.net.kl(), self.examples, weight)
        self._step_kl_weight = weight
        if not bool(torch.isfinite(loss)):
            raise InputError(
                f"The loss became {loss.item()} in epoch {self.current_epoch}, batch {batch_index}{self._suspect()}; "
                "lower the learning rate or check the data for NaN. The checkpoint of the last whole epoch is kept."
            )
        self._nll_sum += nll.item()
        self._batches += 1
        return loss

    def on_after_backward(self) -> None:
        """Add the KL's gradient to that of the log loss."""
        if self._adds_gradient():
            self.net.add_kl_gradient(self._step_kl_weight / self.examples)

    def on_fit_start(self) -> None:
        """Every backward pass is followed by `on_after_backward`, so layers may leave work to it."""
        if self._adds_gradient():
            self.net.defer_gradients(True)

    def on_fit_end(self) -> None:
        """A loop of the user's own, on the same network, knows nothing of that."""
        self.net.defer_gradients(False)

    def _adds_gradient(self) -> bool:
        """Whether the KL's gradient is added behind the backward pass, which is quicker.

        Several processes exchange gradients within that pass, and mixed float16 scales them: there the KL is part of
        the loss. The loss of a step, which is looked at for NaN only, is then the log loss alone: a KL that is not
        finite makes parameters that are not, and those the next step's log loss.
        """
        return int(self.trainer.world_size) == 1 and self.settings.precision != "16-mixed"

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:  # noqa: ARG002
        """Let the method hold its bounds and follow its schedule."""
        self.net.after_step(self.trainer.global_step / int(self.trainer.estimated_stepping_batches))

    def _share(self, examples: int) -> float:
        """This process's part of the batch relative to an equal part."""
        total = self.trainer.strategy.reduce(torch.tensor(float(examples)), reduce_op="sum")
        return examples * int(self.trainer.world_size) / float(total)

    def _suspect(self) -> str:
        """The first layer whose KL or parameters are not finite, for the error."""
        for name, layer in self.net.variational_layers():
            sound = all(bool(torch.isfinite(parameter).all()) for parameter in layer.parameters())
            if not (sound and bool(torch.isfinite(layer.kl()))):
                return f", where layer {name or 'of the whole network'} is no longer finite"
        return ""

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:  # noqa: ARG002
        """Count the point prediction's mistakes."""
        inputs, labels = batch
        self._wrong += int((self.net(inputs).argmax(1) != labels).sum())
        self._seen += len(labels)

    def on_train_epoch_start(self) -> None:
        """Take up the random numbers where the checkpoint left them."""
        if self._random_state is not None:
            torch.set_rng_state(self._random_state)
            self._random_state = None
        self._nll_sum, self._batches = 0.0, 0

    def on_validation_epoch_start(self) -> None:
        """Start counting afresh."""
        self._wrong, self._seen = 0, 0

    def on_train_epoch_end(self) -> None:
        """Report and log the epoch."""
        with torch.no_grad():
            kl = self.net.kl().item() / self.examples
        reduce = self.trainer.strategy.reduce
        nll = float(reduce(torch.tensor(self._nll_sum / max(1, self._batches)), reduce_op="mean"))
        wrong, seen = (int(reduce(torch.tensor(n), reduce_op="sum")) for n in (self._wrong, self._seen))
        metrics = EpochMetrics(
            epoch=self.current_epoch,
            nll=nll,
            kl=kl,
            kl_weight=self.kl_weight(self._batches),
            error_percent=100.0 * wrong / seen if seen else None,
            sparsity_percent=100.0 - nonzero_percent(self.net),
            nonzero_by_layer=nonzero_by_layer(self.net),
            mixture=None if self.net.prior is None else self.net.prior.components(),
        )
        shown = {"nll": metrics.nll, "kl": metrics.kl, "sparsity": metrics.sparsity_percent}
        if metrics.error_percent is not None:
            shown["error"] = metrics.error_percent
        self.log_dict(shown, prog_bar=True, rank_zero_only=True)
        if is_main_process():
            self.report(metrics)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random state, so that a resumed run draws what an uninterrupted one draws."""
        checkpoint["random_state"] = torch.get_rng_state()
        checkpoint["prior_started"] = self._prior_started

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the random state until training starts."""
        self._random_state = checkpoint["random_state"]
        self._prior_started = checkpoint["prior_started"]


def is_main_process() -> bool:
    """Whether this process reports and writes, of those that train together."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0 and int(os.environ.get("NODE_RANK", "0")) == 0


def fit(
    net: BayesianNetwork,
    train_loader: Iterable[tuple[Tensor, Tensor]],
    val_loader: Iterable[tuple[Tensor, Tensor]] | None = None,
    settings: FitSettings | None = None,
    *,
    examples: int | None = None,
    folder: Path | None = None,
    resume: bool = False,
    report: Callable[[EpochMetrics], None] | None = None,
    progress: bool | None = None,
    devices: int | str = 1,
    strategy: str = "auto",
    **overrides: Any,
) -> BayesianNetwork:
    """Train `net` in place by the ELBO and return it in evaluation mode.

    examples   size of the training set; by default `len(train_loader.dataset)`
    folder     where checkpoints (after each epoch) and TensorBoard events go; nothing is written without it
    resume     continue from the folder's last checkpoint
    report     called with each epoch's EpochMetrics
    progress   a live bar; by default only when standard output is a terminal
    devices, strategy  Lightning's, for several GPUs or processes; loaders of data.batches share out each batch
    overrides  fields of FitSettings, as in `fit(net, loader, epochs=200)`

    Raises InputError when there is nothing to resume from or when the loss stops being finite.
    """
    settings = FitSettings(**{**(vars(settings) if settings else {}), **overrides})
    if examples is None:
        dataset = getattr(train_loader, "dataset", None)
        if not isinstance(dataset, Sized):
            raise InputError(
                "The training loader has no data set with a length; pass examples=, the training set's size."
            )
        examples = len(dataset)
    checkpoint = None if folder is None else folder / LAST_CHECKPOINT
    if resume and (checkpoint is None or not checkpoint.is_file()):
        raise InputError(f"There is no checkpoint {checkpoint} to resume from; train without --resume first.")
    live = sys.stdout.isatty() if progress is None else progress
    callbacks: list[Callback] = [RichProgressBar(leave=False)] if live else []
    if folder is not None:
        # One file, overwritten after each epoch. (Lightning's save_last alone writes at the very end only.)
        callbacks.append(
            ModelCheckpoint(
                dirpath=folder,
                filename=LAST_CHECKPOINT.removesuffix(".ckpt"),
                save_top_k=1,
                save_on_train_epoch_end=True,
                enable_version_counter=False,
            )
        )
    net.train()  # Lightning keeps the mode it finds, and in evaluation mode nothing would be sampled
    module = ElboModule(net, settings, examples, report or (lambda _metrics: None))
    with _quiet_lightning():
        lightning.seed_everything(settings.seed, verbose=False)
        trainer = lightning.Trainer(
            max_epochs=settings.epochs,
            accelerator="auto",
            devices=devices,
            strategy=strategy,
            precision=settings.precision,
            # Ours share out their batches themselves.
            use_distributed_sampler=not isinstance(getattr(train_loader, "sampler", None), BatchOrder),
            logger=TensorBoardLogger(str(folder), name=None, version="tensorboard") if folder else False,
            callbacks=callbacks,
            enable_checkpointing=folder is not None,
            enable_progress_bar=live,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(
            module, train_loader, val_loader,
            ckpt_path=str(checkpoint) if resume else None, weights_only=True if resume else None,
        )  # fmt: skip
    if trainer.interrupted:
        raise KeyboardInterrupt
    net.finish()
    return net.eval()


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
