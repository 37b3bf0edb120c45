"""Read numbers, shapes and types from TVM's nodes.

TVM's classes allow any expression as an extent. In a network of fixed shapes each extent is a constant integer.
"""

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
    """The extents of a shape. Raises TypeError if one of them is unknown until the network runs."""
    return tuple(number(extent) for extent in cast("ShapeExpr", shape).values)


def tensor_type(expression: Expr) -> TensorType:
    """The type of an expression that computes a tensor."""
    return cast("TensorType", expression.ty)


def shape_of(expression: Expr) -> tuple[int, ...]:
    """The shape of the tensor that an expression computes."""
    return extents(tensor_type(expression).shape)


def operator_name(expression: object) -> str:
    """The operator's name of a call, such as "relax.add"; "" for any other expression."""
    operator: Op | None = getattr(expression, "op", None)
    return str(getattr(operator, "name", ""))


def body_of(function: Function) -> SeqExpr:
    """The body of a normalised function: its blocks of bindings, and the expression that it returns."""
    return cast("SeqExpr", function.body)


def bindings_of(block: BindingBlock) -> Sequence[VarBinding]:
    """The bindings of a block. With fixed shapes each one binds a variable; none matches a shape at run time."""
    return cast("Sequence[VarBinding]", block.bindings)
