"""Copy a kernel's input to another layout: with its padding, and split into phases if the kernel needs that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .function import Script
from .geometry import Window

if TYPE_CHECKING:
    from tvm.ir import Var

    from .function import Index


def lay_out(
    T: Script, x: Var, n: Index, source: Var, channels: int, extents: tuple[int, int], window: Window,
    plane: tuple[int, int], phases: tuple[int, int] = (1, 1),
) -> None:  # fmt: skip
    """Copy example `n` of `x`, of layout NCHW, to the flat buffer `source` of layout (channels, phases, rows, columns).

    Row y of a phase with row number a is row y * phases[0] + a of the padded input; columns correspondingly.

    extents  rows and columns of the input
    window   its padding is written to the copy
    plane    rows and columns of each phase
    phases   number of phases in each direction
    """
    count = phases[0] * phases[1]
    for phase in range(count):
        shift = phase // phases[1] - window.before[0], phase % phases[1] - window.before[1]
        top, bottom = _input_range(-shift[0], extents[0], phases[0], plane[0])
        first, end = _input_range(-shift[1], extents[1], phases[1], plane[1])
        padded = (top, bottom, first, end) != (0, plane[0], 0, plane[1])
        with T.serial(0, channels) as c:
            start = (c * count + phase) * plane[0] * plane[1]
            if padded:
                with T.serial(0, plane[0] * plane[1]) as z:
                    T.buffer_store(source, T.float32(0), [start + z])
            with T.serial(0, bottom - top) as y, T.serial(0, end - first) as z:
                row, column = y + top, z + first
                number = x[n, c, row * phases[0] + shift[0], column * phases[1] + shift[1]]
                T.buffer_store(source, number, [start + row * plane[1] + column])


def _input_range(border: int, extent: int, step: int, length: int) -> tuple[int, int]:
    """The half-open range of z below `length` with 0 <= z * step - border < extent."""
    first = max(0, -(-border // step))
    end = max(first, min(length, -(-(extent + border) // step)))
    return first, end
