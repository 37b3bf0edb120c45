"""Where an ONNX model's tensors lie: in the model, or in other files that it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ...errors import CorruptFileError
from ...optional import require
from ...text import printable

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, SparseTensorProto, TensorProto


def check_self_contained(model: ModelProto) -> None:
    """Raise CorruptFileError if the model names another file to read a tensor from: ours hold everything themselves."""
    require("onnx")
    from onnx import TensorProto

    external = TensorProto.EXTERNAL
    for tensor in _tensors(model):
        if tensor.data_location == external or tensor.external_data:
            where = ", ".join(f"{entry.key} {entry.value}" for entry in tensor.external_data)
            raise CorruptFileError(
                f"Tensor {printable(tensor.name[:100])} of the graph lies in another file ({printable(where[:100])}), "
                "and a bundle's graph holds all of its own; build the bundle again."
            )


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor of the model's graph, of the graphs inside it, and of the functions that it brings."""
    for graph in _graphs(model.graph):
        yield from graph.initializer
        yield from _halves(graph.sparse_initializer)
    holders: tuple[GraphProto | FunctionProto, ...] = (*_graphs(model.graph), *model.functions)
    for holder in holders:
        for node in holder.node:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)
                yield from _halves((attribute.sparse_tensor, *attribute.sparse_tensors))


def _halves(sparse: Iterable[SparseTensorProto]) -> Iterator[TensorProto]:
    for each in sparse:
        yield from (each.values, each.indices)


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    pending = [graph]
    while pending:
        graph = pending.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                pending += [attribute.g] if attribute.HasField("g") else []
                pending += attribute.graphs
