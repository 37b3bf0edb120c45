"""Operators that move elements without computing, and constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import RefusedError
from .graph_builder import HALVES, Number, Value, aten
from .rewriter import Rewriter
from .table import takes

_SHAPES, _PARTS, _CONSTANTS, _TYPES = "Shapes", "Parts and joins", "Constants", "Types and copies"


@takes(
    "view.default", "_unsafe_view.default", "reshape.default", "_reshape_copy.default", "flatten.using_ints",
    "unflatten.int", group=_SHAPES, form="a reshape whose extents are all given", half=True,
)  # fmt: skip
def _view(g: Rewriter, x: Value, *arguments: Any, **named: Any) -> Value:
    return g.reshape(x, g.result_shape)


@takes(
    "squeeze.default", "squeeze.dim", "squeeze.dims", "unsqueeze.default", group=_SHAPES, form="a reshape", half=True
)
def _squeeze(g: Rewriter, x: Value, *arguments: Any, **named: Any) -> Value:
    return g.reshape(x, g.result_shape)


@takes(
    "permute.default",
    "permute_copy.default",
    group=_SHAPES,
    form="itself, dimensions counted from the front",
    half=True,
)
def _permute(g: Rewriter, x: Value, dims: Sequence[int]) -> Value:
    return g.permute(x, dims)


@takes("transpose.int", "t.default", "numpy_T.default", group=_SHAPES, form="permute", half=True)
def _transpose(g: Rewriter, x: Value, first: int = 0, second: int = 1) -> Value:
    order = list(range(g.rank(x)))
    if len(order) > 1:
        first, second = g.axis(x, first), g.axis(x, second)
        order[first], order[second] = order[second], order[first]
    return g.permute(x, order)


@takes(
    "expand.default",
    "expand_copy.default",
    "broadcast_to.default",
    group=_SHAPES,
    form="itself, all extents given",
    half=True,
)
def _expand(g: Rewriter, x: Value, size: Sequence[int], **named: Any) -> Value:
    return g.expand(x, size)


@takes("repeat.default", "tile.default", group=_SHAPES, form="reshape, expand, reshape", half=True)
def _repeat(g: Rewriter, x: Value, times: Sequence[int]) -> Value:
    shape = (1,) * (len(times) - g.rank(x)) + g.shape(x)
    times = [1] * (len(shape) - len(times)) + list(times)
    between = [n for pair in zip([1] * len(shape), shape, strict=True) for n in pair]
    spread = [n for pair in zip(times, shape, strict=True) for n in pair]
    return g.reshape(g.expand(g.reshape(x, between), spread), [t * n for t, n in zip(times, shape, strict=True)])


@takes("slice.Tensor", "slice_copy.Tensor", group=_PARTS, form="itself, from and to counted from the front", half=True)
def slice_(
    g: Rewriter, x: Value, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Value:
    axis = g.axis(x, dim)
    extent = g.shape(x)[axis]
    first, last, step = slice(start, end, step).indices(extent)
    return g.slice(x, axis, first, max(first, last), step)


@takes(
    "select.int", "select_copy.int", group=_PARTS, form="slice and reshape, the index counted from the front", half=True
)
def _select(g: Rewriter, x: Value, dim: int, index: int) -> Value:
    return g.select(x, dim, index)


@takes("cat.default", "concat.default", group=_PARTS, form="itself, in the common type", half=True)
def _cat(g: Rewriter, tensors: Sequence[Value], dim: int = 0) -> Value:
    # PyTorch leaves out empty vectors, whatever the shape of the others.
    kept = [each for each in tensors if g.shape(each) != (0,)]
    return g.cat(kept or list(tensors)[:1], dim)


@takes("stack.default", group=_PARTS, form="reshape and cat", half=True)
def _stack(g: Rewriter, tensors: Sequence[Value], dim: int = 0) -> Value:
    axis = dim % (g.rank(tensors[0]) + 1)
    return g.cat([g.unsqueeze(each, axis) for each in tensors], axis)


@takes("split_with_sizes.default", "split_with_sizes_copy.default", group=_PARTS, form="slices", half=True)
def _split_with_sizes(g: Rewriter, x: Value, sizes: Sequence[int], dim: int = 0) -> list[Value]:
    parts, start = [], 0
    for size in sizes:
        parts.append(g.slice(x, dim, start, start + size))
        start += size
    return parts


@takes("split.Tensor", group=_PARTS, form="slices", half=True)
def _split(g: Rewriter, x: Value, size: int, dim: int = 0) -> list[Value]:
    extent = g.shape(x)[g.axis(x, dim)]
    return [g.slice(x, dim, start, min(start + size, extent)) for start in range(0, extent, size)]


@takes("unbind.int", group=_PARTS, form="slices and reshapes", half=True)
def _unbind(g: Rewriter, x: Value, dim: int = 0) -> list[Value]:
    return [g.select(x, dim, index) for index in range(g.shape(x)[g.axis(x, dim)])]


@takes("getitem", group=_PARTS, form="one of several results", half=True)
def _getitem(g: Rewriter, values: Sequence[Value | None], index: int) -> Value:
    found = values[index]
    if found is None:
        raise RefusedError("is read for a result that is not taken")
    return found


def moved(g: Rewriter, x: Value, axis: int, index: Tensor) -> Value:
    """Elements of an axis at known positions: slices where they are runs, else a gather."""
    axis, extent = g.axis(x, axis), g.shape(x)[axis]
    positions: list[int] = index.tolist()
    if positions == list(range(extent)):
        return x
    runs: list[list[int]] = []
    for position in positions:
        if runs and position == runs[-1][-1] + 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    if runs and len(runs) <= 2:
        return g.cat([g.slice(x, axis, run[0], run[-1] + 1) for run in runs], axis)
    return g.take(x, axis, index)


@takes("flip.default", group=_PARTS, form="gathers with constant positions", half=True)
def _flip(g: Rewriter, x: Value, dims: Sequence[int]) -> Value:
    for dim in dims:
        x = moved(g, x, dim, torch.arange(g.shape(x)[g.axis(x, dim)]).flip(0))
    return x


@takes("roll.default", group=_PARTS, form="slices and cat", half=True)
def _roll(g: Rewriter, x: Value, shifts: Sequence[int], dims: Sequence[int] = ()) -> Value:
    if not dims:
        return g.reshape(moved(g, g.reshape(x, [g.size(x)]), 0, torch.arange(g.size(x)).roll(shifts[0])), g.shape(x))
    for shift, dim in zip(shifts, dims, strict=True):
        x = moved(g, x, dim, torch.arange(g.shape(x)[g.axis(x, dim)]).roll(shift))
    return x


def rearranged(g: Rewriter, x: Value, function: Any) -> Value:
    """A view that PyTorch computes on the elements' numbers, gathered from the flat tensor."""
    index = g.apply(function, g.shape(x))
    return g.reshape(g.take(g.reshape(x, [g.size(x)]), 0, index.reshape(-1)), tuple(index.shape))


