"""Max pooling that is not part of a layer's epilogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .epilogue import Epilogue, store_epilogue
from .function import Script, prim_func
from .geometry import Window

if TYPE_CHECKING:
    from tvm.ir import Var
    from tvm.tirx import PrimFunc


def max_pool(shape: tuple[int, ...], window: Window) -> PrimFunc:
    """PrimFunc of (input, output), both in NCHW layout.

    shape  shape of the input
    """
    batch, channels, *extents = shape
    plane = extents[0], extents[1]

    def body(T: Script, x: Var, out: Var) -> None:
        line = T.sblock_alloc_buffer((plane[1],), "float32")
        with T.serial(0, batch) as n, T.serial(0, channels) as c:
            store_epilogue(T, Epilogue(pool=window), lambda y, z: x[n, c, y, z], line, plane, out, (n, c), ())

    return prim_func([("x", shape, "float32"), ("out", (batch, channels, *window.outputs(plane)), "float32")], body)
