"""Reading and writing at positions, constant ones and such as the network computes.

A position that PyTorch refuses while it runs is clamped to the nearest that exists; nothing outside is ever read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import RefusedError
from .graph_builder import Number, Value, aten
from .rewriter import Rewriter
from .table import takes

_GROUP = "Positions"
_CLAMPED = "positions that are computed are clamped to the extent"


@takes("index_select.default", group=_GROUP, form="itself", condition=_CLAMPED, half=True)
def _index_select(g: Rewriter, x: Value, dim: int, index: Value) -> Value:
    if g.rank(x) == 0:
        return x
    axis = g.axis(x, dim)
    index = g.reshape(index, [g.size(index)])
    return g.take(x, axis, g.clamped_index(index, g.shape(x)[axis], wrap=False))


@takes("embedding.default", group=_GROUP, form="index_select of the rows", condition=_CLAMPED, half=True)
def _embedding(g: Rewriter, weight: Value, index: Value, *arguments: Any, **named: Any) -> Value:
    rows, *rest = g.shape(weight)
    flat = g.clamped_index(g.reshape(index, [g.size(index)]), rows, wrap=False)
    return g.reshape(g.take(weight, 0, flat), [*g.shape(index), *rest])


@takes("gather.default", group=_GROUP, form="index_select of the flat tensor", condition=_CLAMPED, half=True)
def gather(g: Rewriter, x: Value, dim: int, index: Value, *, sparse_grad: bool = False) -> Value:
    """Each element's position in the flat tensor is its own coordinates', but for the one of the axis."""
    if g.rank(x) == 0:
        return g.reshape(x, g.shape(index))
    axis, shape, wanted = g.axis(x, dim), g.shape(x), g.shape(index)
    strides = [math.prod(shape[each + 1 :]) for each in range(len(shape))]
    base = torch.zeros(wanted, dtype=torch.int64)
    for each, extent in enumerate(wanted):
        if each != axis:
            base += (torch.arange(extent) * strides[each]).reshape([-1 if n == each else 1 for n in range(len(wanted))])
    place = g.mul(g.clamped_index(index, shape[axis], wrap=False), strides[axis])
    flat = g.reshape(g.add(place, base), [math.prod(wanted)])
    return g.reshape(g.take(g.reshape(x, [g.size(x)]), 0, flat), wanted)


@takes("take.default", group=_GROUP, form="index_select of the flat tensor", condition=_CLAMPED, half=True)
def _take(g: Rewriter, x: Value, index: Value) -> Value:
    flat = g.clamped_index(g.reshape(index, [g.size(index)]), g.size(x), wrap=True)
    return g.reshape(g.take(g.reshape(x, [g.size(x)]), 0, flat), g.shape(index))


@takes("index.Tensor", "_unsafe_index.Tensor", group=_GROUP, form="index_select of the flat tensor",
       condition=f"{_CLAMPED}; boolean masks only as constants", half=True)  # fmt: skip
def _index(g: Rewriter, x: Value, indices: Sequence[Value | None]) -> Value:
    found: list[tuple[int, Value]] = []
    axis = 0
    for index in indices:
        if index is None:
            axis += 1
        elif g.dtype(index) in (torch.bool, torch.uint8):
            if not isinstance(index, Tensor):
                raise RefusedError("selects by a mask that is computed, which gives a shape that is not fixed")
            places = index.bool().nonzero(as_tuple=True)
            found += [(axis + number, each) for number, each in enumerate(places)]
            axis += len(places)
        else:
            found.append((axis, index))
            axis += 1
    axes = [each for each, _ in found]
    shape = g.shape(x)
    wanted = g.broadcast(*(g.shape(index) for _, index in found))
    # The indexed dimensions side by side, flat, where PyTorch puts the result: at the first, or in front if apart.
    together = axes == list(range(axes[0], axes[0] + len(axes)))
    at = axes[0] if together else 0
    rest = [each for each in range(len(shape)) if each not in axes]
    order = rest[:at] + axes + rest[at:]
    flat_extent = math.prod(shape[each] for each in axes)
    place: Value = torch.zeros((), dtype=torch.int64)
    for number, (each, index) in enumerate(found):
        stride = math.prod(shape[later] for later in axes[number + 1 :])
        place = g.add(place, g.mul(g.clamped_index(index, shape[each], wrap=True), stride))
    place = g.reshape(g.expand(place, wanted), [math.prod(wanted)])
    before, after = [shape[each] for each in rest[:at]], [shape[each] for each in rest[at:]]
    flat = g.reshape(g.permute(x, order), [*before, flat_extent, *after])
    return g.reshape(g.take(flat, at, place), [*before, *wanted, *after])


@takes("one_hot.default", group=_GROUP, form="comparison with all classes; a class that does not exist gives zeros",
       condition="the number of classes is given", half=True)  # fmt: skip
def _one_hot(g: Rewriter, index: Value, classes: int = -1) -> Value:
    if classes < 0:
        raise RefusedError("takes the number of classes from its values, without num_classes")
    return g.cast(g.equal(g.unsqueeze(index, -1), torch.arange(classes)), torch.int64)


def _hits(g: Rewriter, x: Value, axis: int, index: Value) -> Value:
    """Whether element k of an index's axis means position j of the axis: (..., j, k) with the axis moved to the end."""
    extent = g.shape(x)[axis]
    lanes = g.permute(index, [each for each in range(g.rank(index)) if each != axis] + [axis])
    return g.equal(g.unsqueeze(g.clamped_index(lanes, extent, wrap=False), -2), torch.arange(extent).reshape(-1, 1))


