"""Choosing how one matrix of symbols is coded: which masks, which layout, how many bits of relative index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .stream_plan import StreamPlan, golomb_bits_of, plan_stream

MAX_INDEX_BITS = 12
MASK_NONE, MASK_BITS, MASK_RUNS = 0, 1, 2


@dataclass(frozen=True, eq=False)
class TensorPlan:
    """The decisions of one tensor, as bpz_encode.h's bpz_plan takes them, and the bits of the whole stream."""

    row_mask: int
    column_mask: int
    live_rows: npt.NDArray[np.uint8]
    live_columns: npt.NDArray[np.uint8]
    csr: bool
    index_bits: int
    counts: StreamPlan
    indices: StreamPlan
    values: StreamPlan
    bits: int


def plan_tensor(symbols: npt.NDArray[np.uint32]) -> TensorPlan:
    """The cheapest plan found for a (rows, columns) matrix in which 0 is a pruned weight; deterministic.

    Masks are tried on either axis where it has anything dead, and under each choice the sparse and the dense
    layout, the sparse one with every width of the relative index.
    """
    plans = []
    for rows, row_mask, row_bits in _mask_choices((symbols != 0).any(1)):
        for columns, column_mask, column_bits in _mask_choices((symbols != 0).any(0)):
            live = symbols[np.ix_(rows.astype(bool), columns.astype(bool))]
            for layout in (_plan_csr, _plan_dense):
                csr, index_bits, counts, indices, values, bits = layout(live)
                total = row_bits + column_bits + 1 + bits
                plans.append(
                    TensorPlan(row_mask, column_mask, rows, columns, csr, index_bits, counts, indices, values, total)
                )
    return min(plans, key=lambda plan: plan.bits)


def _mask_choices(live: npt.NDArray[np.bool_]) -> list[tuple[npt.NDArray[np.uint8], int, int]]:
    """Mask, mode and bits: no mask, and the cheaper of the two ways to write one."""
    choices = [(np.ones(len(live), np.uint8), MASK_NONE, 2)]
    if not live.all():
        edges = np.flatnonzero(np.diff(live)) + 1
        runs = np.diff(edges, prepend=0, append=len(live))
        run_bits = 3 + int(golomb_bits_of(runs - 1, 0).sum())
        bit_bits = 2 + len(live)
        mode = MASK_RUNS if run_bits < bit_bits else MASK_BITS
        choices.append((live.astype(np.uint8), mode, min(run_bits, bit_bits)))
    return choices


_Layout = tuple[bool, int, StreamPlan, StreamPlan, StreamPlan, int]


def _plan_csr(live: npt.NDArray[np.uint32]) -> _Layout:
    row, column = np.nonzero(live)
    counts = plan_stream(np.count_nonzero(live, axis=1).astype(np.uint32))
    values = plan_stream(live[row, column] - np.uint32(1))
    first = np.diff(row, prepend=-1) != 0
    gaps = column - np.where(first, -1, np.concatenate([[-1], column[:-1]])) - 1
    indices, index_bits = min(
        ((plan_stream(relative_indices(gaps, bits)), bits) for bits in range(1, MAX_INDEX_BITS + 1)),
        key=lambda choice: choice[0].bits,
    )
    return True, index_bits, counts, indices, values, 4 + counts.bits + indices.bits + values.bits


def _plan_dense(live: npt.NDArray[np.uint32]) -> _Layout:
    values, nothing = plan_stream(live), plan_stream(live[:0])
    return False, 1, nothing, nothing, values, values.bits


def relative_indices(gaps: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.uint32]:
    """Relative indices of `bits` bits: before each gap that overflows, as many fillers as it takes.

    gaps  zeros passed over before each non-zero of a row
    """
    filler = (1 << bits) - 1
    fillers = gaps // filler
    out = np.full(len(gaps) + int(fillers.sum()), filler, np.uint32)
    out[np.cumsum(fillers + 1) - 1] = gaps % filler
    return out
