"""Products of matrices, convolutions and normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .errors import RefusedError
from .graph_builder import FLOATS, Number, Value, aten
from .reductions import mean
from .rewriter import Rewriter
from .table import takes

_PRODUCTS, _CONVOLUTIONS, _NORMS = "Products of matrices", "Convolutions", "Normalisation"
_FLOAT = "floating point"


def _check_float(g: Rewriter, *values: Value) -> None:
    if any(g.dtype(each) not in FLOATS for each in values):
        raise RefusedError("multiplies matrices of integers")


@takes("mm.default", "bmm.default", group=_PRODUCTS, form="itself", condition=_FLOAT)
def _mm(g: Rewriter, a: Value, b: Value) -> Value:
    _check_float(g, a, b)
    return g.matmul(a, b)


@takes(
    "addmm.default", "baddbmm.default", group=_PRODUCTS,
    form="beta c + alpha (a b), all written out; itself of matrices where beta and alpha are 1", condition=_FLOAT,
)  # fmt: skip
def _addmm(g: Rewriter, c: Value, a: Value, b: Value, *, beta: Number = 1, alpha: Number = 1) -> Value:
    _check_float(g, a, b)
    if g.rank(a) == 2 and (alpha, beta) == (1, 1) and g.rank(c) == 1:
        # A dense layer, which ONNX has an operator for.
        found: Value = g.call(aten.addmm.default, c, a, g.apart(a, b))
        return found
    product = g.matmul(a, b)
    if alpha != 1:
        product = g.mul(product, float(alpha))
    if beta == 0:
        return product
    return g.add(product, g.mul(c, float(beta)) if beta != 1 else c)


@takes("addbmm.default", group=_PRODUCTS, form="beta c + alpha times the sum of the products", condition=_FLOAT)
def _addbmm(g: Rewriter, c: Value, a: Value, b: Value, *, beta: Number = 1, alpha: Number = 1) -> Value:
    _check_float(g, a, b)
    product = g.mul(g.sum(g.matmul(a, b), [0]), float(alpha))
    return product if beta == 0 else g.add(product, g.mul(c, float(beta)))


@takes("_trilinear.default", group=_PRODUCTS, form="products and a sum", condition="what nn.Bilinear gives")
def _trilinear(
    g: Rewriter, a: Value, b: Value, c: Value, expand1: Sequence[int], expand2: Sequence[int], expand3: Sequence[int],
    sumdim: Sequence[int], unroll_dim: int = 1,
) -> Value:  # fmt: skip
    for value, axes in ((a, expand1), (b, expand2), (c, expand3)):
        for axis in axes:
            value = g.unsqueeze(value, axis)
        a, b, c = b, c, value
    return g.sum(g.mul(g.mul(a, b), c), list(sumdim))


@takes("mv.default", group=_PRODUCTS, form="mm", condition=_FLOAT)
def _mv(g: Rewriter, a: Value, b: Value) -> Value:
    _check_float(g, a, b)
    return g.reshape(g.matmul(a, g.unsqueeze(b, 1)), g.result_shape)


@takes("dot.default", group=_PRODUCTS, form="mm", condition=_FLOAT)
def _dot(g: Rewriter, a: Value, b: Value) -> Value:
    _check_float(g, a, b)
    return g.reshape(g.matmul(g.unsqueeze(a, 0), g.unsqueeze(b, 1)), [])


@takes("convolution.default", group=_CONVOLUTIONS,
       form="itself; a transposed one is a plain one of the input with zeros between",
       condition="float32, ranks 1 to 3")  # fmt: skip
def convolution(
    g: Rewriter, x: Value, weight: Value, bias: Value | None, stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int,
) -> Value:  # fmt: skip
    """Convolution of any rank from 1 to 3."""
    if g.dtype(x) != torch.float32:
        raise RefusedError("convolves in another type than float32")
    rank = g.rank(weight) - 2
    unbatched = g.rank(x) == rank + 1
    if unbatched:
        x = g.unsqueeze(x, 0)
    stride, padding, dilation, output_padding = (
        list(each) * rank if len(each) == 1 else list(each) for each in (stride, padding, dilation, output_padding)
    )
    if transposed and g.whole and rank in (1, 2, 3):
        found = g.call(
            aten.convolution.default, x, weight, bias, stride, padding, dilation, True, output_padding, groups
        )
        return g.reshape(found, g.shape(found)[1:]) if unbatched else found
    if transposed:
        x, weight, padding = _turned(g, x, weight, stride, padding, dilation, output_padding, groups)
        stride = [1] * rank
    x, padding = _explicit_padding(g, x, padding, g.shape(weight)[2:], dilation)
    result = _forward(g, x, weight, bias, stride, padding, dilation, groups)
    return g.reshape(result, g.shape(result)[1:]) if unbatched else result


def _explicit_padding(
    g: Rewriter, x: Value, padding: Sequence[int], kernel: Sequence[int], dilation: Sequence[int]
) -> tuple[Value, list[int]]:
    """Padding that is cut off (negative) is done before."""
    if all(each >= 0 for each in padding):
        return x, list(padding)
    for axis, each in enumerate(padding):
        if each < 0:
            x = g.slice(x, axis + 2, -each, g.shape(x)[axis + 2] + each)
    return x, [max(each, 0) for each in padding]


def _forward(
    g: Rewriter,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Value:
    rank = g.rank(weight) - 2
    if rank not in (1, 2, 3):
        raise RefusedError(f"convolves {rank} dimensions")
    sizes = [list(stride), list(padding), list(dilation)]
    found: Value = g.call(aten.convolution.default, x, weight, bias, *sizes, False, [0] * rank, groups)
    return found


def _turned(
    g: Rewriter, x: Value, weight: Value, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int],
    output_padding: Sequence[int], groups: int,
) -> tuple[Value, Value, list[int]]:  # fmt: skip
    """A transposed convolution as a plain one: zeros between the inputs, the kernel turned round."""
    rank = g.rank(weight) - 2
    inputs, per_group, *kernel = g.shape(weight)
    for axis, step in enumerate(stride):
        if step > 1:
            shape = list(g.shape(x))
            at = axis + 2
            spread = g.reshape(x, [*shape[: at + 1], 1, *shape[at + 1 :]])
            zeros = torch.zeros([*shape[: at + 1], step - 1, *shape[at + 1 :]], dtype=g.dtype(x))
            wide = g.reshape(g.cat([spread, zeros], at + 1), [*shape[:at], shape[at] * step, *shape[at + 1 :]])
            x = g.slice(wide, at, 0, (shape[at] - 1) * step + 1)
    weight = g.reshape(weight, [groups, inputs // groups, per_group, *kernel])
    weight = g.permute(weight, [0, 2, 1, *range(3, 3 + rank)])
    weight = g.reshape(weight, [groups * per_group, inputs // groups, *kernel])
    for axis, extent in enumerate(kernel):
        if extent > 1:
            weight = g.take(weight, axis + 2, torch.arange(extent).flip(0))
    pads: list[int] = []
    for axis in reversed(range(rank)):
        edge = dilation[axis] * (kernel[axis] - 1) - padding[axis]
        pads += [edge, edge + output_padding[axis]]
    from .shapes import constant_pad

    return constant_pad(g, x, pads, 0.0), weight, [0] * rank


# -- normalisation --


@takes("_native_batch_norm_legit_no_training.default", group=_NORMS,
       form="itself; a missing weight is 1 and a missing bias 0", condition="float32, evaluation mode")  # fmt: skip
def _batch_norm(
    g: Rewriter, x: Value, weight: Value | None, bias: Value | None, running_mean: Value, running_var: Value,
    momentum: float, eps: float,
) -> Any:  # fmt: skip
    channels = g.shape(x)[1]
    if g.dtype(x) != torch.float32:
        raise RefusedError("normalises in another type than float32")
    ones, zeros = torch.ones(channels), torch.zeros(channels)
    if g.rank(x) < 3 or g.rank(x) > 4:
        shape = [1, channels, *[1] * (g.rank(x) - 2)]
        scale = g.div(ones if weight is None else weight, g.unary(aten.sqrt.default, g.add(running_var, float(eps))))
        centred = g.mul(g.sub(x, g.reshape(running_mean, shape)), g.reshape(scale, shape))
        return (centred if bias is None else g.add(centred, g.reshape(bias, shape))), None, None
    node = g.call(
        aten._native_batch_norm_legit_no_training.default, x, ones if weight is None else weight,
        zeros if bias is None else bias, running_mean, running_var, momentum, eps,
    )  # fmt: skip
    return (g.first(node) if not isinstance(node, tuple) else node[0]), None, None


@takes("_native_batch_norm_legit.no_stats", group=_NORMS, form="means and squared deviations, written out")
def _instance_norm(
    g: Rewriter,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Any:
    axes = [0, *range(2, g.rank(x))]
    shape = [1, g.shape(x)[1], *[1] * (g.rank(x) - 2)]
    normal = _normal(g, x, axes, eps)
    return _affine(g, normal, weight, bias, shape), None, None


def _normal(g: Rewriter, x: Value, axes: Sequence[int], eps: float) -> Value:
    centred = g.sub(x, mean(g, x, axes, keep=True))
    spread = mean(g, g.mul(centred, centred), axes, keep=True)
    return g.div(centred, g.unary(aten.sqrt.default, g.add(spread, float(eps))))


def _affine(g: Rewriter, x: Value, weight: Value | None, bias: Value | None, shape: Sequence[int]) -> Value:
    if weight is not None:
        x = g.mul(x, g.reshape(weight, shape))
    return x if bias is None else g.add(x, g.reshape(bias, shape))


@takes(
    "native_layer_norm.default", "layer_norm.default", group=_NORMS, form="means and squared deviations, written out"
)
def _layer_norm(
    g: Rewriter, x: Value, normalized_shape: Sequence[int], weight: Value | None = None, bias: Value | None = None,
    eps: float = 1e-5, cudnn_enable: bool = True,
) -> Any:  # fmt: skip
    if g.whole:
        found = g.call(aten.layer_norm.default, x, list(normalized_shape), weight, bias, eps)
    else:
        axes = list(range(g.rank(x) - len(normalized_shape), g.rank(x)))
        found = _affine(g, _normal(g, x, axes, eps), weight, bias, normalized_shape)
    return found if g.operator is aten.layer_norm.default else (found, None, None)


@takes("native_group_norm.default", group=_NORMS, form="means and squared deviations, written out")
def _group_norm(
    g: Rewriter,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    batch: int,
    channels: int,
    inner: int,
    groups: int,
    eps: float,
) -> Any:
    lanes = g.reshape(x, [batch, groups, channels // groups * inner])
    normal = g.reshape(_normal(g, lanes, [2], eps), g.shape(x))
    return _affine(g, normal, weight, bias, [1, channels, *[1] * (g.rank(x) - 2)]), None, None


@takes("_fused_rms_norm.default", "rms_norm.default", group=_NORMS, form="means of squares, written out")
def _rms_norm(
    g: Rewriter, x: Value, normalized_shape: Sequence[int], weight: Value | None = None, eps: float | None = None
) -> Any:
    axes = list(range(g.rank(x) - len(normalized_shape), g.rank(x)))
    eps = torch.finfo(g.dtype(x)).eps if eps is None else eps
    squares = mean(g, g.mul(x, x), axes, keep=True)
    normal = g.div(x, g.unary(aten.sqrt.default, g.add(squares, float(eps))))
    found = _affine(g, normal, weight, None, normalized_shape)
    return (found, None) if g.operator is not aten.rms_norm.default else found
