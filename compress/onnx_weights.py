"""The weights of an ONNX model, wherever it keeps them.

Weights stand in initializers, dense and sparse, of the main graph and of the graphs inside If, Loop and Scan nodes, in
Constant nodes there and in the model's functions, and, by reference, in files beside the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptFileError, InputError, reason_of
from ..files import read_bytes
from ..text import printable

if TYPE_CHECKING:
    import onnx

_LARGEST_MODEL = (1 << 31) - 1  # bytes: protobuf's own limit
_LARGEST_DENSE = 1 << 30  # elements of a sparse tensor that is written out
_LARGEST_ATTRIBUTE = 16  # elements of a tensor in an attribute that are no weights: a fill value, coefficients
_Array = NDArray[np.generic]


@dataclass(frozen=True)
class OnnxWeight:
    """One tensor of a model, and its place there.

    holder  a TensorProto, a SparseTensorProto, or an AttributeProto with a list of floats
    """

    name: str
    holder: Any

    def array(self) -> _Array:
        """The values, dense; bfloat16, float8 and 4-bit numbers as float32. Raises CorruptFileError."""
        try:
            return self._read()
        except (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError, RuntimeError) as error:
            raise CorruptFileError(
                f"Tensor {printable(self.name)} of the ONNX model cannot be read ({reason_of(error)}); export it again."
            ) from None

    def _read(self) -> _Array:
        from onnx import SparseTensorProto, TensorProto, numpy_helper

        if isinstance(self.holder, TensorProto):
            found: _Array = numpy_helper.to_array(self.holder)
        elif isinstance(self.holder, SparseTensorProto):
            values = numpy_helper.to_array(self.holder.values)
            if math.prod(self.holder.dims) > _LARGEST_DENSE or min(self.holder.dims, default=1) < 0:
                raise ValueError(f"{math.prod(self.holder.dims)} elements are too many for a dense tensor")
            found = np.zeros(tuple(self.holder.dims), dtype=values.dtype)
            found.reshape(-1)[self._places()] = values
        else:
            found = np.asarray(self.holder.floats, dtype=np.float32)
        return found.astype(np.float32) if found.dtype.kind == "V" else found

    def replace(self, values: NDArray[np.float32]) -> None:
        """Put decoded values in the place of the original ones, in their type."""
        from onnx import SparseTensorProto, TensorProto

        if isinstance(self.holder, TensorProto):
            self._put(self.holder, values)
        elif isinstance(self.holder, SparseTensorProto):
            self._put(self.holder.values, values.reshape(-1)[self._places()])
        else:
            del self.holder.floats[:]
            self.holder.floats.extend(float(value) for value in values)

    @staticmethod
    def _put(holder: Any, values: _Array) -> None:
        from onnx import numpy_helper

        kind = numpy_helper.to_array(holder).dtype
        holder.CopyFrom(numpy_helper.from_array(values.astype(kind), holder.name))

    def _places(self) -> NDArray[np.int64]:
        """Flat indices of a sparse tensor's values."""
        from onnx import numpy_helper

        places = numpy_helper.to_array(self.holder.indices).astype(np.int64)
        if places.ndim == 2:
            places = np.ravel_multi_index(tuple(places.T), tuple(self.holder.dims))
        return np.asarray(places, dtype=np.int64)


def read_model(path: Path) -> onnx.ModelProto:
    """The model with the data of files beside it.

    Raises CorruptFileError when it is not whole, and InputError when it refers to a file outside its folder.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(read_bytes(path, "ONNX model", _LARGEST_MODEL))
        for weight in find_weights(model):
            _check_location(path, weight)
        onnx.load_external_data_for_model(model, str(path.parent))
    except (DecodeError, OSError, ValueError, TypeError, onnx.checker.ValidationError) as error:
        raise CorruptFileError(f"{path} is no whole ONNX model ({reason_of(error)}); export it again.") from None
    return model


def find_weights(model: onnx.ModelProto) -> list[OnnxWeight]:
    """All of a model's tensors but whole numbers in Constant nodes, which are shapes and axes and stay in the graph.

    A tensor of an inner graph is named after the node and the attribute that hold it, one of a function after that.
    """
    found = list(_of_graph(model.graph, ""))
    for function in model.functions:
        found += _of_nodes(function.node, f"{function.name}/")
    names: set[str] = set()
    unique = []
    for weight in found:
        name, number = weight.name, 1
        while name in names:
            number += 1
            name = f"{weight.name}#{number}"
        names.add(name)
        unique.append(OnnxWeight(name, weight.holder))
    return unique


def _of_graph(graph: Any, scope: str) -> Iterator[OnnxWeight]:
    for tensor in graph.initializer:
        yield OnnxWeight(scope + tensor.name, tensor)
    for sparse in graph.sparse_initializer:
        yield OnnxWeight(scope + sparse.values.name, sparse)
    yield from _of_nodes(graph.node, scope)


def _of_nodes(nodes: Any, scope: str) -> Iterator[OnnxWeight]:
    from onnx import AttributeProto, TensorProto

    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
    for number, node in enumerate(nodes):
        inner = f"{scope}{node.name or f'{node.op_type}_{number}'}"
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _of_graph(attribute.g, f"{inner}.{attribute.name}/")
            elif attribute.type == AttributeProto.GRAPHS:
                for each, graph in enumerate(attribute.graphs):
                    yield from _of_graph(graph, f"{inner}.{attribute.name}.{each}/")
            elif node.op_type == "Constant":
                name = scope + (node.output[0] if node.output else inner)
                if attribute.type == AttributeProto.TENSOR and attribute.t.data_type in floats:
                    yield OnnxWeight(name, attribute.t)
                elif attribute.type == AttributeProto.SPARSE_TENSOR:
                    yield OnnxWeight(name, attribute.sparse_tensor)
                elif attribute.type == AttributeProto.FLOATS:
                    yield OnnxWeight(name, attribute)
            elif attribute.type == AttributeProto.TENSOR and math.prod(attribute.t.dims) > _LARGEST_ATTRIBUTE:
                raise InputError(
                    f"Node {printable(inner)} of type {printable(node.op_type)} holds the tensor "
                    f"{printable(attribute.name)} as an attribute; weights are compressed in initializers and Constant "
                    "nodes, so move it there."
                )


def _check_location(path: Path, weight: OnnxWeight) -> None:
    """Refuse data outside the model's folder: a model must not make us read any file of its choice."""
    from onnx import SparseTensorProto, TensorProto

    holder = weight.holder
    tensors = [holder.values, holder.indices] if isinstance(holder, SparseTensorProto) else [holder]
    for tensor in tensors:
        if not isinstance(tensor, TensorProto) or tensor.data_location != TensorProto.EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        folder = path.parent.resolve()
        file = (folder / location).resolve()
        if not file.is_relative_to(folder) or Path(location).is_absolute():
            raise InputError(
                f"Tensor {printable(weight.name)} of {path} refers to {printable(location)}, outside the model's "
                "folder; put its data beside the model."
            )
        if not file.is_file():
            raise InputError(
                f"Tensor {printable(weight.name)} of {path} refers to {printable(location)}, which is not there; copy "
                "it beside the model."
            )
