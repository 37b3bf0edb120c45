"""Finding a network's units: which outputs of which layers feed which inputs of which others.

torch-pruning's dependency graph traces one forward pass and follows a channel through activations, pooling,
normalisation, residual adds, flattening and concatenation. Here its groups become index arrays.
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
    """Outputs or inputs of one layer that belong to units: `index[k]` of the layer is part of unit `unit[k]`."""

    name: str
    index: Tensor
    unit: Tensor


@dataclass(eq=False)
class UnitGroup:
    """Units that live and die alone: each has its outputs in all `producers` and its inputs in all `consumers`.

    `root` is the layer whose outputs number the units.
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
        """For each unit, whether any outgoing (or else incoming) weight is not zero; bool (count,)."""
        alive = torch.zeros(self.count, dtype=torch.bool)
        for part in self.consumers if outgoing else self.producers:
            layer = layer_of(network, part.name)
            per_channel = (by_input(layer, layer.weight) if outgoing else layer.weight.flatten(1)).any(1)
            alive[part.unit[per_channel[part.index]]] = True
        return alive

    def dead_count(self, network: nn.Module) -> int:
        """How many units have no incoming or, where consumers are known, no outgoing weight."""
        dead = ~self.alive(network, outgoing=False)
        if self.consumers:
            dead |= ~self.alive(network, outgoing=True)
        return int(dead.sum())


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


@dataclass(frozen=True)
class Refusal:
    """Units that stay in the network: those of `layers`, for one reason (a clause without a full stop).

    dead  how many of them do nothing; None where that is unknown, since their listeners are
    """

    layers: tuple[str, ...]
    reason: str
    dead: int | None


@dataclass(frozen=True)
class Survey:
    """The units of a network: groups that may be removed, and units that may not though some of them do nothing."""

    groups: list[UnitGroup]
    refused: list[Refusal]


def find_units(network: nn.Module, example: Tensor) -> Survey:
    """The groups of units that may be struck out without changing what the network computes.

    Depthwise convolutions are on the way, as normalisations are: they neither make units nor end them. Left out: units
    of the network's output, of layers that run more than once a pass, of layers whose weight is computed or shared, of
    grouped convolutions that torch-pruning takes for depthwise ones because each output has a group of its own, of
    whatever passes a module that mixes channels or that we do not know (layer norm, attention), and whatever
    torch-pruning cannot follow, or not within its limit of work.
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
    except Exception as error:  # torch-pruning raises whatever its own and the user's code raise
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
    """The layers that make up units, by name; a layer with two names comes once."""
    return [(name, module) for name, module in network.named_modules() if isinstance(module, _LAYERS)]


def _plain_layers(network: nn.Module) -> set[str]:
    """Names of the layers whose weight and bias are parameters of theirs alone, neither computed nor shared."""
    owners = Counter(id(p) for module in network.modules() for p in module._parameters.values() if p is not None)
    plain = set()
    for name, layer in names_and_layers(network):
        own = [layer._parameters.get("weight"), layer._parameters.get("bias")]
        computed = own[0] is None or (own[1] is None and getattr(layer, "bias", None) is not None)
        if not computed and all(owners[id(parameter)] == 1 for parameter in own if parameter is not None):
            plain.add(name)
    return plain


def _refusal(name: str, layer: Layer, calls: Counter[str], plain: set[str]) -> str:
    """Why units of or before this layer may not be removed, or nothing."""
    if calls[name] > 1:
        return f"{name} runs more than once"
    if calls[name] == 0:
        return f"{name} does not run as a module"
    if name not in plain:
        return f"the weight of {name} is computed or shared"
    if _is_mistaken(layer):
        return f"{name} has a group for each output"
    return ""


def _misfit(network: nn.Module, group: UnitGroup) -> str:
    """Why a group's indices do not fit its layers and units, or nothing; torch-pruning does not check them."""
    for parts, inputs in ((group.producers, False), (group.consumers, True)):
        for part in parts:
            layer = layer_of(network, part.name)
            channels = layer.weight.shape[1] * layer_groups(layer) if inputs else layer.weight.shape[0]
            sound = len(part.index) == len(part.unit) == len(torch.unique(part.index)) and len(part.index) > 0
            if not sound or not bool(((part.index >= 0) & (part.index < channels)).all()):
                return f"the channels of {part.name} do not correspond to them"
            if not bool(((part.unit >= 0) & (part.unit < group.count)).all()):
                return f"the channels of {part.name} do not correspond to them"
    return ""


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
