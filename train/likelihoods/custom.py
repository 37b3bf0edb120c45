"""A user's own loss function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...errors import InputError, user_code
from ...metric import Metric
from .base import Likelihood, as_tensor


@dataclass(frozen=True)
class Custom(Likelihood):
    """-log p(target | output) by a function of the user's, which is its own metric.

    function  of outputs (n, ...) and targets (n, ...): the mean over examples of -log p in nats, a scalar tensor that
              autograd can go through

    For another metric, or for checks of the targets, derive a class from Likelihood and give an instance of it.

    >>> import torch
    >>> from bayespress.train.likelihoods import Custom
    >>> laplace = Custom(lambda outputs, targets: (outputs - targets).abs().sum() / len(outputs))
    >>> laplace.nll(torch.zeros(2, 1), torch.tensor([[1.0], [3.0]])).item()
    2.0
    """

    function: Callable[[Tensor, Tensor], Tensor]

    name = "custom"
    metric = Metric(name="loss", unit="nats")
    wanted = "real numbers of shape (n, ...)"

    def targets(self, targets: Any, examples: int, shape: tuple[int, ...] | None, where: str) -> Tensor:  # noqa: ARG002
        return as_tensor(targets, examples, where)

    def nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        with user_code("the loss function"):
            loss: Any = self.function(outputs, targets)
        if isinstance(loss, Tensor) and loss.ndim == 0 and loss.is_floating_point():
            return loss
        what = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise InputError(f"The loss function gave {what}; it has to return a scalar tensor, the mean in nats.")

    def tally(self, outputs: Tensor, targets: Tensor) -> tuple[float, int]:
        return self.nll(outputs, targets).item() * len(outputs), len(outputs)

    def figure(self, total: float, count: int) -> float:
        return total / count

    def options(self) -> dict[str, Any]:
        """None: the function is known by its name."""
        return {}
