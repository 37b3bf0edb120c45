from collections.abc import Callable, Sequence
from typing import Protocol

from tvm_ffi import Module, Object

from ..ir import BaseFunc, Expr, ExprWithOp, IRModule, PrimType, Range, Span
from ..ir import Var as Var
from ..ir.prim import Cast as Cast
from ..ir.prim import FloatImm as FloatImm
from ..ir.prim import IntImm as IntImm
from ..ir.prim import Select as Select
from ..ir.transform import Pass
from ..target import Target
from . import script as script
from . import transform as transform

class IterVar(Object):
    DataPar: int
    CommReduce: int
    dom: Range
    var: Var
    iter_type: int
    thread_tag: str

class Stmt(Object): ...

class For(Stmt):
    loop_var: Var
    min: Expr
    extent: Expr
    body: Stmt

class PrimFunc(BaseFunc):
    params: Sequence[Var]
    body: Stmt

class _Reducer(Protocol):
    def __call__(
        self,
        expr: Expr,
        axis: Expr | IterVar | Sequence[IterVar],
        where: Expr | None = None,
        init: Expr | None = None,
        *args: object,
    ) -> ExprWithOp: ...

def comm_reducer(
    fcombine: Callable[[ExprWithOp, ExprWithOp], Expr], fidentity: Callable[[str], Expr], name: str = "reduce"
) -> _Reducer: ...
def abs(x: Expr, span: Span | None = None) -> ExprWithOp: ...
def nearbyint(x: Expr, span: Span | None = None) -> ExprWithOp: ...
def reinterpret(dtype: str, value: Expr, span: Span | None = None) -> ExprWithOp: ...
def const(value: bool | int | float, dtype: str | PrimType | None = None, span: Span | None = None) -> ExprWithOp: ...

max: _Reducer
min: _Reducer

def build(
    mod: PrimFunc | IRModule, target: str | Target | None = None, pipeline: str | Pass | None = "default"
) -> Module: ...

# For the whole module, for the host and for devices.
def get_tir_pipeline(name: str | None = None, **kwargs: object) -> tuple[Pass, Pass, Pass]: ...
