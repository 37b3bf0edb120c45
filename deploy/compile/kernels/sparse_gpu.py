"""Sparse convolution and dense layers for a GPU: the arrays of sparse.py, and one work item an output.

A work item walks through its output channel's entries once, for all the sums that pooling takes the maximum of.
Neighbouring items have neighbouring outputs, so what they read of the input lies side by side, and the entry is the
same for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from .epilogue import Epilogue, greatest, windows
from .function import Script, prim_func
from .geometry import ConvolutionGeometry
from .sparse import Entries, sparse_arguments

if TYPE_CHECKING:
    from tvm.ir import ExprWithOp, Var
    from tvm.tirx import PrimFunc

_GROUP = 64  # work items of a group


def sparse_convolution_gpu(
    batch: int, geometry: ConvolutionGeometry, channels: int, entries: Entries, epilogue: Epilogue
) -> PrimFunc:
    """As sparse.sparse_convolution; a second kernel before it where the input has to be laid out anew."""
    plane = geometry.outputs
    outputs = (batch, channels, *epilogue.outputs(plane))

    def body(T: Script, x: Var, values: Var, input_offsets: Var, starts: Var, value_table: Var, *rest: Var) -> None:
        *operands, out = rest
        source = None
        if geometry.moved:
            size = geometry.channels * geometry.channel_stride
            source = T.sblock_alloc_buffer((batch * size,), "float32")
            _items(T, batch * size, lambda item: T.buffer_store(source, _laid_out(T, x, item, geometry), [item]))

        def output(item: ExprWithOp) -> None:
            n, o, y, z = _place(item, outputs)
            pixels = [(y, z)]
            if epilogue.pool is not None:
                rows, columns = windows(T, epilogue.pool, plane)
                pixels = [(row, column) for row in rows(y) for column in columns(z)]
            sums = T.sblock_alloc_buffer((len(pixels),), "float32", scope="local")
            for k in range(len(pixels)):
                T.buffer_store(sums, T.float32(0), [k])
            group = o // (channels // geometry.groups) * (geometry.channels // geometry.groups)
            with T.serial(starts[o], starts[o + 1]) as j:
                first = T.Cast("int32", input_offsets[j]) + group * geometry.channel_stride
                weight = entries.weight(T, values, value_table, j)
                for k, (row, column) in enumerate(pixels):
                    place = first + row * geometry.pitch + column
                    if source is not None:
                        number = source[n * (geometry.channels * geometry.channel_stride) + place]
                    else:
                        number = x[n, 0, 0, place]
                    T.buffer_store(sums, sums[k] + weight * number, [k])
            whole = [entries.whole(sums[k], value_table) for k in range(len(pixels))]
            at = [n, o, y, z]
            if epilogue.pools_first:
                T.buffer_store(out, epilogue.apply(T, greatest(T, whole), at, operands), at)
            else:
                each = zip(whole, pixels, strict=True)
                T.buffer_store(out, greatest(T, [epilogue.apply(T, s, [n, o, *p], operands) for s, p in each]), at)

        _items(T, math.prod(outputs), output)

    shape = (batch, geometry.channels, *geometry.extents)
    return prim_func(sparse_arguments(shape, outputs, entries, epilogue), body)


def sparse_dense_gpu(batch: int, inputs: int, outputs: int, entries: Entries, epilogue: Epilogue) -> PrimFunc:
    """As sparse.sparse_dense."""

    def body(T: Script, x: Var, values: Var, input_offsets: Var, starts: Var, value_table: Var, *rest: Var) -> None:
        *operands, out = rest

        def output(item: ExprWithOp) -> None:
            at = [item // outputs, item % outputs]
            total = T.sblock_alloc_buffer((1,), "float32", scope="local")
            T.buffer_store(total, T.float32(0), [0])
            with T.serial(starts[at[1]], starts[at[1] + 1]) as j:
                number = entries.weight(T, values, value_table, j) * x[at[0], T.Cast("int32", input_offsets[j])]
                T.buffer_store(total, total[0] + number, [0])
            T.buffer_store(out, epilogue.apply(T, entries.whole(total[0], value_table), at, operands), at)

        _items(T, batch * outputs, output)

    return prim_func(sparse_arguments((batch, inputs), (batch, outputs), entries, epilogue), body)


def _items(T: Script, count: int, work: Callable[[ExprWithOp], None]) -> None:
    """A kernel of `count` work items."""
    groups = T.thread_binding(0, -(-count // _GROUP), "blockIdx.x")
    with groups as block, T.thread_binding(0, _GROUP, "threadIdx.x") as thread:
        item = block * _GROUP + thread
        if count % _GROUP == 0:
            work(item)
        else:
            with T.If(item < count), T.Then():
                work(item)


def _place(item: ExprWithOp, shape: tuple[int, ...]) -> list[ExprWithOp]:
    """Indices of element number `item`."""
    indices: list[ExprWithOp] = []
    for extent in reversed(shape):
        indices.insert(0, item % extent)
        item = item // extent
    return indices


def _laid_out(T: Script, x: Var, item: ExprWithOp, geometry: ConvolutionGeometry) -> ExprWithOp:
    """Element number `item` of what layout.lay_out would write: of the input, or of its border of zeros."""
    window, stride = geometry.window, geometry.window.stride
    n, c, phase, row, column = _place(item, (1, geometry.channels, stride[0] * stride[1], *geometry.plane))
    n = item // (geometry.channels * geometry.channel_stride)
    y = row * stride[0] + phase // stride[1] - window.before[0]
    z = column * stride[1] + phase % stride[1] - window.before[1]
    rows, columns = geometry.extents
    inside = [y >= 0, y < rows, z >= 0, z < columns]
    return T.if_then_else(T.And(T.And(inside[0], inside[1]), T.And(inside[2], inside[3])), x[n, c, y, z], T.float32(0))
