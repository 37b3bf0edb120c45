"""Making PrimFuncs in plain Python, which a kernel of varying arguments and depth needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Argument = tuple[str, tuple[int, ...], str]


def prim_func(arguments: Sequence[Argument], body: Callable[..., None]) -> Any:
    """A PrimFunc of buffers (name, shape, type); `body` is called with TVM's script builder and with them."""
    from tvm.script.ir_builder import IRBuilder
    from tvm.tirx.script import builder as T

    with IRBuilder() as builder, T.prim_func(s_tir=True, private=True):
        T.func_attr({"tirx.noalias": True})
        buffers = [T.arg(name, T.Buffer(shape, dtype)) for name, shape, dtype in arguments]
        with T.sblock("root"):
            body(T, *buffers)
    return builder.get()
