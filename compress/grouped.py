"""Grouped convolutions when units are struck: each group must keep as many channels as the others.

A convolution of G groups over I inputs and O outputs holds its weight as (O, I / G, kernel): output o of group
o // (O / G) reads the I / G inputs of its own group. What is left of it is again a grouped convolution only if all
groups lose equally many channels, wherever these lie, or lose all and are gone. Dead units beyond that stay as zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .units import Layer, Slice, UnitGroup, is_grouped, layer_groups, layer_of


@dataclass(frozen=True)
class Side:
    """The inputs or the outputs of one grouped convolution, and which unit each channel is part of.

    owner, unit  (channels,): position in the list of unit groups, and unit in that group; owner -1 has no unit
    """

    groups: int
    owner: Tensor
    unit: Tensor

    def dead(self, masks: Sequence[Tensor]) -> Tensor:
        """Which channels are parts of dead units; bool (groups, channels a group)."""
        dead = torch.zeros(len(self.owner), dtype=torch.bool)
        for position, mask in enumerate(masks):
            here = self.owner == position
            dead[here] = mask[self.unit[here]]
        return dead.reshape(self.groups, -1)

    def revive(self, channels: Tensor, masks: Sequence[Tensor]) -> None:
        """Take the units of `channels` (bool, as `dead` gives them) out of the masks."""
        for position, mask in enumerate(masks):
            mask[self.unit[channels.flatten() & (self.owner == position)]] = False


@dataclass(frozen=True)
class GroupedLayer:
    """A grouped convolution between unit groups."""

    name: str
    inputs: Side
    outputs: Side

    def gone(self, masks: Sequence[Tensor]) -> Tensor:
        """Groups that can leave whole, having neither an input nor an output left; bool (groups,)."""
        gone = self.inputs.dead(masks).all(1) & self.outputs.dead(masks).all(1)
        if bool(gone.all()):
            gone[0] = False  # a convolution without channels cannot be run
        return gone

    def balance(self, masks: Sequence[Tensor]) -> bool:
        """Revive units until all groups that stay lose equally many; whether any had to be."""
        stays = ~self.gone(masks)
        revived = False
        for side in (self.inputs, self.outputs):
            dead = side.dead(masks)
            fewest = min(int(dead[stays].sum(1).min()), dead.shape[1] - 1)
            surplus = dead & (dead.cumsum(1) > fewest) & stays[:, None]
            side.revive(surplus, masks)
            revived |= bool(surplus.any())
        return revived

    def cut(self, layer: Layer, masks: Sequence[Tensor]) -> Tensor:
        """Flat indices in the layer's weight of what is left, in the shape of what is left (int64)."""
        stays = ~self.gone(masks)
        index = torch.arange(layer.weight.numel()).reshape(layer.weight.shape)
        rows = index.reshape(len(stays), -1, *layer.weight.shape[1:])
        parts = [
            rows[group][~outputs][:, ~inputs]
            for group, (inputs, outputs) in enumerate(
                zip(self.inputs.dead(masks), self.outputs.dead(masks), strict=True)
            )
            if stays[group]
        ]
        return torch.cat(parts)


def grouped_layers(network: nn.Module, groups: Sequence[UnitGroup]) -> list[GroupedLayer]:
    """The grouped convolutions (depthwise ones apart) that feed or are fed by units."""
    names = dict.fromkeys(
        part.name
        for group in groups
        for part in (*group.producers, *group.consumers)
        if is_grouped(layer_of(network, part.name))
    )
    return [
        GroupedLayer(
            name,
            _side(layer_of(network, name), [_parts(group.consumers, name) for group in groups], inputs=True),
            _side(layer_of(network, name), [_parts(group.producers, name) for group in groups], inputs=False),
        )
        for name in names
    ]


def balance(layers: Sequence[GroupedLayer], masks: Sequence[Tensor]) -> None:
    """Revive units in the masks of the dead until every grouped convolution can lose what is left of them."""
    revived = True
    while revived:
        revived = False
        for layer in layers:
            revived |= layer.balance(masks)


def _parts(parts: list[Slice], name: str) -> list[Slice]:
    return [part for part in parts if part.name == name]


def _side(layer: Layer, parts: list[list[Slice]], *, inputs: bool) -> Side:
    groups = layer_groups(layer)
    channels = layer.weight.shape[1] * groups if inputs else layer.weight.shape[0]
    owner, unit = torch.full((channels,), -1), torch.zeros(channels, dtype=torch.long)
    for position, slices in enumerate(parts):
        for part in slices:
            owner[part.index], unit[part.index] = position, part.unit
    return Side(groups, owner, unit)
