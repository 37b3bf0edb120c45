"""Find the units of a network: the layer outputs that compute a unit, and the layer inputs that read it.

torch-pruning's dependency graph traces one forward pass and follows a channel through activations, pooling,
normalisation, residual additions, flattening and concatenation. This module converts its groups to index arrays.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..errors import reason_of
from .dependencies import dependency_graph, output_pruner

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Slice:
    """Outputs or inputs of the layer `name` that belong to units: channel `index[k]` belongs to unit `unit[k]`."""

    name: str
    index: Tensor
    unit: Tensor


@dataclass(eq=False)
class UnitGroup:
    """Units that can be removed independently of each other.

    root       the layer whose outputs are the units' indices
    count      number of units
    producers  the outputs that compute the units
    consumers  the inputs that read the units
    """

    root: str
    count: int
    producers: list[Slice] = field(default_factory=list)
    consumers: list[Slice] = field(default_factory=list)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that compute the units."""
        return tuple(dict.fromkeys(part.name for part in self.producers))

    def alive(self, network: nn.Module, *, outgoing: bool) -> Tensor:
        """Whether each unit has a non-zero outgoing weight, or incoming weight if not `outgoing`; bool (count,)."""
        alive = torch.zeros(self.count, dtype=torch.bool)
        for part in self.consumers if outgoing else self.producers:
            layer = layer_of(network, part.name)
            per_channel = (by_input(layer, layer.weight) if outgoing else layer.weight.flatten(1)).any(1)
            alive[part.unit[per_channel[part.index]]] = True
        return alive

    def dead_count(self, network: nn.Module) -> int:
        """Number of units whose incoming weights, or outgoing weights if consumers are known, are all zero."""
        dead = ~self.alive(network, outgoing=False)
        if self.consumers:
            dead |= ~self.alive(network, outgoing=True)
        return int(dead.sum())


def layer_of(network: nn.Module, name: str) -> Layer:
    """The linear or convolutional layer of this name. Raises TypeError for a module of another type."""
    layer = network.get_submodule(name)
    if not isinstance(layer, _LAYERS):
        raise TypeError(f"{name} is a {type(layer).__name__}")
    return layer


def layer_groups(layer: Layer) -> int:
    """The number of groups of a layer's channels; 1 for a linear layer."""
    return 1 if isinstance(layer, nn.Linear) else layer.groups


def is_grouped(layer: Layer) -> bool:
    """Whether each output reads only some inputs. Depthwise convolutions are excluded: any of their units can go."""
    return layer_groups(layer) > 1 and not _is_depthwise(layer)


