"""Turning a network into its variational twin."""

from __future__ import annotations

import contextlib
import copy
from collections import Counter
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

    def __init__(self, network: nn.Module, original: nn.Module, method: Method) -> None:
        super().__init__()
        self.network = network
        self.method = method
        self.prior = method.network_prior()
        # In a tuple, out of sight of nn.Module: its weights are neither trained nor saved.
        self._original = (original,)

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
        if self.prior is not None:
            terms.append(self.prior.penalty(self._weights()))
        return torch.stack(terms).sum()

    def add_kl_gradient(self, weight: float) -> None:
        """Add `weight` times the gradient of `kl()` to the parameters' `grad`: behind a backward pass of the log loss
        with weight = 1 / n_examples the same as adding `kl() / n_examples` to the loss, but quicker.
        """
        left = [layer for _, layer in self.variational_layers() if not layer.add_kl_gradient(weight)]
        if weight == 0.0:
            return
        terms = [layer.kl() for layer in left]
        if self.prior is not None:
            terms.append(self.prior.penalty(self._weights()))
        if any(term.requires_grad for term in terms):
            (weight * torch.stack(terms).sum()).backward()  # type: ignore[no-untyped-call]

    def defer_gradients(self, defer: bool) -> None:
        """Promise that `add_kl_gradient` follows every backward pass, if with weight 0, or take the promise back.

        Under it layers leave that call a part of their own gradients, and a step is quicker.
        """
        for _, layer in self.variational_layers():
            layer.defer_gradients(defer)

    def start_prior(self) -> None:
        """Fit a prior that all layers share to the present weights, where the method has one."""
        if self.prior is not None:
            self.prior.start(weight.detach() for weight in self._weights())

    def after_step(self, progress: float) -> None:
        """To be called after each optimiser step with the finished fraction of the run, as `fit` does."""
        for _, layer in self.variational_layers():
            layer.after_step(progress)

    def finish(self) -> None:
        """Settle at the end of training what the method leaves open until then, as `fit` does."""
        if self.prior is not None:
            self.prior.finish(layer for _, layer in self.variational_layers())

    @contextlib.contextmanager
    def sampling(self) -> Iterator[None]:
        """Within it weights are sampled, and everything deterministic is in evaluation mode."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        for _, layer in self.variational_layers():
            layer.training = True
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode

    def _weights(self) -> list[Tensor]:
        return [parameter for _, layer in self.variational_layers()
                for name, parameter in layer.named_parameters() if name == "weight"]  # fmt: skip

    def posterior_tensors(self) -> dict[str, Tensor]:
        """The posterior by the original network's state-dict names, detached copies on the CPU.

        For a variational weight NAME: `NAME`, its posterior mean, and `NAME/variance`, its marginal variance, both
        of the weight's shape and in its units; where weights share scales `NAME/group_noise`, see
        VariationalLayer.group_noise. Everything else stands under its name as it is.
        """
        state = dict(self.network.state_dict())
        for layer_name, layer in self.network.named_modules(remove_duplicate=False):  # as a state dict lists them
            if not isinstance(layer, VariationalLayer):
                continue
            prefix = f"{layer_name}." if layer_name else ""
            own = {key for key in layer.state_dict() if key != "bias"}
            for key in own:
                del state[prefix + key]
            state[f"{prefix}weight"], state[f"{prefix}weight/variance"] = layer.marginal()
            if (noise := layer.group_noise()) is not None:
                state[f"{prefix}weight/group_noise"] = noise
        return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}

    def point_network(self) -> nn.Module:
        """A copy of the original network that holds the posterior means."""
        network = copy.deepcopy(self._original[0])
        tensors = self.posterior_tensors()
        network.load_state_dict({name: tensors[name] for name in network.state_dict()})
        return network.eval()

    def deterministic(self) -> list[str]:
        """Names of the parameters that stayed point values, biases of variational layers left out."""
        variational = {f"{name}.{key}" for name, layer in self.variational_layers() for key in layer.state_dict()}
        return [name for name, _ in self.network.named_parameters() if name not in variational]


def bayesianize(network: nn.Module, method: str | Method = "sparse-vd", **options: Any) -> BayesianNetwork:
    """The variational twin of `network`, which is left as it was.

    Every nn.Linear and nn.Conv1d/2d/3d becomes a distribution that starts at the layer's present weights; a
    layer used in several places stays one layer. Everything else, layers that share their weight with another
    module among it, stays deterministic and is listed by `BayesianNetwork.deterministic()`. `options` are settings
    of the method.

    Raises InputError when the method is unknown, when a weight is NaN or infinite, or when there is no layer
    to make variational.
    """
    chosen = method_named(method, **options) if isinstance(method, str) else method
    if options and not isinstance(method, str):
        raise InputError(
            f"Settings {', '.join(options)} were given beside a method that has its own; give one of both."
        )
    for name, parameter in network.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise InputError(f"Parameter {name} holds NaN or infinite values; start from finite weights.")
    original, network = network, copy.deepcopy(network)
    owners = Counter(id(parameter) for module in network.modules() for parameter in module._parameters.values())
    twins: dict[int, VariationalLayer] = {}

    def twin(module: nn.Module) -> VariationalLayer | None:
        operation = operation_of(module)
        if operation is None or owners[id(module.weight)] > 1:
            return None
        if id(module) not in twins:
            twins[id(module)] = chosen.layer(operation, module.weight, module.bias, len(twins))  # type: ignore[arg-type]
        return twins[id(module)]

    if (whole := twin(network)) is not None:
        return BayesianNetwork(whole, copy.deepcopy(original), chosen)
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):  # named_children would pass over a second use
            if child is not None and (layer := twin(child)) is not None:
                setattr(parent, name, layer)
    if not twins:
        raise InputError(
            f"{type(network).__name__} has no Linear or ConvNd layer to make variational; give a network that has one."
        )
    return BayesianNetwork(network, copy.deepcopy(original), chosen)
