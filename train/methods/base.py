"""What a method is to the rest of training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor, nn

from ..layers import VariationalLayer
from ..operation import Operation


class NetworkPrior(nn.Module):
    """A prior that all layers share, with parameters of its own."""

    def penalty(self, weights: Iterable[Tensor]) -> Tensor:
        """What the prior adds to the KL term for these weight tensors, in nats; a scalar."""
        raise NotImplementedError

    def start(self, weights: Iterable[Tensor]) -> None:
        """Fit the prior's own parameters to the weights that training starts from."""

    def components(self) -> list[tuple[float, float, float]] | None:
        """Mean, standard deviation and share of each component, where the prior is a mixture of Gaussians."""
        return None

    def finish(self, layers: Iterable[VariationalLayer]) -> None:
        """Settle what training left open, in place."""


class Method:
    """Settings of a way to train; subclasses are frozen dataclasses, their fields the method's knobs.

    A method of your own is such a class with a `layer`, named as module:Class; `bayespress.testing.MethodContract` is
    what it has to keep.

    is_point_estimate  the posterior has no variance: training ends in single values of the weights
    draws_per_batch    one draw of the weights serves a whole batch, and not one for each example
    noisy_settings     settings under which the noise of a fresh layer is large enough to be measured by the contract
    """

    is_point_estimate: ClassVar[bool] = False
    draws_per_batch: ClassVar[bool] = False
    noisy_settings: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def layer(self, operation: Operation, weight: Tensor, bias: Tensor | None, position: int) -> VariationalLayer:
        """The variational twin of a layer.

        weight    (out, in) or (out, in / groups, *kernel), what to start from
        bias      (out,) or None
        position  of the layer among the network's variational layers, the first is 0
        """
        raise NotImplementedError

    def network_prior(self) -> NetworkPrior | None:
        """A prior that all layers share; None for methods whose prior factorises over layers."""
        return None

    def parameter_groups(self, net: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        """The optimiser's parameter groups: all alike, unless a method says otherwise."""
        return [{"params": list(net.parameters()), "lr": learning_rate}]