def by_input(layer: Layer, weight: Tensor) -> Tensor:
    """`weight`, a tensor in the shape of the layer's weight, as (inputs, outputs per group * kernel)."""
    groups = layer_groups(layer)
    by_group = weight.reshape(groups, len(weight) // groups, weight.shape[1], -1)
    return by_group.transpose(1, 2).flatten(2).flatten(0, 1)


@dataclass(frozen=True)
class Refusal:
    """Units that stay in the network, with the reason.

    layers  names of the layers that compute them
    reason  a clause without a full stop
    dead    number of dead units among them; None if unknown because their consumers are unknown
    """

    layers: tuple[str, ...]
    reason: str
    dead: int | None


@dataclass(frozen=True)
class Survey:
    """The units of a network: groups whose units may be removed, and units that must stay even if they are dead."""

    groups: list[UnitGroup]
    refused: list[Refusal]


def find_units(network: nn.Module, example: Tensor) -> Survey:
    """The groups of units whose dead units may be removed without changing the network's function.

    Units pass through depthwise convolutions as they pass through normalisations. These units must stay:

    - the network's outputs;
    - units of layers that run more than once per pass, or whose weight is computed or shared;
    - units of a grouped convolution with one group for each output, which torch-pruning treats as depthwise;
    - units that pass a module that mixes channels or is unknown (layer norm, attention);
    - units that torch-pruning cannot follow, or not within its limit of work.
    """
    names = {module: name for name, module in network.named_modules()}
    calls = _count_calls(network, example)
    layers = {
        name: module
        for name, module in names_and_layers(network)
        if not _is_depthwise(module) and calls[name] and module in names
    }
    try:
        graph = dependency_graph(network, example)
    except Exception as error:  # torch-pruning and the user's code may raise any type
        reason = f"torch-pruning cannot follow the network's channels ({reason_of(error)})"
        return Survey([], [Refusal(tuple(layers), reason, None)] if layers else [])
    plain = _plain_layers(network)
    survey = Survey([], [])
    covered: set[str] = set()
    for name, module in layers.items():
        if name in covered:
            continue
        count = module.weight.shape[0]
        group = UnitGroup(name, count)
        reason = ""
        try:
            items = list(graph.get_pruning_group(module, output_pruner(module), list(range(count))))
        except Exception as error:
            covered.add(name)
            text = f"torch-pruning cannot follow their channels ({reason_of(error)})"
            survey.refused.append(Refusal((name,), text, None))
            continue
        for item in items:
            target = item.dep.target.module
            part = Slice(names.get(target, ""), torch.tensor(list(item.idxs)), torch.tensor(list(item.root_idxs)))
            if isinstance(target, _LAYERS):
                reason = reason or _refusal(part.name, target, calls, plain)
                if not _is_depthwise(target):
                    outputs = graph.is_out_channel_pruning_fn(item.dep.handler)
                    (group.producers if outputs else group.consumers).append(part)
            elif target in names and not isinstance(target, _NORMS) and any(True for _ in target.parameters()):
                reason = reason or f"they pass {names[target]} ({type(target).__name__}), which may mix units"
        covered.update(part.name for part in group.producers)
        if not group.consumers and not reason:
            continue  # the network's outputs
        misfit = _misfit(network, group)
        if reason or misfit:
            dead = None if misfit else group.dead_count(network)
            survey.refused.append(Refusal(group.layers, reason or misfit, dead))
        else:
            survey.groups.append(group)
    return survey


def names_and_layers(network: nn.Module) -> list[tuple[str, Layer]]:
    """The linear and convolutional layers with their names; a layer with two names is listed once."""
    return [(name, module) for name, module in network.named_modules() if isinstance(module, _LAYERS)]


def _plain_layers(network: nn.Module) -> set[str]:
    """Names of the layers whose weight and bias are parameters of that layer only, neither computed nor shared."""
    owners = Counter(id(p) for module in network.modules() for p in module._parameters.values() if p is not None)
    plain = set()
    for name, layer in names_and_layers(network):
        own = [layer._parameters.get("weight"), layer._parameters.get("bias")]
        computed = own[0] is None or (own[1] is None and getattr(layer, "bias", None) is not None)
        if not computed and all(owners[id(parameter)] == 1 for parameter in own if parameter is not None):
            plain.add(name)
    return plain


def _refusal(name: str, layer: Layer, calls: Counter[str], plain: set[str]) -> str:
    """The reason why units that this layer computes or reads must stay; empty if they may be removed."""
    if calls[name] > 1:
        return f"{name} runs more than once"
    if calls[name] == 0:
        return f"{name} does not run as a module"
    if name not in plain:
        return f"the weight of {name} is computed or shared"
    if _taken_for_depthwise(layer):
        return f"{name} has a group for each output"
    return ""


def _misfit(network: nn.Module, group: UnitGroup) -> str:
    """The reason why a group's indices do not fit its layers and units, or empty; torch-pruning does not check them."""
    for parts, inputs in ((group.producers, False), (group.consumers, True)):
        for part in parts:
            layer = layer_of(network, part.name)
            channels = layer.weight.shape[1] * layer_groups(layer) if inputs else layer.weight.shape[0]
            valid = len(part.index) == len(part.unit) == len(torch.unique(part.index)) and len(part.index) > 0
            if not valid or not bool(((part.index >= 0) & (part.index < channels)).all()):
                return f"the channels of {part.name} do not correspond to them"
            if not bool(((part.unit >= 0) & (part.unit < group.count)).all()):
                return f"the channels of {part.name} do not correspond to them"
    return ""


def _is_depthwise(layer: Layer) -> bool:
    """Whether each output channel is one input channel convolved with its own filter."""
    return not isinstance(layer, nn.Linear) and layer.groups == layer.in_channels == layer.out_channels > 1


def _taken_for_depthwise(layer: Layer) -> bool:
    """Whether torch-pruning removes inputs and outputs of this layer together although it is not depthwise."""
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
