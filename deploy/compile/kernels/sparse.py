"""Sparse convolution and dense layers as PrimFuncs over compressed sparse rows, as they come out of a `.bpz`.

Each layer's weight is four arrays: `rows` (outputs + 1), where each output's entries begin; `input_offsets`, where in
the input an entry finds its number (see geometry.py); `values`, numbers or levels; and `value_table`, what the levels
mean (see
`Entries`). For each output a kernel walks once through its entries for a whole tile of pixels, or of examples, that it
holds in registers. What follows the layer (scales and biases by channel, a clip, pooling by maximum) is computed before
the result leaves the cache.
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
    """How many weights are stored, and in what.

    values  float32: numbers, `value_table` being the number 1; int8: levels of a grid, `value_table` being its step;
            uint8:
            levels, taken for unsigned ones, of anything else, `value_table` being the values of all 256 of them
    input_offsets  int32 or uint16
    """

    count: int
    values: str = "float32"
    input_offsets: str = "int32"

    @property
    def value_table_size(self) -> int:
        """Length of `value_table`."""
        return 256 if self.values == "uint8" else 1

    def weight(self, T: Script, values: Var, value_table: Var, j: Var) -> ExprWithOp:
        """Entry number `j`, up to a grid's step."""
        if self.values == "uint8":
            return value_table[T.Cast("int32", values[j])]
        return T.Cast("float32", values[j])

    def whole(self, total: ExprWithOp, value_table: Var) -> ExprWithOp:
        """A sum of weighted inputs, in which the step is still missing."""
        return total * value_table[0] if self.values == "int8" else total


def sparse_convolution(
    batch: int, geometry: ConvolutionGeometry, channels: int, entries: Entries, epilogue: Epilogue
) -> PrimFunc:
    """PrimFunc of (input, values, input_offsets, rows, value_table, one array for each step, output), batch and
    channels first.

    channels  of the output
    """
    rows, columns = geometry.outputs
    tiling = geometry.tiling
    width = tiling.lanes

    def body(T: Script, x: Var, values: Var, input_offsets: Var, starts: Var, value_table: Var, *rest: Var) -> None:
        *operands, out = rest
        accumulators = T.sblock_alloc_buffer((tiling.vectors * width,), "float32", scope="local")
        # Of one channel: what pooling looks back at, and what flat vectors leave behind each row.
        through = epilogue.pool is not None or tiling.flat
        held = T.sblock_alloc_buffer((_held_size(geometry),), "float32") if through else None
        line = T.sblock_alloc_buffer((columns,), "float32") if epilogue.pool is not None else None
        source = T.sblock_alloc_buffer((geometry.copied_size,), "float32") if geometry.copied else None
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

                    def place(k: Var, lane: Var, pitch: int) -> ExprWithOp:
                        if tiling.flat:
                            return (tile * tiling.vectors + k) * width + lane
                        return _row(tile, k) * pitch + _column(tile, k) + lane

                    def _row(tile: Var, k: Var) -> ExprWithOp:
                        first = tile // tiling.parts * tiling.height
                        return T.min(first, rows - tiling.height) + k // tiling.across

                    def _column(tile: Var, k: Var) -> ExprWithOp:
                        first = (tile % tiling.parts * tiling.across + k % tiling.across) * width
                        return T.min(first, columns - width)

                    def each(store: Callable[[Var, Var], None]) -> None:
                        with T.unroll(0, tiling.vectors) as k, T.vectorized(0, width) as lane:
                            store(k, lane)

                    each(lambda k, lane: T.buffer_store(accumulators, T.float32(0), [k * width + lane]))
                    with T.serial(starts[o], starts[o + 1]) as j:

                        def add(k: Var, lane: Var) -> None:
                            at = T.Cast("int32", input_offsets[j]) + base + place(k, lane, geometry.pitch)
                            # In place, a place counts through channels and rows: over the end of the first row.
                            number = source[at] if source is not None else x[n, 0, 0, at]
                            index = k * width + lane
                            total = accumulators[index] + entries.weight(T, values, value_table, j) * number
                            T.buffer_store(accumulators, total, [index])

                        each(add)

                    def keep(k: Var, lane: Var) -> None:
                        number = entries.whole(accumulators[k * width + lane], value_table)
                        if held is not None:
                            T.buffer_store(held, number, [place(k, lane, columns)])
                            return
                        at = [n, o, _row(tile, k), _column(tile, k) + lane]
                        T.buffer_store(out, epilogue.apply(T, number, at, operands), at)

                    each(keep)
                if held is not None:
                    pitch = geometry.pitch if tiling.flat else columns
                    store_epilogue(
                        T, epilogue, lambda y, z: held[y * pitch + z], line, geometry.outputs, out, (n, o), operands
                    )  # fmt: skip

    shapes = (batch, geometry.channels, *geometry.extents), (batch, channels, *epilogue.outputs(geometry.outputs))
    return prim_func(sparse_arguments(*shapes, entries, epilogue), body)


