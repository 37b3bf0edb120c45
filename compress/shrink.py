"""Striking dead units from a network for good, without changing what it computes.

A unit is dead when all its outgoing weights are zero, or when all its incoming weights are: then it emits a
constant whatever the input, and that constant is folded into the biases of the layers it feeds.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import reason_of
from .grouped import balance, grouped_layers
from .units import UnitGroup, dependency_graph, find_units, layer_groups, layer_of, output_pruner

# Float32 sums in another order differ in the last bits; anything beyond is a wrong network.
_TOLERANCE = 1e-4
_LAST_BITS = 1e-6


@dataclass(frozen=True)
class Shrunk:
    """A network without its dead units.

    kept   for each tensor of the shrunk network, the flat index in the original tensor of each of its elements
           (int64, of the shrunk tensor's shape): what cuts variances down in step. A bias that had to grow to take
           up a constant counts from 0
    note   empty, or one sentence on why the network could not be shrunk and is whole
    """

    network: nn.Module
    kept: Mapping[str, Tensor]
    note: str = ""


def shrink(network: nn.Module, example: Tensor) -> Shrunk:
    """Strike the dead units of `network` (left as it is), zeros in its weights telling which they are.

    example  inputs (n >= 1, ...) that a forward pass accepts; they trace the graph and check the result
    """
    network = copy.deepcopy(network).eval()
    noise = torch.randn(example.shape, generator=torch.Generator().manual_seed(0), dtype=example.dtype)
    probe = torch.cat([example, noise])
    with torch.no_grad():
        before = network(probe)
    whole = copy.deepcopy(network)
    try:
        groups = find_units(network, example)
        network.requires_grad_(False)
        dead = _settle(network, groups, probe)
        shrunk = _strike(network, groups, dead, example)
        with torch.no_grad():
            after = shrunk.network(probe)
        difference = float((after - before).abs().max()) if after.shape == before.shape else float("inf")
    except (RuntimeError, ValueError, KeyError, AttributeError, IndexError, AssertionError) as error:
        # Whatever torch-pruning or the user's forward cannot do with fewer channels: keep the network whole.
        return Shrunk(whole, _identity(whole), f"The network was not shrunk: {reason_of(error)}.")
    if difference > _TOLERANCE * max(1.0, float(before.abs().max())):
        return Shrunk(
            whole,
            _identity(whole),
            "The network was not shrunk: without its dead units it computes otherwise.",
        )
    return shrunk


def _settle(network: nn.Module, groups: list[UnitGroup], probe: Tensor) -> list[Tensor]:
    """Fold and zero dead units in place until nothing changes; a mask of the dead (count,) for each group.

    At the end a dead unit's incoming and outgoing weights are all zero, so striking it changes nothing.
    """
    dead = [torch.zeros(group.count, dtype=torch.bool) for group in groups]
    while True:
        found = 0
        for group, gone in zip(groups, dead, strict=True):
            unheard = ~group.alive(network, outgoing=True) & ~gone
            _silence(network, group, unheard)
            gone |= unheard
            found += int(unheard.sum())
        inputs = _channel_ranges(network, groups, probe)
        for group, gone in zip(groups, dead, strict=True):
            constant = ~group.alive(network, outgoing=False) & ~gone
            constant &= _foldable(network, group, inputs)
            _fold(network, group, constant, inputs)
            gone |= constant
            found += int(constant.sum())
        if not found:
            return dead


def _silence(network: nn.Module, group: UnitGroup, units: Tensor) -> None:
    """Zero the incoming weights and biases of `units`."""
    for part in group.producers:
        layer = layer_of(network, part.name)
        rows = part.index[units[part.unit]]
        with torch.no_grad():
            layer.weight[rows] = 0
            if layer.bias is not None:
                layer.bias[rows] = 0


def _channel_ranges(network: nn.Module, groups: list[UnitGroup], probe: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Least and greatest input of each channel of each consumer over batch and space, by layer name."""
    ranges: dict[str, tuple[Tensor, Tensor]] = {}

    def record(name: str, layer: nn.Module, x: Tensor) -> None:
        axis = x.ndim - 1 if isinstance(layer, nn.Linear) else 1
        flat = x.transpose(0, axis).flatten(1)
        ranges[name] = flat.amin(1), flat.amax(1)

    hooks = []
    for name in {part.name for group in groups for part in group.consumers}:
        layer = network.get_submodule(name)
        hooks.append(layer.register_forward_pre_hook(lambda layer, args, name=name: record(name, layer, args[0])))
    try:
        with torch.no_grad():
            network(probe)
    finally:
        for hook in hooks:
            hook.remove()
    return ranges


def _foldable(network: nn.Module, group: UnitGroup, inputs: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
    """Which units reach all their consumers as one constant that a bias can stand for; bool (count,)."""
    foldable = torch.ones(group.count, dtype=torch.bool)
    for part in group.consumers:
        low, high = (bound[part.index] for bound in inputs[part.name])
        # One number computed in a vector's lanes and in its tail may differ in the last bits.
        exact = high - low <= _LAST_BITS * (1.0 + low.abs())
        padding = getattr(network.get_submodule(part.name), "padding", 0)
        if isinstance(padding, str) or any(padding if isinstance(padding, tuple) else (padding,)):
            exact &= (low == 0) & (high == 0)  # at the border a padded convolution sees zeros in place of the constant
        foldable[part.unit[~exact]] = False
    return foldable


def _fold(network: nn.Module, group: UnitGroup, units: Tensor, inputs: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    """Move what constant `units` contribute into their consumers' biases and zero their weights."""
    if not bool(units.any()):
        return
    for part in group.consumers:
        layer = layer_of(network, part.name)
        channels = part.index[units[part.unit]]
        constants = inputs[part.name][0][channels].double()
        with torch.no_grad():
            parted = layer_groups(layer)
            width = layer.weight.shape[1]
            weight = layer.weight.reshape(parted, -1, width, *layer.weight.shape[2:])  # outputs by group
            every = torch.zeros(parted * width, dtype=torch.float64)
            every[channels] = constants
            response = weight.double().reshape(parted, -1, width, weight[0, 0, 0].numel()).sum(3)
            shift = torch.einsum("goi,gi->go", response, every.reshape(parted, width)).flatten().to(weight.dtype)
            before: Tensor | None = layer.bias  # torch's stubs do not know of layers without
            layer.bias = nn.Parameter(shift if before is None else before + shift)
            weight[channels // width, :, channels % width] = 0
    _silence(network, group, units)


def _identity(network: nn.Module) -> dict[str, Tensor]:
    return {name: torch.arange(t.numel()).reshape(t.shape) for name, t in network.state_dict().items()}


def _strike(network: nn.Module, groups: list[UnitGroup], dead: list[Tensor], example: Tensor) -> Shrunk:
    """A copy of `network` without the dead units.

    While torch-pruning cuts it, every element holds its own flat index (exact in float64 up to 2^53), which
    afterwards says where each element that is left came from.
    """
    struck = copy.deepcopy(network).double()
    graph = dependency_graph(struck, example.double())
    with torch.no_grad():
        for tensor in struck.state_dict().values():
            tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape))
    # A layer without units cannot be run.
    masks = [gone & (torch.arange(len(gone)) > 0) if bool(gone.all()) else gone.clone() for gone in dead]
    parted = grouped_layers(network, groups)
    balance(parted, masks)
    for group, gone in zip(groups, masks, strict=True):
        if bool(gone.any()):
            root = struck.get_submodule(group.root)
            graph.get_pruning_group(root, output_pruner(root), gone.nonzero().flatten().tolist()).prune()
    for each in parted:  # torch-pruning takes the places in the first group for those in all
        layer = layer_of(struck, each.name)
        layer.weight = nn.Parameter(each.cut(layer_of(network, each.name), masks).double())
        layer.groups = int((~each.gone(masks)).sum())
    kept = {name: tensor.round().long() for name, tensor in struck.state_dict().items()}
    struck.to(example.dtype)
    values = network.state_dict()
    struck.load_state_dict({name: values[name].flatten()[index] for name, index in kept.items()})
    return Shrunk(struck.requires_grad_(False), kept)