def _scattered(g: Rewriter, x: Value, dim: int, index: Value, source: Value, how: str) -> Value:
    """Written at positions along an axis: the last writer's number, or the sum of all."""
    axis = g.axis(x, dim)
    if g.rank(x) == 0:
        raise RefusedError("scatters into a scalar")
    if g.rank(source):
        for each, extent in enumerate(g.shape(index)):
            source = g.slice(source, each, 0, extent)
    source = g.expand(g.cast(source, g.dtype(x)), g.shape(index))
    written = [n if each == axis else m for each, (n, m) in enumerate(zip(g.shape(x), g.shape(index), strict=True))]
    part = x
    for each, extent in enumerate(written):
        part = g.slice(part, each, 0, extent)
    order = [each for each in range(g.rank(x)) if each != axis] + [axis]
    back = [order.index(each) for each in range(g.rank(x))]
    hits = _hits(g, x, axis, index)
    lanes, sources = g.permute(part, order), g.unsqueeze(g.permute(source, order), -2)
    zero = g.number(0, g.dtype(x))
    if how == "add":
        new = g.add(lanes, g.sum(g.where(hits, sources, zero), [-1]))
    else:
        count = g.shape(index)[axis]
        last = g.call(aten.amax.default, g.where(hits, torch.arange(count) + 1, g.number(0, torch.int64)), [-1], True)
        mine = g.both(hits, g.equal(last, torch.arange(count) + 1))
        chosen = g.sum(g.where(mine, sources, zero), [-1])
        new = g.where(g.less(0, g.reshape(last, g.shape(lanes))), chosen, lanes)
    new = g.permute(new, back)
    return _put_back(g, x, new)


def _put_back(g: Rewriter, x: Value, part: Value) -> Value:
    """`part` in the place of the leading corner of `x`."""
    if g.shape(part) == g.shape(x):
        return part
    index = torch.arange(g.size(x)).reshape(g.shape(x))
    corner = tuple(slice(0, extent) for extent in g.shape(part))
    index[corner] = g.size(x) + torch.arange(g.size(part)).reshape(g.shape(part))
    both = g.cat([g.reshape(x, [g.size(x)]), g.reshape(part, [g.size(part)])], 0)
    return g.reshape(g.take(both, 0, index.reshape(-1)), g.shape(x))


@takes("scatter.src", "scatter.value", group=_GROUP,
       form="comparisons with all positions; of equal positions the last counts",
       condition=_CLAMPED)  # fmt: skip
