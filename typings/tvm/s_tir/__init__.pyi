from collections.abc import Sequence

from ..ir import Expr, Var
from ..tirx import IterVar, Stmt
from . import dlight as dlight
from .schedule import Schedule as Schedule

class SBlock(Stmt):
    name_hint: str
    iter_vars: Sequence[IterVar]
    alloc_buffers: Sequence[Var]
    body: Stmt

class SBlockRealize(Stmt):
    iter_values: Sequence[Expr]
    predicate: Expr
    block: SBlock
