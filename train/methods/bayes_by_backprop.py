"""Bayes by Backprop (Blundell, Cornebise, Kavukcuoglu, Wierstra 2015): sampled weights, a scale-mixture prior."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import InputError
from ..kernels import ffi, floats, lib, takes
from ..layers import GaussianLayer
from ..operation import Operation
from .base import Method

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class BayesByBackprop(Method):
    """Settings of the method.

    initial_deviation     sigma at the start
    mixture_weight        pi of the prior pi N(0, sigma1^2) + (1 - pi) N(0, sigma2^2); the paper tries 1/4, 1/2, 3/4
    log_sigma1, log_sigma2  logarithms of the prior's deviations; the paper tries 0 to -2 and -6 to -8
    """

    draws_per_batch: ClassVar[bool] = True
    noisy_settings: ClassVar[Mapping[str, Any]] = MappingProxyType({"initial_deviation": 0.2})

    initial_deviation: float = 0.02
    mixture_weight: float = 0.25
    log_sigma1: float = 0.0
    log_sigma2: float = -6.0

    def __post_init__(self) -> None:
        """Raises InputError for a setting outside its range."""
        if not 0.0 < self.mixture_weight < 1.0:
            raise InputError(f"The mixture weight is {self.mixture_weight}; it has to lie between 0 and 1.")
        if not self.initial_deviation > 0.0:
            raise InputError(f"The initial deviation is {self.initial_deviation}; it has to be above 0.")

    def layer(self, operation: Operation, weight: Tensor, bias: Tensor | None, position: int) -> BayesByBackpropLayer:  # noqa: ARG002
        """The variational twin of a layer; see Method.layer."""
        return BayesByBackpropLayer(operation, weight, bias, self)


class BayesByBackpropLayer(GaussianLayer):
    """q(w_ij) = N(mu_ij, sigma_ij^2) with sigma = log(1 + exp(rho)) (section 3.2 of the paper).

    mu   posterior mean, parameter `weight`
    rho  parameter `rho`, unconstrained

    The paper treats biases alike; here they stay deterministic, as everywhere in this package.
    """

    def __init__(self, operation: Operation, weight: Tensor, bias: Tensor | None, settings: BayesByBackprop) -> None:
        super().__init__(operation, weight, bias)
        self.settings = settings
        self.rho = nn.Parameter(torch.full_like(weight, math.log(math.expm1(settings.initial_deviation))))

    def deviation(self) -> Tensor:
        """sigma = log(1 + exp(rho))."""
        return F.softplus(self.rho)

    def variance(self) -> Tensor:
        """sigma^2."""
        return self.deviation().square()

    def signal_to_noise(self) -> Tensor:
        """|mu| / sigma of each weight (section 6), what the paper prunes by; log alpha is -2 log of it."""
        return self.weight.abs() / self.deviation()

    def sampled_forward(self, x: Tensor) -> Tensor:
        """One draw of the weights for the whole batch: w = mu + sigma eps (section 3.2, steps 1 and 2)."""
        return self.operation(x, torch.addcmul(self.weight, self.deviation(), torch.randn_like(self.weight)), self.bias)

    def predictive_weight(self) -> Tensor:
        """Posterior mean."""
        return self.weight

    def kl(self) -> Tensor:
        """log q(w) - log P(w) at one draw w, summed: an unbiased estimate of the KL (equation 2), in nats.

        The draw is not the one of the forward pass; the gradient's expectation is the same.
        """
        deviation, noise = self.deviation(), torch.randn_like(self.weight)
        if takes(self.weight, deviation):
            total: Tensor = _MixtureKL.apply(self.weight, deviation, noise, self.settings)  # type: ignore[no-untyped-call]
            return total
        log_posterior = -_HALF_LOG_2PI - torch.log(deviation) - 0.5 * noise.square()
        return (log_posterior - self.log_prior(self.weight + deviation * noise)).sum()

    def log_prior(self, weight: Tensor) -> Tensor:
        """log(pi N(w | 0, sigma1^2) + (1 - pi) N(w | 0, sigma2^2)), elementwise (equation 7)."""
        pi = self.settings.mixture_weight
        wide = math.log(pi) + _log_normal(weight, self.settings.log_sigma1)
        narrow = math.log1p(-pi) + _log_normal(weight, self.settings.log_sigma2)
        return torch.logaddexp(wide, narrow)


class _MixtureKL(torch.autograd.Function):
    """The estimate at one draw in one pass over memory (kernels/kl.c), where autograd's pieces took thirty."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, deviation: Tensor, noise: Tensor, settings: BayesByBackprop) -> Tensor:
        pi = settings.mixture_weight
        log_peak = math.log1p(-pi) - _HALF_LOG_2PI - settings.log_sigma2
        ctx.prior = ffi.new(
            "bp_mixture *",
            {
                "log_odds": math.log(pi) - _HALF_LOG_2PI - settings.log_sigma1 - log_peak,
                "log_peak": log_peak,
                "precision1": math.exp(-2.0 * settings.log_sigma1),
                "precision2": math.exp(-2.0 * settings.log_sigma2),
            },
        )
        ctx.save_for_backward(mean, deviation, noise)
        return mean.new_tensor(
            lib.bp_mixture_kl(mean.numel(), floats(mean), floats(deviation), floats(noise), ctx.prior)
        )

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor, None, None]:
        mean, deviation, noise = ctx.saved_tensors
        by_mean, by_deviation = torch.empty_like(mean), torch.empty_like(mean)
        lib.bp_mixture_kl_gradient(
            mean.numel(), floats(mean), floats(deviation), floats(noise), ctx.prior, outer.item(),
            floats(by_mean), floats(by_deviation),
        )  # fmt: skip
        return by_mean, by_deviation, None, None


def _log_normal(x: Tensor, log_sigma: float) -> Tensor:
    return -_HALF_LOG_2PI - log_sigma - 0.5 * (x * math.exp(-log_sigma)).square()