def sparse_dense(batch: int, inputs: int, outputs: int, entries: Entries, epilogue: Epilogue) -> PrimFunc:
    """PrimFunc of (input, values, input_offsets, rows, value_table, one array for each step, output) of a dense layer.

    Several examples are taken eight at a time, with the inputs turned so that the eight lie side by side.
    """

    def single(T: Script, x: Var, values: Var, input_offsets: Var, starts: Var, value_table: Var, *rest: Var) -> None:
        *operands, out = rest
        total = T.sblock_alloc_buffer((1,), "float32", scope="local")
        with T.serial(0, outputs) as o:
            T.buffer_store(total, T.float32(0), [0])
            with T.serial(starts[o], starts[o + 1]) as j:
                number = entries.weight(T, values, value_table, j) * x[0, T.Cast("int32", input_offsets[j])]
                T.buffer_store(total, total[0] + number, [0])
            T.buffer_store(out, epilogue.apply(T, entries.whole(total[0], value_table), [0, o], operands), [0, o])

    def several(T: Script, x: Var, values: Var, input_offsets: Var, starts: Var, value_table: Var, *rest: Var) -> None:
        *operands, out = rest
        width = next(w for w in (LANES, 4, 2) if w <= batch)
        totals = T.sblock_alloc_buffer((width,), "float32", scope="local")
        turned = T.sblock_alloc_buffer((inputs * width,), "float32")
        with T.serial(0, -(-batch // width)) as block:
            first = T.min(block * width, batch - width)
            with T.serial(0, inputs) as i, T.serial(0, width) as lane:
                T.buffer_store(turned, x[first + lane, i], [i * width + lane])
            with T.serial(0, outputs) as o:
                with T.vectorized(0, width) as lane:
                    T.buffer_store(totals, T.float32(0), [lane])
                with T.serial(starts[o], starts[o + 1]) as j, T.vectorized(0, width) as lane:
                    number = turned[T.Cast("int32", input_offsets[j]) * width + lane]
                    T.buffer_store(totals, totals[lane] + entries.weight(T, values, value_table, j) * number, [lane])
                with T.serial(0, width) as lane:
                    at = [first + lane, o]
                    T.buffer_store(out, epilogue.apply(T, entries.whole(totals[lane], value_table), at, operands), at)

    arguments = sparse_arguments((batch, inputs), (batch, outputs), entries, epilogue)
    return prim_func(arguments, single if batch == 1 else several)


def sparse_arguments(
    shape: tuple[int, ...], outputs: tuple[int, ...], entries: Entries, epilogue: Epilogue
) -> list[tuple[str, tuple[int, ...], str]]:
    """What a sparse kernel takes, and what it gives."""
    return [
        ("x", shape, "float32"), ("values", (entries.count,), entries.values),
        ("input_offsets", (entries.count,), entries.input_offsets), ("rows", (outputs[1] + 1,), "int32"),
        ("value_table", (entries.value_table_size,), "float32"),
        *((f"step{i}", each, "float32") for i, each in enumerate(epilogue.shapes)), ("out", outputs, "float32"),
    ]  # fmt: skip


def _held_size(geometry: ConvolutionGeometry) -> int:
    tiling, (rows, columns) = geometry.tiling, geometry.outputs
    return tiling.tiles * tiling.vectors * tiling.lanes if tiling.flat else rows * columns
