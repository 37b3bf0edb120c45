"""Remove dead units from a network without changing the function that it computes.

Dead units are settled first (settle.py), then torch-pruning removes them. The result must compute the same function
(probes.py). A group of units whose removal would change it stays, and a note gives the reason.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..errors import reason_of
from ..text import printable
from .dependencies import dependency_graph, output_pruner
from .grouped import balance, grouped_layers
from .probes import Probes, make_probes
from .settle import leaking, settle
from .tensors import tensors_of
from .units import Refusal, UnitGroup, find_units, layer_of

_NAMED = 3  # layers that a note names; the others are counted


@dataclass(frozen=True)
class Shrunk:
    """A network without its dead units.

    kept   for each tensor of the shrunk network, the flat index of each of its elements in the original tensor (int64,
           in the shrunk shape), which also selects the variances of the remaining weights. A bias that folding created
           has no original and counts from 0
    notes  one sentence for each reason why dead units stay
    """

    network: nn.Module
    kept: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Attempt:
    """The result of an attempt to remove units.

    shrunk    the network; None if the attempt failed
    reason    why it failed
    at_fault  the groups that made it fail, if known
    staying   dead units that stay in the shrunk network
    """

    shrunk: Shrunk | None
    reason: str = ""
    at_fault: tuple[UnitGroup, ...] = ()
    staying: list[Refusal] = field(default_factory=list)


def shrink(network: nn.Module, example: Tensor) -> Shrunk:
    """Remove the dead units of a copy of `network`; `network` itself is not changed.

    example  inputs (n >= 1, ...) that a forward pass accepts; they trace the graph and check the result

    A unit is dead when all its outgoing or all its incoming weights are zero. Each output of the result equals that of
    `network`, relative to the output's own size; dead units whose removal would change an output stay.
    """
    network = copy.deepcopy(network).eval()
    whole = Shrunk(network, {name: _flat_indices(tensor) for name, tensor in tensors_of(network).items()})
    try:
        probes = make_probes(network, example)
        survey = find_units(copy.deepcopy(probes.network), probes.batches[0])
    except Exception as error:  # a forward raises whatever its author's operators raise
        return Shrunk(
            network, whole.kept, (f"No units were removed: the network cannot be analysed ({reason_of(error)}).",)
        )
    if probes.blind:
        return Shrunk(network, whole.kept, ("No units were removed: outputs are NaN, and nothing can be checked.",))
    groups, refused = survey.groups, list(survey.refused)
    while groups:
        attempt = _attempt(network, probes, groups)
        if attempt.shrunk is not None:
            return Shrunk(attempt.shrunk.network, attempt.shrunk.kept, _notes(refused + attempt.staying))
        at_fault = _at_fault(network, probes, groups, attempt)
        for group, reason in at_fault:
            # dead_count misses units that are dead only because all their consumers are, but one at least exists.
            refused.append(Refusal(group.layers, reason, max(1, group.dead_count(network))))
        groups = [group for group in groups if all(group is not other for other, _ in at_fault)]
    return Shrunk(network, whole.kept, _notes(refused))


def _notes(refused: Sequence[Refusal]) -> tuple[str, ...]:
    """One sentence for each reason why units stay that are dead or may be dead."""
    by_reason: dict[tuple[str, bool], list[str]] = {}
    for refusal in refused:
        if refusal.dead != 0:
            by_reason.setdefault((refusal.reason, refusal.dead is None), []).extend(refusal.layers)
    notes = []
    for (reason, unknown), layers in by_reason.items():
        names = [printable(name) or "the only layer" for name in dict.fromkeys(layers)]
        more = f" and {len(names) - _NAMED} more layers" if len(names) > _NAMED else ""
        shown = f"{', '.join(names[:_NAMED])}{more}"
        start = f"Units of {shown} stay, dead or not" if unknown else f"Dead units of {shown} were not removed"
        notes.append(f"{start}: {reason}.")
    return tuple(notes)


def _attempt(network: nn.Module, probes: Probes, groups: list[UnitGroup]) -> _Attempt:
    """Remove the dead units of `groups`, and check the result."""
    settled = copy.deepcopy(probes.network).requires_grad_(False)
    try:
        dead = settle(settled, groups, probes)
        if mixing := leaking(settled, groups, dead, probes):
            reason = "an operation mixes them with other units or passes them on to the outputs"
            return _Attempt(None, reason, tuple(mixing))
        shrunk, revived = _remove(settled, groups, dead, probes.batches[0])
        reason = probes.difference(shrunk.network)
        if reason:
            return _Attempt(None, reason)
        staying = _staying(settled, groups, dead, revived)
        return _Attempt(_rounded(shrunk, network), staying=staying)
    except Exception as error:  # torch-pruning, or a forward that needs all channels, may raise any type
        return _Attempt(None, f"the network does not run without them ({reason_of(error)})")


def _staying(settled: nn.Module, groups: list[UnitGroup], dead: list[Tensor], revived: list[Tensor]) -> list[Refusal]:
    """Dead units that stay, by reason.

    dead     masks of the units that `settle` found dead
    revived  masks of the dead units that `_remove` kept
    """
    constant = "their outputs are constant, but no bias can replace them (a padded layer or a product reads them)"
    uneven = "the groups of a grouped convolution must keep equally many"
    return [
        Refusal(group.layers, reason, int(units.sum()))
        for group, mask, kept in zip(groups, dead, revived, strict=True)
        for reason, units in ((constant, ~group.alive(settled, outgoing=False) & ~mask), (uneven, kept))
    ]


def _at_fault(
    network: nn.Module, probes: Probes, groups: list[UnitGroup], failed: _Attempt
) -> list[tuple[UnitGroup, str]]:
    """The groups that must stay so that the others can be shrunk, with the reason; found by bisection."""
    if failed.at_fault or len(groups) == 1:
        return [(group, failed.reason) for group in failed.at_fault or groups]
    at_fault: list[tuple[UnitGroup, str]] = []
    half = len(groups) // 2
    for part in (groups[:half], groups[half:]):
        attempt = _attempt(network, probes, part)
        if attempt.shrunk is None:
            at_fault += _at_fault(network, probes, part, attempt)
    # If each half can be shrunk alone but not both together, the smaller half stays.
    return at_fault or [(group, failed.reason) for group in groups[:half]]


def _flat_indices(tensor: Tensor) -> Tensor:
    return torch.arange(tensor.numel()).reshape(tensor.shape)


def _remove(
    settled: nn.Module, groups: list[UnitGroup], dead: list[Tensor], example: Tensor
) -> tuple[Shrunk, list[Tensor]]:
    """A copy of `settled` without the dead units, and masks, bool (count,), of dead units that grouped layers keep.

    While torch-pruning removes units, every element holds its own flat index (exact in float64 up to 2^53). Afterwards
    these indices identify the remaining elements.
    """
    values = tensors_of(settled)
    cut = copy.deepcopy(settled)
    graph = dependency_graph(cut, example)
    _convert(cut, dict.fromkeys(values, torch.float64), torch.float64)
    with torch.no_grad():
        for tensor in tensors_of(cut).values():
            if tensor.is_floating_point():
                tensor.copy_(_flat_indices(tensor))
    # One unit stays in a group of dead units, because a layer without units cannot run.
    masks = [mask & (torch.arange(len(mask)) > 0) if bool(mask.all()) else mask.clone() for mask in dead]
    grouped = grouped_layers(settled, groups)
    unbalanced = [mask.clone() for mask in masks]
    balance(grouped, masks)
    for group, mask in zip(groups, masks, strict=True):
        if bool(mask.any()):
            root = cut.get_submodule(group.root)
            graph.get_pruning_group(root, output_pruner(root), mask.nonzero().flatten().tolist()).prune()
    for convolution in grouped:  # torch-pruning removes the first group's positions from every group
        layer = layer_of(cut, convolution.name)
        layer.weight = nn.Parameter(convolution.cut(layer_of(settled, convolution.name), masks).double())
        layer.groups = int((~convolution.removable(masks)).sum())
    kept = {
        name: tensor.detach().round().long() if tensor.is_floating_point() else _flat_indices(tensor)
        for name, tensor in tensors_of(cut).items()
    }
    _convert(cut, {name: tensor.dtype for name, tensor in values.items()}, example.dtype)
    with torch.no_grad():
        for name, tensor in tensors_of(cut).items():
            tensor.copy_(values[name].flatten()[kept[name]])
    return Shrunk(cut.requires_grad_(False), kept), [
        before & ~mask for before, mask in zip(unbalanced, masks, strict=True)
    ]


def _rounded(shrunk: Shrunk, original: nn.Module) -> Shrunk:
    """The shrunk network with each tensor cast to its type in `original`."""
    dtypes = {name: tensor.dtype for name, tensor in (*original.named_parameters(), *original.named_buffers())}
    _convert(shrunk.network, dtypes, next(iter(dtypes.values())))
    return shrunk


def _convert(network: nn.Module, dtypes: Mapping[str, torch.dtype], otherwise: torch.dtype) -> None:
    """Cast each floating-point parameter and buffer to its type in `dtypes`, or to `otherwise`, in place."""
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.is_floating_point():
            dtype = dtypes.get(name, otherwise)
            tensor.data = tensor.data.to(dtype if dtype.is_floating_point else otherwise)
