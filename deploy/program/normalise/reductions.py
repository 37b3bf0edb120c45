"""Sums, extremes, statistics and what is cumulative."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .arithmetic import power
from .errors import RefusedError
from .functions import log1p
from .graph_builder import FLOATS, NARROW, Number, Value, aten
from .rewriter import Rewriter
from .table import takes

_GROUP, _ORDER = "Reductions", "Order and cumulative sums"
# Elements of an axis up to which it is sorted or accumulated by comparing all pairs.
_PAIRS = 1024


@takes("sum.dim_IntList", "sum.default", group=_GROUP, form="itself; integers and booleans in int64")
def _sum(
    g: Rewriter, x: Value, dim: Sequence[int] | int | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Value:
    x = g.cast(x, _accumulated(g, x, dtype))
    return g.sum(x, g.axes(x, dim), keep=keepdim)


def _accumulated(g: Rewriter, x: Value, dtype: torch.dtype | None) -> torch.dtype:
    if dtype is not None:
        return dtype
    return g.dtype(x) if g.dtype(x) in FLOATS else torch.int64


def mean(g: Rewriter, x: Value, axes: Sequence[int], *, keep: bool) -> Value:
    """Arithmetic mean over dimensions."""
    count = math.prod(g.shape(x)[axis] for axis in axes)
    if g.rank(x) == 0:
        return x
    if count == 0:
        raise RefusedError("takes the mean of nothing")
    found: Value = g.call(aten.mean.dim, x, list(axes), keep)
    return found


@takes("mean.dim", "mean.default", group=_GROUP, form="itself, in floating point")
def _mean(
    g: Rewriter, x: Value, dim: Sequence[int] | int | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Value:
    x = g.cast(x, dtype) if dtype is not None else x
    return mean(g, x, g.axes(x, dim), keep=keepdim)


@takes("amax.default", group=_GROUP, form="itself", half=True)
def amax(g: Rewriter, x: Value, dim: Sequence[int] = (), keepdim: bool = False) -> Value:
    """Maximum over dimensions."""
    return _extreme(g, x, aten.amax.default, g.axes(x, dim), keepdim)


@takes("amin.default", group=_GROUP, form="itself", half=True)
def _amin(g: Rewriter, x: Value, dim: Sequence[int] = (), keepdim: bool = False) -> Value:
    return _extreme(g, x, aten.amin.default, g.axes(x, dim), keepdim)


def _extreme(g: Rewriter, x: Value, operator: Any, axes: Sequence[int], keep: bool) -> Value:
    dtype = g.dtype(x)
    if g.rank(x) == 0 or not axes:
        return x
    if dtype == torch.bool or dtype in NARROW:
        return g.cast(_extreme(g, g.cast(x, torch.int32), operator, axes, keep), dtype)
    found: Value = g.call(operator, x, list(axes), keep)
    return found


@takes("max.default", "min.default", group=_GROUP, form="amax, amin", half=True)
def _extreme_of_all(g: Rewriter, x: Value) -> Value:
    operator = aten.amax.default if g.operator is aten.max.default else aten.amin.default
    return _extreme(g, x, operator, g.axes(x, None), False)


@takes("max.dim", "min.dim", group=_GROUP, form="amax, amin; argmax, argmin for the positions", half=True)
def _extreme_along(g: Rewriter, x: Value, dim: int, keepdim: bool = False) -> Any:
    greatest = g.operator is aten.max.dim
    values = _extreme(g, x, aten.amax.default if greatest else aten.amin.default, [g.axis(x, dim)], keepdim)
    return values, first_position(g, x, dim, keep=keepdim, greatest=greatest)


def first_position(g: Rewriter, x: Value, dim: int, *, keep: bool, greatest: bool) -> Value:
    """Where the greatest, or least, number of an axis first stands; the first NaN, where there is one."""
    if g.rank(x) == 0:
        return torch.zeros((), dtype=torch.int64)
    axis = g.axis(x, dim)
    wide = x if g.dtype(x) not in (torch.bool, *NARROW) else g.cast(x, torch.int32)
    extent = g.shape(x)[axis]
    best = _extreme(g, wide, aten.amax.default if greatest else aten.amin.default, [axis], True)
    found = g.equal(wide, best)
    places = torch.arange(extent).reshape([extent if each == axis else 1 for each in range(g.rank(x))])
    numbers = g.where(found, places, g.number(extent, torch.int64))
    if g.dtype(wide) not in FLOATS:
        return _extreme(g, numbers, aten.amin.default, [axis], keep)
    # The first NaN counts before all numbers.
    numbers = g.where(g.is_nan(wide), places - extent, numbers)
    first = _extreme(g, numbers, aten.amin.default, [axis], keep)
    return g.where(g.less(first, 0), g.add(first, extent), first)


@takes("argmax.default", "argmin.default", group=_GROUP, form="the least position that holds the extreme", half=True)
def _argmax(g: Rewriter, x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    greatest = g.operator is aten.argmax.default
    if dim is None:
        flat = first_position(g, g.reshape(x, [g.size(x)]), 0, keep=False, greatest=greatest)
        return g.reshape(flat, g.result_shape)
    return first_position(g, x, dim, keep=keepdim, greatest=greatest)


@takes("any.default", "any.dim", "any.dims", group=_GROUP, form="amax of whether elements differ from 0", half=True)
def _any(g: Rewriter, x: Value, dim: Sequence[int] | int | None = None, keepdim: bool = False) -> Value:
    truth = g.cast(x if g.dtype(x) not in NARROW else g.cast(x, torch.int32), torch.bool)
    return _extreme(g, truth, aten.amax.default, g.axes(x, dim), keepdim)


@takes("all.default", "all.dim", "all.dims", group=_GROUP, form="amin of whether elements differ from 0", half=True)
def _all(g: Rewriter, x: Value, dim: Sequence[int] | int | None = None, keepdim: bool = False) -> Value:
    truth = g.cast(x if g.dtype(x) not in NARROW else g.cast(x, torch.int32), torch.bool)
    return _extreme(g, truth, aten.amin.default, g.axes(x, dim), keepdim)


@takes("prod.default", "prod.dim_int", group=_GROUP, form="products of halves")
def _prod(g: Rewriter, x: Value, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Value:
    x = g.cast(x, _accumulated(g, x, dtype))
    shape = g.result_shape
    if dim is None:
        x, dim = g.reshape(x, [g.size(x)]), 0
    axis = g.axis(x, dim)
    if g.rank(x) == 0:
        return x
    while (extent := g.shape(x)[axis]) > 1:
        half = extent // 2
        pairs = g.mul(g.slice(x, axis, 0, half), g.slice(x, axis, half, 2 * half))
        x = pairs if extent % 2 == 0 else g.cat([pairs, g.slice(x, axis, extent - 1, extent)], axis)
    return g.reshape(x, shape) if g.size(x) else torch.ones(shape, dtype=g.dtype(x))


@takes("var.correction", "var.dim", "var.default", group=_GROUP, form="the mean of squared deviations from the mean")
def var(
    g: Rewriter, x: Value, dim: Any = None, unbiased: Any = True, keepdim: bool = False, *, correction: Any = None
) -> Value:
    """Variance, corrected by the number of degrees of freedom."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if g.operator in (aten.var.correction, aten.std.correction):
        correction = 1 if correction is None else correction
    else:
        correction = 1 if unbiased else 0
    return _variance(g, x, g.axes(x, dim), correction, keep=keepdim)


