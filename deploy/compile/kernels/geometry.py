"""Where a convolution over sparse rows finds its inputs, and in which tiles it computes its outputs.

A stored weight of output channel o meets, for output pixel (y, x), the input at `place + y * pitch + x`: one number
for each weight, whatever its channel and its place in the kernel, is all that a sparse kernel needs to know. With a
stride that holds once the input is parted into phases, plane (a, b) of a channel being the rows a, a + s, a + 2 s, ...
and the columns b, b + s, ...; with padding, once the border is there. Where neither is the case the input is read
where it lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

LANES = 8  # floats of a vector that kernels are written for: one register of AVX2, two of NEON


@dataclass(frozen=True)
class Window:
    """A two-dimensional convolution's or pooling's extents, each as (rows, columns).

    before, after  zeros around the input
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    def outputs(self, extents: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the output for an input of these extents."""
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True)]
        padded = [sum(each) for each in zip(extents, self.before, self.after, strict=True)]
        rows, columns = ((p - w) // s + 1 for p, w, s in zip(padded, spans, self.stride, strict=True))
        return rows, columns


@dataclass(frozen=True)
class Tiling:
    """How the plane of one output channel is covered by vectors.

    A vector starts at `row * pitch + column` of the input. By rows, vectors of `lanes` cover each output row, the last
    of a row and the last tile overlapping their neighbours; flat, they run through the plane with the pitch of the
    input and compute what lies between the rows too, which is dropped.

    tiles   how often a kernel walks through a channel's weights: down the plane times `parts` of a row
    height, across  rows of a tile and vectors of each; in a flat one a row is all vectors
    """

    flat: bool
    lanes: int
    tiles: int
    parts: int
    height: int
    across: int

    @property
    def vectors(self) -> int:
        """Accumulators of a tile."""
        return self.height * self.across


@dataclass(frozen=True)
class ConvolutionGeometry:
    """A convolution of `channels` inputs of `extents`, `groups` groups, and a window."""

    channels: int
    extents: tuple[int, int]
    groups: int
    window: Window
    accumulators: int  # floats that fit in registers

    @cached_property
    def outputs(self) -> tuple[int, int]:
        """Rows and columns of the output."""
        return self.window.outputs(self.extents)

    @cached_property
    def copied(self) -> bool:
        """Whether the input is laid out anew before it is read."""
        return self.moved or self.tiling.flat

    @property
    def moved(self) -> bool:
        """Whether it cannot be read where it lies, whatever the tiling."""
        window = self.window
        return window.stride != (1, 1) or window.before != (0, 0) or window.after != (0, 0)

    @cached_property
    def plane(self) -> tuple[int, int]:
        """Rows and columns of one phase of a channel as it is read."""
        window = self.window
        if not self.moved:
            return self.extents
        reach = [((k - 1) * d) // s for k, d, s in zip(window.kernel, window.dilation, window.stride, strict=True)]
        return self.outputs[0] + reach[0], self.outputs[1] + reach[1]

    @property
    def pitch(self) -> int:
        """From one row to the next."""
        return self.plane[1]

    @property
    def channel_stride(self) -> int:
        """From one channel to the next: all its phases."""
        rows, columns = self.window.stride
        return rows * columns * self.plane[0] * self.plane[1]

    @cached_property
    def table(self) -> tuple[int, ...]:
        """Place of each element of the kernel within its channel, in C order."""
        window, (plane_rows, plane_columns) = self.window, self.plane
        positions = []
        for row in range(window.kernel[0]):
            for column in range(window.kernel[1]):
                y, x = row * window.dilation[0], column * window.dilation[1]
                phase = y % window.stride[0] * window.stride[1] + x % window.stride[1]
                inside = y // window.stride[0] * plane_columns + x // window.stride[1]
                positions.append(phase * plane_rows * plane_columns + inside)
        return tuple(positions)

    @cached_property
    def tiling(self) -> Tiling:
        """The cheaper cover."""
        rows, columns = self.outputs
        lanes = next(width for width in (LANES, 4, 2, 1) if width <= columns)
        most = self.accumulators // LANES
        across = -(-columns // lanes)
        flat = -(-((rows - 1) * self.pitch + columns) // LANES)
        if flat < rows * across:
            tiles = -(-flat // most)
            return Tiling(True, LANES, tiles, 1, 1, -(-flat // tiles))
        if across > most:  # wider than the registers
            parts = -(-across // most)
            return Tiling(False, lanes, rows * parts, parts, 1, -(-across // parts))
        height = min(rows, most // across)
        tiles = -(-rows // height)
        return Tiling(False, lanes, tiles, 1, -(-rows // tiles), across)

    @property
    def copied_size(self) -> int:
        """Floats of the copy, with room for what flat vectors read behind its end."""
        tiling = self.tiling
        behind = tiling.tiles * tiling.vectors * tiling.lanes if tiling.flat else 0
        return self.channels * self.channel_stride + behind