@takes("diagonal.default", "diagonal_copy.default", "unfold.default", "unfold_copy.default", "pixel_shuffle.default",
       "pixel_unshuffle.default", "channel_shuffle.default", "as_strided.default", "as_strided_copy.default",
       group=_PARTS, form="a gather with constant positions, of a contiguous tensor", half=True)  # fmt: skip
def _constant_view(g: Rewriter, x: Value, *arguments: Any, **named: Any) -> Value:
    if g.operator is aten.as_strided.default and not g.original_contiguous:
        raise RefusedError("reads memory by strides of a tensor that is not contiguous")
    return rearranged(g, x, lambda numbers: g.operator(numbers, *arguments, **named))


@takes("im2col.default", group=_PARTS, form="padding and a gather with constant positions", half=True)
def _im2col(
    g: Rewriter, x: Value, kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
) -> Value:
    rows, columns = (list(padding) * 2)[:2]
    x = constant_pad(g, x, [columns, columns, rows, rows], 0)
    rule = lambda numbers: aten.im2col.default(numbers.double(), kernel, dilation, [0, 0], stride).long()  # noqa: E731
    return rearranged(g, x, rule)


@takes("constant_pad_nd.default", group=_PARTS, form="padding, and slices where it is negative", half=True)
def constant_pad(g: Rewriter, x: Value, pad: Sequence[int], value: Number | None = 0) -> Value:
    """Concatenation with constants: no library pads all types by all numbers, infinities and booleans among them."""
    value = 0 if value is None else value
    for number, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True)):
        axis = g.rank(x) - 1 - number
        x = slice_(g, x, axis, -min(before, 0), g.shape(x)[axis] + min(after, 0))
    added = [max(each, 0) for each in pad]
    if not any(added):
        return x
    dtype = g.dtype(x)
    if dtype in (torch.float32, torch.float64) and abs(value) < 1e30:
        found: Value = g.call(aten.constant_pad_nd.default, x, added, float(value))
        return found
    for number, (before, after) in enumerate(zip(added[::2], added[1::2], strict=True)):
        axis = g.rank(x) - 1 - number
        for extent, front in ((before, True), (after, False)):
            if extent:
                shape = [extent if each == axis else n for each, n in enumerate(g.shape(x))]
                border = torch.full(shape, value, dtype=dtype)
                x = g.cat([border, x] if front else [x, border], axis)
    return x


