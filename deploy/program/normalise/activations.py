"""Activation functions."""

from __future__ import annotations

import math
from typing import Any

from .arithmetic import clamp, int_power
from .errors import RefusedError
from .functions import expm1, log1p
from .graph_builder import FLOATS, Number, Value, aten
from .rewriter import Rewriter
from .table import takes

_GROUP = "Activations"


@takes("relu.default", group=_GROUP, form="itself", half=True)
def relu(g: Rewriter, x: Value) -> Value:
    return g.unary(aten.relu.default, x) if g.dtype(x) in FLOATS else clamp(g, x, 0)


@takes("relu6.default", group=_GROUP, form="clamp to 0 and 6", half=True)
def _relu6(g: Rewriter, x: Value) -> Value:
    return clamp(g, x, 0, 6)


@takes("leaky_relu.default", group=_GROUP, form="a choice and a product")
def _leaky_relu(g: Rewriter, x: Value, negative_slope: Number = 0.01) -> Value:
    return g.where(g.less(0, x), x, g.mul(x, float(negative_slope)))


@takes("rrelu_with_noise_functional.default", "rrelu.default", "rrelu_with_noise.default", group=_GROUP,
       form="leaky_relu with the mean slope", condition="evaluation mode")  # fmt: skip
def _rrelu(g: Rewriter, x: Value, *arguments: Any, **named: Any) -> Any:
    # torch.export leaves out trailing arguments that have their default.
    given = [each for each in arguments if isinstance(each, (bool, int, float))]
    lower, upper, training = [*given, *(1 / 8, 1 / 3, False)[len(given) :]][:3]
    if training or named.get("training"):
        raise RefusedError("draws random slopes")
    found = _leaky_relu(g, x, (lower + upper) / 2)
    return (found, None) if g.operator is aten.rrelu_with_noise_functional.default else found


@takes(
    "prelu.default",
    "_prelu_kernel.default",
    group=_GROUP,
    form="a choice and a product with the slope of each channel",
)
def _prelu(g: Rewriter, x: Value, slope: Value) -> Value:
    if g.size(slope) > 1 and g.rank(slope) == 1:
        slope = g.reshape(slope, [g.size(slope) if axis == 1 else 1 for axis in range(max(g.rank(x), 1))])
    elif g.rank(slope) == 1:
        slope = g.reshape(slope, [1] * g.rank(x))
    return g.where(g.less(0, x), x, g.mul(x, slope))


@takes("elu.default", group=_GROUP, form="a choice, expm1 and products")
def elu(g: Rewriter, x: Value, alpha: Number = 1, scale: Number = 1, input_scale: Number = 1) -> Value:
    """scale x above 0, else scale alpha (exp(input_scale x) - 1); SELU and CELU are made of it."""
    below = g.mul(expm1(g, g.mul(g.minimum(x, 0), float(input_scale))), float(alpha) * float(scale))
    return g.where(g.less(0, x), g.mul(x, float(scale)), below)


@takes("celu.default", group=_GROUP, form="elu")
def _celu(g: Rewriter, x: Value, alpha: Number = 1.0) -> Value:
    return elu(g, x, alpha, 1.0, 1.0 / float(alpha))


@takes("selu.default", group=_GROUP, form="elu")
def _selu(g: Rewriter, x: Value) -> Value:
    return elu(g, x, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


@takes("gelu.default", group=_GROUP, form="by erf, or by tanh where the approximation is asked for")
def _gelu(g: Rewriter, x: Value, *, approximate: str = "none") -> Value:
    if g.whole:
        kept: Value = g.call(aten.gelu.default, x, approximate=approximate)
        return kept
    half = g.mul(x, 0.5)
    if approximate == "tanh":
        inner = g.mul(g.add(x, g.mul(int_power(g, x, 3), 0.044715)), math.sqrt(2 / math.pi))
        return g.mul(half, g.add(g.unary(aten.tanh.default, inner), 1.0))
    return g.mul(half, g.add(g.unary(aten.erf.default, g.mul(x, math.sqrt(0.5))), 1.0))


@takes("silu.default", group=_GROUP, form="x sigmoid(x)")
def _silu(g: Rewriter, x: Value) -> Value:
    return g.mul(x, g.unary(aten.sigmoid.default, x))


@takes("hardsigmoid.default", group=_GROUP, form="clamp(x + 3, 0, 6) / 6")
def _hardsigmoid(g: Rewriter, x: Value) -> Value:
    if g.whole:
        return g.unary(aten.hardsigmoid.default, x)
    return g.div(clamp(g, g.add(x, 3.0), 0.0, 6.0), 6.0)


@takes("hardswish.default", group=_GROUP, form="x clamp(x + 3, 0, 6) / 6")
def _hardswish(g: Rewriter, x: Value) -> Value:
    if g.whole:
        return g.unary(aten.hardswish.default, x)
    return g.div(g.mul(x, clamp(g, g.add(x, 3.0), 0.0, 6.0)), 6.0)


@takes("softplus.default", group=_GROUP, form="(max(bx, 0) + log1p(exp(-|bx|))) / b, and x above the threshold")
def _softplus(g: Rewriter, x: Value, beta: Number = 1, threshold: Number = 20) -> Value:
    inner = g.mul(x, float(beta))
    decayed = g.unary(aten.exp.default, g.unary(aten.neg.default, g.unary(aten.abs.default, inner)))
    soft = g.div(g.add(g.maximum(inner, 0.0), log1p(g, decayed)), float(beta))
    return g.where(g.less(float(threshold), inner), x, soft)


@takes("log_sigmoid_forward.default", "log_sigmoid.default", group=_GROUP, form="min(x, 0) - log1p(exp(-|x|))")
def _log_sigmoid(g: Rewriter, x: Value) -> Any:
    decayed = g.unary(aten.exp.default, g.unary(aten.neg.default, g.unary(aten.abs.default, x)))
    found = g.sub(g.minimum(x, 0.0), log1p(g, decayed))
    return (found, None) if g.operator is aten.log_sigmoid_forward.default else found


@takes("mish.default", group=_GROUP, form="x tanh(softplus(x))")
def _mish(g: Rewriter, x: Value) -> Value:
    return g.mul(x, g.unary(aten.tanh.default, _softplus(g, x)))


@takes("threshold.default", group=_GROUP, form="a choice")
def _threshold(g: Rewriter, x: Value, threshold: Number, value: Number) -> Value:
    return g.where(g.compare(aten.le.Tensor, x, threshold), g.number(value, g.dtype(x)), x)


@takes("glu.default", group=_GROUP, form="one half times the sigmoid of the other")
def _glu(g: Rewriter, x: Value, dim: int = -1) -> Value:
    axis = g.axis(x, dim)
    half = g.shape(x)[axis] // 2
    return g.mul(g.slice(x, axis, 0, half), g.unary(aten.sigmoid.default, g.slice(x, axis, half, 2 * half)))
