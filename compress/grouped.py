"""Removal of units from grouped convolutions: all groups must keep the same number of channels.

A convolution of G groups with I inputs and O outputs holds its weight as (O, I / G, kernel): output o belongs to group
o // (O / G) and reads the I / G inputs of that group. The remaining layer is a grouped convolution only if every group
loses the same number of channels, in any positions, or loses all its channels and is removed. Further dead units stay,
with weights of zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .units import Layer, Slice, UnitGroup, is_grouped, layer_groups, layer_of


@dataclass(frozen=True)
class Side:
    """The inputs or the outputs of one grouped convolution, with the unit of each channel.

    owner  (channels,): index into the list of unit groups; -1 for a channel without a unit
    unit   (channels,): index of the unit in that group
    """

    groups: int
    owner: Tensor
    unit: Tensor

    def dead(self, masks: Sequence[Tensor]) -> Tensor:
        """Whether each channel belongs to a dead unit; bool (groups, channels per group)."""
        dead = torch.zeros(len(self.owner), dtype=torch.bool)
        for position, mask in enumerate(masks):
            owned = self.owner == position
            dead[owned] = mask[self.unit[owned]]
        return dead.reshape(self.groups, -1)

    def revive(self, channels: Tensor, masks: Sequence[Tensor]) -> None:
        """Unmark the units of `channels` (bool, in the shape that `dead` returns) in the masks of dead units."""
        for position, mask in enumerate(masks):
            mask[self.unit[channels.flatten() & (self.owner == position)]] = False


@dataclass(frozen=True)
class GroupedLayer:
    """A grouped convolution between unit groups."""

    name: str
    inputs: Side
    outputs: Side

    def removable(self, masks: Sequence[Tensor]) -> Tensor:
        """Whether each group has only dead inputs and outputs and can be removed; bool (groups,)."""
        removable = self.inputs.dead(masks).all(1) & self.outputs.dead(masks).all(1)
        if bool(removable.all()):
            removable[0] = False  # a convolution without channels cannot run
        return removable

    def balance(self, masks: Sequence[Tensor]) -> bool:
        """Revive units until all remaining groups lose the same number. Returns whether a unit was revived."""
        stays = ~self.removable(masks)
        revived = False
        for side in (self.inputs, self.outputs):
            dead = side.dead(masks)
            fewest = min(int(dead[stays].sum(1).min()), dead.shape[1] - 1)
            surplus = dead & (dead.cumsum(1) > fewest) & stays[:, None]
            side.revive(surplus, masks)
            revived |= bool(surplus.any())
        return revived

    def cut(self, layer: Layer, masks: Sequence[Tensor]) -> Tensor:
        """For each remaining weight, its flat index in the original weight (int64, in the remaining shape)."""
        stays = ~self.removable(masks)
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
    """The grouped convolutions, except depthwise ones, that produce or consume units."""
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
    """Revive units in the masks of dead units until every grouped convolution can lose the remaining ones."""
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
