"""torch-pruning's dependency graph, built and traversed under a limit of work.

torch-pruning follows index lists along the edges of the autograd graph. On some networks (a local response norm, a
channel shuffle) its lists grow on every round and the traversal never ends. Each edge here counts the indices that
cross it, and the traversal stops with a WorkLimitError before memory or time run away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

# One traversal may move so many indices, and building a graph may look up so many nodes. A 7 x 7 map of 2048 channels
# that is flattened moves about 4 * 10^5 indices; 10^6 take about 100 MB and some seconds.
_INDICES = 1_000_000
_LOOKUPS = 2_000_000


class WorkLimitError(RuntimeError):
    """The dependency analysis of a network needs more work than the limit allows."""


class DependencyGraph(torch_pruning.DependencyGraph):  # type: ignore[misc]  # torch-pruning has no types
    """The same graph, which raises WorkLimitError in place of running without end."""

    def __init__(self) -> None:
        super().__init__()
        self._left = _LOOKUPS

    def build_dependency(self, *args: Any, **kwargs: Any) -> DependencyGraph:
        """As torch-pruning's; afterwards every edge is metered."""
        self._left = _LOOKUPS
        super().build_dependency(*args, **kwargs)
        for node in self.module2node.values():
            for edge in node.dependencies:
                edge.index_mapping = _MeteredMappings(edge.index_mapping, self)
        return self

    def get_pruning_group(self, module: nn.Module, pruning_fn: object, idxs: list[int]) -> Any:
        """As torch-pruning's, for one limit of work."""
        self._left = _INDICES
        return super().get_pruning_group(module, pruning_fn, idxs)

    # torch-pruning infers widths by recursion; each step of it looks up one node.
    def get_out_channels(self, module_or_node: object) -> Any:
        self.spend(1)
        return super().get_out_channels(module_or_node)

    def get_in_channels(self, module_or_node: object) -> Any:
        self.spend(1)
        return super().get_in_channels(module_or_node)

    def spend(self, work: int) -> None:
        """Count `work`; raises WorkLimitError when none is left."""
        self._left -= work
        if self._left < 0:
            raise WorkLimitError("following the channels takes more work than the limit allows")


class _MeteredMappings(list[Any]):
    """The index mappings of one edge, of which each counts what it is about to produce."""

    def __init__(self, mappings: list[Any], graph: DependencyGraph) -> None:
        super().__init__(mappings)
        self._graph = graph

    def __iter__(self) -> Iterator[Any]:
        self._graph.spend(1)
        for mapping in super().__iter__():
            yield mapping and self._metered(mapping)

    def _metered(self, mapping: Any) -> Any:
        def mapped(indices: list[Any]) -> Any:
            # A flattening multiplies the list by its stride; counted before the list is made.
            widens = not getattr(mapping, "reverse", False)
            self._graph.spend(len(indices) * (getattr(mapping, "_stride", 1) if widens else 1))
            return mapping(indices)

        return mapped


def dependency_graph(network: nn.Module, example: Tensor) -> DependencyGraph:
    """The traced dependencies of `network` for one input batch.

    torch-pruning follows the autograd graph, so the parameters are made to require gradients, and a caller's
    no_grad or inference_mode is set aside. Raises whatever torch-pruning raises, and WorkLimitError.
    """
    with torch.inference_mode(False), torch.enable_grad():
        for parameter in network.parameters():
            parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
        # A plain call: torch-pruning would first try to pass each example as an argument of its own.
        return DependencyGraph().build_dependency(
            network, example.clone(), forward_fn=lambda network, inputs: network(inputs), verbose=False
        )


def output_pruner(layer: nn.Module) -> object:
    """torch-pruning's function that removes outputs of this kind of layer."""
    return (
        torch_pruning.prune_linear_out_channels
        if isinstance(layer, nn.Linear)
        else torch_pruning.prune_conv_out_channels
    )
