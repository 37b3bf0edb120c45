"""A tensor as a matrix, its masks, and the entries of each layout (FORMAT.md, sections 6 and 8)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .bits import BitFields, golomb_size
from .maps import Levels

_PIECE = 1 << 20  # levels that are widened at a time


class EntryLayout(IntEnum):
    """How the live part of a matrix is stored: `layout` of the file, and one more for the adaptive layout by gap."""

    DENSE = 0
    BY_ROW = 1
    RUNNING = 2
    ADAPTIVE = 3
    ADAPTIVE_GAPS = 4


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


@dataclass(frozen=True, eq=False)
class LiveMatrix:
    """The live part of a matrix that has at least one non-zero.

    levels         (live rows, live columns)
    rows, columns  which ones of the whole matrix are live
    signed         whether levels can be negative: not a codebook's
    """

    levels: Levels
    rows: NDArray[np.bool_]
    columns: NDArray[np.bool_]
    signed: bool

    @cached_property
    def masks(self) -> BitFields:
        """Both masks as the file has them."""
        fields = mask_fields(self.rows)
        fields.extend(mask_fields(self.columns))
        return fields

    @cached_property
    def nonzero(self) -> int:
        """The number of levels that are not 0."""
        return int(np.count_nonzero(self.levels))

    @cached_property
    def mean_magnitude(self) -> float:
        """The mean magnitude of the levels that are not 0."""
        flat = self.levels.reshape(-1)
        pieces = (flat[start : start + _PIECE].astype(np.int64) for start in range(0, flat.size, _PIECE))
        return sum(int(np.abs(piece).sum()) for piece in pieces) / self.nonzero

    @cached_property
    def positions(self) -> NDArray[np.uint32]:
        """The positions of the non-zeros, ascending."""
        return np.flatnonzero(self.levels).astype(np.uint32)

    @cached_property
    def running(self) -> Entries:
        """The entries of the running layout, which are one segment."""
        gaps = self.positions.copy()
        gaps[1:] -= self.positions[:-1]
        gaps[1:] -= np.uint32(1)
        return Entries(EntryLayout.RUNNING, np.array([gaps.size], dtype=np.uint32), gaps, self._values)

    def entries(self, layout: EntryLayout) -> Entries:
        """The entries of a prefix-coded layout."""
        if layout is EntryLayout.RUNNING:
            return self.running
        if layout is EntryLayout.DENSE:
            values = value_numbers(self.levels.ravel(), signed=self.signed, skip_zero=False)
            return Entries(layout, np.array([values.size], dtype=np.uint32), None, values)
        rows, columns = np.divmod(self.positions.astype(np.int64), self.levels.shape[1])
        first = np.diff(rows, prepend=-1) != 0
        gaps = np.where(first, columns, np.diff(columns, prepend=0) - 1)
        in_row = np.bincount(rows, minlength=self.levels.shape[0])
        return Entries(layout, in_row.astype(np.uint32), gaps.astype(np.uint32), self._values)

    @cached_property
    def _values(self) -> NDArray[np.uint32]:
        return value_numbers(self.levels.ravel()[self.positions], signed=self.signed, skip_zero=True)


def value_numbers(levels: Levels, *, signed: bool, skip_zero: bool) -> NDArray[np.uint32]:
    """Levels as value numbers (FORMAT.md, section 8.5), computed in place, modulo 2^32.

    signed     0, 1, -1, 2, -2 become 0, 1, 2, 3, 4; else the levels are codebook indices
    skip_zero  no level is 0, and the numbers start with 0 at the level that had 1
    """
    numbers = levels.astype(np.int32).view(np.uint32)
    if signed:
        numbers <<= np.uint32(1)
        np.negative(numbers, out=numbers, where=levels < 0)
        np.subtract(numbers, np.uint32(1), out=numbers, where=levels > 0)
    return numbers - np.uint32(1) if skip_zero else numbers


def mask_fields(live: NDArray[np.bool_]) -> BitFields:
    """The shortest form of a mask (FORMAT.md, section 6.2): none, bits, or runs."""
    fields = BitFields()
    if live.all():
        fields.put(0, 2)
        return fields
    starts = np.flatnonzero(np.diff(live, prepend=~live[0]))
    runs = np.diff(starts, append=live.size) - 1
    run_order = min(range(8), key=lambda order: sum(golomb_size(int(run), order) for run in runs))
    by_runs = BitFields()
    by_runs.put(2, 2)
    by_runs.put(run_order, 3)
    by_runs.put(int(live[0]), 1)
    for run in runs:
        by_runs.put_golomb(int(run), run_order)
    if by_runs.size <= 2 + live.size:
        return by_runs
    fields.put(1, 2)
    for bit in live:
        fields.put(int(bit), 1)
    return fields
