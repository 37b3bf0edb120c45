"""The contract of a variational layer, whatever its rank and its posterior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from .operation import Operation


class Marginal(NamedTuple):
    """Marginal posterior of a weight tensor, elementwise and in the units of the weight."""

    mean: Tensor
    variance: Tensor


class VariationalLayer(nn.Module, ABC):
    """Twin of a Linear or ConvNd layer whose weight is a distribution.

    In training mode `forward` samples; in evaluation mode it applies `predictive_weight()`. The bias stays
    deterministic, as in the papers whose methods we implement.
    """

    def __init__(self, operation: Operation, bias: Tensor | None) -> None:
        super().__init__()
        self.operation = operation
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Output for inputs (batch, in, ...)."""
        if self.training:
            return self.sampled_forward(x)
        return self.operation(x, self.predictive_weight(), self.bias)

    @abstractmethod
    def sampled_forward(self, x: Tensor) -> Tensor:
        """Output under weights drawn from the posterior, differentiable in its parameters."""

    @abstractmethod
    def predictive_weight(self) -> Tensor:
        """The point estimate that the method predicts with."""

    @abstractmethod
    def kl(self) -> Tensor:
        """KL(posterior || prior) summed over the layer's weights, in nats; a scalar."""

    @abstractmethod
    def marginal(self) -> Marginal:
        """Marginal posterior mean and variance of each weight, detached."""
