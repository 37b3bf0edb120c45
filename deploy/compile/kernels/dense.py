"""Schedule TVM's dense kernels: rearrange their naive loops so that LLVM can vectorise them.

A fused kernel is a chain of blocks: padding, one reduction (matrix product, convolution or pooling), and elementwise
blocks. The elementwise blocks are inlined into the last one, and the reduction is computed inside its loops, so that
only the result is written to memory. A convolution computes tiles of a few output channels by one row; its accumulators
stay in registers, and its inner loop runs over neighbouring pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ..fixed_shapes import number

if TYPE_CHECKING:
    from tvm.s_tir import Schedule
    from tvm.s_tir.schedule import LoopRV, SBlockRV
    from tvm.tirx import PrimFunc

_VECTOR_WIDTHS = (8, 4, 2, 1)
# Accumulators of a tile, in vectors. AVX2 and NEON have 16 registers; the rest is for operands.
_TILE_VECTORS = 12
_REDUCE = 2  # tvm.tirx.IterVar.CommReduce


def schedule_kernel(function: PrimFunc) -> PrimFunc:
    """Schedule a fused PrimFunc. Returns the function unchanged if its structure is not one of the known ones."""
    from tvm import s_tir

    schedule = s_tir.Schedule(function)
    try:
        _arrange(schedule)
    except (RuntimeError, ValueError):
        # An unscheduled kernel is slower, but correct.
        return function
    return cast("PrimFunc", next(iter(schedule.mod.functions.values())))


def _arrange(schedule: Schedule) -> None:
    root = schedule.get_sblock("root")
    blocks = list(schedule.get_child_blocks(root))
    reductions = [block for block in blocks if _reduce_extents(schedule, block)]
    if len(reductions) != 1:
        return
    (reduction,) = reductions
    # The reduction's input (padding) stays a buffer. Inlining would move its bounds checks into the inner loop.
    for block in blocks[blocks.index(reduction) + 1 : -1]:
        schedule.compute_inline(block)
    remaining = list(schedule.get_child_blocks(root))
    if schedule.get(remaining[-1]).name_hint == schedule.get(reduction).name_hint:
        return  # pooling without elementwise blocks
    for block in blocks[: blocks.index(reduction)]:
        if not _feeds(schedule, block, reduction):
            schedule.compute_inline(block)
    output = blocks[-1]
    loops = schedule.get_loops(output)
    if not loops:
        return  # the output is a single number
    if len(loops) == 4:
        _tile_convolution(schedule, reduction, output)
    else:
        schedule.compute_at(reduction, loops[-1])
        schedule.set_scope(reduction, 0, "local")


def _tile_convolution(schedule: Schedule, reduction: SBlockRV, output: SBlockRV) -> None:
    batch, channel, row, column = schedule.get_loops(output)
    width, channels = _extent(schedule, column), _extent(schedule, channel)
    vector = next(v for v in _VECTOR_WIDTHS if width % v == 0)
    tile = max(d for d in range(1, 9) if channels % d == 0 and (d == 1 or d * (width // vector) <= _TILE_VECTORS))
    outer, inner = schedule.split(channel, [None, tile])
    schedule.reorder(batch, outer, row, inner, column)
    schedule.compute_at(reduction, row)
    schedule.set_scope(reduction, 0, "local")
    loops = schedule.get_loops(reduction)[3:]
    count = sum(extent > 1 for extent in _reduce_extents(schedule, reduction))
    if count == 0:
        return
    spatial, reduce = loops[:-count], loops[-count:]
    if width > 1:
        *others, pixels = spatial
        pixel_outer, pixel_inner = schedule.split(pixels, [None, vector])
        spatial = [*others, pixel_outer]
        schedule.reorder(*reduce, *spatial, pixel_inner)
        schedule.vectorize(pixel_inner)
    else:
        schedule.reorder(*reduce, *spatial)
    for loop in spatial:
        schedule.unroll(loop)
    schedule.decompose_reduction(reduction, reduce[0])


def _feeds(schedule: Schedule, block: SBlockRV, consumer: SBlockRV) -> bool:
    names = {schedule.get(reader).name_hint for reader in schedule.get_consumers(block)}
    return schedule.get(consumer).name_hint in names


def _extent(schedule: Schedule, loop: LoopRV) -> int:
    return number(schedule.get(loop).extent)


def _reduce_extents(schedule: Schedule, block: SBlockRV) -> list[int]:
    return [number(axis.dom.extent) for axis in schedule.get(block).iter_vars if int(axis.iter_type) == _REDUCE]
