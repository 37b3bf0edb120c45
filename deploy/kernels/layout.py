"""Laying an input out anew: with its border of zeros, and where a kernel asks for that, parted into phases."""

from __future__ import annotations

from typing import Any

from .geometry import Window


def lay_out(
    T: Any, x: Any, n: Any, source: Any, channels: int, extents: tuple[int, int], window: Window,
    plane: tuple[int, int], phases: tuple[int, int] = (1, 1),
) -> None:  # fmt: skip
    """Copy example `n` of `x` (n, channels, rows, columns) to the flat `source`: channels, phases, and a `plane` of each.

    Row y of phase a is row y * phases[0] + a of the bordered input, and so are columns.
    """
    above, left = window.before
    count = phases[0] * phases[1]
    for phase in range(count):
        a, b = divmod(phase, phases[1])
        left_end, right_end = _inside(left - b, extents[1], phases[1], plane[1])
        top, bottom = _inside(above - a, extents[0], phases[0], plane[0])
        with T.serial(0, channels) as c, T.serial(0, plane[0]) as y:
            start = ((c * count + phase) * plane[0] + y) * plane[1]
            if (left_end, right_end) != (0, plane[1]) or (top, bottom) != (0, plane[0]):
                with T.serial(0, plane[1]) as z:
                    T.buffer_store(source, T.float32(0), [start + z])

            def copy(c: Any = c, y: Any = y, start: Any = start, shift: tuple[int, int] = (a - above, b - left)) -> None:
                with T.serial(0, right_end - left_end) as z:
                    place = [n, c, y * phases[0] + shift[0], (z + left_end) * phases[1] + shift[1]]
                    T.buffer_store(source, x[tuple(place)], [start + (z + left_end)])

            if (top, bottom) == (0, plane[0]):
                copy()
            else:
                with T.If(T.And(y >= top, y < bottom)), T.Then():
                    copy()


def _inside(border: int, extent: int, step: int, length: int) -> tuple[int, int]:
    """The first and the end of those z below `length` for which z * step - border lies in the input."""
    first = max(0, -(-border // step))
    end = max(first, min(length, -(-(extent + border) // step)))
    return first, end
