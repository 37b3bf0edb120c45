"""PrimFuncs of convolutions and dense layers whose weight is in compressed sparse rows, as decoded from a `.bpz`.

The weight is four arrays:

rows           (outputs + 1): the index of each output's first entry
input_offsets  for each entry, the offset of the number in the input that it is multiplied by (see geometry.py)
values         for each entry, its value or its level
value_table    converts levels to values (see `Entries`)

A kernel reads each output's entries once per tile of pixels, or of examples, whose sums stay in registers. The
epilogue runs before the result leaves the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .epilogue import Epilogue, store_epilogue
from .function import Script, prim_func
from .geometry import LANES, ConvolutionGeometry
from .layout import lay_out

if TYPE_CHECKING:
    from tvm.ir import ExprWithOp, Var
    from tvm.tirx import PrimFunc


@dataclass(frozen=True)
class Entries:
    """The number of stored weights, and the types of their arrays.

    values         "float32": values, and `value_table` is the number 1;
                   "int8": levels of a grid, and `value_table` is the grid's step;
                   "uint8": any other levels, read as unsigned numbers, and `value_table` has a value for each of the
                   256 levels
    input_offsets  "int32" or "uint16"
    """

    count: int
    values: str = "float32"
    input_offsets: str = "int32"

    @property
    def value_table_size(self) -> int:
        """Length of `value_table`."""
        return 256 if self.values == "uint8" else 1

    def weight(self, T: Script, values: Var, value_table: Var, j: Var) -> ExprWithOp:
        """The value of entry `j`; for a grid, its level, which `scaled` multiplies by the step."""
        if self.values == "uint8":
            return value_table[T.Cast("int32", values[j])]
        return T.Cast("float32", values[j])

    def scaled(self, total: ExprWithOp, value_table: Var) -> ExprWithOp:
        """Multiply a sum of products by the grid's step, if `weight` did not."""
        return total * value_table[0] if self.values == "int8" else total


def sparse_convolution(
    batch: int, geometry: ConvolutionGeometry, channels: int, entries: Entries, epilogue: Epilogue
) -> PrimFunc:
    """PrimFunc of (input, values, input_offsets, rows, value_table, one array per step of the epilogue, output) for
    tensors in NCHW layout.

    channels  output channels
    """
    rows, columns = geometry.outputs
    tiling = geometry.tiling
    width = tiling.lanes

    def body(T: Script, x: Var, values: Var, input_offsets: Var, starts: Var, value_table: Var, *arrays: Var) -> None:
        *operands, out = arrays
        accumulators = T.sblock_alloc_buffer((tiling.vectors * width,), "float32", scope="local")
        # The sums of one channel, for pooling and for flat vectors, whose values between the rows are dropped.
        buffered = epilogue.pool is not None or tiling.flat
        channel_sums = T.sblock_alloc_buffer((_channel_sums_size(geometry),), "float32") if buffered else None
        line = T.sblock_alloc_buffer((columns,), "float32") if epilogue.pool is not None else None
        source = T.sblock_alloc_buffer((geometry.copied_size,), "float32") if geometry.copies_input else None
        with T.serial(0, batch) as n:
            if source is not None:
                lay_out(
                    T, x, n, source, geometry.channels, geometry.extents, geometry.window, geometry.plane,
                    geometry.window.stride,
                )  # fmt: skip
            with T.serial(0, channels) as o:
                base = o // (channels // geometry.groups) * (geometry.channels // geometry.groups)
                base = base * geometry.channel_stride
                with T.serial(0, tiling.tiles) as tile:

                    def position(k: Var, lane: Var, pitch: int) -> ExprWithOp:
                        if tiling.flat:
                            return (tile * tiling.vectors + k) * width + lane
                        return _row(tile, k) * pitch + _column(tile, k) + lane

                    def _row(tile: Var, k: Var) -> ExprWithOp:
                        first = tile // tiling.parts * tiling.height
                        return T.min(first, rows - tiling.height) + k // tiling.across

                    def _column(tile: Var, k: Var) -> ExprWithOp:
                        first = (tile % tiling.parts * tiling.across + k % tiling.across) * width
                        return T.min(first, columns - width)

                    def for_each_accumulator(store: Callable[[Var, Var], None]) -> None:
                        with T.unroll(0, tiling.vectors) as k, T.vectorized(0, width) as lane:
                            store(k, lane)

                    for_each_accumulator(lambda k, lane: T.buffer_store(accumulators, T.float32(0), [k * width + lane]))
                    with T.serial(starts[o], starts[o + 1]) as j:

                        def add(k: Var, lane: Var) -> None:
                            offset = T.Cast("int32", input_offsets[j]) + base + position(k, lane, geometry.pitch)
                            # In the original input, the last index counts through all channels and rows.
                            number = source[offset] if source is not None else x[n, 0, 0, offset]
                            index = k * width + lane
                            total = accumulators[index] + entries.weight(T, values, value_table, j) * number
                            T.buffer_store(accumulators, total, [index])

                        for_each_accumulator(add)

                    def store_result(k: Var, lane: Var) -> None:
                        number = entries.scaled(accumulators[k * width + lane], value_table)
                        if channel_sums is not None:
                            T.buffer_store(channel_sums, number, [position(k, lane, columns)])
                            return
                        index = [n, o, _row(tile, k), _column(tile, k) + lane]
                        T.buffer_store(out, epilogue.apply(T, number, index, operands), index)

                    for_each_accumulator(store_result)
                if channel_sums is not None:
                    pitch = geometry.pitch if tiling.flat else columns
                    store_epilogue(
                        T, epilogue, lambda y, z: channel_sums[y * pitch + z], line, geometry.outputs, out, (n, o),
                        operands,
                    )  # fmt: skip

    shapes = (batch, geometry.channels, *geometry.extents), (batch, channels, *epilogue.outputs(geometry.outputs))
    return prim_func(sparse_arguments(*shapes, entries, epilogue), body)


