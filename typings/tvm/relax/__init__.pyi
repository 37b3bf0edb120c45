from collections.abc import Callable, Sequence
from typing import Any

from tvm_ffi import Object

from ..ir import (
    BaseFunc,
    DictAttrs,
    ExprWithOp,
    IRModule,
    Node,
    PrimType,
    Span,
    Type,
)
from ..ir import Call as Call
from ..ir import Expr as Expr
from ..ir import GlobalVar as GlobalVar
from ..ir import Tuple as Tuple
from ..ir import TupleGetItem as TupleGetItem
from ..ir import Var as Var
from . import analysis as analysis
from . import expr_functor as expr_functor
from . import frontend as frontend
from . import op as op
from . import transform as transform
from .op import call_tir as call_tir

class DataflowVar(Var):
    def __init__(
        self,
        name: str | None = None,
        ty: Type | None = None,
        span: Span | None = None,
        *,
        name_hint: str | None = None,
    ) -> None: ...

class ShapeExpr(ExprWithOp):
    values: Sequence[Expr]
    def __init__(self, values: Sequence[Expr | int], span: Span | None = None) -> None: ...

class TensorType(Type):
    shape: Expr | None
    dtype: PrimType
    ndim: int
    def __init__(
        self,
        shape: Expr | Sequence[Expr | int] | None = None,
        dtype: str | PrimType | None = "float32",
        vdevice: Object | str | None = None,
        ndim: int = -1,
        span: Span | None = None,
    ) -> None: ...

class Binding(Node):
    var: Var

class VarBinding(Binding):
    value: Expr
    def __init__(self, var: Var, value: Expr, span: Span | None = None) -> None: ...

class BindingBlock(Node):
    bindings: Sequence[Binding]
    def __init__(self, bindings: Sequence[Binding], span: Span | None = None) -> None: ...

class DataflowBlock(BindingBlock): ...

class SeqExpr(ExprWithOp):
    blocks: Sequence[BindingBlock]
    body: Expr
    def __init__(self, blocks: Sequence[BindingBlock], body: Expr, span: Span | None = None) -> None: ...

class Function(BaseFunc):
    params: Sequence[Var]
    body: Expr
    ret_ty: Type
    is_pure: bool
    def __init__(
        self,
        params: Sequence[Var],
        body: Expr,
        ret_ty: Type | None = None,
        is_pure: bool | None = True,
        attrs: DictAttrs | None = None,
        span: Span | None = None,
    ) -> None: ...

class BlockBuilder(Object):
    def __init__(self, mod: IRModule | None = None) -> None: ...
    def emit(self, expr: Expr, name_hint: str = "") -> Var: ...
    # Parameters of `func` are what stands for the arguments: a te.Tensor for a tensor.
    def emit_te(self, func: Callable[..., object], *args: Any, **kwargs: Any) -> Var: ...
    def normalize(self, expr: Expr) -> Expr: ...
    def add_func(self, func: BaseFunc, func_name: str) -> GlobalVar: ...
    def update_func(self, gv: GlobalVar, updated_func: BaseFunc) -> None: ...
    def get(self) -> IRModule: ...
    def finalize(self) -> IRModule: ...
