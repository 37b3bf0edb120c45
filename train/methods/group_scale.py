"""What the group priors of Louizos, Ullrich and Welling 2017 have in common: a scale that a whole group shares."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ..kl import standard_normal_kl
from ..layers import Marginal, VariationalLayer
from ..noise import gaussian_output
from ..operation import Operation

# Parameters of the scales' posterior that are logarithms.
SCALE_PARAMETERS = ("log_scale", "log_scale_log_variance", "scale_log_variance")


def scales_apart(net: nn.Module, learning_rate: float, factor: float) -> list[dict[str, Any]]:
    """Parameter groups with the scales' posterior at `factor` times the learning rate.

    Under Adam a parameter moves by about the learning rate a step, and logarithms of scales have a long way to go
    before a group is noise.
    """
    scales: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in net.named_parameters():
        (scales if name.rpartition(".")[2] in SCALE_PARAMETERS else others).append(parameter)
    return [{"params": others, "lr": learning_rate}, {"params": scales, "lr": factor * learning_rate}]


class GroupScaleLayer(VariationalLayer):
    """w_ij = z_i w~_ij with a posterior over scales z and q(w~_ij) = N(mu_ij, sigma_ij^2), prior N(0, 1).

    Groups are the inputs of a dense layer and the output channels of a convolution (section 3.1 of the paper).

    mu       parameter `weight`
    sigma^2  parameter `log_variance` holds its logarithm
    z        what a subclass says; `scales` of them
    """

    def __init__(
        self, operation: Operation, weight: Tensor, bias: Tensor | None, max_deviation: float | None,
        initial_log_variance: float,
    ) -> None:  # fmt: skip
        super().__init__(operation, bias)
        self.max_deviation = max_deviation
        self.weight = nn.Parameter(weight.detach().clone())
        self.log_variance = nn.Parameter(torch.full_like(weight, initial_log_variance))

    @property
    def dense(self) -> bool:
        """Whether groups are inputs, and not output channels."""
        return self.weight.ndim == 2

    @property
    def scales(self) -> int:
        """Number of groups, each with a scale. (`groups` is a convolution's own attribute.)"""
        return self.weight.shape[1 if self.dense else 0]

    @abstractmethod
    def draw_scale(self, batch: int) -> Tensor:
        """One z for each group and example, (batch, groups), differentiable."""

    @abstractmethod
    def scale_moments(self) -> tuple[Tensor, Tensor]:
        """E[z] and V[z] under the posterior, (groups,) each."""

    @abstractmethod
    def scale_kl(self) -> Tensor:
        """KL of the scales' posterior from their prior, in nats; a scalar."""

    @abstractmethod
    def dead(self) -> Tensor:
        """Which groups are noise; bool (groups,)."""

    @abstractmethod
    def scale_noise(self) -> Tensor:
        """How much of each scale is noise, (groups,): above the method's threshold a group is dead."""

    def group_noise(self) -> Tensor:
        """See VariationalLayer.group_noise."""
        shape = [1] * self.weight.ndim
        shape[1 if self.dense else 0] = -1
        return self.scale_noise().detach().reshape(shape)

    def sampled_forward(self, x: Tensor) -> Tensor:
        """Draw z for each example, then outputs given z by local reparameterisation (algorithms 1 and 2)."""
        scale = self.draw_scale(len(x))
        if self.dense:
            x = x * scale.reshape(len(x), *(1,) * (x.ndim - 2), -1)
        mean = self.operation(x, self.weight, None)
        out = gaussian_output(mean, self.operation(x.square(), self.log_variance.exp(), None))
        trailing = (1,) * (0 if self.dense else out.ndim - 2)
        if not self.dense:
            out = out * scale.reshape(*scale.shape, *trailing)
        return out if self.bias is None else out + self.bias.reshape(-1, *trailing)

    def predictive_weight(self) -> Tensor:
        """Posterior mean E[z] mu, zero in dead groups."""
        return self.marginal_mean() * self._per_weight((~self.dead()).to(self.weight.dtype))

    def marginal_mean(self) -> Tensor:
        """E[w] = E[z] mu."""
        return self.weight * self._per_weight(self.scale_moments()[0])

    def kl(self) -> Tensor:
        """KL of scales and of weights given scales, summed (equation 8), in nats."""
        return self.scale_kl() + standard_normal_kl(self.weight, self.log_variance).sum()

    def add_kl_gradient(self, weight: float) -> bool:
        """That of the many weights in place, that of the few scales by autograd."""
        if self.weight.grad is None or self.log_variance.grad is None:
            return False
        (weight * self.scale_kl()).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.weight.grad.add_(self.weight, alpha=weight)
            self.log_variance.grad.add_(torch.expm1(self.log_variance), alpha=0.5 * weight)
        return True

    def marginal(self) -> Marginal:
        """E[w] and V[w] = V[z] (sigma^2 + mu^2) + E[z]^2 sigma^2 (equation 9), mean 0 in dead groups."""
        with torch.no_grad():
            mean, variance = (self._per_weight(moment) for moment in self.scale_moments())
            sigma2 = self.log_variance.exp()
            return Marginal(
                self.predictive_weight(), variance * (sigma2 + self.weight.square()) + mean.square() * sigma2
            )

    def after_step(self, progress: float) -> None:  # noqa: ARG002
        """Keep sigma within its bound, which holds noise back until the data had a say (section 4.1)."""
        if self.max_deviation is not None:
            with torch.no_grad():
                self.log_variance.clamp_(max=2.0 * torch.tensor(self.max_deviation).log().item())

    def _per_weight(self, group: Tensor) -> Tensor:
        """(groups,) in a shape that multiplies the weight."""
        return group if self.dense else group.reshape(-1, *(1,) * (self.weight.ndim - 1))
