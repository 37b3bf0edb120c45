"""Taking dead units out of the arithmetic while they are still there: fold their constants, zero their weights.

A unit is dead when all its outgoing weights are zero, or when all its incoming weights are: then it emits a constant
whatever the input, and that constant goes into the biases of the layers it feeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .probes import Probes, perturbations, run
from .units import Layer, Slice, UnitGroup, layer_groups, layer_of

_LEAK_BATCHES = 1  # the example itself: what varies here is what the units emit
_LAST_BITS = 64.0  # one number computed in a vector's lanes and in its tail may differ by so many units of rounding


def settle(network: nn.Module, groups: list[UnitGroup], probes: Probes) -> list[Tensor]:
    """Fold and zero dead units in place until nothing changes; a mask of the dead (count,) for each group.

    At the end a dead unit's incoming and outgoing weights are all zero, so that removing it changes nothing, provided
    that no operation between mixes units; `leaking` finds those that do.
    """
    dead = [torch.zeros(group.count, dtype=torch.bool) for group in groups]
    while True:
        found = 0
        for group, gone in zip(groups, dead, strict=True):
            unheard = ~group.alive(network, outgoing=True) & ~gone
            _silence(network, group, unheard)
            gone |= unheard
            found += int(unheard.sum())
        constant_left = any(
            bool((~group.alive(network, outgoing=False) & ~gone).any())
            for group, gone in zip(groups, dead, strict=True)
        )
        if not constant_left:
            if not found:
                return dead
            continue  # nothing to observe, but silence may have spread
        inputs = _channel_ranges(network, groups, probes.batches)
        for group, gone in zip(groups, dead, strict=True):
            constant = ~group.alive(network, outgoing=False) & ~gone
            constant &= _foldable(network, group, inputs, _LAST_BITS * probes.precision)
            _fold(network, group, constant, inputs)
            gone |= constant
            found += int(constant.sum())
        if not found:
            return dead


def leaking(network: nn.Module, groups: list[UnitGroup], dead: list[Tensor], probes: Probes) -> list[UnitGroup]:
    """The groups whose dead units still reach the outputs of a settled network.

    Nobody has a weight for a dead unit any more, so whatever it emits, outputs stay. Where they do not, an operation
    passes its value on to others: softmax, sort, cumsum, a mean or maximum over channels, a normalisation.
    """
    together = [(group, gone) for group, gone in zip(groups, dead, strict=True) if bool(gone.any())]
    if not together:
        return []
    settled = [run(network, batch) for batch in probes.batches[:_LEAK_BATCHES]]
    if not _reaches(network, together, probes, settled):
        return []
    return [group for group, gone in together if _reaches(network, [(group, gone)], probes, settled)]


def _reaches(network: nn.Module, groups: list[tuple[UnitGroup, Tensor]], probes: Probes, settled: list[Tensor]) -> bool:
    """Whether outputs differ from those of the settled network with what the units of these groups emit."""
    for kind in range(3):
        hooks = []
        for group, gone in groups:
            for part in group.producers:
                layer = layer_of(network, part.name)
                channels = part.index[gone[part.unit]]

                def emit(
                    layer: Layer, _inputs: Any, output: Tensor, channels: Tensor = channels, kind: int = kind
                ) -> Tensor:
                    axis = channel_axis(layer, output)
                    values = perturbations(output.index_select(axis, channels).shape, output)[kind]()
                    return output.index_copy(axis, channels, values)

                hooks.append(layer.register_forward_hook(emit))
        try:
            if probes.difference(network, settled):
                return True
        finally:
            for hook in hooks:
                hook.remove()
    return False


def channel_axis(layer: Layer, values: Tensor) -> int:
    """The axis of a layer's inputs or outputs that counts channels."""
    return values.ndim - (1 if isinstance(layer, nn.Linear) else layer.weight.ndim - 1)


def _silence(network: nn.Module, group: UnitGroup, units: Tensor) -> None:
    """Zero the incoming weights and biases of `units`."""
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
    """Least and greatest input of each channel of each consumer over all batches and space, by layer name."""
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
    """Which units reach all their consumers as one constant that a bias can stand for; bool (count,)."""
    foldable = torch.ones(group.count, dtype=torch.bool)
    for part in group.consumers:
        low, high = (bound[part.index] for bound in inputs[part.name])
        exact = high - low <= last_bits * torch.maximum(low.abs(), high.abs())
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
        _fold_into(layer_of(network, part.name), part, units, inputs[part.name][0])
    _silence(network, group, units)


def _fold_into(layer: Layer, part: Slice, units: Tensor, constants: Tensor) -> None:
    """The share of one consumer. constants (inputs,): what each of its channels is"""
    channels = part.index[units[part.unit]]
    with torch.no_grad():
        parted = layer_groups(layer)
        width = layer.weight.shape[1]
        weight = layer.weight.reshape(parted, -1, width, *layer.weight.shape[2:])  # outputs by group
        every = torch.zeros(parted * width, dtype=torch.float64)
        every[channels] = constants[channels].double()
        response = weight.double().reshape(parted, -1, width, weight[0, 0, 0].numel()).sum(3)
        shift = torch.einsum("goi,gi->go", response, every.reshape(parted, width)).flatten().to(weight.dtype)
        before: Tensor | None = layer.bias  # torch's stubs do not know of layers without
        layer.bias = nn.Parameter(shift if before is None else before + shift)
        weight[channels // width, :, channels % width] = 0
