"""Dense convolutions whose vectors run along output channels.

A tile is a few pixels by a few vectors of output channels. Its sums stay in registers. For each element of the
convolution kernel, the tile loads its vectors of weights, which packing stores side by side, and one input number per
pixel, which it broadcasts to all lanes. So it needs few loads for many multiply-adds, with any stride. If the number of
channels or pixels is not a multiple of the tile, only the last vector or tile is partly wasted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .epilogue import Epilogue, maximum_of, store_epilogue, windows
from .function import Script, prim_func
from .geometry import Window
from .layout import lay_out

if TYPE_CHECKING:
    from tvm.ir import ExprWithOp, Var
    from tvm.tirx import PrimFunc

    from .function import Index


@dataclass(frozen=True)
class Registers:
    """A processor's vector registers.

    lanes  floats per register
    count  number of registers
    """

    lanes: int
    count: int


@dataclass(frozen=True)
class Tile:
    """A tile of outputs: `rows` by `columns` pixels of `vectors` times `lanes` output channels."""

    lanes: int
    vectors: int
    rows: int
    columns: int

    @property
    def channels(self) -> int:
        """Output channels per tile."""
        return self.lanes * self.vectors

    def count(self, channels: int, outputs: tuple[int, int]) -> int:
        """Number of tiles that cover an output. The last tile of a row or column may overlap its neighbour."""
        return -(-channels // self.channels) * -(-outputs[0] // self.rows) * -(-outputs[1] // self.columns)


def tile_for(channels: int, outputs: tuple[int, int], registers: Registers) -> Tile:
    """The tile with the fewest estimated cycles for one element of the convolution kernel, over the whole output.

    outputs  rows and columns of the output
    """
    rows, columns = outputs
    best: tuple[float, Tile] | None = None
    for lanes in {registers.lanes, max(1, registers.lanes // 2), max(1, registers.lanes // 4)}:
        for vectors in range(1, 5):
            for height in range(1, min(rows, 4) + 1):
                # Apart from the sums, a tile needs registers for its weights and for one number of the input.
                width = min(columns, (registers.count - vectors - 1) // (vectors * height))
                if width == 0:
                    continue
                # The number of tiles per row is fixed now; make them as narrow as this number allows.
                tile = Tile(lanes, vectors, height, -(-columns // -(-columns // width)))
                pixels = tile.rows * tile.columns
                # A model of a typical core: two vector multiply-adds per cycle, at least eight in flight to hide their
                # latency, and a small cost for each load.
                cycles = max(pixels * vectors / 2, 4.0) + 0.2 * pixels + 0.6 * vectors
                cost = cycles * tile.count(channels, outputs)
                if best is None or cost < best[0]:
                    best = cost, tile
    if best is None:
        raise ValueError(f"no tile for {registers.count} registers")
    return best[1]


def packed_shape(shape: tuple[int, ...], tile: Tile) -> tuple[int, int, int]:
    """Shape of a packed weight: (blocks of outputs, elements of the convolution kernel, outputs per block).

    shape  shape of the weight: (outputs, inputs, rows, columns); among the packed elements, inputs vary fastest
    """
    return -(-shape[0] // tile.channels), math.prod(shape[1:]), tile.channels


def pack(shape: tuple[int, ...], tile: Tile) -> PrimFunc:
    """PrimFunc of (weight, packed weight). It runs once, when weights are loaded, and pads the last block with 0."""
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
    """PrimFunc of (input, packed weight, one array per step of the epilogue, output) for tensors in NCHW layout.

    inputs   channels, rows and columns of the input
    outputs  number of output channels
    """
    channels, *extents = inputs
    plane = window.outputs((extents[0], extents[1]))
    blocks, elements, across = packed_shape((outputs, channels, *window.kernel), tile)
    pixels, lanes, size = tile.rows * tile.columns, tile.lanes, math.prod(plane)
    bordered = window.before != (0, 0) or window.after != (0, 0)
    read = _extents_read(window, plane)
    pooled = epilogue.pool is not None

    def body(T: Script, x: Var, weight: Var, *arrays: Var) -> None:
        *operands, out = arrays
        sums = T.sblock_alloc_buffer((pixels * across,), "float32", scope="local")
        staged = T.sblock_alloc_buffer(((size if pooled else pixels) * across,), "float32")
        line = T.sblock_alloc_buffer((plane[1],), "float32") if pooled else None
        maxima = T.sblock_alloc_buffer((math.prod(epilogue.outputs(plane)) * across,), "float32") if pooled else None
        source = T.sblock_alloc_buffer((channels * math.prod(read),), "float32") if bordered else None

        def number(n: Index, c: Index, row: Index, column: Index) -> ExprWithOp:
            return x[n, c, row, column] if source is None else source[(c * read[0] + row) * read[1] + column]

        def add_up(n: Var, block: Var, top: ExprWithOp, left: ExprWithOp) -> None:
            """Compute the convolution of one tile into `sums`: pixels first, then channels."""
            with T.unroll(0, pixels * tile.vectors) as k, T.vectorized(0, lanes) as lane:
                T.buffer_store(sums, T.float32(0), [k * lanes + lane])
            rows, columns = window.kernel
            # Input channels are innermost: LLVM would unroll a short loop over columns and run out of registers.
            with T.serial(0, rows) as p, T.serial(0, columns) as q, T.serial(0, channels) as c:
                element = (p * columns + q) * channels + c
                with T.unroll(0, pixels) as pixel, T.unroll(0, tile.vectors) as v, T.vectorized(0, lanes) as lane:
                    y, z = top + pixel // tile.columns, left + pixel % tile.columns
                    row, column = (
                        y * window.stride[0] + p * window.dilation[0],
                        z * window.stride[1] + q * window.dilation[1],
                    )
                    index = (pixel * tile.vectors + v) * lanes + lane
                    product = number(n, c, row, column) * weight[block, element, v * lanes + lane]
                    T.buffer_store(sums, sums[index] + product, [index])

        def store_tile(n: Var, block: Var, top: ExprWithOp, left: ExprWithOp) -> None:
            """Write a tile's sums to the output or, if the epilogue pools, to the planes that pooling reads.

            The sums go through the buffer `staged`: LLVM would not keep `sums` in registers if it were indexed by a
            value that is known at run time only.
            """
            with T.unroll(0, pixels) as k, T.unroll(0, tile.vectors) as v, T.vectorized(0, lanes) as lane:
                pixel = (top + k // tile.columns) * plane[1] + left + k % tile.columns if pooled else k
                T.buffer_store(staged, sums[(k * tile.vectors + v) * lanes + lane], [pixel * across + v * lanes + lane])
            if pooled:
                return
            used = T.min(across, outputs - block * across)
            with T.serial(0, used) as lane, T.serial(0, tile.rows) as y, T.serial(0, tile.columns) as z:
                index = [n, block * across + lane, top + y, left + z]
                total = staged[(y * tile.columns + z) * across + lane]
                T.buffer_store(out, epilogue.apply(T, total, index, operands), index)

        def pool(n: Var, block: Var) -> None:
            """Pool one block of channels: all channels at once if the epilogue pools first, else one by one."""
            window, rows = epilogue.pool, epilogue.outputs(plane)
            if epilogue.pools_first and window is not None and maxima is not None:
                down, along = windows(T, window, plane)
                with T.serial(0, rows[0]) as y, T.serial(0, rows[1]) as z:
                    positions = [row * plane[1] + column for row in down(y) for column in along(z)]
                    with T.unroll(0, tile.vectors) as v, T.vectorized(0, lanes) as lane:
                        channel = v * lanes + lane
                        maximum = maximum_of(T, [staged[position * across + channel] for position in positions])
                        T.buffer_store(maxima, maximum, [(y * rows[1] + z) * across + channel])
            with T.serial(0, T.min(across, outputs - block * across)) as lane:
                channel_index = n, block * across + lane
                if not epilogue.pools_first:
                    sums_of = lambda y, z: staged[(y * plane[1] + z) * across + lane]  # noqa: E731
                    store_epilogue(T, epilogue, sums_of, line, plane, out, channel_index, operands)
                    return
                with T.serial(0, rows[0]) as y, T.serial(0, rows[1]) as z:
                    if maxima is None:
                        raise ValueError("the epilogue has no pooling")
                    total, index = maxima[(y * rows[1] + z) * across + lane], [*channel_index, y, z]
                    T.buffer_store(out, epilogue.apply(T, total, index, operands), index)

        with T.serial(0, batch) as n:
            if source is not None:
                lay_out(T, x, n, source, channels, (extents[0], extents[1]), window, read)
            with T.serial(0, blocks) as block:
                with T.serial(0, -(-plane[0] // tile.rows)) as i, T.serial(0, -(-plane[1] // tile.columns)) as j:
                    top, left = (
                        T.min(step * size, extent - size)
                        for step, size, extent in ((i, tile.rows, plane[0]), (j, tile.columns, plane[1]))
                    )
                    add_up(n, block, top, left)
                    store_tile(n, block, top, left)
                if pooled:
                    pool(n, block)

    arguments = [
        ("x", (batch, *inputs), "float32"), ("weight", (blocks, elements, across), "float32"),
        *((f"step{i}", shape, "float32") for i, shape in enumerate(epilogue.shapes)),
        ("out", (batch, outputs, *epilogue.outputs(plane)), "float32"),
    ]  # fmt: skip
    return prim_func(arguments, body)


def _extents_read(window: Window, plane: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the padded input that the outputs read."""
    rows, columns = (
        (n - 1) * s + (k - 1) * d + 1
        for n, s, k, d in zip(plane, window.stride, window.kernel, window.dilation, strict=True)
    )
    return rows, columns
