"""Finding a network's units: which outputs of which layers feed which inputs of which others.

torch-pruning's dependency graph traces one forward pass and follows a channel through activations, pooling,
normalisation, residual adds, flattening and concatenation. Here its groups become index arrays.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch
import torch_pruning
from torch import Tensor, nn

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Slice:
    """Outputs or inputs of one layer that belong to units: `index[k]` of the layer is part of unit `unit[k]`."""

    name: str
    index: Tensor
    unit: Tensor


@dataclass
class UnitGroup:
    """Units that live and die alone: each has its outputs in all `producers` and its inputs in all `consumers`.

    `root` is the layer whose outputs number the units.
    """

    root: str
    count: int
    producers: list[Slice] = field(default_factory=list)
    consumers: list[Slice] = field(default_factory=list)

    def alive(self, network: nn.Module, *, outgoing: bool) -> Tensor:
        """For each unit, whether any outgoing (or else incoming) weight is not zero; bool (count,)."""
        alive = torch.zeros(self.count, dtype=torch.bool)
        for part in self.consumers if outgoing else self.producers:
            layer = layer_of(network, part.name)
            per_channel = (by_input(layer, layer.weight) if outgoing else layer.weight.flatten(1)).any(1)
            alive[part.unit[per_channel[part.index]]] = True
        return alive


def layer_of(network: nn.Module, name: str) -> Layer:
    """The layer of this name, which is one of those that make up units."""
    layer = network.get_submodule(name)
    if not isinstance(layer, _LAYERS):
        raise TypeError(f"{name} is a {type(layer).__name__}")
    return layer


def layer_groups(layer: Layer) -> int:
    """Into how many groups a layer's channels are parted; 1 for a dense layer."""
    return 1 if isinstance(layer, nn.Linear) else layer.groups


def is_grouped(layer: Layer) -> bool:
    """Whether outputs read some inputs only; depthwise convolutions do, and have units that need no balance."""
    return layer_groups(layer) > 1 and not _is_depthwise(layer)


def by_input(layer: Layer, weight: Tensor) -> Tensor:
    """`weight`, of the layer's shape, as (inputs, outputs that read each * kernel); a copy where a view will not do."""
    groups = layer_groups(layer)
    parted = weight.reshape(groups, len(weight) // groups, weight.shape[1], -1)
    return parted.transpose(1, 2).flatten(2).flatten(0, 1)


def dependency_graph(network: nn.Module, example: Tensor) -> torch_pruning.DependencyGraph:
    """The traced dependencies of `network` for one input batch.

    torch-pruning follows the autograd graph, so the parameters are made to require gradients, and a caller's
    no_grad or inference_mode is set aside.
    """
    with torch.inference_mode(False), torch.enable_grad():
        network.requires_grad_(True)
        return torch_pruning.DependencyGraph().build_dependency(network, example.clone(), verbose=False)


def output_pruner(layer: nn.Module) -> object:
    """torch-pruning's function that strikes outputs of this kind of layer."""
    return (
        torch_pruning.prune_linear_out_channels
        if isinstance(layer, nn.Linear)
        else torch_pruning.prune_conv_out_channels
    )


def find_units(network: nn.Module, example: Tensor) -> list[UnitGroup]:
    """The groups of units that may be struck out without changing what the network computes.

    Depthwise convolutions are on the way, as normalisations are: they neither make units nor end them. Left out: units
    of the network's output, of layers that run more than once a pass, of grouped convolutions that torch-pruning takes
    for depthwise ones because each output has a group of its own, and of whatever passes a module that mixes channels
    or that we do not know (layer norm, attention).
    """
    names = {module: name for name, module in network.named_modules()}
    calls = _count_calls(network, example)
    graph = dependency_graph(network, example)
    groups: list[UnitGroup] = []
    covered: set[str] = set()
    for name, module in network.named_modules():
        if not isinstance(module, _LAYERS) or _is_depthwise(module) or name in covered or calls[name] == 0:
            continue
        count = module.weight.shape[0]
        group = UnitGroup(name, count)
        sound = True
        for item in graph.get_pruning_group(module, output_pruner(module), list(range(count))):
            target = item.dep.target.module
            part = Slice(names.get(target, ""), torch.tensor(list(item.idxs)), torch.tensor(list(item.root_idxs)))
            if isinstance(target, _LAYERS) and _is_depthwise(target):
                sound &= calls[part.name] == 1
            elif isinstance(target, _LAYERS):
                sound &= calls[part.name] == 1 and not _is_mistaken(target)
                outputs = graph.is_out_channel_pruning_fn(item.dep.handler)
                (group.producers if outputs else group.consumers).append(part)
            elif target in names and not isinstance(target, _NORMS) and any(True for _ in target.parameters()):
                sound = False
        covered.update(part.name for part in group.producers)
        if sound and group.consumers:
            groups.append(group)
    return groups


def _is_depthwise(layer: Layer) -> bool:
    """Whether each channel is convolved with a filter of its own and nothing else."""
    return not isinstance(layer, nn.Linear) and layer.groups == layer.in_channels == layer.out_channels > 1


def _is_mistaken(layer: Layer) -> bool:
    """Whether torch-pruning would strike inputs and outputs of this layer together though it is not depthwise."""
    return layer_groups(layer) == len(layer.weight) > 1 and not _is_depthwise(layer)


def _count_calls(network: nn.Module, example: Tensor) -> Counter[str]:
    calls: Counter[str] = Counter()
    hooks = [
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
        for name, module in network.named_modules()
    ]
    try:
        with torch.no_grad():
            network(example)
    finally:
        for hook in hooks:
            hook.remove()
    return calls
