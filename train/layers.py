"""The contract of a variational layer, whatever its rank and its posterior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .operation import Operation


class Marginal(NamedTuple):
    """Marginal posterior of a weight tensor, elementwise and in the units of the weight."""

    mean: Tensor
    variance: Tensor


class VariationalLayer(nn.Module, ABC):
    """Twin of a Linear or ConvNd layer whose weight is a distribution.

    In training mode `forward` samples; in evaluation mode it applies `predictive_weight()`. The bias stays
    deterministic: a network has few, and none of the papers prunes them. In a network, twin.py makes an object that
    was a Linear or ConvNd one of this class; `variational_tensors` are then the names of its parameters and buffers
    that describe the weight's posterior.
    """

    variational_tensors: frozenset[str]
    weight: nn.Parameter

    def __init__(self, operation: Operation, bias: Tensor | None) -> None:
        super().__init__()
        self.operation = operation
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that Linear and ConvNd give it
        """Output for inputs (batch, in, ...), or for a single one without the batch."""
        if not self.training:
            return self.operation(input, self.predictive_weight(), self.bias)
        if input.ndim < self.weight.ndim:
            return self.sampled_forward(input.unsqueeze(0)).squeeze(0)
        return self.sampled_forward(input)

    @abstractmethod
    def sampled_forward(self, x: Tensor) -> Tensor:
        """Output under weights drawn from the posterior, differentiable in its parameters."""

    @abstractmethod
    def predictive_weight(self) -> Tensor:
        """The point estimate that the method predicts with."""

    @abstractmethod
    def kl(self) -> Tensor:
        """KL(posterior || prior) summed over the layer's weights, in nats; a scalar.

        Methods without a closed form give an unbiased estimate, new at each call.
        """

    def add_kl_gradient(self, weight: float) -> bool:  # noqa: ARG002
        """Add `weight` times the KL's gradient to the parameters' `grad` without autograd; False where it has to do."""
        return False

    def defer_gradients(self, defer: bool) -> None:
        """From now on, leave to `add_kl_gradient` what of the backward pass it can do on its way, or no longer."""

    @abstractmethod
    def marginal(self) -> Marginal:
        """Marginal posterior mean and variance of each weight, detached; 0 as mean says that it is pruned."""

    def group_noise(self) -> Tensor | None:
        """Where weights share scales, how much of each group's scale is noise.

        It has the weight's number of dimensions, and the extent 1 along all but the axis of the groups, so that it
        broadcasts over the weight. None where weights share nothing.
        """
        return None

    def after_step(self, progress: float) -> None:
        """Called after each optimiser step with the finished fraction of the run: bounds, masks, schedules."""


class GaussianLayer(VariationalLayer):
    """A layer whose weights are independent Gaussians w_ij = theta_ij + sigma_ij eps, eps ~ N(0, 1).

    `weight` holds theta; subclasses say how sigma is parameterised.
    """

    def __init__(self, operation: Operation, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(operation, bias)
        self.weight = nn.Parameter(weight.detach().clone())

    @abstractmethod
    def variance(self) -> Tensor:
        """sigma^2, of the weight's shape."""

    def marginal(self) -> Marginal:
        """The parameters themselves."""
        return Marginal(self.weight.detach(), self.variance().detach())


class PointLayer(VariationalLayer):
    """A layer with a point estimate for a posterior: of methods that retrain a network under masks or a prior.

    Its variance is 0, which says that nothing is known about how finely a weight must be kept.
    `prior_precision` is that of a Gaussian prior; 0 for none.
    """

    def __init__(self, operation: Operation, weight: Tensor, bias: Tensor | None, prior_precision: float = 0.0) -> None:
        super().__init__(operation, bias)
        self.prior_precision = prior_precision
        self.weight = nn.Parameter(weight.detach().clone())

    @abstractmethod
    def effective_weight(self) -> Tensor:
        """The weight that the layer computes with, differentiable."""

    def sampled_forward(self, x: Tensor) -> Tensor:
        """There is nothing to sample."""
        return self.operation(x, self.effective_weight(), self.bias)

    def predictive_weight(self) -> Tensor:
        """What the layer computes with."""
        return self.effective_weight()

    def kl(self) -> Tensor:
        """-log of a prior N(0, 1 / prior_precision) up to a constant, in nats: what is called weight decay."""
        if self.prior_precision == 0.0:
            return self.weight.new_zeros(())
        return 0.5 * self.prior_precision * self.effective_weight().square().sum()

    def marginal(self) -> Marginal:
        """The effective weight, without variance."""
        weight = self.effective_weight().detach()
        return Marginal(weight, torch.zeros_like(weight))
