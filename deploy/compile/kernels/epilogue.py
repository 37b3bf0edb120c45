"""What is computed behind a layer's sums before they leave the cache: arithmetic with operands, a clip, pooling."""

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
    """In this order:

    steps   "add", "subtract", "multiply", "divide", each by an array of the shape in `shapes`: one number a channel, or
            one for each output
    clip    bounds of the activation, (0, inf) for a rectifier; None for none
    pool    maximum over windows; None for none
    """

    steps: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    clip: tuple[float, float] | None = None
    pool: Window | None = None

    @property
    def pools_first(self) -> bool:
        """Whether maxima of the sums will do. They commute with adding one number to a whole channel and with clipping,
        but not with multiplying by what may be negative.
        """
        by_channel = all(len(shape) == 1 or math.prod(shape) == shape[1] for shape in self.shapes)
        return by_channel and not {"multiply", "divide"}.intersection(self.steps)

    def outputs(self, plane: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns that leave, of a plane of sums."""
        return plane if self.pool is None else self.pool.outputs(plane)

    def apply(self, T: Script, number: ExprWithOp, at: Sequence[Index], operands: Sequence[Var]) -> ExprWithOp:
        """All but the pooling, of the sum at [example, channel, ...]."""
        for kind, array, shape in zip(self.steps, operands, self.shapes, strict=True):
            positions = [at[1]] if len(shape) == 1 else at
            index = tuple(place if extent > 1 else 0 for place, extent in zip(positions, shape, strict=True))
            number = _ARITHMETIC[kind](number, array[index])
        if self.clip is not None:
            low, high = self.clip
            number = T.max(number, T.float32(low)) if low > -math.inf else number
            number = T.min(number, T.float32(high)) if high < math.inf else number
        return number


def store_epilogue(
    T: Script, epilogue: Epilogue, sums: Callable[[Index, Index], ExprWithOp], line: Var | None, plane: tuple[int, int],
    out: Var, at: tuple[Index, Index], operands: Sequence[Var],
) -> None:  # fmt: skip
    """From one channel's sums to its outputs.

    sums   gives the sum of a row and a column of the plane
    line   scratch of a row, where the epilogue pools
    at     example and channel
    """
    rows, columns = epilogue.outputs(plane)
    if epilogue.pool is None:
        with T.serial(0, rows) as y, T.serial(0, columns) as x:
            place = [*at, y, x]
            T.buffer_store(out, epilogue.apply(T, sums(y, x), place, operands), place)
        return
    if line is None:
        raise ValueError("there is no line for what is pooled downwards")
    down, along = windows(T, epilogue.pool, plane)

    def number(y: Index, x: Index) -> ExprWithOp:
        return sums(y, x) if epilogue.pools_first else epilogue.apply(T, sums(y, x), [*at, y, x], operands)

    # Down first: those maxima are of neighbours in memory.
    with T.serial(0, rows) as y:
        with T.serial(0, plane[1]) as x:
            T.buffer_store(line, greatest(T, [number(row, x) for row in down(y)]), [x])
        with T.serial(0, columns) as x:
            most = greatest(T, [line[column] for column in along(x)])
            place = [*at, y, x]
            T.buffer_store(out, epilogue.apply(T, most, place, operands) if epilogue.pools_first else most, place)


def windows(
    T: Script, pool: Window, plane: tuple[int, int]
) -> tuple[Callable[[ExprWithOp], list[ExprWithOp]], Callable[[ExprWithOp], list[ExprWithOp]]]:
    """The rows, and the columns, that an output's window looks at, by the output's row or column.

    What lies in the border is replaced by the nearest that does not, which the window has too: a maximum does not mind.
    """

    def along(axis: int) -> Callable[[ExprWithOp], list[ExprWithOp]]:
        kernel, stride, before = pool.kernel[axis], pool.stride[axis], pool.before[axis]
        last = plane[axis] - 1

        def positions(output: ExprWithOp) -> list[ExprWithOp]:
            found = []
            for i in range(kernel):
                place = output * stride + (i - before)
                place = T.max(place, 0) if i < before else place
                over = (pool.outputs(plane)[axis] - 1) * stride + i - before > last
                found.append(T.min(place, last) if over else place)
            return found

        return positions

    return along(0), along(1)


def greatest(T: Script, numbers: Sequence[ExprWithOp]) -> ExprWithOp:
    """Their maximum."""
    most = numbers[0]
    for number in numbers[1:]:
        most = T.max(most, number)
    return most
