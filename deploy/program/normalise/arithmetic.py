"""Arithmetic of two numbers: sums, products, divisions and their rests, powers, extremes, bounds."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .errors import RefusedError
from .functions import floating, narrow, trunc
from .graph_builder import FLOATS, NARROW, Number, Value, aten
from .rewriter import Rewriter
from .table import takes

_GROUP = "Arithmetic"
_MOST_PRODUCTS = 64  # exponent up to which a power is made of products


def _arithmetic(g: Rewriter, operator: Any, a: Value | Number, b: Value | Number) -> Value:
    dtype = g.common(a, b)
    if dtype == torch.bool:
        raise RefusedError("calculates with booleans")
    if dtype in NARROW:
        return narrow(g, lambda g, a, b: g.binary(operator, a, b), a, b)
    return g.binary(operator, a, b)


@takes("add.Tensor", "add.Scalar", group=_GROUP, form="a + alpha b, the product with alpha written out", half=True)
def add(g: Rewriter, a: Value | Number, b: Value | Number, alpha: Number = 1) -> Value:
    if g.common(a, b) == torch.bool:
        return g.binary(aten.logical_or.default, a, b)
    return _arithmetic(g, aten.add.Tensor, a, _scaled(g, b, alpha))


@takes("sub.Tensor", "sub.Scalar", group=_GROUP, form="a - alpha b, the product with alpha written out", half=True)
def _sub(g: Rewriter, a: Value | Number, b: Value | Number, alpha: Number = 1) -> Value:
    return _arithmetic(g, aten.sub.Tensor, a, _scaled(g, b, alpha))


@takes("rsub.Tensor", "rsub.Scalar", group=_GROUP, form="b - alpha a", half=True)
def _rsub(g: Rewriter, a: Value | Number, b: Value | Number, alpha: Number = 1) -> Value:
    return _arithmetic(g, aten.sub.Tensor, b, _scaled(g, a, alpha))


def _scaled(g: Rewriter, b: Value | Number, alpha: Number) -> Value | Number:
    if alpha == 1:
        return b
    return b * alpha if isinstance(b, (int, float)) else _arithmetic(g, aten.mul.Tensor, b, alpha)


@takes("mul.Tensor", "mul.Scalar", group=_GROUP, form="itself", half=True)
def _mul(g: Rewriter, a: Value | Number, b: Value | Number) -> Value:
    if g.common(a, b) == torch.bool:
        return g.binary(aten.logical_and.default, a, b)
    return _arithmetic(g, aten.mul.Tensor, a, b)


@takes("div.Tensor", "div.Scalar", "true_divide.Tensor", group=_GROUP, form="itself, in floating point", half=True)
def _div(g: Rewriter, a: Value | Number, b: Value | Number) -> Value:
    dtype = g.common(a, b)
    dtype = dtype if dtype in FLOATS else torch.float32
    return g.div(g.value(a, dtype), g.value(b, dtype))


@takes(
    "div.Tensor_mode", "div.Scalar_mode", group=_GROUP,
    form="the quotient rounded down, or towards zero; a division of integers by zero, which PyTorch refuses, gives 0",
)  # fmt: skip
def _div_mode(g: Rewriter, a: Value | Number, b: Value | Number, *, rounding_mode: str | None) -> Value:
    dtype = g.common(a, b)
    if rounding_mode is None:
        return _div(g, a, b)
    if dtype in NARROW:
        return narrow(g, _div_mode, a, b, rounding_mode=rounding_mode)
    a, b = g.value(a, dtype), g.value(b, dtype)
    if dtype not in FLOATS:
        quotient, rest = _integer_division(g, a, b)
        return quotient if rounding_mode == "trunc" else _floor_of(g, quotient, rest, b)
    if rounding_mode == "trunc":
        return trunc(g, g.div(a, b))
    return _float_floor_division(g, a, b)


def _float_floor_division(g: Rewriter, a: Value, b: Value) -> Value:
    """What PyTorch computes: (a - fmod(a, b)) / b, less 1 where signs differ, rounded to the nearer integer."""
    rest: Value = g.call(aten.fmod.Tensor, a, b)
    quotient = g.div(g.sub(a, rest), b)
    quotient = g.where(_differ(g, rest, b), g.sub(quotient, 1.0), quotient)
    down = g.unary(aten.floor.default, quotient)
    down = g.where(g.less(0.5, g.sub(quotient, down)), g.add(down, 1.0), down)
    return g.where(g.equal(b, 0), g.div(a, b), down)


@takes("floor_divide.default", "floor_divide.Scalar", group=_GROUP, form="the quotient rounded down")
def _floor_divide(g: Rewriter, a: Value | Number, b: Value | Number) -> Value:
    return _div_mode(g, a, b, rounding_mode="floor")


def _integer_division(g: Rewriter, a: Value, b: Value) -> tuple[Value, Value]:
    """Quotient towards zero and rest. A processor traps on a divisor of 0, and on -1 below the least integer."""
    known = isinstance(b, Tensor) and not ((b == 0) | (b == -1)).any()
    if known:
        quotient: Value = g.call(aten.div.Tensor_mode, a, b, rounding_mode="trunc")
        return quotient, g.sub(a, g.mul(quotient, b))
    minus = g.equal(b, -1)
    safe = g.where(g.binary(aten.logical_or.default, g.equal(b, 0), minus), g.number(1, g.dtype(b)), b)
    quotient = g.call(aten.div.Tensor_mode, a, safe, rounding_mode="trunc")
    rest = g.sub(a, g.mul(quotient, safe))
    quotient = g.where(minus, g.sub(g.number(0, g.dtype(a)), a), quotient)
    return g.where(g.equal(b, 0), g.number(0, g.dtype(a)), quotient), rest


def _floor_of(g: Rewriter, quotient: Value, rest: Value, b: Value) -> Value:
    return g.where(_differ(g, rest, b), g.sub(quotient, g.number(1, g.dtype(quotient))), quotient)


def _differ(g: Rewriter, rest: Value, b: Value) -> Value:
    """Whether there is a rest, of another sign than the divisor's."""
    other = g.binary(aten.ne.Tensor, g.cast(g.less(rest, 0), torch.int32), g.cast(g.less(b, 0), torch.int32))
    return g.both(g.binary(aten.ne.Tensor, rest, 0), other)


