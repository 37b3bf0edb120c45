"""Dense convolutions with output channels along the lanes of vectors.

A tile is a few pixels by a few vectors of output channels, all held in registers. For each element of the kernel it
takes those vectors of weights, which packing has laid side by side, and one input number for each pixel, spread over
the lanes: few loads for many multiply-adds, whatever the stride, and channels and pixels that do not come in multiples
of eight cost only the vector that they do not fill.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .epilogue import Epilogue, greatest, store_epilogue, windows
from .function import Script, prim_func
from .geometry import Window
from .layout import lay_out

if TYPE_CHECKING:
    from tvm.ir import ExprWithOp, Var
    from tvm.tirx import PrimFunc

    from .function import Index


@dataclass(frozen=True)
class Registers:
    """A processor's vectors: how many floats each holds, and how many of them there are."""

    lanes: int
    count: int


@dataclass(frozen=True)
class Tile:
    """`rows` by `columns` pixels of `vectors` times `lanes` output channels."""

    lanes: int
    vectors: int
    rows: int
    columns: int

    @property
    def channels(self) -> int:
        """Output channels of a tile."""
        return self.lanes * self.vectors

    def count(self, channels: int, outputs: tuple[int, int]) -> int:
        """Tiles of a whole output, the last of each row and column overlapping their neighbours."""
        return -(-channels // self.channels) * -(-outputs[0] // self.rows) * -(-outputs[1] // self.columns)


def tile_for(channels: int, outputs: tuple[int, int], registers: Registers) -> Tile:
    """The tile that takes the fewest instructions for an element of the kernel over the whole output."""
    rows, columns = outputs
    best: tuple[float, Tile] | None = None
    for lanes in {registers.lanes, max(1, registers.lanes // 2), max(1, registers.lanes // 4)}:
        for vectors in range(1, 5):
            for height in range(1, min(rows, 4) + 1):
                # Beside the sums a tile needs its weights and one number of the input.
                width = min(columns, (registers.count - vectors - 1) // (vectors * height))
                if width == 0:
                    continue
                # As many tiles as that takes, but no wider than need be.
                tile = Tile(lanes, vectors, height, -(-columns // -(-columns // width)))
                pixels = tile.rows * tile.columns
                # Two multiply-adds a cycle, of which eight have to be under way; loads are nearly free, but not quite.
                cycles = max(pixels * vectors / 2, 4.0) + 0.2 * pixels + 0.6 * vectors
                cost = cycles * tile.count(channels, outputs)
                if best is None or cost < best[0]:
                    best = cost, tile
    if best is None:
        raise ValueError(f"no tile for {registers.count} registers")
    return best[1]


def packed_shape(shape: tuple[int, ...], tile: Tile) -> tuple[int, int, int]:
    """What a weight (outputs, inputs, rows, columns) is packed to: blocks of outputs, elements (inputs last), outputs
    of a block.
    """
    return -(-shape[0] // tile.channels), math.prod(shape[1:]), tile.channels


def pack(shape: tuple[int, ...], tile: Tile) -> PrimFunc:
    """PrimFunc of (weight, packed weight), run once when weights are loaded; what no output fills is 0."""
    blocks, elements, across = packed_shape(shape, tile)
    outputs, inputs, _, width = shape

    def body(T: Script, weight: Var, packed: Var) -> None:
        with T.serial(0, blocks) as b, T.serial(0, elements) as e, T.serial(0, across) as k:
            output = b * across + k
            number = weight[output, e % inputs, e // inputs // width, e // inputs % width]
            if outputs % across:
                number = T.if_then_else(output < outputs, number, T.float32(0))
            T.buffer_store(packed, number, [b, e, k])

    return prim_func([("weight", shape, "float32"), ("packed", (blocks, elements, across), "float32")], body)


def blocked_convolution(
    batch: int, inputs: tuple[int, int, int], window: Window, outputs: int, tile: Tile, epilogue: Epilogue
) -> PrimFunc:
    """PrimFunc of (input, packed weight, one array for each step of the epilogue, output), batch and channels first.

    inputs  channels, rows, columns
    """
    channels, *extents = inputs
    plane = window.outputs((extents[0], extents[1]))
    blocks, elements, across = packed_shape((outputs, channels, *window.kernel), tile)
    pixels, lanes, size = tile.rows * tile.columns, tile.lanes, math.prod(plane)
    bordered = window.before != (0, 0) or window.after != (0, 0)
    read = _extents_read(window, plane)
    pooled = epilogue.pool is not None

    def body(T: Script, x: Var, weight: Var, *rest: Var) -> None:
        *operands, out = rest
        sums = T.sblock_alloc_buffer((pixels * across,), "float32", scope="local")
        held = T.sblock_alloc_buffer(((size if pooled else pixels) * across,), "float32")
        line = T.sblock_alloc_buffer((plane[1],), "float32") if pooled else None
        maxima = T.sblock_alloc_buffer((math.prod(epilogue.outputs(plane)) * across,), "float32") if pooled else None
        source = T.sblock_alloc_buffer((channels * math.prod(read),), "float32") if bordered else None

        def number(n: Index, c: Index, row: Index, column: Index) -> ExprWithOp:
            return x[n, c, row, column] if source is None else source[(c * read[0] + row) * read[1] + column]

        def add_up(n: Var, block: Var, top: ExprWithOp, left: ExprWithOp) -> None:
            """All of the kernel's elements, into `sums`: pixels, then channels."""
            with T.unroll(0, pixels * tile.vectors) as k, T.vectorized(0, lanes) as lane:
                T.buffer_store(sums, T.float32(0), [k * lanes + lane])
            rows, columns = window.kernel
            # Inputs innermost: LLVM would unroll a short loop over columns, and run out of registers.
            with T.serial(0, rows) as p, T.serial(0, columns) as q, T.serial(0, channels) as c:
                element = (p * columns + q) * channels + c
                with T.unroll(0, pixels) as pixel, T.unroll(0, tile.vectors) as v, T.vectorized(0, lanes) as lane:
                    y, z = top + pixel // tile.columns, left + pixel % tile.columns
                    place = y * window.stride[0] + p * window.dilation[0], z * window.stride[1] + q * window.dilation[1]
                    at = (pixel * tile.vectors + v) * lanes + lane
                    product = number(n, c, *place) * weight[block, element, v * lanes + lane]
                    T.buffer_store(sums, sums[at] + product, [at])

        def hand_over(n: Var, block: Var, top: ExprWithOp, left: ExprWithOp) -> None:
            """A tile's sums to the output, or to the planes that pooling looks back at. By way of memory: a place that
            is only known at run time would keep the sums from staying in registers.
            """
            with T.unroll(0, pixels) as k, T.unroll(0, tile.vectors) as v, T.vectorized(0, lanes) as lane:
                place = (top + k // tile.columns) * plane[1] + left + k % tile.columns if pooled else k
                T.buffer_store(held, sums[(k * tile.vectors + v) * lanes + lane], [place * across + v * lanes + lane])
            if pooled:
                return
            live = T.min(across, outputs - block * across)
            with T.serial(0, live) as lane, T.serial(0, tile.rows) as y, T.serial(0, tile.columns) as z:
                index = [n, block * across + lane, top + y, left + z]
                total = held[(y * tile.columns + z) * across + lane]
                T.buffer_store(out, epilogue.apply(T, total, index, operands), index)

        def pool(n: Var, block: Var) -> None:
            """Maxima of all channels of a block at once, where the epilogue allows that, and only then by channel."""
            window, rows = epilogue.pool, epilogue.outputs(plane)
            if epilogue.pools_first and window is not None and maxima is not None:
                down, along = windows(T, window, plane)
                with T.serial(0, rows[0]) as y, T.serial(0, rows[1]) as z:
                    positions = [row * plane[1] + column for row in down(y) for column in along(z)]
                    with T.unroll(0, tile.vectors) as v, T.vectorized(0, lanes) as lane:
                        channel = v * lanes + lane
                        most = greatest(T, [held[place * across + channel] for place in positions])
                        T.buffer_store(maxima, most, [(y * rows[1] + z) * across + channel])
            with T.serial(0, T.min(across, outputs - block * across)) as lane:
                at = n, block * across + lane
                if not epilogue.pools_first:
                    sums_of = lambda y, z: held[(y * plane[1] + z) * across + lane]  # noqa: E731
                    store_epilogue(T, epilogue, sums_of, line, plane, out, at, operands)
                    return
                with T.serial(0, rows[0]) as y, T.serial(0, rows[1]) as z:
                    if maxima is None:
                        raise ValueError("there is no pooling")
                    total = maxima[(y * rows[1] + z) * across + lane]
                    T.buffer_store(out, epilogue.apply(T, total, [*at, y, z], operands), [*at, y, z])

        with T.serial(0, batch) as n:
            if source is not None:
                lay_out(T, x, n, source, channels, (extents[0], extents[1]), window, read)
            with T.serial(0, blocks) as block:
                with T.serial(0, -(-plane[0] // tile.rows)) as i, T.serial(0, -(-plane[1] // tile.columns)) as j:
                    top, left = (
                        T.min(step * many, most - many)
                        for step, many, most in ((i, tile.rows, plane[0]), (j, tile.columns, plane[1]))
                    )
                    add_up(n, block, top, left)
                    hand_over(n, block, top, left)
                if pooled:
                    pool(n, block)

    arguments = [
        ("x", (batch, *inputs), "float32"), ("weight", (blocks, elements, across), "float32"),
        *((f"step{i}", shape, "float32") for i, shape in enumerate(epilogue.shapes)),
        ("out", (batch, outputs, *epilogue.outputs(plane)), "float32"),
    ]  # fmt: skip
    return prim_func(arguments, body)


def _extents_read(window: Window, plane: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the bordered input that some output looks at."""
    rows, columns = (
        (n - 1) * s + (k - 1) * d + 1
        for n, s, k, d in zip(plane, window.stride, window.kernel, window.dilation, strict=True)
    )
    return rows, columns
