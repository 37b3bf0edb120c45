"""Removing dead units from a network for good, without changing what it computes.

Dead units are first settled (settle.py), then cut out by torch-pruning. What is left must compute the same function
(probes.py); a group of units whose removal would change it stays, and a note says so.
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

_NAMED = 3  # layers that a note names before it only counts


@dataclass(frozen=True)
class Shrunk:
    """A network without its dead units.

    kept   for each tensor of the shrunk network, the flat index in the original tensor of each of its elements
           (int64, of the shrunk tensor's shape): what cuts variances down in step. A bias that had to grow to take
           up a constant counts from 0
    notes  one sentence for each reason for which dead units had to stay
    """

    network: nn.Module
    kept: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Attempt:
    """What became of removing units: the network, or the reason and the groups at fault where they are known.

    staying   dead units that stay in the network all the same
    """

    shrunk: Shrunk | None
    reason: str = ""
    at_fault: tuple[UnitGroup, ...] = ()
    staying: list[Refusal] = field(default_factory=list)


def shrink(network: nn.Module, example: Tensor) -> Shrunk:
    """Remove the dead units of `network` (left as it is), which the zeros in its weights mark.

    example  inputs (n >= 1, ...) that a forward pass accepts; they trace the graph and check the result

    Units are dead when their outgoing or their incoming weights are all zero. The result computes what `network` does,
    output by output, at every scale of outputs; dead units whose removal would change it stay.
    """
    network = copy.deepcopy(network).eval()
    whole = Shrunk(network, {name: _places(tensor) for name, tensor in tensors_of(network).items()})
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
            # Units that died with those behind them are not counted, but there are some, or nothing had failed.
            refused.append(Refusal(group.layers, reason, max(1, group.dead_count(network))))
        groups = [group for group in groups if all(group is not other for other, _ in at_fault)]
    return Shrunk(network, whole.kept, _notes(refused))


def _notes(refused: Sequence[Refusal]) -> tuple[str, ...]:
    """One sentence for each reason for which units stay that are dead, or may be."""
    by_reason: dict[tuple[str, bool], list[str]] = {}
    for refusal in refused:
        if refusal.dead != 0:
            by_reason.setdefault((refusal.reason, refusal.dead is None), []).extend(refusal.layers)
    notes = []
    for (reason, unknown), layers in by_reason.items():
        names = [printable(name) or "the only layer" for name in dict.fromkeys(layers)]
        more = f" and {len(names) - _NAMED} more layers" if len(names) > _NAMED else ""
        what = f"{', '.join(names[:_NAMED])}{more}"
        start = f"Units of {what} stay, dead or not" if unknown else f"Dead units of {what} were not removed"
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
        shrunk, revived = _cut(settled, groups, dead, probes.batches[0])
        reason = probes.difference(shrunk.network)
        if reason:
            return _Attempt(None, reason)
        staying = _staying(settled, groups, dead, revived)
        return _Attempt(_rounded(shrunk, network), staying=staying)
    except Exception as error:  # torch-pruning, and a forward that cannot do with fewer channels, raise anything
        return _Attempt(None, f"the network does not run without them ({reason_of(error)})")


def _staying(settled: nn.Module, groups: list[UnitGroup], dead: list[Tensor], revived: list[Tensor]) -> list[Refusal]:
    """Dead units that stay, by reason; `dead` are those that `settle` found, `revived` those that `_cut` left."""
    constant = "what they emit is constant, but no bias can stand for it (where a padded layer reads it, or a product)"
    uneven = "the groups of a grouped convolution must keep equally many"
    return [
        Refusal(group.layers, reason, int(units.sum()))
        for group, gone, kept in zip(groups, dead, revived, strict=True)
        for reason, units in ((constant, ~group.alive(settled, outgoing=False) & ~gone), (uneven, kept))
    ]


def _at_fault(
    network: nn.Module, probes: Probes, groups: list[UnitGroup], failed: _Attempt
) -> list[tuple[UnitGroup, str]]:
    """Groups that are to stay for the others to be shrunk, and why: by halving, what fails by itself; else all."""
    if failed.at_fault or len(groups) == 1:
        return [(group, failed.reason) for group in failed.at_fault or groups]
    found: list[tuple[UnitGroup, str]] = []
    half = len(groups) // 2
    for part in (groups[:half], groups[half:]):
        attempt = _attempt(network, probes, part)
        if attempt.shrunk is None:
            found += _at_fault(network, probes, part, attempt)
    # Each half is sound and both together are not: the smaller one stays.
    return found or [(group, failed.reason) for group in groups[:half]]


def _places(tensor: Tensor) -> Tensor:
    return torch.arange(tensor.numel()).reshape(tensor.shape)


def _cut(
    settled: nn.Module, groups: list[UnitGroup], dead: list[Tensor], example: Tensor
) -> tuple[Shrunk, list[Tensor]]:
    """A copy of `settled` without the dead units, and the dead units that grouped convolutions keep, bool (count,).

    While torch-pruning cuts it, every element holds its own flat index (exact in float64 up to 2^53), which
    afterwards says where each element that is left came from.
    """
    values = tensors_of(settled)
    cut = copy.deepcopy(settled)
    graph = dependency_graph(cut, example)
    _convert(cut, dict.fromkeys(values, torch.float64), torch.float64)
    with torch.no_grad():
        for tensor in tensors_of(cut).values():
            if tensor.is_floating_point():
                tensor.copy_(_places(tensor))
    # A layer without units cannot be run.
    masks = [gone & (torch.arange(len(gone)) > 0) if bool(gone.all()) else gone.clone() for gone in dead]
    parted = grouped_layers(settled, groups)
    unbalanced = [mask.clone() for mask in masks]
    balance(parted, masks)
    for group, gone in zip(groups, masks, strict=True):
        if bool(gone.any()):
            root = cut.get_submodule(group.root)
            graph.get_pruning_group(root, output_pruner(root), gone.nonzero().flatten().tolist()).prune()
    for each in parted:  # torch-pruning takes the places in the first group for those in all
        layer = layer_of(cut, each.name)
        layer.weight = nn.Parameter(each.cut(layer_of(settled, each.name), masks).double())
        layer.groups = int((~each.gone(masks)).sum())
    kept = {
        name: tensor.detach().round().long() if tensor.is_floating_point() else _places(tensor)
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
    """The same with each tensor in the type that it had in `original`."""
    dtypes = {name: tensor.dtype for name, tensor in (*original.named_parameters(), *original.named_buffers())}
    _convert(shrunk.network, dtypes, next(iter(dtypes.values())))
    return shrunk


def _convert(network: nn.Module, dtypes: Mapping[str, torch.dtype], otherwise: torch.dtype) -> None:
    """Give each floating-point parameter and buffer its type, in place; biases that are new get `otherwise`."""
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.is_floating_point():
            wanted = dtypes.get(name, otherwise)
            tensor.data = tensor.data.to(wanted if wanted.is_floating_point else otherwise)
