"""Soft weight-sharing (Ullrich, Meeds, Welling 2017): a network retrained under a Gaussian mixture that it shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...errors import InputError
from ..layers import Marginal, PointLayer, VariationalLayer
from ..operation import Operation
from .base import Method, NetworkPrior

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_PIECE = 1 << 20  # weights at a time: memory stays bounded however large the layer


@dataclass(frozen=True)
class SoftWeightSharing(Method):
    """Settings of the method; a trained network is retrained, or training begins without the prior (KL warm-up).

    components         of the mixture, the one at zero included
    tau                weight of the prior against the error (section 4)
    zero_share         mixing proportion of the zero component, fixed; with `zero_beta` where it starts
    zero_beta          (a, b) of a Beta hyper-prior on the zero component's proportion, which is then learnt
    deviation          of each component at the start; by default half the distance between neighbouring means
    precision_prior, zero_precision_prior  (shape, rate) of the Gamma hyper-priors on precisions
    mean_rate, precision_rate, share_rate  learning rates of the mixture, the network having the run's own
    merge_kl           components nearer to each other than this, in nats, become one at the end
    weights_a_step     how many weights a step sees the prior of; the rest is estimated (appendix C)
    """

    is_point_estimate: ClassVar[bool] = True

    components: int = 17
    tau: float = 0.003
    zero_share: float = 0.99
    zero_beta: tuple[float, float] | None = None
    deviation: float | None = None
    precision_prior: tuple[float, float] = (250.0, 0.1)
    zero_precision_prior: tuple[float, float] = (5000.0, 2.0)
    mean_rate: float = 1e-4
    precision_rate: float = 3e-3
    share_rate: float = 3e-3
    merge_kl: float = 0.1
    weights_a_step: int = 1 << 14

    def __post_init__(self) -> None:
        """Raises InputError for a setting outside its range."""
        if self.components < 2:
            raise InputError(f"{self.components} components were asked for; at least 2 are needed, one of them zero.")
        if not 0.0 < self.zero_share < 1.0:
            raise InputError(f"The zero component's share is {self.zero_share}; it has to lie between 0 and 1.")
        if self.weights_a_step < 1:
            raise InputError(f"{self.weights_a_step} weights a step were asked for; at least 1 is needed.")

    def layer(self, operation: Operation, weight: Tensor, bias: Tensor | None, position: int) -> SharedWeightLayer:  # noqa: ARG002
        """The retrained twin of a layer; see Method.layer."""
        return SharedWeightLayer(operation, weight, bias)

    def network_prior(self) -> MixturePrior:
        """The mixture."""
        return MixturePrior(self)

    def parameter_groups(self, net: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        """The network at the run's learning rate, the mixture's parameters at their own."""
        (prior,) = (module for module in net.modules() if isinstance(module, MixturePrior))
        own = {id(parameter) for parameter in prior.parameters()}
        return [
            {"params": [p for p in net.parameters() if id(p) not in own], "lr": learning_rate},
            {"params": [prior.means], "lr": self.mean_rate},
            {"params": [prior.log_precisions], "lr": self.precision_rate},
            {"params": [prior.log_shares, prior.zero_logit], "lr": self.share_rate},
        ]


class SharedWeightLayer(PointLayer):
    """A layer whose weights gather around the mixture's means, and at the end are replaced by them."""

    component_variance: Tensor

    def __init__(self, operation: Operation, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(operation, weight, bias)
        self.register_buffer("component_variance", torch.zeros_like(self.weight, requires_grad=False))

    def effective_weight(self) -> Tensor:
        """The weight itself."""
        return self.weight

    def marginal(self) -> Marginal:
        """The weight, and the variance of the component that it was given to (0 before the end)."""
        return Marginal(self.weight.detach(), self.component_variance)


class MixturePrior(NetworkPrior):
    """p(w) = pi_0 N(w | 0, 1 / lambda_0) + sum_k pi_k N(w | mu_k, 1 / lambda_k) (equation 3).

    `means` (K - 1,), `log_precisions` (K,), component 0 first; `log_shares` (K - 1,) up to a constant, of what
    the zero component leaves; `zero_logit` the logit of its share, learnt under a Beta hyper-prior only.
    """

    def __init__(self, settings: SoftWeightSharing) -> None:
        super().__init__()
        self.settings = settings
        count = settings.components
        self.means = nn.Parameter(torch.linspace(-1.0, 1.0, count - 1))
        self.log_precisions = nn.Parameter(torch.zeros(count))
        self._set_deviation(2.0 / max(1, count - 2))
        self.log_shares = nn.Parameter(torch.zeros(count - 1))
        zero = math.log(settings.zero_share) - math.log1p(-settings.zero_share)
        self.zero_logit = nn.Parameter(torch.tensor(zero), requires_grad=settings.zero_beta is not None)

    def start(self, weights: Iterable[Tensor]) -> None:
        """Spread the components evenly over the weights' range (section 4.1)."""
        limits = torch.stack([torch.stack(torch.aminmax(weight)) for weight in weights])
        with torch.no_grad():
            low, high = limits[:, 0].min().item(), limits[:, 1].max().item()
            self.means.copy_(torch.linspace(low, high, len(self.means)))
        self._set_deviation((high - low) / max(1, len(self.means) - 1))

    def _set_deviation(self, distance: float) -> None:
        """All components' deviation, for neighbouring means `distance` apart."""
        deviation = self.settings.deviation or max(distance / 2.0, 1e-4)
        with torch.no_grad():
            self.log_precisions.fill_(-2.0 * math.log(deviation))

    def log_component(self, weight: Tensor) -> Tensor:
        """log(pi_k N(w | mu_k, 1 / lambda_k)) for each weight (n,) and component: (n, K)."""
        means = torch.cat([self.means.new_zeros(1), self.means])
        zero = nn.functional.logsigmoid(self.zero_logit).reshape(1)
        others = nn.functional.logsigmoid(-self.zero_logit) + torch.log_softmax(self.log_shares, 0)
        constant = torch.cat([zero, others]) + 0.5 * self.log_precisions - _HALF_LOG_2PI
        return constant - 0.5 * self.log_precisions.exp() * (weight.unsqueeze(1) - means).square()

    def penalty(self, weights: Iterable[Tensor]) -> Tensor:
        """tau times the negative log of prior and hyper-priors; the prior estimated from a random part (appendix C)."""
        flat = [weight.flatten() for weight in weights]
        total, wanted = sum(len(weight) for weight in flat), self.settings.weights_a_step
        if wanted < total:
            # The same share of each tensor, drawn with replacement: unbiased, and nothing is concatenated whole.
            counts = [max(1, round(wanted * len(weight) / total)) for weight in flat]
            parts = [
                weight[torch.randint(len(weight), (count,), device=weight.device)]
                for weight, count in zip(flat, counts, strict=True)
            ]
            scales = [len(weight) / count for weight, count in zip(flat, counts, strict=True)]
        else:
            parts, scales = flat, [1.0] * len(flat)
        log_prior = self.means.new_zeros(())
        for part, scale in zip(parts, scales, strict=True):
            log_prior = log_prior + scale * torch.logsumexp(self.log_component(part), 1).sum()
        return -self.settings.tau * (log_prior + self.log_hyper_prior())

    def log_hyper_prior(self) -> Tensor:
        """Gamma densities of the precisions, and the Beta density of the zero component's share, up to constants."""
        shape, rate = (self.log_precisions.new_tensor(values) for values in self._gamma())
        value = ((shape - 1.0) * self.log_precisions - rate * self.log_precisions.exp()).sum()
        if self.settings.zero_beta is not None:
            a, b = self.settings.zero_beta
            value = value + (a - 1.0) * nn.functional.logsigmoid(self.zero_logit)
            value = value + (b - 1.0) * nn.functional.logsigmoid(-self.zero_logit)
        return value

    def finish(self, layers: Iterable[VariationalLayer]) -> None:
        """Merge components that became one; each weight becomes its most responsible one's mean (section 4.3)."""
        with torch.no_grad():
            means, variances, log_shares = self._merged()
            constant = log_shares - 0.5 * variances.log()

            def responsible(weight: Tensor) -> Tensor:
                return (constant - (weight.unsqueeze(1) - means).square() / (2 * variances)).argmax(1)

            for layer in layers:
                if isinstance(layer, SharedWeightLayer):
                    pieces = torch.split(layer.weight.flatten(), _PIECE)
                    best = torch.cat([responsible(piece) for piece in pieces]).reshape(layer.weight.shape)
                    layer.weight.copy_(means[best])
                    layer.component_variance.copy_(variances[best])

    def _gamma(self) -> tuple[list[float], list[float]]:
        pairs = [self.settings.zero_precision_prior, *[self.settings.precision_prior] * len(self.means)]
        return [shape for shape, _ in pairs], [rate for _, rate in pairs]

    def components(self) -> list[tuple[float, float, float]]:
        """See NetworkPrior.components; the one at zero comes first."""
        with torch.no_grad():
            deviations = torch.exp(-0.5 * self.log_precisions).tolist()
            zero = torch.sigmoid(self.zero_logit).item()
            shares = [zero, *((1.0 - zero) * torch.softmax(self.log_shares, 0)).tolist()]
            return list(zip([0.0, *self.means.tolist()], deviations, shares, strict=True))

    def _merged(self) -> tuple[Tensor, Tensor, Tensor]:
        """Means, variances and log shares after merging whatever lies within `merge_kl` nats, both ways averaged."""
        means, deviations, shares = map(list, zip(*self.components(), strict=True))
        variances = [deviation**2 for deviation in deviations]
        while len(means) > 1:
            near = min(
                (_symmetric_kl(means[i], variances[i], means[j], variances[j]), i, j)
                for i in range(len(means)) for j in range(i + 1, len(means))
            )  # fmt: skip
            if near[0] > self.settings.merge_kl:
                break
            _, i, j = near
            share = shares[i] + shares[j]
            # What merges with the component at zero is zero.
            means[i] = 0.0 if i == 0 else (shares[i] * means[i] + shares[j] * means[j]) / share
            variances[i] = (shares[i] * variances[i] + shares[j] * variances[j]) / share
            shares[i] = share
            del means[j], variances[j], shares[j]
        as_tensor = self.means.new_tensor
        return as_tensor(means), as_tensor(variances), as_tensor(shares).log()


def _symmetric_kl(mean: float, variance: float, other_mean: float, other_variance: float) -> float:
    """(KL(N1 || N2) + KL(N2 || N1)) / 2 of two Gaussians, in nats."""
    ratio = variance / other_variance
    distance = (mean - other_mean) ** 2 * (1.0 / variance + 1.0 / other_variance)
    return 0.25 * (ratio + 1.0 / ratio - 2.0 + distance)
