from collections.abc import Sequence
from typing import Literal

from ....ir import Expr, ExprWithOp, Span, Var
from ....ir.prim import And as And
from ....ir.prim import Cast as Cast
from .frame import ForFrame, IfFrame, PrimFuncFrame, SBlockFrame, ThenFrame

_Operand = Expr | int
_Shape = Sequence[Expr | int]

class DtypeConstructor:
    def __call__(self, expr: Expr | Literal["inf", "-inf", "nan"] | int | float | None = None) -> ExprWithOp: ...

float32: DtypeConstructor

def Buffer(
    shape: _Shape,
    dtype: str = "float32",
    data: Var | None = None,
    strides: _Shape | None = None,
    elem_offset: _Operand | None = None,
    byte_offset: _Operand | None = None,
    scope: str = "global",
    align: int = 0,
    offset_factor: int = 0,
    layout: object = "default",
    allocated_addr: int | tuple[int, ...] | None = None,
    buffer_name: str = "",
) -> Var: ...
def If(condition: Expr) -> IfFrame: ...
def Then() -> ThenFrame: ...
def arg(name: str, obj: Var) -> Var: ...
def buffer_store(buffer: Var, value: _Operand, indices: Sequence[_Operand]) -> None: ...
def func_attr(attrs: dict[str, object]) -> None: ...
def if_then_else(cond: Expr, t: _Operand, f: _Operand, span: Span | None = None) -> ExprWithOp: ...
def max(a: _Operand, b: _Operand) -> ExprWithOp: ...
def min(a: _Operand, b: _Operand) -> ExprWithOp: ...
def prim_func(
    is_private: bool = False, s_tir: bool = False, persistent: bool = False, *, private: bool | None = None
) -> PrimFuncFrame: ...
def sblock(name: str = "", no_realize: bool = False, exec_scope: str = "") -> SBlockFrame: ...
def sblock_alloc_buffer(
    shape: _Shape,
    dtype: str = "float32",
    data: Var | None = None,
    strides: _Shape | None = None,
    elem_offset: _Operand | None = None,
    scope: str = "global",
    align: int = -1,
    offset_factor: int = 0,
    layout: object = "default",
    allocated_addr: int | tuple[int, ...] | None = None,
) -> Var: ...
def serial(
    start: _Operand,
    stop: _Operand | None = None,
    *,
    annotations: dict[str, object] | None = None,
    step: _Operand | None = None,
    unroll: bool | int | None = None,
    dtype: str | None = None,
) -> ForFrame: ...
def thread_binding(
    start: _Operand,
    stop: _Operand | None = None,
    thread: str | None = None,
    *,
    annotations: dict[str, object] | None = None,
) -> ForFrame: ...
def unroll(
    start: _Operand,
    stop: _Operand | None = None,
    *,
    annotations: dict[str, object] | None = None,
    step: _Operand | None = None,
    dtype: str | None = None,
) -> ForFrame: ...
def vectorized(
    start: _Operand,
    stop: _Operand | None = None,
    *,
    annotations: dict[str, object] | None = None,
    step: _Operand | None = None,
    dtype: str | None = None,
) -> ForFrame: ...
