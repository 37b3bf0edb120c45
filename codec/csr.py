"""A tensor as a matrix, its masks, and the entries of each layout (FORMAT.md, sections 5 and 7)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from .bits import BitFields, golomb_size


class EntryLayout(IntEnum):
    """How the live part of a matrix is stored; the numbers are the file's."""

    DENSE = 0
    BY_ROW = 1
    RUNNING = 2
    ADAPTIVE = 3


@dataclass(frozen=True)
class Entries:
    """The numbers that a layout stores, in file order, all uint32.

    in_segment  entries of each row (BY_ROW: the differences of the row pointers), else of the only segment
    gaps        positions between a non-zero and the one before it in its segment; None when dense
    values      value numbers, see `value_numbers`
    """

    layout: EntryLayout
    in_segment: NDArray[np.uint32]
    gaps: NDArray[np.uint32] | None
    values: NDArray[np.uint32]


def matrix(levels: NDArray[np.int32]) -> NDArray[np.int32]:
    """(rows, columns): one row up to rank 1, else (shape[0], the rest). Not for an empty tensor."""
    return levels.reshape(1, -1) if levels.ndim < 2 else levels.reshape(levels.shape[0], -1)


def value_numbers(levels: NDArray[np.int32], *, signed: bool, skip_zero: bool) -> NDArray[np.uint32]:
    """Levels as value numbers.

    signed     levels of a grid: 0, 1, -1, 2, -2 become 0, 1, 2, 3, 4; else the levels are codebook indices
    skip_zero  no level is 0, and the numbers start with 0 at the level that had 1
    """
    wide = levels.astype(np.int64)
    numbers = np.where(wide > 0, 2 * wide - 1, -2 * wide) if signed else wide
    return (numbers - int(skip_zero)).astype(np.uint32)


def entries_of(live: NDArray[np.int32], layout: EntryLayout, positions: NDArray[np.int64], *, signed: bool) -> Entries:
    """The entries of a live matrix that holds a non-zero at least; `positions` are its flat non-zeros."""
    if layout is EntryLayout.DENSE:
        values = value_numbers(live.ravel(), signed=signed, skip_zero=False)
        return Entries(layout, np.array([values.size], dtype=np.uint32), None, values)
    values = value_numbers(live.ravel()[positions], signed=signed, skip_zero=True)
    if layout is EntryLayout.RUNNING:
        gaps = np.diff(positions, prepend=-1) - 1
        return Entries(layout, np.array([values.size], dtype=np.uint32), gaps.astype(np.uint32), values)
    rows, columns = np.divmod(positions, live.shape[1])
    first = np.diff(rows, prepend=-1) != 0
    gaps = np.where(first, columns, np.diff(columns, prepend=0) - 1)
    in_row = np.bincount(rows, minlength=live.shape[0])
    return Entries(layout, in_row.astype(np.uint32), gaps.astype(np.uint32), values)


def mask_fields(live: NDArray[np.bool_]) -> BitFields:
    """The cheapest form of a mask: none, raw bits, or runs."""
    fields = BitFields()
    if live.all():
        fields.put(0, 2)
        return fields
    starts = np.flatnonzero(np.diff(live, prepend=~live[0]))
    runs = np.diff(starts, append=live.size) - 1
    order = min(range(8), key=lambda k: sum(golomb_size(int(run), k) for run in runs))
    by_runs = BitFields()
    by_runs.put(2, 2)
    by_runs.put(order, 3)
    by_runs.put(int(live[0]), 1)
    for run in runs:
        by_runs.put_golomb(int(run), order)
    if by_runs.size <= 2 + live.size:
        return by_runs
    fields.put(1, 2)
    for bit in live:
        fields.put(int(bit), 1)
    return fields
