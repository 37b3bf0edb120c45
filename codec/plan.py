"""The smallest payload of a matrix, over all layouts with and without masks (FORMAT.md, section 6)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .adaptive import smallest_adaptive
from .csr import EntryLayout, LiveMatrix
from .maps import Levels
from .prefix import Stage, stages_of, written

_BUILT = 4  # plans whose codes are built, after estimates of all
# The fast profile accepts this fraction more for wider index numbers: fillers are branches that processors mispredict.
_SPARE = 0.005
# From this many elements on, layouts that are rarely smallest are not tried: they take memory.
_LARGE = 1 << 22


def smallest_payload(levels: Levels, nonzero: int, *, signed: bool, adaptive: bool) -> bytes:
    """The payload of a tensor with at least one non-zero.

    nonzero   how many levels are not 0
    signed    whether levels can be negative: not a codebook's
    adaptive  whether the range coder may be used
    """
    stages: list[Stage] = []
    matrices = list(_live_matrices(levels.reshape(levels.shape[0] if levels.ndim > 1 else 1, -1), signed=signed))
    for live in matrices:
        stages += stages_of(live, _layouts(live, nonzero), spare=0.0 if adaptive else _SPARE)
    stages.sort(key=lambda stage: stage.estimate)
    best = written(stages[:_BUILT])
    del stages
    return smallest_adaptive(matrices, best) if adaptive else best


def _layouts(live: LiveMatrix, nonzero: int) -> list[EntryLayout]:
    """Layouts that can be smallest. A level of -2^31 has no value number in the dense layout."""
    dense = [EntryLayout.DENSE] if live.levels.dtype != np.int32 or live.levels.min() > -(2**31) else []
    if live.levels.size < _LARGE:
        return [EntryLayout.RUNNING, EntryLayout.BY_ROW, *dense]
    return dense if dense and 2 * nonzero > live.levels.size else [EntryLayout.RUNNING]


def _live_matrices(levels: Levels, *, signed: bool) -> Iterator[LiveMatrix]:
    """The live part of the matrix for each choice of masks that remove something; first without masks."""
    alive = levels != 0
    rows, columns = alive.any(axis=1), alive.any(axis=0)
    del alive
    for by_row, by_column in product(_choices(rows), _choices(columns)):
        whole = by_row.all() and by_column.all()
        yield LiveMatrix(levels if whole else levels[np.ix_(by_row, by_column)], by_row, by_column, signed=signed)


def _choices(live: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    return [live] if live.all() else [np.ones_like(live), live]
