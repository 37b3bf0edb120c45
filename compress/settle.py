"""Prepare dead units for removal: fold their constant outputs into biases, and set their weights to zero.

A unit is dead when all its outgoing weights are zero, or when all its incoming weights are zero. In the second case its
output is a constant, which is folded into the biases of the layers that read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .probes import Probes, perturbations, run
from .units import Layer, Slice, UnitGroup, layer_groups, layer_of

_LEAK_BATCHES = 1  # only the example: this test varies the units' outputs, not the inputs
_LAST_BITS = 64.0  # in machine epsilons: a value computed in vector lanes may differ by this from one in the tail


def settle(network: nn.Module, groups: list[UnitGroup], probes: Probes) -> list[Tensor]:
    """Fold and zero dead units in place until nothing changes. Returns a mask of dead units, bool (count,), per group.

    Afterwards all incoming and outgoing weights of a dead unit are zero. Removing it then changes no output, unless an
    operation mixes units; `leaking` finds the groups where one does.
    """
    dead = [torch.zeros(group.count, dtype=torch.bool) for group in groups]
    while True:
        newly_dead = 0
        for group, mask in zip(groups, dead, strict=True):
            unused = ~group.alive(network, outgoing=True) & ~mask
            _zero_incoming(network, group, unused)
            mask |= unused
            newly_dead += int(unused.sum())
        constant_left = any(
            bool((~group.alive(network, outgoing=False) & ~mask).any())
            for group, mask in zip(groups, dead, strict=True)
        )
        if not constant_left:
            if not newly_dead:
                return dead
            continue  # there are no constants to measure, but zeroed weights may have left other units unused
        inputs = _channel_ranges(network, groups, probes.batches)
        for group, mask in zip(groups, dead, strict=True):
            constant = ~group.alive(network, outgoing=False) & ~mask
            constant &= _foldable(network, group, inputs, _LAST_BITS * probes.precision)
            _fold(network, group, constant, inputs)
            mask |= constant
            newly_dead += int(constant.sum())
        if not newly_dead:
            return dead


def leaking(network: nn.Module, groups: list[UnitGroup], dead: list[Tensor], probes: Probes) -> list[UnitGroup]:
    """The groups whose dead units still affect the outputs of a settled network.

    No layer has a weight for a dead unit, so the unit's value should not affect the outputs. If it does, an operation
    mixes it with other units: softmax, sort, cumsum, a mean or maximum over channels, a normalisation.
    """
    dead_groups = [(group, mask) for group, mask in zip(groups, dead, strict=True) if bool(mask.any())]
    if not dead_groups:
        return []
    settled = [run(network, batch) for batch in probes.batches[:_LEAK_BATCHES]]
    if not _reaches(network, dead_groups, probes, settled):
        return []
    return [group for group, mask in dead_groups if _reaches(network, [(group, mask)], probes, settled)]


def _reaches(network: nn.Module, groups: list[tuple[UnitGroup, Tensor]], probes: Probes, settled: list[Tensor]) -> bool:
    """Whether replacing the outputs of dead units changes the network's outputs.

    groups   with the mask of dead units of each
    settled  outputs of the network without replacement
    """
    for kind in range(3):
        hooks = []
        for group, mask in groups:
            for part in group.producers:
                layer = layer_of(network, part.name)
                channels = part.index[mask[part.unit]]

                def replace_outputs(
                    layer: Layer, _inputs: Any, output: Tensor, channels: Tensor = channels, kind: int = kind
                ) -> Tensor:
                    axis = channel_axis(layer, output)
                    values = perturbations(output.index_select(axis, channels).shape, output)[kind]()
                    return output.index_copy(axis, channels, values)

                hooks.append(layer.register_forward_hook(replace_outputs))
        try:
            if probes.difference(network, settled):
                return True
        finally:
            for hook in hooks:
                hook.remove()
    return False


def channel_axis(layer: Layer, values: Tensor) -> int:
    """The channel axis of a layer's inputs or outputs."""
    return values.ndim - (1 if isinstance(layer, nn.Linear) else layer.weight.ndim - 1)


def _zero_incoming(network: nn.Module, group: UnitGroup, units: Tensor) -> None:
    """Set the incoming weights and the biases of `units`, bool (count,), to zero."""
    for part in group.producers:
        layer = layer_of(network, part.name)
        rows = part.index[units[part.unit]]
        with torch.no_grad():
            layer.weight[rows] = 0
            if layer.bias is not None:
                layer.bias[rows] = 0


def _channel_ranges(
    network: nn.Module, groups: list[UnitGroup], batches: list[Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Smallest and largest value of each input channel over all batches and positions, by name of the consumer."""
    ranges: dict[str, tuple[Tensor, Tensor]] = {}

    def record(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        x = args[0] if args else kwargs["input"]
        flat = x.transpose(0, channel_axis(layer_of(network, name), x)).flatten(1)
        low, high = flat.amin(1), flat.amax(1)
        if name in ranges:
            low, high = torch.minimum(low, ranges[name][0]), torch.maximum(high, ranges[name][1])
        ranges[name] = low, high

    hooks = [
        network.get_submodule(name).register_forward_pre_hook(
            lambda _layer, args, kwargs, name=name: record(name, args, kwargs), with_kwargs=True
        )
        for name in {part.name for group in groups for part in group.consumers}
    ]
    try:
        for batch in batches:
            run(network, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return ranges


def _foldable(
    network: nn.Module, group: UnitGroup, inputs: Mapping[str, tuple[Tensor, Tensor]], last_bits: float
) -> Tensor:
    """Whether each unit arrives at all its consumers as a constant that a bias can replace; bool (count,)."""
    foldable = torch.ones(group.count, dtype=torch.bool)
    for part in group.consumers:
        low, high = (bound[part.index] for bound in inputs[part.name])
        exact = high - low <= last_bits * torch.maximum(low.abs(), high.abs())
        padding = getattr(network.get_submodule(part.name), "padding", 0)
        if isinstance(padding, str) or any(padding if isinstance(padding, tuple) else (padding,)):
            exact &= (low == 0) & (high == 0)  # at the border a padded convolution reads zeros, not the constant
        foldable[part.unit[~exact]] = False
    return foldable


def _fold(network: nn.Module, group: UnitGroup, units: Tensor, inputs: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    """Add the contribution of constant `units` to their consumers' biases, and zero their weights."""
    if not bool(units.any()):
        return
    for part in group.consumers:
        _fold_into(layer_of(network, part.name), part, units, inputs[part.name][0])
    _zero_incoming(network, group, units)


def _fold_into(layer: Layer, part: Slice, units: Tensor, constants: Tensor) -> None:
    """Fold the constants of `units` into one consumer. constants (inputs,): the value of each input channel."""
    channels = part.index[units[part.unit]]
    with torch.no_grad():
        groups = layer_groups(layer)
        width = layer.weight.shape[1]
        weight = layer.weight.reshape(groups, -1, width, *layer.weight.shape[2:])  # outputs by group
        folded = torch.zeros(groups * width, dtype=torch.float64)
        folded[channels] = constants[channels].double()
        response = weight.double().reshape(groups, -1, width, weight[0, 0, 0].numel()).sum(3)
        shift = torch.einsum("goi,gi->go", response, folded.reshape(groups, width)).flatten().to(weight.dtype)
        before: Tensor | None = layer.bias  # PyTorch's stubs omit that a layer may have no bias
        layer.bias = nn.Parameter(shift if before is None else before + shift)
        weight[channels // width, :, channels % width] = 0
