"""What TVM's nodes hold in a network of fixed shapes: numbers and tensors where their classes allow any expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsInt, cast

if TYPE_CHECKING:
    from tvm.ir import Expr, Op
    from tvm.relax import BindingBlock, Function, SeqExpr, ShapeExpr, TensorType, VarBinding


def number(expression: Expr) -> int:
    """The value of a constant integer. Raises TypeError for any other expression."""
    return int(cast("SupportsInt", expression))


def extents(shape: Expr | None) -> tuple[int, ...]:
    """The numbers of a shape. Raises TypeError where one of them is not known before the network runs."""
    return tuple(number(extent) for extent in cast("ShapeExpr", shape).values)


def tensor_type(expression: Expr) -> TensorType:
    """The type of an expression that computes a tensor."""
    return cast("TensorType", expression.ty)


def shape_of(expression: Expr) -> tuple[int, ...]:
    """Shape of the tensor that an expression computes."""
    return extents(tensor_type(expression).shape)


def operator_name(expression: object) -> str:
    """Name of the operator that a call calls, as "relax.add"; "" of anything else."""
    operator: Op | None = getattr(expression, "op", None)
    return str(getattr(operator, "name", ""))


def body_of(function: Function) -> SeqExpr:
    """The body of a normalised function: its blocks of bindings, and what it returns."""
    return cast("SeqExpr", function.body)


def bindings_of(block: BindingBlock) -> Sequence[VarBinding]:
    """The bindings of a block, in which no shape has to be matched while the network runs."""
    return cast("Sequence[VarBinding]", block.bindings)
