"""The smallest payload of a matrix: every layout with and without masks (FORMAT.md, section 6)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .adaptive import smallest_adaptive
from .csr import EntryLayout, Live
from .maps import Levels
from .prefix import Stage, stages_of, written

_BUILT = 4  # plans whose codes are built, after estimates of all
# What the fast profile gives for wider relative indices: fillers are branches that a processor cannot foresee.
_SPARE = 0.005
# From so many elements on, layouts that can hardly win are not tried: they cost memory.
_LARGE = 1 << 22


def smallest_payload(levels: Levels, nonzero: int, *, signed: bool, adaptive: bool) -> bytes:
    """The payload of a tensor with a non-zero at least.

    nonzero   how many levels are not 0
    signed    whether levels can be negative: not a codebook's
    adaptive  whether the range coder may be used
    """
    stages: list[Stage] = []
    lives = list(_lives(levels.reshape(levels.shape[0] if levels.ndim > 1 else 1, -1), signed=signed))
    for live in lives:
        stages += stages_of(live, _layouts(live, nonzero), spare=0.0 if adaptive else _SPARE)
    stages.sort(key=lambda stage: stage.estimate)
    best = written(stages[:_BUILT])
    del stages
    return smallest_adaptive(lives, best) if adaptive else best


def _layouts(live: Live, nonzero: int) -> list[EntryLayout]:
    """Which layouts may turn out smallest. A level of -2^31 has no number beside that of zero."""
    dense = [EntryLayout.DENSE] if live.levels.dtype != np.int32 or live.levels.min() > -(2**31) else []
    if live.levels.size < _LARGE:
        return [EntryLayout.RUNNING, EntryLayout.BY_ROW, *dense]
    return dense if dense and 2 * nonzero > live.levels.size else [EntryLayout.RUNNING]


def _lives(levels: Levels, *, signed: bool) -> Iterator[Live]:
    """The matrix under each choice of masks that strikes something out; without any first."""
    alive = levels != 0
    rows, columns = alive.any(axis=1), alive.any(axis=0)
    del alive
    for by_row, by_column in product(_choices(rows), _choices(columns)):
        whole = by_row.all() and by_column.all()
        yield Live(levels if whole else levels[np.ix_(by_row, by_column)], by_row, by_column, signed=signed)


def _choices(live: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    return [live] if live.all() else [np.ones_like(live), live]
