"""Group horseshoe, BC-GHS (Louizos, Ullrich, Welling 2017): half-Cauchy scales, one a group and one a layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...errors import InputError
from ..kl import log_normal_gamma_kl, log_normal_inverse_gamma_kl
from ..operation import Operation
from .base import Method
from .group_scale import GroupScaleLayer, scales_apart


@dataclass(frozen=True)
class GroupHorseshoe(Method):
    """Settings of the method.

    global_scale           tau0 of the layer's half-Cauchy prior C+(0, tau0)
    initial_log_variance   log variances of weights and of log scales at the start
    scale_learning_rate             learning rate of the scales' posterior relative to the run's
    first_max_deviation    bound on sigma in the network's first layer
    log_mode_threshold     groups whose posterior mode of z has a smaller logarithm are dead
    """

    noisy_settings: ClassVar[Mapping[str, Any]] = MappingProxyType({"initial_log_variance": -3.0})

    global_scale: float = 1e-5
    initial_log_variance: float = -9.0
    first_max_deviation: float = 0.2
    scale_learning_rate: float = 10.0
    log_mode_threshold: float = -4.0

    def __post_init__(self) -> None:
        """Raises InputError for a setting outside its range."""
        if not self.global_scale > 0.0:
            raise InputError(f"The global scale is {self.global_scale}; it has to be above 0.")

    def layer(self, operation: Operation, weight: Tensor, bias: Tensor | None, position: int) -> GroupHorseshoeLayer:
        """The variational twin of a layer; see Method.layer."""
        bound = self.first_max_deviation if position == 0 else None
        return GroupHorseshoeLayer(operation, weight, bias, bound, self)

    def parameter_groups(self, net: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        """Scales apart; see group_scale.scales_apart."""
        return scales_apart(net, learning_rate, self.scale_learning_rate)


class GroupHorseshoeLayer(GroupScaleLayer):
    """z_i = s z~_i, s ~ C+(0, tau0), z~_i ~ C+(0, 1), each as the root of a product (section 3.2, equations 10-12):

    s^2 = s_a s_b,       s_a ~ Gamma(1/2, tau0^2),  s_b ~ InverseGamma(1/2, 1)
    z~_i^2 = a_i b_i,    a_i ~ Gamma(1/2, 1),       b_i ~ InverseGamma(1/2, 1)

    All four have log-normal posteriors, so log z_i is Gaussian with a quarter of their variances' sum.

    `log_scale` (2 + 2 groups,) holds the means of log s_a, log s_b, log a and log b in this order, and
    `log_scale_log_variance` the logarithms of their variances.
    """

    def __init__(
        self, operation: Operation, weight: Tensor, bias: Tensor | None, max_deviation: float | None,
        settings: GroupHorseshoe,
    ) -> None:  # fmt: skip
        super().__init__(operation, weight, bias, max_deviation, settings.initial_log_variance)
        self.settings = settings
        # E[z] starts at 1: what the global prior takes away, the heavy tail of b gives back at little cost.
        start = weight.new_zeros(2 + 2 * self.scales, requires_grad=False)
        start[0] = 2.0 * math.log(settings.global_scale)
        start[2 + self.scales :] = -2.0 * math.log(settings.global_scale) - math.exp(settings.initial_log_variance)
        self.log_scale = nn.Parameter(start)
        self.log_scale_log_variance = nn.Parameter(torch.full_like(start, settings.initial_log_variance))

    def log_scale_moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of log z, (groups,) each."""
        return 0.5 * self._per_group(self.log_scale), 0.25 * self._per_group(self.log_scale_log_variance.exp())

    def draw_scale(self, batch: int) -> Tensor:
        """z = exp(m + sqrt(v) eps): one draw of the product in place of four."""
        mean, variance = self.log_scale_moments()
        noise = torch.randn(batch, self.scales, dtype=mean.dtype, device=mean.device)
        return torch.exp(mean + torch.sqrt(variance) * noise)

    def scale_moments(self) -> tuple[Tensor, Tensor]:
        """E[z] = exp(m + v/2), V[z] = (exp(v) - 1) exp(2 m + v)."""
        mean, variance = self.log_scale_moments()
        return torch.exp(mean + 0.5 * variance), torch.expm1(variance) * torch.exp(2.0 * mean + variance)

    def scale_kl(self) -> Tensor:
        """The four closed KLs (appendix), summed over groups; a scalar."""
        (s_a, s_b, a, b), (s_a_v, s_b_v, a_v, b_v) = (
            torch.split(parameter, [1, 1, self.scales, self.scales])
            for parameter in (self.log_scale, self.log_scale_log_variance)
        )
        layer = log_normal_gamma_kl(s_a, s_a_v, self.settings.global_scale**2) + log_normal_inverse_gamma_kl(s_b, s_b_v)
        groups = log_normal_gamma_kl(a, a_v, 1.0) + log_normal_inverse_gamma_kl(b, b_v)
        return layer.sum() + groups.sum()

    def scale_noise(self) -> Tensor:
        """Minus the logarithm of the mode of z, which is exp(m - v)."""
        mean, variance = self.log_scale_moments()
        return variance - mean

    def dead(self) -> Tensor:
        """Groups whose mode of z lies below the threshold (section 4.1)."""
        return self.scale_noise() > -self.settings.log_mode_threshold

    def _per_group(self, parts: Tensor) -> Tensor:
        """Sum over the four factors, (groups,)."""
        return parts[0] + parts[1] + parts[2 : 2 + self.scales] + parts[2 + self.scales :]
