"""The epilogue of a kernel: operations on a layer's sums while these are in the cache (arithmetic, a clip, pooling)."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .function import Script
from .geometry import Window

if TYPE_CHECKING:
    from tvm.ir import ExprWithOp, Var

    from .function import Index

_ARITHMETIC: Mapping[str, Callable[[ExprWithOp, ExprWithOp], ExprWithOp]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
}


@dataclass(frozen=True)
class Epilogue:
    """Operations on a layer's sums, in this order:

    steps   "add", "subtract", "multiply" or "divide", each with an array of the shape in `shapes`: one number per
            channel, or one per output
    clip    lower and upper bound of the activation, (0, inf) for ReLU; None for none
    pool    windows of max pooling; None for none
    """

    steps: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    clip: tuple[float, float] | None = None
    pool: Window | None = None

    @property
    def pools_first(self) -> bool:
        """Whether pooling the sums first gives the same result and saves work.

        A maximum commutes with clipping and with adding one number to a whole channel, but not with multiplying by a
        number that may be negative.
        """
        by_channel = all(len(shape) == 1 or math.prod(shape) == shape[1] for shape in self.shapes)
        return by_channel and not {"multiply", "divide"}.intersection(self.steps)

    def outputs(self, plane: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the result for a plane of sums."""
        return plane if self.pool is None else self.pool.outputs(plane)

    def apply(self, T: Script, number: ExprWithOp, index: Sequence[Index], operands: Sequence[Var]) -> ExprWithOp:
        """Apply all operations except pooling to the sum `number` at index [example, channel, ...]."""
        for kind, array, shape in zip(self.steps, operands, self.shapes, strict=True):
            positions = [index[1]] if len(shape) == 1 else index
            element = tuple(position if extent > 1 else 0 for position, extent in zip(positions, shape, strict=True))
            number = _ARITHMETIC[kind](number, array[element])
        if self.clip is not None:
            low, high = self.clip
            number = T.max(number, T.float32(low)) if low > -math.inf else number
            number = T.min(number, T.float32(high)) if high < math.inf else number
        return number


def store_epilogue(
    T: Script, epilogue: Epilogue, sums: Callable[[Index, Index], ExprWithOp], line: Var | None, plane: tuple[int, int],
    out: Var, channel: tuple[Index, Index], operands: Sequence[Var],
) -> None:  # fmt: skip
    """Compute one channel's outputs from its sums and store them in `out`.

    sums     returns the sum at a row and a column of the plane
    line     workspace for one row of the plane; needed if the epilogue pools
    plane    rows and columns of the sums
    channel  index of the example, and index of the channel
    """
    rows, columns = epilogue.outputs(plane)
    if epilogue.pool is None:
        with T.serial(0, rows) as y, T.serial(0, columns) as x:
            index = [*channel, y, x]
            T.buffer_store(out, epilogue.apply(T, sums(y, x), index, operands), index)
        return
    if line is None:
        raise ValueError("an epilogue that pools needs a line")
    down, along = windows(T, epilogue.pool, plane)

    def number(y: Index, x: Index) -> ExprWithOp:
        return sums(y, x) if epilogue.pools_first else epilogue.apply(T, sums(y, x), [*channel, y, x], operands)

    # Pool over rows first: neighbouring columns are contiguous in memory, so this loop is vectorised.
    with T.serial(0, rows) as y:
        with T.serial(0, plane[1]) as x:
            T.buffer_store(line, maximum_of(T, [number(row, x) for row in down(y)]), [x])
        with T.serial(0, columns) as x:
            maximum = maximum_of(T, [line[column] for column in along(x)])
            index = [*channel, y, x]
            T.buffer_store(out, epilogue.apply(T, maximum, index, operands) if epilogue.pools_first else maximum, index)


def windows(
    T: Script, pool: Window, plane: tuple[int, int]
) -> tuple[Callable[[ExprWithOp], list[ExprWithOp]], Callable[[ExprWithOp], list[ExprWithOp]]]:
    """Two functions: from an output's row to the rows in its window, and from its column to the columns.

    A position in the padding is replaced by the nearest position of the input, which the window contains too, so the
    maximum does not change.
    """

    def along(axis: int) -> Callable[[ExprWithOp], list[ExprWithOp]]:
        kernel, stride, before = pool.kernel[axis], pool.stride[axis], pool.before[axis]
        last = plane[axis] - 1

        def positions(output: ExprWithOp) -> list[ExprWithOp]:
            result = []
            for i in range(kernel):
                position = output * stride + (i - before)
                position = T.max(position, 0) if i < before else position
                may_exceed = (pool.outputs(plane)[axis] - 1) * stride + i - before > last
                result.append(T.min(position, last) if may_exceed else position)
            return result

        return positions

    return along(0), along(1)


def maximum_of(T: Script, numbers: Sequence[ExprWithOp]) -> ExprWithOp:
    """The maximum of at least one number."""
    maximum = numbers[0]
    for number in numbers[1:]:
        maximum = T.max(maximum, number)
    return maximum