@takes(
    "fmod.Tensor", "fmod.Scalar", group=_GROUP,
    form="the rest of a division towards zero; of integers by zero, which PyTorch refuses, 0",
)  # fmt: skip
def _fmod(g: Rewriter, a: Value | Number, b: Value | Number) -> Value:
    dtype = g.common(a, b)
    if dtype in NARROW:
        return narrow(g, _fmod, a, b)
    a, b = g.value(a, dtype), g.value(b, dtype)
    if dtype in FLOATS:
        found: Value = g.call(aten.fmod.Tensor, a, b)
        return found
    return _integer_division(g, a, b)[1]


def _float_remainder(g: Rewriter, a: Value, b: Value) -> Value:
    rest: Value = g.call(aten.fmod.Tensor, a, b)
    return g.where(_differ(g, rest, b), g.add(rest, b), rest)


@takes(
    "remainder.Tensor", "remainder.Scalar", "remainder.Scalar_Tensor", group=_GROUP,
    form="the rest of a division rounded down; of integers by zero, which PyTorch refuses, 0",
)  # fmt: skip
def _remainder(g: Rewriter, a: Value | Number, b: Value | Number) -> Value:
    dtype = g.common(a, b)
    if dtype in NARROW:
        return narrow(g, _remainder, a, b)
    a, b = g.value(a, dtype), g.value(b, dtype)
    if dtype in FLOATS:
        return _float_remainder(g, a, b)
    rest = _integer_division(g, a, b)[1]
    return g.where(_differ(g, rest, b), g.add(rest, b), rest)


@takes(
    "pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar", group=_GROUP,
    form="products for small whole exponents, sqrt for 0.5, else itself in floating point",
    condition="integers only with a constant exponent from 0 to 64",
)  # fmt: skip
def power(g: Rewriter, a: Value | Number, b: Value | Number) -> Value:
    """a to the power b."""
    dtype = g.common(a, b)
    exponent = b if isinstance(b, (int, float)) else float(b) if isinstance(b, Tensor) and b.numel() == 1 else None
    if dtype in NARROW:
        return narrow(g, power, a, b)
    a = g.value(a, dtype)
    if exponent is not None and float(exponent).is_integer() and 0 <= exponent <= _MOST_PRODUCTS:
        return g.expand(int_power(g, a, int(exponent)), g.broadcast(g.shape(a), _shape_of(b)))
    if dtype not in FLOATS:
        raise RefusedError(f"raises integers to a power that is not a constant from 0 to {_MOST_PRODUCTS}")
    if exponent in (-1, -2):
        return g.expand(g.div(1.0, int_power(g, a, -int(exponent))), g.broadcast(g.shape(a), _shape_of(b)))
    if exponent in (0.5, -0.5):
        root = g.unary(aten.sqrt.default, a)
        return g.expand(root if exponent == 0.5 else g.div(1.0, root), g.broadcast(g.shape(a), _shape_of(b)))
    found: Value = g.call(aten.pow.Tensor_Tensor, a, g.value(b, dtype))
    return found


def _shape_of(item: Value | Number) -> tuple[int, ...]:
    return () if isinstance(item, (int, float)) else Rewriter.shape(item)