def _scatter(g: Rewriter, x: Value, dim: int, index: Value, source: Value | Number) -> Value:
    return _scattered(g, x, dim, index, g.value(source, g.dtype(x)), "replace")


@takes("scatter_add.default", group=_GROUP, form="sums under comparisons with all positions", condition=_CLAMPED)
def _scatter_add(g: Rewriter, x: Value, dim: int, index: Value, source: Value) -> Value:
    return _scattered(g, x, dim, index, source, "add")


@takes("index_add.default", group=_GROUP, form="sums under comparisons with all positions", condition=_CLAMPED)
def _index_add(g: Rewriter, x: Value, dim: int, index: Value, source: Value, *, alpha: Number = 1) -> Value:
    axis = g.axis(x, dim)
    spread = [g.size(index) if each == axis else 1 for each in range(g.rank(x))]
    wide = g.expand(g.reshape(index, spread), g.shape(source))
    return _scattered(g, x, axis, wide, g.mul(source, alpha) if alpha != 1 else source, "add")


@takes("index_put.default", "index_put_.default", group=_GROUP,
       form="a choice by the mask, or a gather with constant positions",
       condition="a mask with one number, or constant positions")  # fmt: skip
def _index_put(
    g: Rewriter, x: Value, indices: Sequence[Value | None], values: Value, accumulate: bool = False
) -> Value:
    values = g.cast(values, g.dtype(x))
    if (
        not accumulate
        and len(indices) == 1
        and indices[0] is not None
        and g.dtype(indices[0]) == torch.bool
        and g.size(values) == 1
    ):
        mask = g.reshape(indices[0], [*g.shape(indices[0]), *[1] * (g.rank(x) - g.rank(indices[0]))])
        return g.where(mask, g.reshape(values, []), x)
    if not all(index is None or isinstance(index, Tensor) for index in indices):
        raise RefusedError("writes at positions that are computed")
    numbers = torch.arange(g.size(x)).reshape(g.shape(x))
    given: Any = tuple(slice(None) if index is None else index for index in indices)
    wanted = tuple(numbers[given].shape)
    if accumulate:
        return _accumulated(g, x, numbers[given].reshape(-1), g.reshape(g.expand(values, wanted), [math.prod(wanted)]))
    numbers[given] = g.size(x) + torch.arange(math.prod(wanted)).reshape(wanted)
    flat = g.cat([g.reshape(x, [g.size(x)]), g.reshape(g.expand(values, wanted), [math.prod(wanted)])], 0)
    return g.reshape(g.take(flat, 0, numbers.reshape(-1)), g.shape(x))


def _accumulated(g: Rewriter, x: Value, places: Tensor, source: Value) -> Value:
    """`x` with each number of a flat `source` added at its known place; several may have the same."""
    writers: list[list[int]] = [[] for _ in range(g.size(x))]
    for number, place in enumerate(places.tolist()):
        writers[place].append(number)
    nothing = len(places)
    padded = g.cat([source, torch.zeros(1, dtype=g.dtype(x))], 0)
    total = g.reshape(x, [g.size(x)])
    for turn in range(max(len(each) for each in writers)):
        index = torch.tensor([each[turn] if turn < len(each) else nothing for each in writers])
        total = g.add(total, g.take(padded, 0, index))
    return g.reshape(total, g.shape(x))


@takes("masked_scatter.default", group=_GROUP, form="a gather", condition="a constant mask")
def _masked_scatter(g: Rewriter, x: Value, mask: Value, source: Value) -> Value:
    if not isinstance(mask, Tensor):
        raise RefusedError("writes under a mask that is computed")
    wide = mask.expand(g.shape(x))
    flat = g.reshape(source, [g.size(source)])
    index = torch.arange(g.size(x)).reshape(g.shape(x)).clone()
    index[wide] = g.size(x) + torch.arange(int(wide.sum()))
    both = g.cat([g.reshape(x, [g.size(x)]), flat], 0)
    return g.reshape(g.take(both, 0, index.reshape(-1)), g.shape(x))
