"""A graph under construction, whose values are nodes, or tensors whose elements are known.

PyTorch computes everything that depends on known tensors alone, so that constant indices, masks and sizes never reach
another library's arithmetic.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode

from .errors import RefusedError

aten = torch.ops.aten
Value: TypeAlias = fx.Node | Tensor
Number: TypeAlias = bool | int | float

# Types that PyTorch rounds to after each operator. Their values travel as float32, which holds them exactly.
HALVES = (torch.float16, torch.bfloat16)
FLOATS = (torch.float32, torch.float64)
# Integers in which other libraries lack arithmetic; operators compute in int32, and conversion wraps around.
NARROW = (torch.int8, torch.int16, torch.uint8)
TYPES = (*FLOATS, *NARROW, torch.int32, torch.int64, torch.bool)


class GraphBuilder:
    """The graph under construction, and what is known of its values.

    graph      holds all nodes; placeholders come first
    constants  the known tensors that nodes read, by their placeholders' names
    meta       what each new node's own `meta` begins with
    """

    def __init__(self) -> None:
        self.graph = fx.Graph()
        self.constants: dict[str, Tensor] = {}
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.meta: dict[str, Any] = {}  # of the operator being rewritten
        self._placeholders: dict[tuple[Any, ...], fx.Node] = {}
        self._before: fx.Node | None = None

    def placeholder(self, name: str, shape: Sequence[int], dtype: torch.dtype, *, last: bool = False) -> fx.Node:
        """An input of the graph. Constants are inserted before the one that is `last`."""
        node = self.graph.placeholder(name)
        node.meta["val"] = self._fake(shape, dtype)
        if last:
            self._before = node
        return node

    def call(self, operator: Any, *arguments: Any, **options: Any) -> Any:
        """The operator's result on values: computed now if all of them are known, else a new node."""
        values = [each for each in _leaves((arguments, options)) if isinstance(each, (fx.Node, Tensor))]
        if values and all(isinstance(each, Tensor) for each in values):
            with torch.no_grad():
                return operator(*arguments, **options)
        arguments, options = fx.node.map_aggregate((arguments, options), self._node)
        fakes = fx.node.map_aggregate((arguments, options), _fake_of)
        with self.mode, torch.no_grad():
            result = operator(*fakes[0], **fakes[1])
        node = self.graph.call_function(operator, arguments, options)
        node.meta.update(self.meta)
        node.meta["val"] = result
        return node

    def first(self, node: fx.Node) -> fx.Node:
        """The first result of an operator that has several."""
        result = self.graph.call_function(operator.getitem, (node, 0))
        result.meta.update(self.meta)
        result.meta["val"] = node.meta["val"][0]
        return result

    def output(self, value: Value) -> None:
        """End the graph."""
        node = self._node(value)
        self.graph.output((node,)).meta["val"] = (node.meta["val"],)

    # -- what is known of a value --

    @staticmethod
    def shape(value: Value) -> tuple[int, ...]:
        """Extents."""
        return tuple((value if isinstance(value, Tensor) else value.meta["val"]).shape)

    @staticmethod
    def dtype(value: Value) -> torch.dtype:
        """Type of the elements."""
        found: torch.dtype = (value if isinstance(value, Tensor) else value.meta["val"]).dtype
        return found

    def rank(self, value: Value) -> int:
        """Number of dimensions."""
        return len(self.shape(value))

    def axis(self, value: Value, axis: int) -> int:
        """A dimension's number counted from the front."""
        return axis % max(1, self.rank(value))

    def axes(self, value: Value, axes: Sequence[int] | int | None) -> list[int]:
        """Several of them in order; all for None or an empty list."""
        if axes is None or (not isinstance(axes, int) and len(axes) == 0):
            return list(range(self.rank(value)))
        return sorted({self.axis(value, each) for each in ([axes] if isinstance(axes, int) else axes)})

    @staticmethod
    def broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
        """The shape of operands of these shapes together."""
        return tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]

    def size(self, value: Value) -> int:
        """Number of elements."""
        return math.prod(self.shape(value))

    def number(self, number: Number, dtype: torch.dtype) -> Tensor:
        """A known scalar."""
        return torch.tensor(number, dtype=dtype)

    def apply(self, function: Callable[[Tensor], Tensor], shape: Sequence[int]) -> Tensor:
        """`function` of a tensor that numbers the elements of `shape`: how index arrays are made of PyTorch's views."""
        return function(torch.arange(math.prod(shape)).reshape(list(shape)))

    # -- between values and nodes --

    def _fake(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        with self.mode:
            return torch.empty(list(shape), dtype=dtype)

    def _node(self, item: Any) -> Any:
        if not isinstance(item, Tensor):
            return item
        compact = _compact(item)
        key = (compact.dtype, tuple(compact.shape), _bytes(compact))
        node = self._placeholders.get(key)
        if node is None:
            name = f"c_{len(self.constants)}"
            if self._before is None:
                raise ValueError("the graph has no input yet")
            with self.graph.inserting_before(self._before):
                node = self.placeholder(name, compact.shape, compact.dtype)
            self.constants[name] = compact
            self._placeholders[key] = node
        return node if compact.shape == item.shape else self.call(aten.expand.default, node, list(item.shape))


def _compact(tensor: Tensor) -> Tensor:
    """A copy in which dimensions that hold one element over and over have the extent one."""
    tensor = tensor.detach().cpu()
    if tensor.is_conj() or tensor.is_complex():
        raise RefusedError("computes with complex numbers")
    if tensor.layout != torch.strided:
        raise RefusedError(f"holds a tensor of layout {str(tensor.layout).removeprefix('torch.')}")
    if tensor.numel() == 0:
        return tensor.contiguous().clone()
    for axis in range(tensor.dim()):
        first = tensor.narrow(axis, 0, 1)
        if tensor.shape[axis] > 1 and _bytes(first.expand_as(tensor)) == _bytes(tensor):
            tensor = first
    return tensor.contiguous().clone()


def _bytes(tensor: Tensor) -> bytes:
    return bytes(tensor.contiguous().numpy().tobytes())


def _fake_of(item: Any) -> Any:
    return item.meta["val"] if isinstance(item, fx.Node) else item


def _leaves(item: Any) -> list[Any]:
    if isinstance(item, (list, tuple)):
        return [leaf for each in item for leaf in _leaves(each)]
    if isinstance(item, dict):
        return _leaves(list(item.values()))
    return [item]
