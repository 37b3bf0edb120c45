"""Sparse convolutions and dense layers for a GPU: the arrays of sparse.py, and one work item per output.

A work item reads its output channel's entries once, and computes all sums whose maximum pooling needs. Neighbouring
work items compute neighbouring outputs, so they read the same entries and neighbouring numbers of the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from .epilogue import Epilogue, maximum_of, windows
from .function import Script, prim_func
from .geometry import ConvolutionGeometry
from .sparse import Entries, sparse_arguments

if TYPE_CHECKING:
    from tvm.ir import ExprWithOp, Var
    from tvm.tirx import PrimFunc

_GROUP = 64  # work items per group


def sparse_convolution_gpu(
    batch: int, geometry: ConvolutionGeometry, channels: int, entries: Entries, epilogue: Epilogue
) -> PrimFunc:
    """The GPU's form of sparse.sparse_convolution. If the input must be rearranged, a first kernel does that."""
    plane = geometry.outputs
    outputs = (batch, channels, *epilogue.outputs(plane))

    def body(T: Script, x: Var, values: Var, input_offsets: Var, starts: Var, value_table: Var, *arrays: Var) -> None:
        *operands, out = arrays
        source = None
        if geometry.rearranges_input:
            size = geometry.channels * geometry.channel_stride
            source = T.sblock_alloc_buffer((batch * size,), "float32")
            _for_each_item(
                T, batch * size, lambda item: T.buffer_store(source, _rearranged(T, x, item, geometry), [item])
            )

        def output(item: ExprWithOp) -> None:
            n, o, y, z = _unflattened(item, outputs)
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
                    offset = first + row * geometry.pitch + column
                    if source is not None:
                        number = source[n * (geometry.channels * geometry.channel_stride) + offset]
                    else:
                        number = x[n, 0, 0, offset]
                    T.buffer_store(sums, sums[k] + weight * number, [k])
            scaled = [entries.scaled(sums[k], value_table) for k in range(len(pixels))]
            index = [n, o, y, z]
            if epilogue.pools_first:
                T.buffer_store(out, epilogue.apply(T, maximum_of(T, scaled), index, operands), index)
            else:
                results = [
                    epilogue.apply(T, total, [n, o, *pixel], operands)
                    for total, pixel in zip(scaled, pixels, strict=True)
                ]
                T.buffer_store(out, maximum_of(T, results), index)

        _for_each_item(T, math.prod(outputs), output)

    shape = (batch, geometry.channels, *geometry.extents)
    return prim_func(sparse_arguments(shape, outputs, entries, epilogue), body)


def sparse_dense_gpu(batch: int, inputs: int, outputs: int, entries: Entries, epilogue: Epilogue) -> PrimFunc:
    """The GPU's form of sparse.sparse_dense."""

    def body(T: Script, x: Var, values: Var, input_offsets: Var, starts: Var, value_table: Var, *arrays: Var) -> None:
        *operands, out = arrays

        def output(item: ExprWithOp) -> None:
            index = [item // outputs, item % outputs]
            total = T.sblock_alloc_buffer((1,), "float32", scope="local")
            T.buffer_store(total, T.float32(0), [0])
            with T.serial(starts[index[1]], starts[index[1] + 1]) as j:
                number = entries.weight(T, values, value_table, j) * x[index[0], T.Cast("int32", input_offsets[j])]
                T.buffer_store(total, total[0] + number, [0])
            T.buffer_store(out, epilogue.apply(T, entries.scaled(total[0], value_table), index, operands), index)

        _for_each_item(T, batch * outputs, output)

    return prim_func(sparse_arguments((batch, inputs), (batch, outputs), entries, epilogue), body)


def _for_each_item(T: Script, count: int, work: Callable[[ExprWithOp], None]) -> None:
    """Emit a kernel of `count` work items. `work` is called with the number of the work item."""
    groups = T.thread_binding(0, -(-count // _GROUP), "blockIdx.x")
    with groups as block, T.thread_binding(0, _GROUP, "threadIdx.x") as thread:
        item = block * _GROUP + thread
        if count % _GROUP == 0:
            work(item)
        else:
            with T.If(item < count), T.Then():
                work(item)


def _unflattened(item: ExprWithOp, shape: tuple[int, ...]) -> list[ExprWithOp]:
    """The indices of element number `item` of an array of this shape, in C order."""
    indices: list[ExprWithOp] = []
    for extent in reversed(shape):
        indices.insert(0, item % extent)
        item = item // extent
    return indices


def _rearranged(T: Script, x: Var, item: ExprWithOp, geometry: ConvolutionGeometry) -> ExprWithOp:
    """Element number `item` of the buffer that layout.lay_out would write: an input number, or 0 in the padding."""
    window, stride = geometry.window, geometry.window.stride
    n, c, phase, row, column = _unflattened(item, (1, geometry.channels, stride[0] * stride[1], *geometry.plane))
    n = item // (geometry.channels * geometry.channel_stride)
    y = row * stride[0] + phase // stride[1] - window.before[0]
    z = column * stride[1] + phase % stride[1] - window.before[1]
    rows, columns = geometry.extents
    inside = [y >= 0, y < rows, z >= 0, z < columns]
    return T.if_then_else(T.And(T.And(inside[0], inside[1]), T.And(inside[2], inside[3])), x[n, c, y, z], T.float32(0))
