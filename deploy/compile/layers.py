"""A layer of the network that we have kernels for, and where it stands in the Relax program.

find_layers.py finds them, substitute.py puts the kernels in their place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .kernels.blocked import Tile, blocked_convolution
from .kernels.epilogue import Epilogue
from .kernels.geometry import ConvolutionGeometry, Window
from .kernels.sparse import Entries, sparse_convolution, sparse_dense
from .kernels.sparse_gpu import sparse_convolution_gpu, sparse_dense_gpu

if TYPE_CHECKING:
    from tvm.ir import Expr
    from tvm.relax import VarBinding
    from tvm.relax.op.op_attrs import Conv2DAttrs, Pool2DAttrs
    from tvm.tirx import PrimFunc


@dataclass(frozen=True)
class Stored:
    """What a weight is stored as: how many entries, and of which type their values are on the device.

    values  see Entries
    """

    count: int = 0
    values: str = "float32"


@dataclass(frozen=True)
class Layer:
    """A layer and what is computed behind it.

    parameter   the weight's variable in the program
    shape       of the weight
    stored      its stored weights; none where it does not decode to sparse rows
    batch       examples, or rows of a dense layer's input
    geometry    None of a dense layer
    """

    parameter: str
    shape: tuple[int, ...]
    stored: Stored
    batch: int
    geometry: ConvolutionGeometry | None
    epilogue: Epilogue

    @property
    def entries(self) -> Entries:
        """The stored weights as a kernel takes them: in as few bytes as hold them, unless looking up costs time."""
        last = self.channel_stride * -(-math.prod(self.shape[1:]) // self.inner)
        values = self.stored.values if self.stored.values != "uint8" or self.looks_up else "float32"
        return Entries(self.stored.count, values, "uint16" if last <= 1 << 16 else "int32")

    @property
    def looks_up(self) -> bool:
        """Whether levels that need a table stay levels: a convolution looks each up once for many pixels, and a dense
        layer takes half as long again (benchmarks/lookup.py).
        """
        return self.geometry is not None

    @property
    def outputs(self) -> int:
        """Output channels, or neurons."""
        return self.shape[0]

    @property
    def pixels(self) -> int:
        """Outputs of one channel over the batch."""
        return self.batch * (1 if self.geometry is None else math.prod(self.geometry.outputs))

    @property
    def inner(self) -> int:
        """Elements of a kernel, by which a column number is divided to give its channel."""
        return 1 if self.geometry is None else len(self.geometry.table)

    @property
    def channel_stride(self) -> int:
        """From one input channel's input_offsets to the next's."""
        return 1 if self.geometry is None else self.geometry.channel_stride

    @property
    def table(self) -> tuple[int, ...]:
        """Place of each element of the kernel within its channel."""
        return (0,) if self.geometry is None else self.geometry.table

    @property
    def blocked(self) -> bool:
        """Whether there is a dense kernel of ours; else TVM's is taken."""
        return self.geometry is not None and self.geometry.groups == 1 and self.outputs > 1

    def sparse_kernel(self, *, gpu: bool) -> PrimFunc:
        """The PrimFunc over sparse rows."""
        if self.geometry is None:
            product = sparse_dense_gpu if gpu else sparse_dense
            return product(self.batch, self.shape[1], self.outputs, self.entries, self.epilogue)
        convolution = sparse_convolution_gpu if gpu else sparse_convolution
        return convolution(self.batch, self.geometry, self.outputs, self.entries, self.epilogue)

    def blocked_kernel(self, tile: Tile) -> PrimFunc:
        """The PrimFunc over a packed weight."""
        if self.geometry is None:
            raise ValueError(f"{self.parameter} is no convolution")
        inputs = (self.geometry.channels, *self.geometry.extents)
        return blocked_convolution(self.batch, inputs, self.geometry.window, self.outputs, tile, self.epilogue)


@dataclass(frozen=True)
class Match:
    """A layer, or pooling alone, and the bindings that its kernel takes the place of; the last holds the result."""

    layer: Layer | None
    input: Expr
    operands: tuple[Expr, ...]
    bindings: tuple[VarBinding, ...]


DecideLayers = Callable[[Sequence[Layer]], Sequence[bool]]


def window_of(attributes: Conv2DAttrs | Pool2DAttrs, kernel: Sequence[int]) -> Window | None:
    """None for a layout that is not channels first."""
    if (getattr(attributes, "data_layout", "") or getattr(attributes, "layout", "")) != "NCHW":
        return None
    strides, dilation = ([int(n) for n in each] for each in (attributes.strides, attributes.dilation))
    above, left, below, right = (int(n) for n in attributes.padding)
    return Window(
        (kernel[0], kernel[1]), (strides[0], strides[1]), (above, left), (below, right), (dilation[0], dilation[1])
    )
