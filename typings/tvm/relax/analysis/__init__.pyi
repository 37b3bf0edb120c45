from collections.abc import Sequence

from ...ir import Expr, Var

def free_vars(expr: Expr) -> Sequence[Var]: ...
