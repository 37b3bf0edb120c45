"""Comparisons, logic, and choices between two numbers."""

from __future__ import annotations

import torch

from .errors import RefusedError
from .graph_builder import NARROW, Number, Value, aten
from .rewriter import Rewriter
from .table import takes

_GROUP = "Comparisons and choices"


def _comparison(name: str) -> None:
    operator = getattr(aten, name).Tensor

    @takes(f"{name}.Tensor", f"{name}.Scalar", group=_GROUP, form="itself, in the operands' common type", half=True)
    def rule(g: Rewriter, a: Value | Number, b: Value | Number) -> Value:
        dtype = g.common(a, b)
        if dtype in (torch.bool, *NARROW):
            a, b = g.value(a, torch.int32), g.value(b, torch.int32)
        if name not in ("lt", "gt") and isinstance(a, torch.fx.Node) and isinstance(b, torch.fx.Node) and g.alike(a, b):
            # TVM takes it that every number equals itself.
            none = g.is_nan(a)
            return none if name == "ne" else g.unary(aten.logical_not.default, none)
        return g.compare(operator, a, b)


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _comparison(_name)


def _truth(g: Rewriter, x: Value) -> Value:
    return g.cast(x, torch.bool) if g.dtype(x) not in NARROW else g.cast(g.cast(x, torch.int32), torch.bool)


def _logical(name: str) -> None:
    operator = getattr(aten, name).default

    @takes(f"{name}.default", group=_GROUP, form="itself, of whether the operands differ from 0", half=True)
    def rule(g: Rewriter, a: Value, b: Value) -> Value:
        return g.binary(operator, _truth(g, a), _truth(g, b))


for _name in ("logical_and", "logical_or", "logical_xor"):
    _logical(_name)


@takes("logical_not.default", group=_GROUP, form="itself", half=True)
def _logical_not(g: Rewriter, x: Value) -> Value:
    return g.unary(aten.logical_not.default, _truth(g, x))


def _bitwise(name: str) -> None:
    logical = getattr(aten, f"logical_{name}").default

    @takes(
        f"bitwise_{name}.Tensor", f"bitwise_{name}.Scalar", f"__{name}__.Tensor", f"__{name}__.Scalar",
        group=_GROUP, form=f"logical_{name}", condition="booleans",
    )  # fmt: skip
    def rule(g: Rewriter, a: Value | Number, b: Value | Number) -> Value:
        if g.common(a, b) != torch.bool:
            raise RefusedError("works on the bits of integers")
        return g.binary(logical, a, b)


for _name in ("and", "or", "xor"):
    _bitwise(_name)


@takes("bitwise_not.default", group=_GROUP, form="logical_not", condition="booleans")
def _bitwise_not(g: Rewriter, x: Value) -> Value:
    if g.dtype(x) != torch.bool:
        raise RefusedError("works on the bits of integers")
    return g.unary(aten.logical_not.default, x)


@takes("where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar", group=_GROUP, form="itself", half=True)
def _where(g: Rewriter, condition: Value, a: Value | Number, b: Value | Number) -> Value:
    dtype = g.common(a, b)
    if dtype in (torch.bool, *NARROW):
        wide = g.where(condition, g.value(a, torch.int32), g.value(b, torch.int32))
        return g.cast(wide, dtype)
    return g.where(condition, a, b)


@takes("masked_fill.Scalar", "masked_fill.Tensor", group=_GROUP, form="a choice", half=True)
def _masked_fill(g: Rewriter, x: Value, mask: Value, value: Value | Number) -> Value:
    dtype = g.dtype(x)
    return _where(g, mask, g.value(value, dtype), x)