def sparse_dense(batch: int, inputs: int, outputs: int, entries: Entries, epilogue: Epilogue) -> PrimFunc:
    """PrimFunc of (input, values, input_offsets, rows, value_table, one array per step of the epilogue, output) for a
    dense layer.

    A batch is computed in blocks of eight examples. The inputs of a block are transposed, so that the same input of
    eight examples is one vector.
    """

    def single(T: Script, x: Var, values: Var, input_offsets: Var, starts: Var, value_table: Var, *arrays: Var) -> None:
        *operands, out = arrays
        total = T.sblock_alloc_buffer((1,), "float32", scope="local")
        with T.serial(0, outputs) as o:
            T.buffer_store(total, T.float32(0), [0])
            with T.serial(starts[o], starts[o + 1]) as j:
                number = entries.weight(T, values, value_table, j) * x[0, T.Cast("int32", input_offsets[j])]
                T.buffer_store(total, total[0] + number, [0])
            T.buffer_store(out, epilogue.apply(T, entries.scaled(total[0], value_table), [0, o], operands), [0, o])

    def several(
        T: Script, x: Var, values: Var, input_offsets: Var, starts: Var, value_table: Var, *arrays: Var
    ) -> None:
        *operands, out = arrays
        width = next(w for w in (LANES, 4, 2) if w <= batch)
        totals = T.sblock_alloc_buffer((width,), "float32", scope="local")
        transposed = T.sblock_alloc_buffer((inputs * width,), "float32")
        with T.serial(0, -(-batch // width)) as block:
            first = T.min(block * width, batch - width)
            with T.serial(0, inputs) as i, T.serial(0, width) as lane:
                T.buffer_store(transposed, x[first + lane, i], [i * width + lane])
            with T.serial(0, outputs) as o:
                with T.vectorized(0, width) as lane:
                    T.buffer_store(totals, T.float32(0), [lane])
                with T.serial(starts[o], starts[o + 1]) as j, T.vectorized(0, width) as lane:
                    number = transposed[T.Cast("int32", input_offsets[j]) * width + lane]
                    T.buffer_store(totals, totals[lane] + entries.weight(T, values, value_table, j) * number, [lane])
                with T.serial(0, width) as lane:
                    total, index = entries.scaled(totals[lane], value_table), [first + lane, o]
                    T.buffer_store(out, epilogue.apply(T, total, index, operands), index)

    arguments = sparse_arguments((batch, inputs), (batch, outputs), entries, epilogue)
    return prim_func(arguments, single if batch == 1 else several)


def sparse_arguments(
    shape: tuple[int, ...], outputs: tuple[int, ...], entries: Entries, epilogue: Epilogue
) -> list[tuple[str, tuple[int, ...], str]]:
    """The arguments of a sparse kernel; the output is last.

    shape    shape of the input
    outputs  shape of the output
    """
    return [
        ("x", shape, "float32"), ("values", (entries.count,), entries.values),
        ("input_offsets", (entries.count,), entries.input_offsets), ("rows", (outputs[1] + 1,), "int32"),
        ("value_table", (entries.value_table_size,), "float32"),
        *((f"step{i}", operand, "float32") for i, operand in enumerate(epilogue.shapes)), ("out", outputs, "float32"),
    ]  # fmt: skip


def _channel_sums_size(geometry: ConvolutionGeometry) -> int:
    tiling, (rows, columns) = geometry.tiling, geometry.outputs
    return tiling.tiles * tiling.vectors * tiling.lanes if tiling.flat else rows * columns
