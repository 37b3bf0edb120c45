"""Group normal-Jeffreys, BC-GNJ (Louizos, Ullrich, Welling 2017): a scale-free prior over each group's scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..kl import log_uniform_kl
from ..operation import Operation
from .base import Method
from .group_scale import GroupScaleLayer, scales_apart

_TINY = 1e-8
_LOG_ALPHA_RANGE = 10.0


@dataclass(frozen=True)
class GroupNormalJeffreys(Method):
    """Settings of the method.

    initial_log_variance   log variances of weights and scales at the start
    scale_learning_rate             learning rate of the scales' posterior relative to the run's
    first_max_deviation    bound on sigma in the network's first layer; the paper's is 0.2 for the LeNets
    log_alpha_threshold    groups with a larger log alpha of z are noise
    """

    noisy_settings: ClassVar[Mapping[str, Any]] = MappingProxyType({"initial_log_variance": -3.0})

    initial_log_variance: float = -9.0
    first_max_deviation: float = 0.2
    scale_learning_rate: float = 10.0
    log_alpha_threshold: float = 0.0

    def layer(self, operation: Operation, weight: Tensor, bias: Tensor | None, position: int) -> NormalJeffreysLayer:
        """The variational twin of a layer; see Method.layer."""
        bound = self.first_max_deviation if position == 0 else None
        return NormalJeffreysLayer(operation, weight, bias, bound, self)

    def parameter_groups(self, net: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        """Scales apart; see group_scale.scales_apart."""
        return scales_apart(net, learning_rate, self.scale_learning_rate)


class NormalJeffreysLayer(GroupScaleLayer):
    """p(z) ~ 1 / |z|, q(z_i) = N(mu_i, mu_i^2 alpha_i) (section 3.1).

    mu_i            parameter `scale`
    mu_i^2 alpha_i  parameter `scale_log_variance` holds its logarithm
    """

    def __init__(
        self, operation: Operation, weight: Tensor, bias: Tensor | None, max_deviation: float | None,
        settings: GroupNormalJeffreys,
    ) -> None:  # fmt: skip
        super().__init__(operation, weight, bias, max_deviation, settings.initial_log_variance)
        self.settings = settings
        self.scale = nn.Parameter(torch.ones(self.scales, dtype=weight.dtype, device=weight.device))
        self.scale_log_variance = nn.Parameter(torch.full_like(self.scale, settings.initial_log_variance))

    def log_alpha(self) -> Tensor:
        """Log of the noise-to-signal ratio of each z, (groups,)."""
        log_alpha = self.scale_log_variance - torch.log(self.scale.square() + _TINY)
        return log_alpha.clamp(-_LOG_ALPHA_RANGE, _LOG_ALPHA_RANGE)

    def draw_scale(self, batch: int) -> Tensor:
        """z = mu + sqrt(mu^2 alpha) eps."""
        noise = torch.randn(batch, self.scales, dtype=self.scale.dtype, device=self.scale.device)
        return self.scale + torch.exp(0.5 * self.scale_log_variance) * noise

    def scale_moments(self) -> tuple[Tensor, Tensor]:
        """mu and mu^2 alpha."""
        return self.scale, self.scale_log_variance.exp()

    def scale_kl(self) -> Tensor:
        """The improper log-uniform KL of each z (equation 7: Molchanov's approximation), summed."""
        return log_uniform_kl(self.log_alpha()).sum()

    def scale_noise(self) -> Tensor:
        """Log alpha."""
        return self.log_alpha()

    def dead(self) -> Tensor:
        """Groups whose log alpha is above the threshold."""
        return self.log_alpha() > self.settings.log_alpha_threshold
