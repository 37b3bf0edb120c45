"""Functions of one number, arithmetic of two, comparisons and choices."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .errors import RefusedError
from .rewriter import FLOATS, NARROW, Number, Rewriter, Value, aten
from .table import takes

_MATHS, _ARITHMETIC, _COMPARING = "Functions of one number", "Arithmetic", "Comparisons and choices"
_ACTIVATIONS = "Activations"
_MOST_PRODUCTS = 64  # exponent up to which a power is made of products
_FUNCTION = "itself, in floating point"


def _floating(g: Rewriter, x: Value) -> Value:
    """Integers become float32, as PyTorch does for functions of real numbers."""
    return x if g.dtype(x) in FLOATS else g.cast(x, torch.float32)


def _function(name: str, *, half: bool = False) -> None:
    operator = getattr(aten, name).default

    @takes(f"{name}.default", group=_MATHS, form=_FUNCTION, half=half)
    def rule(g: Rewriter, x: Value) -> Value:
        return g.unary(operator, _floating(g, x))


for _name in ("exp", "log", "sin", "cos", "tanh", "sigmoid", "erf", "atan", "cosh", "tan", "acos", "asin"):
    _function(_name)
_function("sqrt", half=True)


@takes("rsqrt.default", group=_MATHS, form="1 / sqrt(x)")
def _rsqrt(g: Rewriter, x: Value) -> Value:
    return g.div(1.0, g.unary(aten.sqrt.default, _floating(g, x)))


@takes("reciprocal.default", group=_MATHS, form="1 / x", half=True)
def _reciprocal(g: Rewriter, x: Value) -> Value:
    return g.div(1.0, _floating(g, x))


@takes("log2.default", group=_MATHS, form="log(x) / log(2)")
def _log2(g: Rewriter, x: Value) -> Value:
    return g.div(g.unary(aten.log.default, _floating(g, x)), math.log(2))


@takes("log10.default", group=_MATHS, form="log(x) / log(10)")
def _log10(g: Rewriter, x: Value) -> Value:
    return g.div(g.unary(aten.log.default, _floating(g, x)), math.log(10))


@takes("exp2.default", group=_MATHS, form="exp(x log(2))")
def _exp2(g: Rewriter, x: Value) -> Value:
    return g.unary(aten.exp.default, g.mul(_floating(g, x), math.log(2)))


@takes("log1p.default", group=_MATHS, form="log(1 + x), and its power series where x is small")
def log1p(g: Rewriter, x: Value) -> Value:
    """Importers compute log(1 + x), which loses all digits of a small x."""
    x = _floating(g, x)
    terms = 8 if g.dtype(x) == torch.float32 else 16
    series: Value = g.number((-1) ** (terms - 1) / terms, g.dtype(x))
    for power in range(terms - 1, 0, -1):
        series = g.add(g.mul(series, x), (-1) ** (power - 1) / power)
    small = g.less(g.unary(aten.abs.default, x), 0.1)
    return g.where(small, g.mul(series, x), g.unary(aten.log.default, g.add(x, 1.0)))


@takes("expm1.default", group=_MATHS, form="exp(x) - 1, and by tanh(x / 2) where x is small")
def expm1(g: Rewriter, x: Value) -> Value:
    """exp(x) - 1 = 2 tanh(x / 2) / (1 - tanh(x / 2)), which keeps the digits of a small x."""
    x = _floating(g, x)
    turned = g.unary(aten.tanh.default, g.mul(x, 0.5))
    small = g.div(g.mul(turned, 2.0), g.sub(1.0, turned))
    direct = g.sub(g.unary(aten.exp.default, x), 1.0)
    return g.where(g.less(g.unary(aten.abs.default, x), 0.5), small, direct)


@takes("sinh.default", group=_MATHS, form="by expm1 of |x|, and the sign of x")
def _sinh(g: Rewriter, x: Value) -> Value:
    x = _floating(g, x)
    size = g.unary(aten.abs.default, x)
    grown = expm1(g, size)
    small = g.mul(g.add(grown, g.div(grown, g.add(grown, 1.0))), 0.5)
    # Half of exp(x / 2) squared: exp(x) alone overflows before sinh(x) does.
    root = g.unary(aten.exp.default, g.mul(size, 0.5))
    large = g.mul(g.mul(root, 0.5), root)
    return _signed(g, x, g.where(g.less(size, 20.0), small, large))


def _signed(g: Rewriter, x: Value, size: Value) -> Value:
    return g.where(g.less(x, 0), g.unary(aten.neg.default, size), size)


@takes("asinh.default", group=_MATHS, form="by log1p of |x|, and the sign of x")
def _asinh(g: Rewriter, x: Value) -> Value:
    x = _floating(g, x)
    size = g.unary(aten.abs.default, x)
    square = g.mul(size, size)
    inner = g.add(size, g.div(square, g.add(g.unary(aten.sqrt.default, g.add(square, 1.0)), 1.0)))
    large = g.add(g.unary(aten.log.default, size), math.log(2))
    return _signed(g, x, g.where(g.less(size, 1e4), log1p(g, inner), large))


@takes("acosh.default", group=_MATHS, form="by log1p of x - 1")
def _acosh(g: Rewriter, x: Value) -> Value:
    x = _floating(g, x)
    above = g.sub(x, 1.0)
    root = g.unary(aten.sqrt.default, g.add(g.mul(above, 2.0), g.mul(above, above)))
    large = g.add(g.unary(aten.log.default, x), math.log(2))
    return g.where(g.less(x, 1e4), log1p(g, g.add(above, root)), large)


@takes("atanh.default", group=_MATHS, form="by log1p of |x|, and the sign of x")
def _atanh(g: Rewriter, x: Value) -> Value:
    x = _floating(g, x)
    size = g.unary(aten.abs.default, x)
    return _signed(g, x, g.mul(log1p(g, g.div(g.mul(size, 2.0), g.sub(1.0, size))), 0.5))


@takes("special_erfc.default", "erfc.default", group=_MATHS, form="1 - erf(x)")
def _erfc(g: Rewriter, x: Value) -> Value:
    return g.sub(1.0, g.unary(aten.erf.default, _floating(g, x)))


@takes("abs.default", group=_MATHS, form="itself", half=True)
def _abs(g: Rewriter, x: Value) -> Value:
    return g.unary(aten.abs.default, x) if g.dtype(x) not in NARROW else _narrow(g, _abs, x)


@takes("neg.default", group=_MATHS, form="itself", half=True)
def _neg(g: Rewriter, x: Value) -> Value:
    return g.unary(aten.neg.default, x) if g.dtype(x) not in NARROW else _narrow(g, _neg, x)


def _narrow(g: Rewriter, rule: Any, *items: Value | Number, **options: Any) -> Value:
    """A rule in int32, and its result converted back, which wraps around like PyTorch does."""
    dtype = g.common(*items)
    wide = [g.cast(item, torch.int32) if isinstance(item, (Tensor, torch.fx.Node)) else item for item in items]
    result: Value = rule(g, *wide, **options)
    return g.cast(result, dtype) if g.dtype(result) == torch.int32 else result


@takes("sign.default", "sgn.default", group=_MATHS, form="two comparisons", half=True)
def _sign(g: Rewriter, x: Value) -> Value:
    dtype = g.dtype(x)
    if dtype == torch.bool:
        return x
    one, zero = g.number(1, dtype), g.number(0, dtype)
    positive = g.where(g.less(0, x), one, zero)
    return g.where(g.less(x, 0), g.number(-1, dtype), positive) if dtype != torch.uint8 else positive


def _rounding(name: str) -> None:
    operator = getattr(aten, name).default

    @takes(
        f"{name}.default",
        group=_MATHS,
        form="itself; halves go to the even number" if name == "round" else "itself",
        half=True,
    )
    def rule(g: Rewriter, x: Value) -> Value:
        return g.unary(operator, x) if g.dtype(x) in FLOATS else x


for _name in ("floor", "ceil", "round"):
    _rounding(_name)


@takes("trunc.default", "fix.default", group=_MATHS, form="floor(|x|) and the sign of x", half=True)
def _trunc(g: Rewriter, x: Value) -> Value:
    if g.dtype(x) not in FLOATS:
        return x
    return _signed(g, x, g.unary(aten.floor.default, g.unary(aten.abs.default, x)))


@takes("round.decimals", group=_MATHS, form="round(x 10^n) / 10^n")
def _round_decimals(g: Rewriter, x: Value, *, decimals: int = 0) -> Value:
    if g.dtype(x) not in FLOATS:
        if decimals < 0:
            raise RefusedError("rounds integers to tens")
        return x
    if abs(decimals) > 30:
        raise RefusedError(f"rounds to {decimals} decimals")
    if decimals == 0:
        return g.unary(aten.round.default, x)
    ten = 10.0 ** abs(decimals)
    if decimals > 0:
        return g.div(g.unary(aten.round.default, g.mul(x, ten)), ten)
    return g.mul(g.unary(aten.round.default, g.div(x, ten)), ten)


@takes("isnan.default", group=_MATHS, form="itself", half=True)
def _isnan(g: Rewriter, x: Value) -> Value:
    return g.is_nan(x)


@takes("isinf.default", group=_MATHS, form="|x| == inf", half=True)
def _isinf(g: Rewriter, x: Value) -> Value:
    if g.dtype(x) not in FLOATS:
        return torch.zeros(1, dtype=torch.bool).expand(g.shape(x))
    return g.equal(g.unary(aten.abs.default, x), math.inf)


@takes("isfinite.default", group=_MATHS, form="|x| < inf", half=True)
def _isfinite(g: Rewriter, x: Value) -> Value:
    if g.dtype(x) not in FLOATS:
        return torch.ones(1, dtype=torch.bool).expand(g.shape(x))
    return g.less(g.unary(aten.abs.default, x), math.inf)


@takes("nan_to_num.default", group=_MATHS, form="three choices with the numbers of the type", half=False)
def _nan_to_num(
    g: Rewriter, x: Value, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Value:
    dtype = g.dtype(x)
    if dtype not in FLOATS:
        return x
    most = torch.finfo(dtype).max
    x = g.where(g.is_nan(x), g.number(0.0 if nan is None else nan, dtype), x)
    x = g.where(g.equal(x, math.inf), g.number(most if posinf is None else posinf, dtype), x)
    return g.where(g.equal(x, -math.inf), g.number(-most if neginf is None else neginf, dtype), x)


# -- arithmetic --


def _arithmetic(g: Rewriter, operator: Any, a: Value | Number, b: Value | Number) -> Value:
    dtype = g.common(a, b)
    if dtype == torch.bool:
        raise RefusedError("calculates with booleans")
    if dtype in NARROW:
        return _narrow(g, lambda g, a, b: g.binary(operator, a, b), a, b)
    return g.binary(operator, a, b)


@takes("add.Tensor", "add.Scalar", group=_ARITHMETIC, form="a + alpha b, the product with alpha written out", half=True)
def add(g: Rewriter, a: Value | Number, b: Value | Number, alpha: Number = 1) -> Value:
    if g.common(a, b) == torch.bool:
        return g.binary(aten.logical_or.default, a, b)
    return _arithmetic(g, aten.add.Tensor, a, _scaled(g, b, alpha))


@takes("sub.Tensor", "sub.Scalar", group=_ARITHMETIC, form="a - alpha b, the product with alpha written out", half=True)
def _sub(g: Rewriter, a: Value | Number, b: Value | Number, alpha: Number = 1) -> Value:
    return _arithmetic(g, aten.sub.Tensor, a, _scaled(g, b, alpha))


@takes("rsub.Tensor", "rsub.Scalar", group=_ARITHMETIC, form="b - alpha a", half=True)
def _rsub(g: Rewriter, a: Value | Number, b: Value | Number, alpha: Number = 1) -> Value:
    return _arithmetic(g, aten.sub.Tensor, b, _scaled(g, a, alpha))


def _scaled(g: Rewriter, b: Value | Number, alpha: Number) -> Value | Number:
    if alpha == 1:
        return b
    return b * alpha if isinstance(b, (int, float)) else _arithmetic(g, aten.mul.Tensor, b, alpha)


@takes("mul.Tensor", "mul.Scalar", group=_ARITHMETIC, form="itself", half=True)
def _mul(g: Rewriter, a: Value | Number, b: Value | Number) -> Value:
    if g.common(a, b) == torch.bool:
        return g.binary(aten.logical_and.default, a, b)
    return _arithmetic(g, aten.mul.Tensor, a, b)


@takes("div.Tensor", "div.Scalar", "true_divide.Tensor", group=_ARITHMETIC, form="itself, in floating point", half=True)
def _div(g: Rewriter, a: Value | Number, b: Value | Number) -> Value:
    dtype = g.common(a, b)
    dtype = dtype if dtype in FLOATS else torch.float32
    return g.div(g.value(a, dtype), g.value(b, dtype))


@takes(
    "div.Tensor_mode", "div.Scalar_mode", group=_ARITHMETIC,
    form="the quotient rounded down, or towards zero; a division of integers by zero, which PyTorch refuses, gives 0",
)  # fmt: skip
def _div_mode(g: Rewriter, a: Value | Number, b: Value | Number, *, rounding_mode: str | None) -> Value:
    dtype = g.common(a, b)
    if rounding_mode is None:
        return _div(g, a, b)
    if dtype in NARROW:
        return _narrow(g, _div_mode, a, b, rounding_mode=rounding_mode)
    a, b = g.value(a, dtype), g.value(b, dtype)
    if dtype not in FLOATS:
        quotient, rest = _integer_division(g, a, b)
        return quotient if rounding_mode == "trunc" else _floor_of(g, quotient, rest, b)
    if rounding_mode == "trunc":
        return _trunc(g, g.div(a, b))
    return _float_floor_division(g, a, b)


def _float_floor_division(g: Rewriter, a: Value, b: Value) -> Value:
    """What PyTorch computes: (a - remainder(a, b)) / b, rounded to the nearer integer."""
    rest = _float_remainder(g, a, b)
    quotient = g.div(g.sub(a, rest), b)
    down = g.unary(aten.floor.default, quotient)
    down = g.where(g.less(0.5, g.sub(quotient, down)), g.add(down, 1.0), down)
    return g.where(g.equal(b, 0), g.div(a, b), down)


@takes("floor_divide.default", "floor_divide.Scalar", group=_ARITHMETIC, form="the quotient rounded down")
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
    "fmod.Tensor", "fmod.Scalar", group=_ARITHMETIC,
    form="the rest of a division towards zero; of integers by zero, which PyTorch refuses, 0",
)  # fmt: skip
def _fmod(g: Rewriter, a: Value | Number, b: Value | Number) -> Value:
    dtype = g.common(a, b)
    if dtype in NARROW:
        return _narrow(g, _fmod, a, b)
    a, b = g.value(a, dtype), g.value(b, dtype)
    if dtype in FLOATS:
        found: Value = g.call(aten.fmod.Tensor, a, b)
        return found
    return _integer_division(g, a, b)[1]


def _float_remainder(g: Rewriter, a: Value, b: Value) -> Value:
    rest: Value = g.call(aten.fmod.Tensor, a, b)
    return g.where(_differ(g, rest, b), g.add(rest, b), rest)


@takes(
    "remainder.Tensor", "remainder.Scalar", "remainder.Scalar_Tensor", group=_ARITHMETIC,
    form="the rest of a division rounded down; of integers by zero, which PyTorch refuses, 0",
)  # fmt: skip
def _remainder(g: Rewriter, a: Value | Number, b: Value | Number) -> Value:
    dtype = g.common(a, b)
    if dtype in NARROW:
        return _narrow(g, _remainder, a, b)
    a, b = g.value(a, dtype), g.value(b, dtype)
    if dtype in FLOATS:
        return _float_remainder(g, a, b)
    rest = _integer_division(g, a, b)[1]
    return g.where(_differ(g, rest, b), g.add(rest, b), rest)


@takes(
    "pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar", group=_ARITHMETIC,
    form="products for small whole exponents, sqrt for 0.5, else itself in floating point",
    condition="integers only with a constant exponent from 0 to 64",
)  # fmt: skip
def power(g: Rewriter, a: Value | Number, b: Value | Number) -> Value:
    """a to the power b."""
    dtype = g.common(a, b)
    exponent = b if isinstance(b, (int, float)) else float(b) if isinstance(b, Tensor) and b.numel() == 1 else None
    if dtype in NARROW:
        return _narrow(g, power, a, b)
    a = g.value(a, dtype)
    if exponent is not None and float(exponent).is_integer() and 0 <= exponent <= _MOST_PRODUCTS:
        return g.expand(_power(g, a, int(exponent)), g.broadcast(g.shape(a), _shape_of(b)))
    if dtype not in FLOATS:
        raise RefusedError(f"raises integers to a power that is not a constant from 0 to {_MOST_PRODUCTS}")
    if exponent in (-1, -2):
        return g.expand(g.div(1.0, _power(g, a, -int(exponent))), g.broadcast(g.shape(a), _shape_of(b)))
    if exponent in (0.5, -0.5):
        root = g.unary(aten.sqrt.default, a)
        return g.expand(root if exponent == 0.5 else g.div(1.0, root), g.broadcast(g.shape(a), _shape_of(b)))
    found: Value = g.call(aten.pow.Tensor_Tensor, a, g.value(b, dtype))
    return found


def _shape_of(item: Value | Number) -> tuple[int, ...]:
    return () if isinstance(item, (int, float)) else Rewriter.shape(item)


def _power(g: Rewriter, a: Value, exponent: int) -> Value:
    if exponent == 0:
        return torch.ones(g.shape(a), dtype=g.dtype(a))
    half = _power(g, a, exponent // 2) if exponent > 1 else a
    if exponent == 1:
        return a
    square = g.mul(half, half)
    return g.binary(aten.mul.Tensor, square, a) if exponent % 2 else square


@takes("square.default", group=_ARITHMETIC, form="x x")
def _square(g: Rewriter, x: Value) -> Value:
    return _mul(g, x, x)


@takes("atan2.default", group=_ARITHMETIC, form="atan(|y| / |x|) turned to the quadrant that the signs name")
def _atan2(g: Rewriter, y: Value, x: Value) -> Value:
    y, x = _floating(g, y), _floating(g, x)
    down, across = g.unary(aten.abs.default, y), g.unary(aten.abs.default, x)
    larger, smaller = g.maximum(down, across), g.minimum(down, across)
    both_infinite = g.equal(smaller, math.inf)
    ratio = g.where(both_infinite, 1.0, g.div(smaller, g.where(g.equal(larger, 0), 1.0, larger)))
    angle = g.unary(aten.atan.default, ratio)
    angle = g.where(g.less(across, down), g.sub(math.pi / 2, angle), angle)
    angle = g.where(g.less(x, 0), g.sub(math.pi, angle), angle)
    return g.where(g.less(y, 0), g.unary(aten.neg.default, angle), angle)


@takes("hypot.default", group=_ARITHMETIC, form="the larger one times sqrt(1 + the squared quotient)")
def _hypot(g: Rewriter, a: Value, b: Value) -> Value:
    a, b = g.unary(aten.abs.default, a), g.unary(aten.abs.default, b)
    larger, smaller = g.maximum(a, b), g.minimum(a, b)
    ratio = g.div(smaller, g.where(g.equal(larger, 0), 1.0, larger))
    return g.mul(larger, g.unary(aten.sqrt.default, g.add(g.mul(ratio, ratio), 1.0)))


def _extreme(name: str, operator: Any) -> None:
    @takes(name, group=_ARITHMETIC, form="itself", half=True)
    def rule(g: Rewriter, a: Value, b: Value) -> Value:
        return extreme(g, operator, a, b)


def extreme(g: Rewriter, operator: Any, a: Value | Number, b: Value | Number) -> Value:
    """Maximum or minimum; libraries differ in what they make of NaN, and lack them for narrow types."""
    dtype = g.common(a, b)
    if dtype == torch.bool:
        return g.cast(extreme(g, operator, g.value(a, torch.int32), g.value(b, torch.int32)), torch.bool)
    if dtype in NARROW:
        return _narrow(g, lambda g, a, b: extreme(g, operator, a, b), a, b)
    return g.binary(operator, a, b)


_extreme("maximum.default", aten.maximum.default)
_extreme("minimum.default", aten.minimum.default)


@takes("fmax.default", group=_ARITHMETIC, form="maximum, and the other number where one is NaN", half=True)
def _fmax(g: Rewriter, a: Value, b: Value) -> Value:
    most = extreme(g, aten.maximum.default, a, b)
    return g.where(g.is_nan(a), b, g.where(g.is_nan(b), a, most))


@takes("fmin.default", group=_ARITHMETIC, form="minimum, and the other number where one is NaN", half=True)
def _fmin(g: Rewriter, a: Value, b: Value) -> Value:
    least = extreme(g, aten.minimum.default, a, b)
    return g.where(g.is_nan(a), b, g.where(g.is_nan(b), a, least))


@takes(
    "clamp.default", "clamp.Tensor", "clip.default", "hardtanh.default", group=_ARITHMETIC,
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


@takes("clamp_min.default", "clamp_min.Tensor", group=_ARITHMETIC, form="maximum", half=True)
def _clamp_min(g: Rewriter, x: Value, low: Value | Number) -> Value:
    return clamp(g, x, low)


@takes("clamp_max.default", "clamp_max.Tensor", group=_ARITHMETIC, form="minimum", half=True)
def _clamp_max(g: Rewriter, x: Value, high: Value | Number) -> Value:
    return clamp(g, x, None, high)


# -- comparisons and choices --


def _comparison(name: str) -> None:
    operator = getattr(aten, name).Tensor

    @takes(f"{name}.Tensor", f"{name}.Scalar", group=_COMPARING, form="itself, in the operands' common type", half=True)
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

    @takes(f"{name}.default", group=_COMPARING, form="itself, of whether the operands differ from 0", half=True)
    def rule(g: Rewriter, a: Value, b: Value) -> Value:
        return g.binary(operator, _truth(g, a), _truth(g, b))


for _name in ("logical_and", "logical_or", "logical_xor"):
    _logical(_name)


@takes("logical_not.default", group=_COMPARING, form="itself", half=True)
def _logical_not(g: Rewriter, x: Value) -> Value:
    return g.unary(aten.logical_not.default, _truth(g, x))


def _bitwise(name: str) -> None:
    logical = getattr(aten, f"logical_{name}").default

    @takes(
        f"bitwise_{name}.Tensor", f"bitwise_{name}.Scalar", f"__{name}__.Tensor", f"__{name}__.Scalar",
        group=_COMPARING, form=f"logical_{name}", condition="booleans",
    )  # fmt: skip
    def rule(g: Rewriter, a: Value | Number, b: Value | Number) -> Value:
        if g.common(a, b) != torch.bool:
            raise RefusedError("works on the bits of integers")
        return g.binary(logical, a, b)


for _name in ("and", "or", "xor"):
    _bitwise(_name)


@takes("bitwise_not.default", group=_COMPARING, form="logical_not", condition="booleans")
def _bitwise_not(g: Rewriter, x: Value) -> Value:
    if g.dtype(x) != torch.bool:
        raise RefusedError("works on the bits of integers")
    return g.unary(aten.logical_not.default, x)


@takes(
    "where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar", group=_COMPARING, form="itself", half=True
)
def _where(g: Rewriter, condition: Value, a: Value | Number, b: Value | Number) -> Value:
    dtype = g.common(a, b)
    if dtype in (torch.bool, *NARROW):
        wide = g.where(condition, g.value(a, torch.int32), g.value(b, torch.int32))
        return g.cast(wide, dtype)
    return g.where(condition, a, b)


@takes("masked_fill.Scalar", "masked_fill.Tensor", group=_COMPARING, form="a choice", half=True)
def _masked_fill(g: Rewriter, x: Value, mask: Value, value: Value | Number) -> Value:
    dtype = g.dtype(x)
    return _where(g, mask, g.value(value, dtype), x)


# -- activations --


@takes("relu.default", group=_ACTIVATIONS, form="itself", half=True)
def relu(g: Rewriter, x: Value) -> Value:
    return g.unary(aten.relu.default, x) if g.dtype(x) in FLOATS else clamp(g, x, 0)


@takes("relu6.default", group=_ACTIVATIONS, form="clamp to 0 and 6", half=True)
def _relu6(g: Rewriter, x: Value) -> Value:
    return clamp(g, x, 0, 6)


@takes("leaky_relu.default", group=_ACTIVATIONS, form="a choice and a product")
def _leaky_relu(g: Rewriter, x: Value, negative_slope: Number = 0.01) -> Value:
    return g.where(g.less(0, x), x, g.mul(x, float(negative_slope)))


@takes("rrelu_with_noise_functional.default", "rrelu.default", "rrelu_with_noise.default", group=_ACTIVATIONS,
       form="leaky_relu with the mean slope", condition="evaluation mode")  # fmt: skip
def _rrelu(g: Rewriter, x: Value, *arguments: Any, **named: Any) -> Any:
    given = [each for each in arguments if isinstance(each, (bool, int, float))]
    lower, upper = (float(each) for each in [*given, 1 / 8, 1 / 3][:2])
    if any(each is True for each in given) or named.get("training"):
        raise RefusedError("draws random slopes")
    found = _leaky_relu(g, x, (lower + upper) / 2)
    return (found, None) if g.operator is aten.rrelu_with_noise_functional.default else found


@takes(
    "prelu.default",
    "_prelu_kernel.default",
    group=_ACTIVATIONS,
    form="a choice and a product with the slope of each channel",
)
def _prelu(g: Rewriter, x: Value, slope: Value) -> Value:
    if g.size(slope) > 1 and g.rank(slope) == 1:
        slope = g.reshape(slope, [g.size(slope) if axis == 1 else 1 for axis in range(max(g.rank(x), 1))])
    elif g.rank(slope) == 1:
        slope = g.reshape(slope, [1] * g.rank(x))
    return g.where(g.less(0, x), x, g.mul(x, slope))


@takes("elu.default", group=_ACTIVATIONS, form="a choice, expm1 and products")
def elu(g: Rewriter, x: Value, alpha: Number = 1, scale: Number = 1, input_scale: Number = 1) -> Value:
    """scale x above 0, else scale alpha (exp(input_scale x) - 1); SELU and CELU are made of it."""
    below = g.mul(expm1(g, g.mul(g.minimum(x, 0), float(input_scale))), float(alpha) * float(scale))
    return g.where(g.less(0, x), g.mul(x, float(scale)), below)


@takes("celu.default", group=_ACTIVATIONS, form="elu")
def _celu(g: Rewriter, x: Value, alpha: Number = 1.0) -> Value:
    return elu(g, x, alpha, 1.0, 1.0 / float(alpha))


@takes("selu.default", group=_ACTIVATIONS, form="elu")
def _selu(g: Rewriter, x: Value) -> Value:
    return elu(g, x, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


@takes("gelu.default", group=_ACTIVATIONS, form="by erf, or by tanh where the approximation is asked for")
def _gelu(g: Rewriter, x: Value, *, approximate: str = "none") -> Value:
    half = g.mul(x, 0.5)
    if approximate == "tanh":
        inner = g.mul(g.add(x, g.mul(_power(g, x, 3), 0.044715)), math.sqrt(2 / math.pi))
        return g.mul(half, g.add(g.unary(aten.tanh.default, inner), 1.0))
    return g.mul(half, g.add(g.unary(aten.erf.default, g.mul(x, math.sqrt(0.5))), 1.0))


@takes("silu.default", group=_ACTIVATIONS, form="x sigmoid(x)")
def _silu(g: Rewriter, x: Value) -> Value:
    return g.mul(x, g.unary(aten.sigmoid.default, x))


@takes("hardsigmoid.default", group=_ACTIVATIONS, form="clamp(x + 3, 0, 6) / 6")
def _hardsigmoid(g: Rewriter, x: Value) -> Value:
    return g.div(clamp(g, g.add(x, 3.0), 0.0, 6.0), 6.0)


@takes("hardswish.default", group=_ACTIVATIONS, form="x clamp(x + 3, 0, 6) / 6")
def _hardswish(g: Rewriter, x: Value) -> Value:
    return g.div(g.mul(x, clamp(g, g.add(x, 3.0), 0.0, 6.0)), 6.0)


@takes("softplus.default", group=_ACTIVATIONS, form="(max(bx, 0) + log1p(exp(-|bx|))) / b, and x above the threshold")
def _softplus(g: Rewriter, x: Value, beta: Number = 1, threshold: Number = 20) -> Value:
    inner = g.mul(x, float(beta))
    decayed = g.unary(aten.exp.default, g.unary(aten.neg.default, g.unary(aten.abs.default, inner)))
    soft = g.div(g.add(g.maximum(inner, 0.0), log1p(g, decayed)), float(beta))
    return g.where(g.less(float(threshold), inner), x, soft)


@takes("log_sigmoid_forward.default", "log_sigmoid.default", group=_ACTIVATIONS, form="min(x, 0) - log1p(exp(-|x|))")
def _log_sigmoid(g: Rewriter, x: Value) -> Any:
    decayed = g.unary(aten.exp.default, g.unary(aten.neg.default, g.unary(aten.abs.default, x)))
    found = g.sub(g.minimum(x, 0.0), log1p(g, decayed))
    return (found, None) if g.operator is aten.log_sigmoid_forward.default else found


@takes("mish.default", group=_ACTIVATIONS, form="x tanh(softplus(x))")
def _mish(g: Rewriter, x: Value) -> Value:
    return g.mul(x, g.unary(aten.tanh.default, _softplus(g, x)))


@takes("threshold.default", group=_ACTIVATIONS, form="a choice")
def _threshold(g: Rewriter, x: Value, threshold: Number, value: Number) -> Value:
    return g.where(g.compare(aten.le.Tensor, x, threshold), g.number(value, g.dtype(x)), x)


@takes("glu.default", group=_ACTIVATIONS, form="one half times the sigmoid of the other")
def _glu(g: Rewriter, x: Value, dim: int = -1) -> Value:
    axis = g.axis(x, dim)
    half = g.shape(x)[axis] // 2
    return g.mul(g.slice(x, axis, 0, half), g.unary(aten.sigmoid.default, g.slice(x, axis, half, 2 * half)))
