"""The input offsets of a sparse convolution, and the tiles in which it computes its outputs.

For output pixel (y, x), a stored weight is multiplied by the input at `offset + y * pitch + x`. So a sparse kernel
needs only one number per stored weight, its offset, which combines the input channel and the position in the
convolution kernel. This formula holds for any convolution if its input is rearranged first:

- With stride s, each channel is split into phases: plane (a, b) consists of rows a, a + s, a + 2 s, ... and columns
  b, b + s, b + 2 s, ...
- With padding, the border of zeros is written into the copy.

Without stride and padding, the kernel can read the input in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

LANES = 8  # floats per vector in the sparse kernels: one register of AVX2, two of NEON


@dataclass(frozen=True)
class Window:
    """The window of a two-dimensional convolution or pooling; each field is (rows, columns).

    before, after  padding before the first and after the last row and column
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    def outputs(self, extents: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the output for an input of `extents` (rows, columns)."""
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True)]
        padded = [sum(sizes) for sizes in zip(extents, self.before, self.after, strict=True)]
        rows, columns = ((p - w) // s + 1 for p, w, s in zip(padded, spans, self.stride, strict=True))
        return rows, columns


@dataclass(frozen=True)
class Tiling:
    """How vectors cover the output plane of one channel. A kernel reads a channel's weights once per tile.

    flat    False: vectors cover each output row separately, and the last vector of a row and the last tile overlap
            their neighbours. True: vectors run through the whole plane with the input's pitch, and the values between
            the output rows are computed and dropped.
    lanes   floats per vector
    tiles   number of tiles
    parts   number of tiles that share an output row; 1 if a tile contains whole rows
    height  rows per tile; 1 if flat
    across  vectors per row of a tile; if flat, vectors per tile
    """

    flat: bool
    lanes: int
    tiles: int
    parts: int
    height: int
    across: int

    @property
    def vectors(self) -> int:
        """Number of vectors that a tile accumulates."""
        return self.height * self.across


@dataclass(frozen=True)
class ConvolutionGeometry:
    """The shape of a sparse convolution.

    channels      input channels
    extents       rows and columns of the input
    groups        number of channel groups
    accumulators  number of floats that the kernel may accumulate in registers
    """

    channels: int
    extents: tuple[int, int]
    groups: int
    window: Window
    accumulators: int

    @cached_property
    def outputs(self) -> tuple[int, int]:
        """Rows and columns of the output."""
        return self.window.outputs(self.extents)

    @cached_property
    def copies_input(self) -> bool:
        """Whether the kernel copies its input before it reads it."""
        return self.rearranges_input or self.tiling.flat

    @property
    def rearranges_input(self) -> bool:
        """Whether the kernel needs a rearranged copy of its input, because of a stride or padding."""
        window = self.window
        return window.stride != (1, 1) or window.before != (0, 0) or window.after != (0, 0)

    @cached_property
    def plane(self) -> tuple[int, int]:
        """Rows and columns of one phase of a channel, as the kernel reads it."""
        window = self.window
        if not self.rearranges_input:
            return self.extents
        reach = [((k - 1) * d) // s for k, d, s in zip(window.kernel, window.dilation, window.stride, strict=True)]
        return self.outputs[0] + reach[0], self.outputs[1] + reach[1]

    @property
    def pitch(self) -> int:
        """Distance between two rows of a plane, in floats."""
        return self.plane[1]

    @property
    def channel_stride(self) -> int:
        """Distance between two channels, in floats: the size of all phases of a channel."""
        rows, columns = self.window.stride
        return rows * columns * self.plane[0] * self.plane[1]

    @cached_property
    def table(self) -> tuple[int, ...]:
        """Offset of each element of the convolution kernel within a channel, in floats; elements in C order."""
        window, (plane_rows, plane_columns) = self.window, self.plane
        offsets = []
        for row in range(window.kernel[0]):
            for column in range(window.kernel[1]):
                y, x = row * window.dilation[0], column * window.dilation[1]
                phase = y % window.stride[0] * window.stride[1] + x % window.stride[1]
                within = y // window.stride[0] * plane_columns + x // window.stride[1]
                offsets.append(phase * plane_rows * plane_columns + within)
        return tuple(offsets)

    @cached_property
    def tiling(self) -> Tiling:
        """The tiling, by rows or flat, that needs fewer vectors."""
        rows, columns = self.outputs
        lanes = next(width for width in (LANES, 4, 2, 1) if width <= columns)
        most = self.accumulators // LANES
        across = -(-columns // lanes)
        flat = -(-((rows - 1) * self.pitch + columns) // LANES)
        if flat < rows * across:
            tiles = -(-flat // most)
            return Tiling(True, LANES, tiles, 1, 1, -(-flat // tiles))
        if across > most:  # one row does not fit in the registers
            parts = -(-across // most)
            return Tiling(False, lanes, rows * parts, parts, 1, -(-across // parts))
        height = min(rows, most // across)
        tiles = -(-rows // height)
        return Tiling(False, lanes, tiles, 1, -(-rows // tiles), across)

    @property
    def copied_size(self) -> int:
        """Size of the copied input in floats, including what flat vectors read after its end."""
        tiling = self.tiling
        margin = tiling.tiles * tiling.vectors * tiling.lanes if tiling.flat else 0
        return self.channels * self.channel_stride + margin
