"""The evidence lower bound in the shape that Lightning trains: a step, an epoch, and what a checkpoint keeps."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch import Tensor

from ..errors import InputError, user_code
from .bayesian import BayesianNetwork
from .checkpoints import Checkpoint
from .elbo import blundell_weight, kl_warmup, negative_elbo
from .evaluate import nonzero_by_layer, nonzero_percent
from .guard import described, outputs_of, split_batch
from .likelihoods import CrossEntropy, Likelihood
from .optimizers import OptimizerFactory, adam, check_resumed, optimizer_name, own_optimizer
from .probe import uses_of
from .settings import EpochMetrics, FitSettings


class ElboModule(lightning.LightningModule):  # type: ignore[misc]
    """The Bayesian network, its ELBO and its optimiser, in the shape that Lightning trains.

    optimizer  makes the optimiser from parameter groups; None for Adam
    compiled   the network as torch.compile returned it, which then runs in place of `net`
    resumed    checkpoint that training goes on from; set before training
    """

    def __init__(
        self,
        net: BayesianNetwork,
        settings: FitSettings,
        examples: int,
        report: Callable[[EpochMetrics], None],
        log: Callable[[str], None] = lambda _text: None,
        likelihood: Likelihood | None = None,
        *,
        optimizer: OptimizerFactory | None = None,
        compiled: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self.make_optimizer = optimizer
        self.resumed: Checkpoint | None = None
        # In a tuple, out of sight of nn.Module: its parameters are those of `net`, under other names.
        self._runs = (net if compiled is None else compiled,)
        self._steps = 0
        self.likelihood = likelihood or CrossEntropy()
        self.net, self.settings, self.examples, self.report, self.write_log = net, settings, examples, report, log
        self._uses_checked = False
        self._nll_sum, self._batches, self._total, self._count = 0.0, 0, 0.0, 0
        self._random_state: Tensor | None = None
        self._prior_started = False
        self._step_kl_weight = 0.0

    def configure_optimizers(self) -> Any:
        """Adam, or the caller's own, with learning rates that fall linearly to zero, stepped by batch."""
        groups = self.net.method.parameter_groups(self.net, self.settings.learning_rate)
        if self.make_optimizer is not None:
            optimizer = own_optimizer(self.make_optimizer, groups)
        else:
            # Under mixed precision Lightning does not clip the gradients of a fused optimiser.
            fused = self.settings.autocast == "32-true" or not self.trainer.gradient_clip_val
            optimizer = adam(groups, fused=fused)
        if self.resumed is not None:
            held = self.resumed.content
            check_resumed(optimizer, held["optimizer"], held["optimizer_states"][0], self.resumed.path)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1.0 - step / steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def kl_weight(self, batch_index: int) -> float:
        """Weight of the KL term at this batch of the present epoch."""
        epoch = self.current_epoch + batch_index / max(1, int(self.trainer.num_training_batches))
        total = self.settings.epochs
        return kl_warmup(epoch, self.settings.warmup_start * total, self.settings.warmup_end * total)

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """Negative ELBO of a mini-batch, in nats per example."""
        where = f"Batch {batch_index} of epoch {self.current_epoch}"
        if not self._uses_checked:
            self._check_uses(batch, where)
        outputs, targets, inputs = self._outputs(batch, where)
        nll = self.likelihood.nll(outputs, targets)
        # Processes average their gradients; their parts of a batch may differ by one example.
        loss = nll if self.trainer.world_size == 1 else nll * self._share(len(inputs))
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
            if inputs.is_floating_point() and not bool(torch.isfinite(inputs).all()):
                raise InputError(
                    f"The loss became {loss.item()} in epoch {self.current_epoch}, batch {batch_index}, whose inputs "
                    "hold NaN or infinite values; mend the data."
                )
            raise InputError(
                f"The loss became {loss.item()} in epoch {self.current_epoch}, batch {batch_index}{self._suspect()}; "
                "lower the learning rate, and go on from the checkpoint of the last whole epoch if there is one."
            )
        self._nll_sum += nll.item()
        self._batches += 1
        return loss

    def _check_uses(self, batch: Any, where: str) -> None:
        """Refuse a network that reads weights past their variational layers. Raises InputError."""
        self._uses_checked = True
        inputs = split_batch(batch, where)[0].to(self.device)
        # A network that draws numbers in evaluation mode too must not change those of training.
        with (
            torch.random.fork_rng(),
            user_code(f"the network, given inputs {described(inputs)} ({where.lower()}, in evaluation mode),"),
        ):
            uses = uses_of(self.net, dict(self.net.variational_layers()), inputs)
        if uses.read_past:
            named = ", ".join(repr(name) for name in uses.read_past)
            raise InputError(
                f"The network reads the weight of layer {', '.join(uses.read_past)} past the layer, where it cannot be "
                f"sampled; call the layer instead, or keep it deterministic by bayesianize(network, keep=[{named}])."
            )
        if len(uses.unused) == len(dict(self.net.variational_layers())):
            raise InputError(
                "None of the variational layers takes part in the network's outputs; its forward may reach the layers "
                "of the network that it was copied from, through a function or a weak reference that it keeps."
            )
        if uses.unused:
            self.write_log(f"layers that take no part in the outputs: {', '.join(uses.unused)}")

    def _outputs(self, batch: Any, where: str) -> tuple[Tensor, Tensor, Tensor]:
        """The network's outputs, targets and inputs of a batch, each checked."""
        inputs, given = split_batch(batch, where)
        inputs = inputs.to(self.device)
        outputs = outputs_of(self._runs[0], inputs, where, self.likelihood)
        targets = self.likelihood.targets(given, len(inputs), tuple(outputs.shape[1:]), where)
        return outputs, targets.to(self.device), inputs

    def backward(self, loss: Tensor, *arguments: Any, **named: Any) -> None:
        """The gradient, which may run hooks and functions of the user's."""
        where = f"epoch {self.current_epoch}, batch {self.trainer.fit_loop.batch_idx}"
        with user_code(f"the gradient of the network, in {where},"):
            super().backward(loss, *arguments, **named)

    def on_after_backward(self) -> None:
        """Add the KL's gradient to that of the log loss."""
        if self._adds_gradient():
            # Lightning divides the loss of each batch by the number of batches whose gradients make one step.
            batches = int(self.trainer.accumulate_grad_batches)
            self.net.add_kl_gradient(self._step_kl_weight / self.examples / batches)

    def on_fit_start(self) -> None:
        """Every backward pass is followed by `on_after_backward`, so layers may leave work to it.

        Not where several passes add up to one step: what is left to do must be done once. And not in a compiled
        network, whose compiler saves the same work itself.
        """
        accumulates = self.trainer.accumulate_grad_batches != 1 or any(
            isinstance(each, GradientAccumulationScheduler) for each in self.trainer.callbacks
        )
        if self._adds_gradient() and not accumulates and self._runs[0] is self.net:
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
        return int(self.trainer.world_size) == 1 and self.settings.autocast != "16-mixed"

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:  # noqa: ARG002
        """Let the method hold its bounds and follow its schedule, after each step of the optimiser."""
        steps = int(self.trainer.global_step)
        if steps != self._steps:
            self._steps = steps
            self.net.after_step(steps / int(self.trainer.estimated_stepping_batches))

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

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Add up the point prediction's metric."""
        where = f"Batch {batch_index} of the validation set"
        outputs, targets, _ = self._outputs(batch, where)
        if bool(torch.isnan(outputs).any()):
            raise InputError(
                f"The network's outputs for {where.lower()} are NaN in epoch {self.current_epoch}{self._suspect()}; "
                "lower the learning rate or mend the data."
            )
        total, count = self.likelihood.tally(outputs, targets)
        self._total += total
        self._count += count

    def on_train_epoch_start(self) -> None:
        """Take up the random numbers where the checkpoint left them."""
        if self._random_state is not None:
            torch.set_rng_state(self._random_state)
            self._random_state = None
        self._nll_sum, self._batches = 0.0, 0
        self._total, self._count = 0.0, 0  # an epoch may be without validation

    def on_validation_epoch_start(self) -> None:
        """Start counting afresh."""
        self._total, self._count = 0.0, 0

    def on_validation_epoch_end(self) -> None:
        """Log the metric, for callbacks that watch it here, as EarlyStopping does."""
        if (figure := self._figure()) is not None:
            self.log(self.likelihood.metric.name, figure, prog_bar=True)

    def _figure(self) -> float | None:
        """The metric on the validation batches of all processes; None without any."""
        sums = (torch.tensor(n, dtype=torch.float64) for n in (self._total, self._count))
        total, count = (float(self.trainer.strategy.reduce(each, reduce_op="sum")) for each in sums)
        return self.likelihood.figure(total, round(count)) if count else None

    def on_train_epoch_end(self) -> None:
        """Report and log the epoch."""
        with torch.no_grad():
            kl = self.net.kl().item() / self.examples
        if not math.isfinite(kl):
            raise InputError(
                f"The KL became {kl} in epoch {self.current_epoch}{self._suspect()}; lower the learning rate, "
                "and go on from the checkpoint of the epoch before if there is one."
            )
        reduce = self.trainer.strategy.reduce
        nll = float(reduce(torch.tensor(self._nll_sum / max(1, self._batches)), reduce_op="mean"))
        metrics = EpochMetrics(
            epoch=self.current_epoch,
            nll=nll,
            kl=kl,
            kl_weight=self.kl_weight(self._batches),
            metric=self._figure(),
            sparsity_percent=100.0 - nonzero_percent(self.net),
            nonzero_by_layer=nonzero_by_layer(self.net),
            mixture=None if self.net.prior is None else self.net.prior.components(),
        )
        shown = {"nll": metrics.nll, "kl": metrics.kl, "sparsity": metrics.sparsity_percent}
        self.log_dict(shown, prog_bar=True)  # the same in all processes
        if is_main_process():
            self.report(metrics)  # what it raises is the caller's own way to stop (optuna.TrialPruned) and passes

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random state, so that a resumed run draws what an uninterrupted one draws."""
        checkpoint["random_state"] = torch.get_rng_state()
        checkpoint["prior_started"] = self._prior_started
        checkpoint["optimizer"] = optimizer_name(self.trainer.optimizers[0])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the random state until training starts; say which callbacks' states find no callback."""
        kept = {each.state_key for each in self.trainer.callbacks}
        if lost := [key for key in checkpoint.get("callbacks", {}) if key not in kept]:
            self.write_log(f"the checkpoint has the state of callbacks that were not given now: {', '.join(lost)}")
        self._random_state = checkpoint["random_state"]
        self._prior_started = checkpoint["prior_started"]


def is_main_process() -> bool:
    """Whether this process reports and writes, of those that train together."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0 and int(os.environ.get("NODE_RANK", "0")) == 0