def int_power(g: Rewriter, a: Value, exponent: int) -> Value:
    """a to the power of an exponent of 0 or more, by products."""
    if exponent == 0:
        return torch.ones(g.shape(a), dtype=g.dtype(a))
    half = int_power(g, a, exponent // 2) if exponent > 1 else a
    if exponent == 1:
        return a
    square = g.mul(half, half)
    return g.binary(aten.mul.Tensor, square, a) if exponent % 2 else square


@takes("square.default", group=_GROUP, form="x x")
def _square(g: Rewriter, x: Value) -> Value:
    return _mul(g, x, x)


@takes("atan2.default", group=_GROUP, form="atan(|y| / |x|) turned to the quadrant that the signs name")
def _atan2(g: Rewriter, y: Value, x: Value) -> Value:
    y, x = floating(g, y), floating(g, x)
    down, across = g.unary(aten.abs.default, y), g.unary(aten.abs.default, x)
    larger, smaller = g.maximum(down, across), g.minimum(down, across)
    both_infinite = g.equal(smaller, math.inf)
    ratio = g.where(both_infinite, 1.0, g.div(smaller, g.where(g.equal(larger, 0), 1.0, larger)))
    angle = g.unary(aten.atan.default, ratio)
    angle = g.where(g.less(across, down), g.sub(math.pi / 2, angle), angle)
    angle = g.where(g.less(x, 0), g.sub(math.pi, angle), angle)
    return g.where(g.less(y, 0), g.unary(aten.neg.default, angle), angle)


@takes("hypot.default", group=_GROUP, form="the larger one times sqrt(1 + the squared quotient)")
def _hypot(g: Rewriter, a: Value, b: Value) -> Value:
    a, b = g.unary(aten.abs.default, a), g.unary(aten.abs.default, b)
    larger, smaller = g.maximum(a, b), g.minimum(a, b)
    ratio = g.div(smaller, g.where(g.equal(larger, 0), 1.0, larger))
    found = g.mul(larger, g.unary(aten.sqrt.default, g.add(g.mul(ratio, ratio), 1.0)))
    # As IEEE 754 has it, infinite with an infinite side, whatever the other is.
    infinite = g.binary(aten.logical_or.default, g.equal(a, math.inf), g.equal(b, math.inf))
    return g.where(infinite, g.number(math.inf, g.dtype(found)), found)


def _extreme(name: str, operator: Any) -> None:
    @takes(name, group=_GROUP, form="itself", half=True)
    def rule(g: Rewriter, a: Value, b: Value) -> Value:
        return extreme(g, operator, a, b)


def extreme(g: Rewriter, operator: Any, a: Value | Number, b: Value | Number) -> Value:
    """Maximum or minimum; libraries differ in what they make of NaN, and lack them for narrow types."""
    dtype = g.common(a, b)
    if dtype == torch.bool:
        return g.cast(extreme(g, operator, g.value(a, torch.int32), g.value(b, torch.int32)), torch.bool)
    if dtype in NARROW:
        return narrow(g, lambda g, a, b: extreme(g, operator, a, b), a, b)
    return g.binary(operator, a, b)


_extreme("maximum.default", aten.maximum.default)
_extreme("minimum.default", aten.minimum.default)


@takes("fmax.default", group=_GROUP, form="maximum, and the other number where one is NaN", half=True)
def _fmax(g: Rewriter, a: Value, b: Value) -> Value:
    most = extreme(g, aten.maximum.default, a, b)
    return g.where(g.is_nan(a), b, g.where(g.is_nan(b), a, most))


@takes("fmin.default", group=_GROUP, form="minimum, and the other number where one is NaN", half=True)
def _fmin(g: Rewriter, a: Value, b: Value) -> Value:
    least = extreme(g, aten.minimum.default, a, b)
    return g.where(g.is_nan(a), b, g.where(g.is_nan(b), a, least))


@takes(
    "clamp.default", "clamp.Tensor", "clip.default", "hardtanh.default", group=_GROUP,
    form="maximum with the lower bound, then minimum with the upper", half=True,
)  # fmt: skip
def clamp(
    g: Rewriter, x: Value, low: Value | Number | None = None, high: Value | Number | None = None, **named: Any
) -> Value:
    low, high = named.get("min", named.get("min_val", low)), named.get("max", named.get("max_val", high))
    if low is None and high is None:
        raise RefusedError("has no bounds")
    if low is not None:
        x = extreme(g, aten.maximum.default, x, low)
    return x if high is None else extreme(g, aten.minimum.default, x, high)


@takes("clamp_min.default", "clamp_min.Tensor", group=_GROUP, form="maximum", half=True)
def _clamp_min(g: Rewriter, x: Value, low: Value | Number) -> Value:
    return clamp(g, x, low)


@takes("clamp_max.default", "clamp_max.Tensor", group=_GROUP, form="minimum", half=True)
def _clamp_max(g: Rewriter, x: Value, high: Value | Number) -> Value:
    return clamp(g, x, None, high)
