"""Pooling and interpolation, one axis after the other.

Which inputs a window or an interpolated point reads, and with what weights, comes from PyTorch itself: it computes the
axis alone, of numbered or of unit inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import RefusedError
from .graph_builder import FLOATS, Value, aten
from .reductions import amax
from .rewriter import Rewriter
from .shapes import moved
from .table import takes

_POOLS, _RESAMPLING = "Pooling", "Interpolation"
# Weights of a point up to which it is a sum of gathers; beyond, a product with a matrix is cheaper.
_TAPS = 4


def windows(extent: int, kernel: int, stride: int, padding: int, dilation: int, *, ceil_mode: bool) -> list[list[int]]:
    """The positions that each window reads, those in the padding left out."""
    span = dilation * (kernel - 1) + 1
    room = extent + 2 * padding - span
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    # PyTorch drops a last window that starts in the padding behind the input.
    if ceil_mode and (count - 1) * stride >= extent + padding:
        count -= 1
    starts = [number * stride - padding for number in range(count)]
    return [[p for p in range(start, start + span, dilation) if 0 <= p < extent] for start in starts]


def _gathered(g: Rewriter, x: Value, axis: int, places: Sequence[Sequence[int]]) -> Value:
    """The axis as two: windows, and their positions, the last one repeated where a window has fewer."""
    most = max(len(each) for each in places)
    index = torch.tensor([[*each, *[each[-1]] * (most - len(each))] for each in places])
    shape = g.shape(x)
    spread = moved(g, x, axis, index.reshape(-1))
    return g.reshape(spread, [*shape[:axis], len(places), most, *shape[axis + 1 :]])


def max_over(g: Rewriter, x: Value, axis: int, places: Sequence[Sequence[int]]) -> Value:
    """Maxima of windows along an axis."""
    if any(not each for each in places):
        raise RefusedError("has a window that lies in the padding alone")
    return amax(g, _gathered(g, x, axis, places), [axis + 1])


def sum_over(g: Rewriter, x: Value, axis: int, places: Sequence[Sequence[int]]) -> Value:
    """Sums of windows along an axis."""
    if any(not each for each in places):
        raise RefusedError("has a window that lies in the padding alone")
    most = max(len(each) for each in places)
    spread = _gathered(g, x, axis, places)
    if any(len(each) < most for each in places):
        mask = torch.tensor([[n < len(each) for n in range(most)] for each in places])
        mask = mask.reshape([len(places), most, *[1] * (g.rank(x) - axis - 1)])
        spread = g.where(mask, spread, g.number(0, g.dtype(x)))
    return g.sum(spread, [axis + 1])


def _each(value: int | Sequence[int], rank: int) -> list[int]:
    given = [value] if isinstance(value, int) else list(value)
    return given * rank if len(given) == 1 else given


def _max_pool(rank: int) -> Any:
    def rule(
        g: Rewriter,
        x: Value,
        kernel: Any,
        stride: Any = (),
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> Any:
        kernel, padding, dilation = _each(kernel, rank), _each(padding, rank), _each(dilation, rank)
        stride = _each(stride, rank) if stride else kernel
        first = g.rank(x) - rank
        places = [
            windows(n, *each, ceil_mode=ceil_mode)
            for n, *each in zip(g.shape(x)[first:], kernel, stride, padding, dilation, strict=True)
        ]
        plain = rank == 2 and dilation == [1, 1] and not ceil_mode and g.rank(x) == 4 and g.dtype(x) == torch.float32
        if plain and not isinstance(x, Tensor):
            node = g.call(aten.max_pool2d_with_indices.default, x, kernel, stride, padding, dilation, False)
            return g.first(node), None
        for axis, each in enumerate(places):
            x = max_over(g, x, first + axis, each)
        return x, None

    return rule


takes("max_pool2d_with_indices.default", group=_POOLS,
      form="max_pool2d; maxima over gathered windows where there is dilation or ceil_mode",
      condition="its values alone")(_max_pool(2))  # fmt: skip
takes("max_pool3d_with_indices.default", group=_POOLS, form="maxima over gathered windows",
      condition="its values alone")(_max_pool(3))  # fmt: skip
takes("max_pool1d_with_indices.default", group=_POOLS, form="maxima over gathered windows",
      condition="its values alone")(_max_pool(1))  # fmt: skip


def _avg_pool(rank: int) -> Any:
    def rule(
        g: Rewriter, x: Value, kernel: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> Value:  # fmt: skip
        kernel, padding = _each(kernel, rank), _each(padding, rank)
        stride = _each(stride, rank) if stride else kernel
        first = g.rank(x) - rank
        extents = g.shape(x)[first:]
        if rank == 2 and g.rank(x) == 4 and not any(padding) and not ceil_mode and not divisor_override and (
            g.dtype(x) == torch.float32
        ):  # fmt: skip
            found: Value = g.call(aten.avg_pool2d.default, x, kernel, stride, [0, 0], False, True)
            return found
        places = [
            windows(n, size, step, pad, 1, ceil_mode=ceil_mode)
            for n, size, step, pad in zip(extents, kernel, stride, padding, strict=True)
        ]
        for axis, each in enumerate(places):
            x = sum_over(g, x, first + axis, each)
        if divisor_override:
            return g.div(x, float(divisor_override))
        # Elements of each window: those of the padding count too, but not those beyond it, where ceil_mode reaches.
        sizes = [
            torch.tensor(
                [
                    min(n + pad, number * step - pad + size) - (number * step - pad) if count_include_pad else len(each)
                    for number, each in enumerate(along)
                ],
                dtype=g.dtype(x),
            ).reshape([len(along), *[1] * (rank - axis - 1)])
            for axis, (along, n, size, step, pad) in enumerate(
                zip(places, extents, kernel, stride, padding, strict=True)
            )
        ]
        return g.div(x, math.prod(sizes[1:], start=sizes[0]))

    return rule


_AVERAGES = "sums over gathered windows, divided by the number of elements that PyTorch counts"
takes(
    "avg_pool2d.default",
    group=_POOLS,
    form=f"avg_pool2d where there is neither padding, ceil_mode nor divisor_override; else {_AVERAGES}",
)(_avg_pool(2))
takes("avg_pool1d.default", group=_POOLS, form=_AVERAGES)(_avg_pool(1))
takes("avg_pool3d.default", group=_POOLS, form=_AVERAGES)(_avg_pool(3))


def _adaptive_windows(extent: int, wanted: int) -> list[list[int]]:
    return [list(range(k * extent // wanted, -(-(k + 1) * extent // wanted))) for k in range(wanted)]


def _adaptive(rank: int, *, greatest: bool) -> Any:
    def rule(g: Rewriter, x: Value, size: Any) -> Any:
        first = g.rank(x) - rank
        wanted = _each(size, rank)
        if all(n == 1 for n in wanted):
            axes = list(range(first, first + rank))
            if greatest:
                return amax(g, x, axes, True), None
            found: Value = g.call(aten.mean.dim, x, axes, True)
            return found
        for axis, count in enumerate(wanted):
            places = _adaptive_windows(g.shape(x)[first + axis], count)
            if greatest:
                x = max_over(g, x, first + axis, places)
            else:
                sizes = torch.tensor([len(each) for each in places], dtype=g.dtype(x))
                x = g.div(sum_over(g, x, first + axis, places), sizes.reshape([-1, *[1] * (rank - axis - 1)]))
        return (x, None) if greatest else x

    return rule


for _rank in (1, 2, 3):
    _names = [f"adaptive_avg_pool{_rank}d.default"] + ([f"_adaptive_avg_pool{_rank}d.default"] if _rank > 1 else [])
    takes(*_names, group=_POOLS, form="a mean over all, or means over gathered windows")(
        _adaptive(_rank, greatest=False)
    )
    takes(f"adaptive_max_pool{_rank}d.default", group=_POOLS,
          form="a maximum over all, or maxima over gathered windows",
          condition="its values alone")(_adaptive(_rank, greatest=True))  # fmt: skip


# -- interpolation --


def _along(g: Rewriter, x: Value, axis: int, matrix: Tensor) -> Value:
    """Each output a weighted sum of inputs along an axis; `matrix` is (outputs, inputs)."""
    used = matrix != 0
    most = int(used.sum(1).max())
    if most > _TAPS:
        order = [each for each in range(g.rank(x)) if each != axis] + [axis]
        back = [order.index(each) for each in range(g.rank(x))]
        lanes = g.permute(x, order)
        flat = g.matmul(g.reshape(lanes, [g.size(x) // g.shape(x)[axis], g.shape(x)[axis]]), matrix.T.contiguous())
        return g.permute(g.reshape(flat, [*g.shape(lanes)[:-1], len(matrix)]), back)
    order_of = used.to(torch.int64).argsort(dim=1, descending=True, stable=True)[:, :most]
    total: Value | None = None
    for tap in range(most):
        place = order_of[:, tap]
        weight = matrix.gather(1, place[:, None])[:, 0]
        part = moved(g, x, axis, place)
        if not (weight == 1).all():
            part = g.mul(part, weight.reshape([-1, *[1] * (g.rank(x) - axis - 1)]))
        total = part if total is None else g.add(total, part)
    if total is None:
        raise RefusedError("interpolates nothing")
    return total


def _interpolates(name: str, rank: int, *, corners: bool) -> None:
    packet = getattr(aten, name, None)
    if packet is None:
        return
    overloads = [each for each in ("vec", "default") if each in packet.overloads()]

    @takes(
        *(f"{name}.{each}" for each in overloads), group=_RESAMPLING, condition="floating point",
        form="gathers with constant positions and weights along each axis",
    )  # fmt: skip
    def rule(g: Rewriter, x: Value, size: Any, *arguments: Any, **named: Any) -> Value:
        if g.dtype(x) not in FLOATS:
            raise RefusedError("interpolates integers")
        vector = g.operator._overloadname == "vec"
        rest = list(arguments)
        align = [bool(rest.pop(0) if rest else named.get("align_corners"))] if corners else []
        first = g.rank(x) - rank
        wanted = g.result_shape[first:]
        given = rest[0] if vector and rest else named.get("scale_factors") if vector else None
        scales: list[Any] = list(given) if given else [None] * rank
        if not vector:
            tail = [rest[n] if n < len(rest) else None for n in range(rank)]
            keys = ["scales"] if rank == 1 else ["scales_d", "scales_h", "scales_w"][-rank:]
            scales = [named.get(key, each) for key, each in zip(keys, tail, strict=True)]
        for axis, (outputs, scale) in enumerate(zip(wanted, scales, strict=True)):
            inputs = g.shape(x)[first + axis]
            # Unit inputs lie along the other axis of two, which keeps its extent: PyTorch 2.13 interpolates planes
            # that are one element wide wrongly when it smooths them (antialias).
            unit = torch.eye(inputs, dtype=torch.float32)
            if rank == 2:
                unit = unit.reshape(1, 1, inputs, inputs)
                sizes = [outputs if each == axis else inputs for each in range(rank)]
            else:
                unit = unit.reshape(1, inputs, *[1] * axis, inputs, *[1] * (rank - axis - 1))
                sizes = [outputs if each == axis else 1 for each in range(rank)]
            factors = [scale if each == axis else None for each in range(rank)]
            response = packet.default(unit, sizes, *align, *factors)
            if rank == 2 and axis == 0:
                matrix = response.reshape(outputs, inputs)
            else:
                matrix = response.reshape(inputs, outputs).T
            matrix = matrix.contiguous().to(g.dtype(x))
            if not (scale is None and inputs == outputs and torch.equal(matrix, torch.eye(inputs, dtype=matrix.dtype))):
                x = _along(g, x, first + axis, matrix)
        return x


for _rank, _linear in ((1, "linear"), (2, "bilinear"), (3, "trilinear")):
    _interpolates(f"upsample_nearest{_rank}d", _rank, corners=False)
    _interpolates(f"_upsample_nearest_exact{_rank}d", _rank, corners=False)
    _interpolates(f"upsample_{_linear}{_rank}d", _rank, corners=True)
for _name in ("upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"):
    _interpolates(_name, 2, corners=True)
