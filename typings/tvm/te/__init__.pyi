from collections.abc import Callable, Mapping, Sequence

from ..ir import Expr, ExprWithOp, OpaqueExpr, PrimType, Range, Span
from ..tirx import IterVar
from ..tirx import comm_reducer as comm_reducer

class Tensor(OpaqueExpr):
    shape: Sequence[Expr]
    @property
    def ndim(self) -> int: ...
    @property
    def dtype(self) -> PrimType: ...
    def __call__(self, *indices: Expr | IterVar | int) -> ExprWithOp: ...

def compute(
    shape: Sequence[Expr | int],
    fcompute: Callable[..., Expr],
    name: str = "compute",
    tag: str = "",
    attrs: Mapping[str, object] | None = None,
    varargs_names: Sequence[str] | None = None,
) -> Tensor: ...
def reduce_axis(
    dom: Range | tuple[Expr | int, Expr | int], name: str = "rv", thread_tag: str = "", span: Span | None = None
) -> IterVar: ...
