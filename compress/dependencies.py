"""torch-pruning's dependency graph with a limit on its work.

torch-pruning follows index lists along the edges of the autograd graph. On some networks (a local response norm, a
channel shuffle) these lists grow on every round and the traversal never ends. Here each edge counts the indices that
cross it, and the traversal raises WorkLimitError before it exhausts memory or time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

# Flattening a 7 x 7 map of 2048 channels moves about 4 * 10^5 indices; 10^6 indices take about 100 MB and some seconds.
_LARGEST_INDICES = 1_000_000  # indices that one traversal may move
_LARGEST_LOOKUPS = 2_000_000  # nodes that building a graph may look up


class WorkLimitError(RuntimeError):
    """The dependency analysis of a network needs more work than the limit allows."""


class DependencyGraph(torch_pruning.DependencyGraph):  # type: ignore[misc]  # torch-pruning has no types
    """torch-pruning's graph, which raises WorkLimitError instead of running without end."""

    def __init__(self) -> None:
        super().__init__()
        self._remaining = _LARGEST_LOOKUPS

    def build_dependency(self, *args: Any, **kwargs: Any) -> DependencyGraph:
        """Build the graph as torch-pruning does, then make every edge count its work."""
        self._remaining = _LARGEST_LOOKUPS
        super().build_dependency(*args, **kwargs)
        for node in self.module2node.values():
            for edge in node.dependencies:
                edge.index_mapping = _MeteredMappings(edge.index_mapping, self)
        return self

    def get_pruning_group(self, module: nn.Module, pruning_fn: object, idxs: list[int]) -> Any:
        """Collect a group as torch-pruning does, within one limit of work."""
        self._remaining = _LARGEST_INDICES
        return super().get_pruning_group(module, pruning_fn, idxs)

    # torch-pruning infers widths by recursion; each step looks up one node.
    def get_out_channels(self, module_or_node: object) -> Any:
        self.spend(1)
        return super().get_out_channels(module_or_node)

    def get_in_channels(self, module_or_node: object) -> Any:
        self.spend(1)
        return super().get_in_channels(module_or_node)

    def spend(self, work: int) -> None:
        """Subtract `work` from what remains of the limit. Raises WorkLimitError below 0."""
        self._remaining -= work
        if self._remaining < 0:
            raise WorkLimitError("following the channels takes more work than the limit allows")


class _MeteredMappings(list[Any]):
    """The index mappings of one edge; each counts the indices that it is about to produce."""

    def __init__(self, mappings: list[Any], graph: DependencyGraph) -> None:
        super().__init__(mappings)
        self._graph = graph

    def __iter__(self) -> Iterator[Any]:
        self._graph.spend(1)
        for mapping in super().__iter__():
            yield mapping and self._metered(mapping)

    def _metered(self, mapping: Any) -> Any:
        def mapped(indices: list[Any]) -> Any:
            # A flattening multiplies the length of the list by its stride. The work is counted before it is done.
            widens = not getattr(mapping, "reverse", False)
            self._graph.spend(len(indices) * (getattr(mapping, "_stride", 1) if widens else 1))
            return mapping(indices)

        return mapped


def dependency_graph(network: nn.Module, example: Tensor) -> DependencyGraph:
    """The traced dependencies of `network` for one input batch.

    torch-pruning follows the autograd graph, so the parameters are set to require gradients, and a caller's no_grad or
    inference_mode is switched off meanwhile. Raises WorkLimitError and any error of torch-pruning or the network.
    """
    with torch.inference_mode(False), torch.enable_grad():
        for parameter in network.parameters():
            parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
        # By default torch-pruning would first try to pass each example as a separate argument.
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
