"""Sparse variational dropout (Molchanov, Ashukha, Vetrov 2017): a log-uniform prior makes most weights noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..deferred_variance import DeferredVariance
from ..kernels import takes
from ..kl import TINY, add_log_uniform_kl_gradient, total_log_uniform_kl
from ..layers import GaussianLayer
from ..noise import gaussian_output
from ..operation import Operation
from .base import Method


@dataclass(frozen=True)
class SparseVD(Method):
    """Settings of the method.

    initial_log_variance  log sigma^2 at the start; -10 makes the first steps those of an ordinary network
    log_alpha_threshold   weights with a larger log alpha predict as zero; 3 is the paper's (a dropout rate of 0.95)
    """

    noisy_settings: ClassVar[Mapping[str, Any]] = MappingProxyType({"initial_log_variance": -3.0})

    initial_log_variance: float = -10.0
    log_alpha_threshold: float = 3.0

    def layer(self, operation: Operation, weight: Tensor, bias: Tensor | None, position: int) -> SparseVDLayer:  # noqa: ARG002
        """The variational twin of a layer; see Method.layer."""
        return SparseVDLayer(operation, weight, bias, self)


class SparseVDLayer(GaussianLayer):
    """q(w_ij) = N(theta_ij, sigma_ij^2), in the additive-noise parameterisation (section 4.2 of the paper).

    w = theta + sigma eps,  eps ~ N(0, 1),  alpha = sigma^2 / theta^2

    theta  posterior mean, parameter `weight`
    sigma^2 posterior variance, parameter `log_variance` holds its logarithm
    """

    def __init__(self, operation: Operation, weight: Tensor, bias: Tensor | None, settings: SparseVD) -> None:
        super().__init__(operation, weight, bias)
        self.settings = settings
        self.log_variance = nn.Parameter(torch.full_like(weight, settings.initial_log_variance))
        self._deferred: DeferredVariance | None = None

    def variance(self) -> Tensor:
        """sigma^2."""
        return self.log_variance.exp()

    def log_alpha(self) -> Tensor:
        """Log of the noise-to-signal ratio of each weight."""
        return self.log_variance - torch.log(self.weight.square() + TINY)

    def sampled_forward(self, x: Tensor) -> Tensor:
        """Local reparameterisation (section 4.1, equation 17): noise on outputs, not on weights.

        b ~ N(theta x, sigma^2 x^2) elementwise, since a sum of independent Gaussians is Gaussian.
        """
        mean = self.operation(x, self.weight, self.bias)
        sigma2 = self.variance() if self._deferred is None else self._deferred.of(self.log_variance)
        variance = self.operation(x.square(), sigma2, None)
        return gaussian_output(mean, variance)

    def predictive_weight(self) -> Tensor:
        """Posterior mean, zero where log alpha is above the threshold."""
        return self.weight.masked_fill(self.log_alpha() > self.settings.log_alpha_threshold, 0.0)

    def kl(self) -> Tensor:
        """Sum of the log-uniform KL over the weights, in nats."""
        return total_log_uniform_kl(self.weight, self.log_variance)

    def defer_gradients(self, defer: bool) -> None:
        """The chain rule through the logarithm; see deferred_variance.py."""
        possible = takes(self.weight, self.log_variance)
        self._deferred = DeferredVariance(self.log_variance) if defer and possible else None

    def add_kl_gradient(self, weight: float) -> bool:
        """In place; see kl.add_log_uniform_kl_gradient."""
        if self._deferred is not None:
            self._deferred.expire()
        chain = self._deferred is not None
        return add_log_uniform_kl_gradient(self.weight, self.log_variance, weight, chain=chain)
