"""The layers that the package's own kernels compute, and their positions in the Relax program.

find_layers.py finds these layers; substitute.py replaces them with calls of the kernels.
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
    """How a weight is stored.

    count   number of stored entries; 0 if the weight does not decode to sparse rows
    values  type of the entries' values on the device; see Entries
    """

    count: int = 0
    values: str = "float32"


@dataclass(frozen=True)
class Layer:
    """A layer and its epilogue.

    parameter   name of the weight's variable in the program
    shape       shape of the weight
    stored      how the weight is stored
    batch       number of examples; for a dense layer, number of rows of its input
    geometry    None for a dense layer
    epilogue    the operators that follow the layer and that its kernel computes too
    """

    parameter: str
    shape: tuple[int, ...]
    stored: Stored
    batch: int
    geometry: ConvolutionGeometry | None
    epilogue: Epilogue

    @property
    def entries(self) -> Entries:
        """The types of the sparse kernel's arrays: the smallest that fit, unless table look-ups are too slow."""
        last = self.channel_stride * -(-math.prod(self.shape[1:]) // self.inner)
        values = self.stored.values if self.stored.values != "uint8" or self.looks_up else "float32"
        return Entries(self.stored.count, values, "uint16" if last <= 1 << 16 else "int32")

    @property
    def looks_up(self) -> bool:
        """Whether the kernel looks up the values of levels in a table, instead of loading them as float32.

        A convolution looks up each value once for many pixels. A dense layer uses each value once, and the look-up
        makes it 1.5 times as slow (benchmarks/lookup.py).
        """
        return self.geometry is not None

    @property
    def outputs(self) -> int:
        """Output channels, or neurons."""
        return self.shape[0]

    @property
    def pixels(self) -> int:
        """Number of outputs of one channel over the whole batch."""
        return self.batch * (1 if self.geometry is None else math.prod(self.geometry.outputs))

    @property
    def inner(self) -> int:
        """Elements of a convolution kernel per input channel: column c of the weight belongs to channel c // inner."""
        return 1 if self.geometry is None else len(self.geometry.table)

    @property
    def channel_stride(self) -> int:
        """Distance between two input channels in the kernel's input, in floats."""
        return 1 if self.geometry is None else self.geometry.channel_stride

    @property
    def table(self) -> tuple[int, ...]:
        """Offset of each element of the convolution kernel within a channel, in floats."""
        return (0,) if self.geometry is None else self.geometry.table

    @property
    def blocked(self) -> bool:
        """Whether the package has a dense kernel for this layer; if not, TVM's is used."""
        return self.geometry is not None and self.geometry.groups == 1 and self.outputs > 1

    def sparse_kernel(self, *, gpu: bool) -> PrimFunc:
        """The PrimFunc that reads sparse rows."""
        if self.geometry is None:
            product = sparse_dense_gpu if gpu else sparse_dense
            return product(self.batch, self.shape[1], self.outputs, self.entries, self.epilogue)
        convolution = sparse_convolution_gpu if gpu else sparse_convolution
        return convolution(self.batch, self.geometry, self.outputs, self.entries, self.epilogue)

    def blocked_kernel(self, tile: Tile) -> PrimFunc:
        """The PrimFunc that reads a packed weight. Raises ValueError for a dense layer."""
        if self.geometry is None:
            raise ValueError(f"{self.parameter} is not a convolution")
        inputs = (self.geometry.channels, *self.geometry.extents)
        return blocked_convolution(self.batch, inputs, self.geometry.window, self.outputs, tile, self.epilogue)


@dataclass(frozen=True)
class Match:
    """A layer in the program, with the bindings that its kernel replaces.

    layer     None for max pooling without a layer
    operands  arrays of the epilogue's steps
    bindings  the replaced bindings, in program order; the last one binds the result
    """

    layer: Layer | None
    input: Expr
    operands: tuple[Expr, ...]
    bindings: tuple[VarBinding, ...]


DecideLayers = Callable[[Sequence[Layer]], Sequence[bool]]


def window_of(attributes: Conv2DAttrs | Pool2DAttrs, kernel: Sequence[int]) -> Window | None:
    """The window of a convolution or pooling; None if its layout is not NCHW.

    kernel  rows and columns
    """
    if (getattr(attributes, "data_layout", "") or getattr(attributes, "layout", "")) != "NCHW":
        return None
    strides, dilation = ([int(n) for n in pair] for pair in (attributes.strides, attributes.dilation))
    above, left, below, right = (int(n) for n in attributes.padding)
    return Window(
        (kernel[0], kernel[1]), (strides[0], strides[1]), (above, left), (below, right), (dilation[0], dilation[1])
    )
