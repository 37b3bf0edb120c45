"""Turning a network into its variational twin."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from .layers import VariationalLayer
from .methods import Method, method_named
from .operation import operation_of


class BayesianNetwork(nn.Module):
    """A network whose Linear and ConvNd layers are distributions over weights.

    `network` is the twin of the module given to `bayesianize`: same structure, same names, same inputs.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Any) -> Any:
        """The network's output: sampled in training mode, the method's point prediction in evaluation mode."""
        return self.network(*inputs)

    def variational_layers(self) -> Iterator[tuple[str, VariationalLayer]]:
        """Name (as in the original network) and layer, in the network's order; a shared layer comes once."""
        for name, module in self.network.named_modules():
            if isinstance(module, VariationalLayer):
                yield name, module

    def kl(self) -> Tensor:
        """KL(posterior || prior) over all weights, in nats: add `net.kl() / n_examples` to the mean log loss."""
        terms = [layer.kl() for _, layer in self.variational_layers()]
        return torch.stack(terms).sum()

    def deterministic(self) -> list[str]:
        """Names of the parameters that stayed point values, biases of variational layers left out."""
        variational = {f"{name}.{key}" for name, layer in self.variational_layers() for key in layer.state_dict()}
        return [name for name, _ in self.network.named_parameters() if name not in variational]


def bayesianize(network: nn.Module, method: str | Method = "sparse-vd", **options: Any) -> BayesianNetwork:
    """The variational twin of `network`, which is left as it was.

    Every nn.Linear and nn.Conv1d/2d/3d becomes a distribution that starts at the layer's present weights; a
    layer used in several places stays one layer. Everything else stays deterministic and is listed by
    `BayesianNetwork.deterministic()`. `options` are settings of the method.

    Raises InputError when the method is unknown, when a weight is NaN or infinite, or when there is no layer
    to make variational.
    """
    chosen = method_named(method, **options) if isinstance(method, str) else method
    for name, parameter in network.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise InputError(f"Parameter {name} holds NaN or infinite values; start from finite weights.")
    network = copy.deepcopy(network)
    twins: dict[int, VariationalLayer] = {}

    def twin(module: nn.Module) -> VariationalLayer | None:
        operation = operation_of(module)
        if operation is None:
            return None
        if id(module) not in twins:
            twins[id(module)] = chosen.layer(operation, module.weight, module.bias)  # type: ignore[arg-type]
        return twins[id(module)]

    if (whole := twin(network)) is not None:
        return BayesianNetwork(nn.Sequential(whole))
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if (layer := twin(child)) is not None:
                setattr(parent, name, layer)
    if not twins:
        raise InputError(
            f"{type(network).__name__} has no Linear or ConvNd layer to make variational; give a network that has one."
        )
    return BayesianNetwork(network)