def _bordered(name: str, mode: str, rank: int) -> None:
    @takes(name, group=_PARTS, form=f"gathers with constant positions ({mode})", half=True)
    def rule(g: Rewriter, x: Value, pad: Sequence[int]) -> Value:
        for number, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True)):
            axis = g.rank(x) - 1 - number
            extent = g.shape(x)[axis]
            numbers = torch.arange(extent, dtype=torch.float64).reshape(1, 1, extent)
            index = torch.nn.functional.pad(numbers, (before, after), mode=mode).reshape(-1).long()
            x = moved(g, x, axis, index)
        return x


for _rank in (1, 2, 3):
    _bordered(f"reflection_pad{_rank}d.default", "reflect", _rank)
    _bordered(f"replication_pad{_rank}d.default", "replicate", _rank)


def _triangle(name: str) -> None:
    @takes(f"{name}.default", group=_PARTS, form="a choice by a constant mask", half=True)
    def rule(g: Rewriter, x: Value, diagonal: int = 0) -> Value:
        mask = getattr(torch, name)(torch.ones(g.shape(x)[-2:], dtype=torch.int64), diagonal).bool()
        wide = x if g.dtype(x) != torch.bool else g.cast(x, torch.int32)
        return g.cast(g.where(mask, wide, g.number(0, g.dtype(wide))), g.dtype(x))


_triangle("tril")
_triangle("triu")