def _variance(g: Rewriter, x: Value, axes: Sequence[int], correction: Number, *, keep: bool) -> Value:
    count = math.prod(g.shape(x)[axis] for axis in axes)
    deviation = g.sub(x, mean(g, x, axes, keep=True))
    squares = g.sum(g.mul(deviation, deviation), axes, keep=keep)
    return g.div(squares, g.number(max(0.0, count - correction), g.dtype(x)))


@takes("std.correction", "std.dim", "std.default", group=_GROUP, form="the square root of var")
def _std(
    g: Rewriter, x: Value, dim: Any = None, unbiased: Any = True, keepdim: bool = False, *, correction: Any = None
) -> Value:
    return g.unary(aten.sqrt.default, var(g, x, dim, unbiased, keepdim, correction=correction))


@takes("var_mean.correction", group=_GROUP, form="var and mean")
def _var_mean(g: Rewriter, x: Value, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    axes = g.axes(x, dim)
    spread = _variance(g, x, axes, 1 if correction is None else correction, keep=keepdim)
    return spread, mean(g, x, axes, keep=keepdim)


@takes("linalg_vector_norm.default", "norm.Scalar", "norm.ScalarOpt_dim", group=_GROUP,
       form="sums and extremes of absolute values; the square root of the sum of squares for the order 2",
       condition="floating point")  # fmt: skip
def _norm(
    g: Rewriter, x: Value, order: Number | None = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Value:
    x = g.cast(x, dtype) if dtype is not None else x
    axes = g.axes(x, dim)
    order = 2 if order is None else order
    size = g.unary(aten.abs.default, x)
    if order in (math.inf, -math.inf):
        return _extreme(g, size, aten.amax.default if order > 0 else aten.amin.default, axes, keepdim)
    if order == 0:
        return g.sum(g.cast(g.binary(aten.ne.Tensor, x, 0), g.dtype(x)), axes, keep=keepdim)
    if order == 1:
        return g.sum(size, axes, keep=keepdim)
    if order == 2:
        return g.unary(aten.sqrt.default, g.sum(g.mul(x, x), axes, keep=keepdim))
    powers = power(g, size, order)
    found: Value = g.call(
        aten.pow.Tensor_Tensor, g.sum(powers, axes, keep=keepdim), g.number(1 / float(order), g.dtype(x))
    )
    return found


def _shifted(g: Rewriter, x: Value, axes: Sequence[int]) -> Value:
    """The maximum, and 0 where that is infinite: what exponentials are taken relative to."""
    most = g.call(aten.amax.default, x, list(axes), True)
    return g.where(g.equal(g.unary(aten.abs.default, most), math.inf), g.number(0.0, g.dtype(x)), most)


@takes("logsumexp.default", group=_GROUP, form="the logarithm of the sum of exponentials relative to the maximum")
def logsumexp(g: Rewriter, x: Value, dim: Any, keepdim: bool = False) -> Value:
    """Infinite numbers give what PyTorch gives."""
    axes = g.axes(x, dim)
    shift = _shifted(g, x, axes)
    total = g.sum(g.unary(aten.exp.default, g.sub(x, shift)), axes, keep=True)
    found = g.add(g.unary(aten.log.default, total), shift)
    return found if keepdim else g.reshape(found, [n for axis, n in enumerate(g.shape(found)) if axis not in axes])


@takes("logaddexp.default", group=_GROUP, form="max(a, b) + log1p(exp(-|a - b|))")
def _logaddexp(g: Rewriter, a: Value, b: Value) -> Value:
    gap = g.unary(aten.neg.default, g.unary(aten.abs.default, g.sub(a, b)))
    found = g.add(g.maximum(a, b), log1p(g, g.unary(aten.exp.default, gap)))
    same = g.equal(a, b)
    return g.where(g.both(same, g.equal(g.unary(aten.abs.default, a), math.inf)), a, found)


@takes("_softmax.default", "softmax.int", group=_GROUP, form="itself, in the type asked for")
def _softmax(g: Rewriter, x: Value, dim: int, half: Any = None, *, dtype: Any = None) -> Value:
    x = g.cast(x, g.result.dtype)
    if g.rank(x) == 0:
        return torch.ones((), dtype=g.dtype(x))
    found: Value = g.call(aten._softmax.default, x, g.axis(x, dim), False)
    return found


@takes("_log_softmax.default", "log_softmax.int", group=_GROUP, form="x less its logsumexp")
def _log_softmax(g: Rewriter, x: Value, dim: int, half: Any = None, *, dtype: Any = None) -> Value:
    x = g.cast(x, g.result.dtype)
    if g.rank(x) == 0:
        return torch.zeros((), dtype=g.dtype(x))
    axis = g.axis(x, dim)
    centred = g.sub(x, g.call(aten.amax.default, x, [axis], True))
    return g.sub(centred, g.unary(aten.log.default, g.sum(g.unary(aten.exp.default, centred), [axis], keep=True)))


# -- order --


def _lanes(g: Rewriter, x: Value, dim: int) -> tuple[Value, list[int], int]:
    """The axis moved to the end, the order that moves it back, and its extent."""
    axis = g.axis(x, dim)
    order = [each for each in range(g.rank(x)) if each != axis] + [axis]
    back = [order.index(each) for each in range(g.rank(x))]
    extent = g.shape(x)[axis]
    if extent > _PAIRS:
        raise RefusedError(f"works along {extent} elements, and up to {_PAIRS} are taken")
    return g.permute(x, order), back, extent


@takes("cumsum.default", group=_ORDER, form="sums under a triangular mask",
       condition=f"no more than {_PAIRS} elements along the dimension")  # fmt: skip
def _cumsum(g: Rewriter, x: Value, dim: int, *, dtype: Any = None) -> Value:
    x = g.cast(x, _accumulated(g, x, dtype))
    if g.rank(x) == 0:
        return x
    lanes, back, extent = _lanes(g, x, dim)
    mask = torch.ones(extent, extent, dtype=torch.int64).tril().bool()
    spread = g.where(mask, g.unsqueeze(lanes, -2), g.number(0, g.dtype(x)))
    return g.permute(g.sum(spread, [-1]), back)


@takes(
    "cumprod.default",
    group=_ORDER,
    form="products, one after the other",
    condition="no more than 64 elements along the dimension",
)
def _cumprod(g: Rewriter, x: Value, dim: int, *, dtype: Any = None) -> Value:
    x = g.cast(x, _accumulated(g, x, dtype))
    axis = g.axis(x, dim)
    if g.rank(x) == 0:
        return x
    extent = g.shape(x)[axis]
    if extent > 64:
        raise RefusedError(f"works along {extent} elements, and up to 64 are taken")
    parts = [g.slice(x, axis, 0, 1)]
    for place in range(1, extent):
        parts.append(g.mul(parts[-1], g.slice(x, axis, place, place + 1)))
    return g.cat(parts, axis)


@takes(
    "cummax.default",
    "cummin.default",
    group=_ORDER,
    form="extremes under a triangular mask",
    condition="its values alone",
)
def _cummax(g: Rewriter, x: Value, dim: int) -> Any:
    lanes, back, extent = _lanes(g, x, dim)
    greatest = g.operator is aten.cummax.default
    mask = torch.ones(extent, extent, dtype=torch.int64).tril().bool()
    if g.dtype(x) in FLOATS:
        fill: Number = -math.inf if greatest else math.inf
    else:
        fill = torch.iinfo(g.dtype(x)).min if greatest else torch.iinfo(g.dtype(x)).max
    spread = g.where(mask, g.unsqueeze(lanes, -2), g.number(fill, g.dtype(x)))
    operator = aten.amax.default if greatest else aten.amin.default
    return g.permute(_extreme(g, spread, operator, [g.rank(spread) - 1], False), back), None


def _ranked(g: Rewriter, lanes: Value, extent: int, *, descending: bool) -> Value:
    """The place of each element in order: the number of those before it. Equal ones keep their order, and NaN is
    greater than all numbers, as in PyTorch.
    """
    mine, other = g.unsqueeze(lanes, -1), g.unsqueeze(lanes, -2)
    before = g.less(mine, other) if descending else g.less(other, mine)
    same = g.equal(mine, other)
    if g.dtype(lanes) in FLOATS:
        my_nan, its_nan = g.is_nan(mine), g.is_nan(other)
        first, second = (its_nan, my_nan) if descending else (my_nan, its_nan)
        either = g.binary(aten.logical_or.default, before, g.both(first, g.unary(aten.logical_not.default, second)))
        before = either
        same = g.binary(aten.logical_or.default, same, g.both(my_nan, its_nan))
    earlier = torch.ones(extent, extent, dtype=torch.int64).tril(-1).bool()
    counted = g.binary(aten.logical_or.default, before, g.both(same, earlier))
    return g.sum(g.cast(counted, torch.int64), [-1])


def ordered(g: Rewriter, x: Value, dim: int, places: Tensor, *, descending: bool) -> tuple[Value, Value]:
    """The elements that stand at `places` of the sorted axis, and where they come from."""
    if g.rank(x) == 0:
        return x, torch.zeros((), dtype=torch.int64)
    wide = x if g.dtype(x) not in (torch.bool, *NARROW) else g.cast(x, torch.int32)
    lanes, back, extent = _lanes(g, wide, dim)
    hit = g.equal(g.unsqueeze(_ranked(g, lanes, extent, descending=descending), -2), places.reshape(-1, 1))
    values = g.sum(g.where(hit, g.unsqueeze(lanes, -2), g.number(0, g.dtype(lanes))), [-1])
    origins = g.sum(g.where(hit, torch.arange(extent), g.number(0, torch.int64)), [-1])
    return g.cast(g.permute(values, back), g.dtype(x)), g.permute(origins, back)


_BY_RANK = "comparisons of all pairs"
_UP_TO = f"no more than {_PAIRS} elements along the dimension"


@takes("_cdist_forward.default", group=_GROUP, form="norms of all differences")
def _cdist(g: Rewriter, a: Value, b: Value, p: float, mode: int | None = None) -> Value:
    apart = g.sub(g.unsqueeze(a, -2), g.unsqueeze(b, -3))
    return _norm(g, apart, p, [g.rank(apart) - 1])


@takes(
    "sort.default", "sort.stable", "argsort.default", "argsort.stable", group=_ORDER, form=_BY_RANK, condition=_UP_TO
)
def _sort(g: Rewriter, x: Value, *arguments: Any, **named: Any) -> Any:
    given = dict(zip(("dim", "descending"), [each for each in arguments if each is not None], strict=False)) | named
    dim, descending = int(given.get("dim", -1)), bool(given.get("descending", False))
    extent = g.shape(x)[g.axis(x, dim)] if g.rank(x) else 1
    values, origins = ordered(g, x, dim, torch.arange(extent), descending=descending)
    return origins if g.operator in (aten.argsort.default, aten.argsort.stable) else (values, origins)


@takes("topk.default", group=_ORDER, form=_BY_RANK, condition=f"{_UP_TO}; sorted or not, the result is sorted")
def _topk(g: Rewriter, x: Value, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:  # noqa: A002
    return ordered(g, x, dim, torch.arange(k), descending=largest)


@takes("kthvalue.default", group=_ORDER, form=_BY_RANK, condition=_UP_TO)
def _kthvalue(g: Rewriter, x: Value, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    return _one(g, ordered(g, x, dim, torch.tensor([k - 1]), descending=False), dim, keepdim)


def _one(g: Rewriter, found: tuple[Value, Value], dim: int, keep: bool) -> tuple[Value, ...]:
    if keep or g.rank(found[0]) == 0:
        return found
    axis = g.axis(found[0], dim)
    return tuple(g.select(each, axis, 0) for each in found)


@takes("median.dim", "median.default", group=_ORDER, form=_BY_RANK, condition=f"{_UP_TO}; without NaN")
def _median(g: Rewriter, x: Value, dim: int | None = None, keepdim: bool = False) -> Any:
    alone = dim is None
    if dim is None:
        x, dim = g.reshape(x, [g.size(x)]), 0
    extent = g.shape(x)[g.axis(x, dim)] if g.rank(x) else 1
    values, origins = ordered(g, x, dim, torch.tensor([(extent - 1) // 2]), descending=False)
    if g.dtype(x) in FLOATS:
        broken = _extreme(g, g.cast(g.is_nan(x), torch.int32), aten.amax.default, [g.axis(x, dim)], True)
        values = g.where(g.less(0, broken), g.number(math.nan, g.dtype(x)), values)
    found = _one(g, (values, origins), dim, keepdim)
    return found[0] if alone else found
