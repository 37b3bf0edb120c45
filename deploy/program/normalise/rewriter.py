"""The operators that the rules of the normal form are written in: few, each with a fixed meaning in every library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from .errors import RefusedError
from .graph_builder import FLOATS, HALVES, TYPES, GraphBuilder, Number, Value, aten


class Rewriter(GraphBuilder):
    """Builds the normal form of a program, rule by rule.

    whole  whether operators that ONNX has are left whole

    What rules receive about the operator that is being rewritten:

    operator             as it stands in the program
    result               PyTorch's description of its result
    original_contiguous  whether its first operand is contiguous in PyTorch
    """

    operator: Any = None
    result: Any = None
    original_contiguous: bool = True

    @property
    def result_shape(self) -> tuple[int, ...]:
        """Extents of the operator's result."""
        return tuple(self.result.shape)

    def __init__(self, *, whole: bool = False) -> None:
        super().__init__()
        self.whole = whole

    def value(self, item: Value | Number, dtype: torch.dtype) -> Value:
        """A value or Python number in this type."""
        return self.cast(item, dtype) if isinstance(item, (fx.Node, Tensor)) else self.number(item, dtype)

    def cast(self, value: Value, dtype: torch.dtype) -> Value:
        """Converted as PyTorch does; halves are rounded to, and stay float32."""
        if dtype in HALVES:
            return self.rounded(self.cast(value, torch.float32), dtype)
        if dtype not in TYPES:
            raise RefusedError(f"computes in {str(dtype).removeprefix('torch.')}")
        if self.dtype(value) == dtype:
            return value
        if dtype == torch.bool:
            return self.compare(aten.ne.Tensor, value, 0)
        found: Value = self.call(aten._to_copy.default, value, dtype=dtype)
        return found

    def rounded(self, value: Value, dtype: torch.dtype) -> Value:
        """Float32 numbers rounded to a half type; always this pair of conversions, which both importers know."""
        if isinstance(value, Tensor):
            return value.to(dtype).to(torch.float32)
        half = self.call(aten._to_copy.default, value, dtype=dtype)
        found: Value = self.call(aten._to_copy.default, half, dtype=torch.float32)
        return found

    def unary(self, operator: Any, value: Value) -> Value:
        """An elementwise function."""
        found: Value = self.call(operator, value)
        return found

    def binary(self, operator: Any, left: Value | Number, right: Value | Number) -> Value:
        """Elementwise arithmetic of two operands in their common type; a Python number never widens it."""
        dtype = self.common(left, right)
        found: Value = self.call(operator, self.value(left, dtype), self.value(right, dtype))
        return found

    compare = binary

    def common(self, *items: Value | Number) -> torch.dtype:
        """PyTorch's type for operands together."""
        stand_ins = [
            item
            if not isinstance(item, (fx.Node, Tensor))
            else torch.empty([1] * self.rank(item), dtype=self.dtype(item))
            for item in items
        ]
        found = torch.result_type(stand_ins[0], stand_ins[0] if len(stand_ins) == 1 else stand_ins[1])
        for each in stand_ins[2:]:
            found = torch.result_type(torch.empty([1], dtype=found), each)
        return found

    def add(self, left: Value | Number, right: Value | Number) -> Value:
        """Sum."""
        return self.binary(aten.add.Tensor, left, right)

    def sub(self, left: Value | Number, right: Value | Number) -> Value:
        """Difference."""
        return self.binary(aten.sub.Tensor, left, right)

    def mul(self, left: Value | Number, right: Value | Number) -> Value:
        """Product; nothing for a factor of one."""
        one = isinstance(right, (int, float)) and right == 1
        if one and isinstance(left, (fx.Node, Tensor)) and self.common(left, right) == self.dtype(left):
            return left
        return self.binary(aten.mul.Tensor, left, right)

    def div(self, left: Value | Number, right: Value | Number) -> Value:
        """Quotient of floating-point numbers."""
        return self.binary(aten.div.Tensor, left, right)

    def minimum(self, left: Value | Number, right: Value | Number) -> Value:
        """The smaller one; NaN where either is."""
        return self.binary(aten.minimum.default, left, right)

    def maximum(self, left: Value | Number, right: Value | Number) -> Value:
        """The greater one; NaN where either is."""
        return self.binary(aten.maximum.default, left, right)

    def where(self, condition: Value, yes: Value | Number, no: Value | Number) -> Value:
        """One or the other, elementwise."""
        dtype = self.common(yes, no)
        found: Value = self.call(
            aten.where.self, self.cast(condition, torch.bool), self.value(yes, dtype), self.value(no, dtype)
        )
        return found

    def less(self, left: Value | Number, right: Value | Number) -> Value:
        """Whether left < right."""
        return self.compare(aten.lt.Tensor, left, right)

    def equal(self, left: Value | Number, right: Value | Number) -> Value:
        """Whether left == right."""
        return self.compare(aten.eq.Tensor, left, right)

    def is_nan(self, value: Value) -> Value:
        """Whether a number is none."""
        if self.dtype(value) not in FLOATS:
            return torch.zeros((), dtype=torch.bool).expand(self.shape(value))
        found: Value = self.call(aten.isnan.default, value)
        return found

    def alike(self, left: Any, right: Any) -> bool:
        """Whether two nodes compute the same of the same, so that a compiler may take one for the other."""
        pairs, seen = [(left, right)], set()
        while pairs:
            left, right = pairs.pop()
            if left is right or (left, right) in seen:
                continue
            if not (isinstance(left, fx.Node) and isinstance(right, fx.Node)) or left.op != right.op:
                return False
            inner, other = left.all_input_nodes, right.all_input_nodes
            if left.op != "call_function" or left.target is not right.target or _form(left) != _form(right):
                return False
            seen.add((left, right))
            pairs += zip(inner, other, strict=True)
        return True

    def both(self, left: Value, right: Value) -> Value:
        """Logical and."""
        return self.binary(aten.logical_and.default, left, right)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """The same elements in another shape, of which every extent is given."""
        if tuple(shape) == self.shape(value):
            return value
        if isinstance(value, Tensor):
            return value.reshape(list(shape))
        found: Value = self.call(aten.view.default, self._contiguous(value), list(shape))
        return found

    def _contiguous(self, node: fx.Node) -> fx.Node:
        """The graph's operators give dense tensors in every library; PyTorch's own views only on request."""
        fake = node.meta["val"]
        if fake.is_contiguous():
            return node
        found: fx.Node = self.call(aten.clone.default, node, memory_format=torch.contiguous_format)
        return found

    def permute(self, value: Value, order: Sequence[int]) -> Value:
        """Dimensions in this order."""
        order = [self.axis(value, each) for each in order]
        if order == list(range(len(order))):
            return value
        found: Value = self.call(aten.permute.default, value, order)
        return found

    def expand(self, value: Value, shape: Sequence[int]) -> Value:
        """Extents of one repeated, and dimensions added in front."""
        old = (1,) * (len(shape) - self.rank(value)) + self.shape(value)
        target = [before if after == -1 else after for before, after in zip(old, shape, strict=True)]
        if tuple(target) == self.shape(value):
            return value
        found: Value = self.call(aten.expand.default, self.reshape(value, old), target)
        return found

    def unsqueeze(self, value: Value, axis: int) -> Value:
        """A dimension of extent one at `axis` of the result."""
        shape = list(self.shape(value))
        shape.insert(axis % (len(shape) + 1), 1)
        return self.reshape(value, shape)

    def slice(self, value: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
        """Elements from start up to stop, both within the extent."""
        axis = self.axis(value, axis)
        if (start, stop, step) == (0, self.shape(value)[axis], 1):
            return value
        found: Value = self.call(aten.slice.Tensor, value, axis, start, stop, step)
        return found

    def select(self, value: Value, axis: int, index: int) -> Value:
        """One element of a dimension, which goes away."""
        axis = self.axis(value, axis)
        index = index % self.shape(value)[axis]
        shape = self.shape(value)
        return self.reshape(self.slice(value, axis, index, index + 1), shape[:axis] + shape[axis + 1 :])

    def cat(self, values: Sequence[Value], axis: int) -> Value:
        """One after the other along an axis, in their common type."""
        dtype = self.common(*values)
        if len(values) == 1:
            return values[0]
        found: Value = self.call(
            aten.cat.default, [self.cast(each, dtype) for each in values], self.axis(values[0], axis)
        )
        return found

    def take(self, value: Value, axis: int, index: Value) -> Value:
        """Elements of an axis at the positions of a vector, all of which have to be within the extent."""
        found: Value = self.call(aten.index_select.default, value, self.axis(value, axis), index)
        return found

    def clamped_index(self, index: Value, extent: int, *, wrap: bool) -> Value:
        """int64 positions in range(extent): negative ones count from the end if `wrap`, and what is outside is clamped.

        PyTorch refuses positions outside while it runs; a compiled network has no way to, and must not read elsewhere.
        """
        index = self.cast(index, torch.int64)
        if isinstance(index, Tensor):
            low = -extent if wrap else 0
            if index.numel() and not (low <= int(index.min()) and int(index.max()) < extent):
                raise RefusedError(f"has a constant index outside of an extent of {extent}")
            return torch.where(index < 0, index + extent, index)
        if wrap:
            index = self.where(self.less(index, 0), self.add(index, extent), index)
        index = self.where(self.less(index, 0), self.number(0, torch.int64), index)
        return self.where(self.less(extent - 1, index), self.number(extent - 1, torch.int64), index)

    def sum(self, value: Value, axes: Sequence[int], *, keep: bool = False) -> Value:
        """Sum over dimensions."""
        axes = self.axes(value, axes)
        if not axes or self.rank(value) == 0:
            return value
        found: Value = self.call(aten.sum.dim_IntList, value, list(axes), keep)
        return found

    def matmul(self, left: Value, right: Value) -> Value:
        """Product of matrices, or of batches of as many."""
        operator = aten.mm.default if self.rank(left) == 2 else aten.bmm.default
        found: Value = self.call(operator, left, self.apart(left, right))
        return found

    def apart(self, left: Value, right: Value) -> Value:
        """`right`, of a product with `left`; never the same value transposed.

        TVM's fusion of transposes takes the two operands for one argument.
        """
        if isinstance(right, fx.Node) and right.target is aten.permute.default and right.args[0] is left:
            order: Any = right.args[1]
            return self.permute(self.call(aten.mul.Tensor, left, self.number(1, self.dtype(left))), order)
        return right


def _form(node: fx.Node) -> str:
    """The arguments of a node but for which nodes they are."""
    numbers = {each: number for number, each in enumerate(node.all_input_nodes)}
    return repr(fx.node.map_arg((node.args, node.kwargs), lambda each: ("node", numbers[each])))
