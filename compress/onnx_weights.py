"""Read and replace the weights of an ONNX model, wherever it stores them.

An ONNX model stores weights as dense and sparse initializers and as Constant nodes, in its main graph, in its functions
and in the subgraphs of If, Loop and Scan nodes. Their values may be in external files in the model's folder.
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
_LARGEST_DENSE = 1 << 30  # elements of a sparse tensor that is converted to a dense one
_LARGEST_ATTRIBUTE = 16  # elements; a larger tensor in an attribute holds weights, not a fill value or coefficients
_Array = NDArray[np.generic]


@dataclass(frozen=True)
class OnnxWeight:
    """One tensor of a model, and the message that holds it.

    holder  a TensorProto, a SparseTensorProto, or an AttributeProto with a list of floats
    """

    name: str
    holder: Any

    def array(self) -> _Array:
        """The values as a dense array; bfloat16, float8 and 4-bit numbers become float32. Raises CorruptFileError."""
        try:
            return self._read()
        except (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError, RuntimeError) as error:
            raise CorruptFileError(
                f"Tensor {printable(self.name)} of the ONNX model cannot be read ({reason_of(error)}); export it again."
            ) from None

    def _read(self) -> _Array:
        from onnx import SparseTensorProto, TensorProto, numpy_helper

        if isinstance(self.holder, TensorProto):
            array: _Array = numpy_helper.to_array(self.holder)
        elif isinstance(self.holder, SparseTensorProto):
            values = numpy_helper.to_array(self.holder.values)
            if math.prod(self.holder.dims) > _LARGEST_DENSE or min(self.holder.dims, default=1) < 0:
                raise ValueError(f"{math.prod(self.holder.dims)} elements are too many for a dense tensor")
            array = np.zeros(tuple(self.holder.dims), dtype=values.dtype)
            array.reshape(-1)[self._sparse_positions()] = values
        else:
            array = np.asarray(self.holder.floats, dtype=np.float32)
        return array.astype(np.float32) if array.dtype.kind == "V" else array

    def replace(self, values: NDArray[np.float32]) -> None:
        """Replace the values in the model by decoded ones, which are cast to the tensor's type."""
        from onnx import SparseTensorProto, TensorProto

        if isinstance(self.holder, TensorProto):
            self._put(self.holder, values)
        elif isinstance(self.holder, SparseTensorProto):
            self._put(self.holder.values, values.reshape(-1)[self._sparse_positions()])
        else:
            del self.holder.floats[:]
            self.holder.floats.extend(float(value) for value in values)

    @staticmethod
    def _put(holder: Any, values: _Array) -> None:
        from onnx import numpy_helper

        dtype = numpy_helper.to_array(holder).dtype
        holder.CopyFrom(numpy_helper.from_array(values.astype(dtype), holder.name))

    def _sparse_positions(self) -> NDArray[np.int64]:
        """Flat indices of a sparse tensor's values."""
        from onnx import numpy_helper

        positions = numpy_helper.to_array(self.holder.indices).astype(np.int64)
        if positions.ndim == 2:
            positions = np.ravel_multi_index(tuple(positions.T), tuple(self.holder.dims))
        return np.asarray(positions, dtype=np.int64)


def read_model(path: Path) -> onnx.ModelProto:
    """Read a model and its external data.

    Raises CorruptFileError for a damaged file, and InputError for external data outside the model's folder.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(read_bytes(path, "ONNX model", _LARGEST_MODEL))
        for weight in find_weights(model):
            _check_location(path, weight)
        onnx.load_external_data_for_model(model, str(path.parent))
    except (DecodeError, OSError, ValueError, TypeError, onnx.checker.ValidationError) as error:
        raise CorruptFileError(f"{path} is not a complete ONNX model ({reason_of(error)}); export it again.") from None
    return model


def find_weights(model: onnx.ModelProto) -> list[OnnxWeight]:
    """All tensors of a model except integers in Constant nodes, which are shapes and axes and stay in the graph.

    The name of a tensor in a subgraph starts with the node and the attribute that hold it, the name of a tensor in a
    function with the function.
    """
    weights = list(_of_graph(model.graph, ""))
    for function in model.functions:
        weights += _of_nodes(function.node, f"{function.name}/")
    names: set[str] = set()
    unique = []
    for weight in weights:
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
        node_name = f"{scope}{node.name or f'{node.op_type}_{number}'}"
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _of_graph(attribute.g, f"{node_name}.{attribute.name}/")
            elif attribute.type == AttributeProto.GRAPHS:
                for index, graph in enumerate(attribute.graphs):
                    yield from _of_graph(graph, f"{node_name}.{attribute.name}.{index}/")
            elif node.op_type == "Constant":
                name = scope + (node.output[0] if node.output else node_name)
                if attribute.type == AttributeProto.TENSOR and attribute.t.data_type in floats:
                    yield OnnxWeight(name, attribute.t)
                elif attribute.type == AttributeProto.SPARSE_TENSOR:
                    yield OnnxWeight(name, attribute.sparse_tensor)
                elif attribute.type == AttributeProto.FLOATS:
                    yield OnnxWeight(name, attribute)
            elif attribute.type == AttributeProto.TENSOR and math.prod(attribute.t.dims) > _LARGEST_ATTRIBUTE:
                raise InputError(
                    f"Node {printable(node_name)} of type {printable(node.op_type)} holds the tensor "
                    f"{printable(attribute.name)} as an attribute; move it to an initializer or a Constant node, where "
                    "weights are compressed."
                )


def _check_location(path: Path, weight: OnnxWeight) -> None:
    """Raise InputError for external data outside the model's folder: a model must not choose any file to be read."""
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
                "folder; move its data into that folder."
            )
        if not file.is_file():
            raise InputError(
                f"Tensor {printable(weight.name)} of {path} refers to {printable(location)}, which does not exist; "
                "copy it into the model's folder."
            )
