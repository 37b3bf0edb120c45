"""Functions of one number."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .errors import RefusedError
from .graph_builder import FLOATS, NARROW, Number, Value, aten
from .rewriter import Rewriter
from .table import takes

_GROUP = "Functions of one number"
_FUNCTION = "itself, in floating point"


def floating(g: Rewriter, x: Value) -> Value:
    """Integers become float32, as PyTorch does for functions of real numbers."""
    return x if g.dtype(x) in FLOATS else g.cast(x, torch.float32)


def _function(name: str, *, half: bool = False) -> None:
    operator = getattr(aten, name).default

    @takes(f"{name}.default", group=_GROUP, form=_FUNCTION, half=half)
    def rule(g: Rewriter, x: Value) -> Value:
        return g.unary(operator, floating(g, x))


for _name in ("exp", "log", "sin", "cos", "tanh", "sigmoid", "erf", "atan", "cosh", "tan", "acos", "asin"):
    _function(_name)
_function("sqrt", half=True)


@takes("rsqrt.default", group=_GROUP, form="1 / sqrt(x)")
def _rsqrt(g: Rewriter, x: Value) -> Value:
    return g.div(1.0, g.unary(aten.sqrt.default, floating(g, x)))


@takes("reciprocal.default", group=_GROUP, form="1 / x", half=True)
def _reciprocal(g: Rewriter, x: Value) -> Value:
    return g.div(1.0, floating(g, x))


@takes("log2.default", group=_GROUP, form="log(x) / log(2)")
def _log2(g: Rewriter, x: Value) -> Value:
    return g.div(g.unary(aten.log.default, floating(g, x)), math.log(2))


@takes("log10.default", group=_GROUP, form="log(x) / log(10)")
def _log10(g: Rewriter, x: Value) -> Value:
    return g.div(g.unary(aten.log.default, floating(g, x)), math.log(10))


@takes("exp2.default", group=_GROUP, form="exp(x log(2))")
def _exp2(g: Rewriter, x: Value) -> Value:
    return g.unary(aten.exp.default, g.mul(floating(g, x), math.log(2)))


@takes("log1p.default", group=_GROUP, form="log(1 + x), and its power series where x is small")
def log1p(g: Rewriter, x: Value) -> Value:
    """Importers compute log(1 + x), which loses all digits of a small x."""
    x = floating(g, x)
    terms = 8 if g.dtype(x) == torch.float32 else 16
    series: Value = g.number((-1) ** (terms - 1) / terms, g.dtype(x))
    for power in range(terms - 1, 0, -1):
        series = g.add(g.mul(series, x), (-1) ** (power - 1) / power)
    small = g.less(g.unary(aten.abs.default, x), 0.1)
    return g.where(small, g.mul(series, x), g.unary(aten.log.default, g.add(x, 1.0)))


@takes("expm1.default", group=_GROUP, form="exp(x) - 1, and by tanh(x / 2) where x is small")
def expm1(g: Rewriter, x: Value) -> Value:
    """exp(x) - 1 = 2 tanh(x / 2) / (1 - tanh(x / 2)), which keeps the digits of a small x."""
    x = floating(g, x)
    turned = g.unary(aten.tanh.default, g.mul(x, 0.5))
    small = g.div(g.mul(turned, 2.0), g.sub(1.0, turned))
    direct = g.sub(g.unary(aten.exp.default, x), 1.0)
    return g.where(g.less(g.unary(aten.abs.default, x), 0.5), small, direct)


@takes("sinh.default", group=_GROUP, form="by expm1 of |x|, and the sign of x")
def _sinh(g: Rewriter, x: Value) -> Value:
    x = floating(g, x)
    size = g.unary(aten.abs.default, x)
    grown = expm1(g, size)
    small = g.mul(g.add(grown, g.div(grown, g.add(grown, 1.0))), 0.5)
    # Half of exp(x / 2) squared: exp(x) alone overflows before sinh(x) does.
    root = g.unary(aten.exp.default, g.mul(size, 0.5))
    large = g.mul(g.mul(root, 0.5), root)
    return _signed(g, x, g.where(g.less(size, 20.0), small, large))


def _signed(g: Rewriter, x: Value, size: Value) -> Value:
    return g.where(g.less(x, 0), g.unary(aten.neg.default, size), size)


@takes("asinh.default", group=_GROUP, form="by log1p of |x|, and the sign of x")
def _asinh(g: Rewriter, x: Value) -> Value:
    x = floating(g, x)
    size = g.unary(aten.abs.default, x)
    square = g.mul(size, size)
    inner = g.add(size, g.div(square, g.add(g.unary(aten.sqrt.default, g.add(square, 1.0)), 1.0)))
    large = g.add(g.unary(aten.log.default, size), math.log(2))
    return _signed(g, x, g.where(g.less(size, 1e4), log1p(g, inner), large))


@takes("acosh.default", group=_GROUP, form="by log1p of x - 1")
def _acosh(g: Rewriter, x: Value) -> Value:
    x = floating(g, x)
    above = g.sub(x, 1.0)
    root = g.unary(aten.sqrt.default, g.add(g.mul(above, 2.0), g.mul(above, above)))
    large = g.add(g.unary(aten.log.default, x), math.log(2))
    return g.where(g.less(x, 1e4), log1p(g, g.add(above, root)), large)


@takes("atanh.default", group=_GROUP, form="by log1p of |x|, and the sign of x")
def _atanh(g: Rewriter, x: Value) -> Value:
    x = floating(g, x)
    size = g.unary(aten.abs.default, x)
    return _signed(g, x, g.mul(log1p(g, g.div(g.mul(size, 2.0), g.sub(1.0, size))), 0.5))


@takes("special_erfc.default", "erfc.default", group=_GROUP, form="1 - erf(x)")
def _erfc(g: Rewriter, x: Value) -> Value:
    return g.sub(1.0, g.unary(aten.erf.default, floating(g, x)))


@takes("abs.default", group=_GROUP, form="itself", half=True)
def _abs(g: Rewriter, x: Value) -> Value:
    return g.unary(aten.abs.default, x) if g.dtype(x) not in NARROW else narrow(g, _abs, x)


@takes("neg.default", group=_GROUP, form="itself", half=True)
def _neg(g: Rewriter, x: Value) -> Value:
    return g.unary(aten.neg.default, x) if g.dtype(x) not in NARROW else narrow(g, _neg, x)


def narrow(g: Rewriter, rule: Any, *items: Value | Number, **options: Any) -> Value:
    """A rule in int32, and its result converted back, which wraps around like PyTorch does."""
    dtype = g.common(*items)
    wide = [g.cast(item, torch.int32) if isinstance(item, (Tensor, torch.fx.Node)) else item for item in items]
    result: Value = rule(g, *wide, **options)
    return g.cast(result, dtype) if g.dtype(result) == torch.int32 else result


@takes("sign.default", "sgn.default", group=_GROUP, form="two comparisons", half=True)
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
        group=_GROUP,
        form="itself; halves go to the even number" if name == "round" else "itself",
        half=True,
    )
    def rule(g: Rewriter, x: Value) -> Value:
        return g.unary(operator, x) if g.dtype(x) in FLOATS else x


for _name in ("floor", "ceil", "round"):
    _rounding(_name)


@takes("trunc.default", "fix.default", group=_GROUP, form="floor(|x|) and the sign of x", half=True)
def trunc(g: Rewriter, x: Value) -> Value:
    if g.dtype(x) not in FLOATS:
        return x
    return _signed(g, x, g.unary(aten.floor.default, g.unary(aten.abs.default, x)))


@takes("round.decimals", group=_GROUP, form="round(x 10^n) / 10^n")
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


@takes("isnan.default", group=_GROUP, form="itself", half=True)
def _isnan(g: Rewriter, x: Value) -> Value:
    return g.is_nan(x)


@takes("isinf.default", group=_GROUP, form="|x| == inf", half=True)
def _isinf(g: Rewriter, x: Value) -> Value:
    if g.dtype(x) not in FLOATS:
        return torch.zeros(1, dtype=torch.bool).expand(g.shape(x))
    return g.equal(g.unary(aten.abs.default, x), math.inf)


@takes("isfinite.default", group=_GROUP, form="|x| < inf", half=True)
def _isfinite(g: Rewriter, x: Value) -> Value:
    if g.dtype(x) not in FLOATS:
        return torch.ones(1, dtype=torch.bool).expand(g.shape(x))
    return g.less(g.unary(aten.abs.default, x), math.inf)


@takes("nan_to_num.default", group=_GROUP, form="three choices with the numbers of the type", half=False)
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
