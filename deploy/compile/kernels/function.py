"""Build PrimFuncs with plain Python functions.

TVM's script decorator parses a fixed function. The package's kernels vary in the number of arguments and the depth of
loops, so they call TVM's script builder instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from tvm.ir import Expr, ExprWithOp, Var
    from tvm.tirx import PrimFunc

    Index: TypeAlias = ExprWithOp | int

Argument = tuple[str, tuple[int, ...], str]


class Script(Protocol):
    """The functions of TVM's script builder (`tvm.tirx.script.builder`) that kernels use."""

    # Types
    def float32(self, expr: float) -> ExprWithOp: ...
    def Cast(self, dtype: str, value: Expr) -> ExprWithOp: ...

    # Loops and branches
    def serial(self, start: Index, stop: Index) -> AbstractContextManager[Var]: ...
    def unroll(self, start: Index, stop: Index) -> AbstractContextManager[Var]: ...
    def vectorized(self, start: Index, stop: Index) -> AbstractContextManager[Var]: ...
    def thread_binding(self, start: Index, stop: Index, thread: str) -> AbstractContextManager[Var]: ...
    def If(self, condition: Expr) -> AbstractContextManager[object]: ...
    def Then(self) -> AbstractContextManager[object]: ...

    # Numbers
    def And(self, a: Expr, b: Expr) -> ExprWithOp: ...
    def if_then_else(self, cond: Expr, t: Expr, f: Expr) -> ExprWithOp: ...
    def max(self, a: Index, b: Index) -> ExprWithOp: ...
    def min(self, a: Index, b: Index) -> ExprWithOp: ...

    # Buffers
    def sblock_alloc_buffer(self, shape: tuple[int, ...], dtype: str, *, scope: str = "global") -> Var: ...
    def buffer_store(self, buffer: Var, value: Expr, indices: Sequence[Index]) -> None: ...


def prim_func(arguments: Sequence[Argument], body: Callable[..., None]) -> PrimFunc:
    """Build a PrimFunc.

    arguments  name, shape and element type of each buffer argument
    body       called with the script builder and the buffers; emits the function's statements
    """
    from tvm.script.ir_builder import IRBuilder
    from tvm.tirx.script import builder as T

    script: Script = T
    with IRBuilder() as builder, T.prim_func(s_tir=True, private=True):
        T.func_attr({"tirx.noalias": True})
        buffers = [T.arg(name, T.Buffer(shape, dtype)) for name, shape, dtype in arguments]
        with T.sblock("root"):
            body(script, *buffers)
    return builder.get()
