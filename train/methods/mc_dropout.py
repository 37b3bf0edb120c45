"""Binary dropout as variational inference (Gal, Ghahramani 2016): inputs of each layer are dropped at random."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import InputError
from ..layers import Marginal, VariationalLayer
from ..operation import Operation
from .base import Method


@dataclass(frozen=True)
class MCDropout(Method):
    """Settings of the method.

    drop_probability        probability that an input is dropped
    first_drop_probability  the same for the network's own input
    length_scale            l of the prior N(0, 1 / l^2) over weights
    """

    drop_probability: float = 0.5
    first_drop_probability: float = 0.2
    length_scale: float = 1.0

    def __post_init__(self) -> None:
        """Raises InputError for a setting outside its range."""
        for probability in (self.drop_probability, self.first_drop_probability):
            if not 0.0 <= probability < 1.0:
                raise InputError(f"The drop probability is {probability}; it has to be at least 0 and below 1.")

    def layer(self, operation: Operation, weight: Tensor, bias: Tensor | None, position: int) -> MCDropoutLayer:
        """The variational twin of a layer; see Method.layer."""
        probability = self.first_drop_probability if position == 0 else self.drop_probability
        return MCDropoutLayer(operation, weight, bias, probability, self.length_scale)


class MCDropoutLayer(VariationalLayer):
    """q(W): W = M diag(z) / (1 - p), z_j ~ Bernoulli(1 - p), one z for each input of each example.

    M  parameter `weight`; dividing by 1 - p makes it the posterior mean. In a convolution an input is a channel.
    """

    def __init__(
        self, operation: Operation, weight: Tensor, bias: Tensor | None, drop_probability: float, length_scale: float
    ) -> None:
        super().__init__(operation, bias)
        self.drop_probability, self.length_scale = drop_probability, length_scale
        self.weight = nn.Parameter(weight.detach().clone())

    def sampled_forward(self, x: Tensor) -> Tensor:
        """Drop inputs: rows of a dense layer's x, whole channels of a convolution's."""
        if self.weight.ndim == 2:
            return self.operation(torch.dropout(x, self.drop_probability, train=True), self.weight, self.bias)
        kept = 1.0 - self.drop_probability
        keep = torch.empty(x.shape[:2], device=x.device, dtype=x.dtype).bernoulli_(kept) / kept
        return self.operation(x * keep.reshape(*x.shape[:2], *(1,) * (x.ndim - 2)), self.weight, self.bias)

    def predictive_weight(self) -> Tensor:
        """Posterior mean; it is the ensemble's only to first order, see predict.predict_samples."""
        return self.weight

    def kl(self) -> Tensor:
        """KL up to a constant: l^2 / (2 (1 - p)) sum M^2, in nats.

        Source: Gal, Ghahramani, "Dropout as a Bayesian Approximation", 2016, appendix, section 4.2: (1 - p) l^2 / 2
        times the squared norm of their M, which is ours over 1 - p.
        """
        return self.length_scale**2 / (2.0 * (1.0 - self.drop_probability)) * self.weight.square().sum()

    def marginal(self) -> Marginal:
        """Mean M and variance M^2 p / (1 - p): log alpha is the same for all, and says nothing about pruning."""
        mean = self.weight.detach()
        return Marginal(mean, mean.square() * (self.drop_probability / (1.0 - self.drop_probability)))