@takes("slice_scatter.default", group=_PARTS, form="a choice by a constant mask, of slices put in place", half=True)
def _slice_scatter(
    g: Rewriter, x: Value, source: Value, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Value:
    axis = g.axis(x, dim)
    extent = g.shape(x)[axis]
    positions = list(range(extent))[slice(start, end, step)]
    return _put(g, x, g.cast(source, g.dtype(x)), axis, positions)


@takes("select_scatter.default", group=_PARTS, form="slices and cat", half=True)
def _select_scatter(g: Rewriter, x: Value, source: Value, dim: int, index: int) -> Value:
    axis = g.axis(x, dim)
    return _put(g, x, g.unsqueeze(g.cast(source, g.dtype(x)), axis), axis, [index % g.shape(x)[axis]])


def _put(g: Rewriter, x: Value, source: Value, axis: int, positions: Sequence[int]) -> Value:
    """`source` in the place of these positions of an axis of `x`."""
    extent = g.shape(x)[axis]
    if not positions:
        return x
    target = [positions[0] <= n <= positions[-1] for n in range(extent)]
    if len(positions) == sum(target):
        before = [g.slice(x, axis, 0, positions[0])] if positions[0] else []
        after = [g.slice(x, axis, positions[-1] + 1, extent)] if positions[-1] + 1 < extent else []
        return g.cat([*before, source, *after], axis)
    index = torch.arange(extent)
    index[torch.tensor(positions)] = extent + torch.arange(len(positions))
    return g.take(g.cat([x, source], axis), axis, index)


# -- constants --


@takes("full.default", "zeros.default", "ones.default", "empty.memory_format", "scalar_tensor.default",
       "arange.default", "arange.start", "arange.start_step", "linspace.default", "eye.default", "eye.m",
       "tril_indices.default", "triu_indices.default", "full_like.default", "zeros_like.default", "ones_like.default",
       "empty_like.default", "new_zeros.default", "new_ones.default", "new_full.default", "new_empty.default",
       "empty_permuted.default", "hann_window.default", "hamming_window.default",
       group=_CONSTANTS,
       form="a constant that PyTorch computes; memory that is left uninitialised is 0", half=True)  # fmt: skip
def _constant(g: Rewriter, *arguments: Any, **named: Any) -> Value:
    fake = g.result
    shape = tuple(fake.shape)
    stand_ins = [
        torch.empty(g.shape(each), dtype=g.dtype(each)) if isinstance(each, torch.fx.Node) else each
        for each in arguments
    ]
    if "empty" in g.operator.__name__:
        return torch.zeros(shape, dtype=_carried(fake.dtype))
    if any(isinstance(each, torch.fx.Node) for each in named.values()) or (
        len(stand_ins) > 1 and isinstance(arguments[-1], torch.fx.Node)
    ):
        raise RefusedError("fills a tensor with a computed number")
    named = {key: value for key, value in named.items() if key not in ("device", "pin_memory", "layout")}
    made: Tensor = g.operator(*stand_ins, **named).to(fake.dtype)
    return made.to(_carried(fake.dtype))


def _carried(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in HALVES else dtype


@takes("fill.Scalar", "fill.Tensor", group=_CONSTANTS, form="a constant, or expand", half=True)
def _fill(g: Rewriter, x: Value, value: Value | Number) -> Value:
    return g.expand(g.value(value, g.dtype(x)), g.shape(x))


# -- types and copies --


@takes(
    "_to_copy.default", "to.dtype", "to.dtype_layout", "type_as.default", group=_TYPES,
    form="itself; conversions to and from float16 and bfloat16 round and stay float32", half=True,
)  # fmt: skip
def _to_copy(g: Rewriter, x: Value, *arguments: Any, **named: Any) -> Value:
    return g.cast(x, g.result.dtype)


@takes("clone.default", "alias.default", "detach.default", "contiguous.default", "lift_fresh_copy.default",
       "lift_fresh.default", "alias_copy.default", "view_of.default", "native_dropout.default", "dropout.default",
       "_to_dense.default", "positive.default", group=_TYPES,
       form="nothing", condition="dropout in evaluation mode", half=True)  # fmt: skip
def _nothing(g: Rewriter, x: Value, *arguments: Any, **named: Any) -> Any:
    if g.operator in (aten.native_dropout.default, aten.dropout.default):
        training = arguments[1] if len(arguments) > 1 else named.get("train")
        if training:
            raise RefusedError("drops units at random")
        return (x, None) if g.operator is aten.native_dropout.default else x
    return x


@takes("copy.default", group=_TYPES, form="expand and conversion", half=True)
def _copy(g: Rewriter, x: Value, source: Value, *arguments: Any) -> Value:
    return g.expand(g.cast(source, g.dtype(x)), g.shape(x))
