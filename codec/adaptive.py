"""The adaptive layout: masks, the mean magnitude, and a range-coded stream (FORMAT.md, section 9)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._bpz import ffi, lib
from .bits import BitFields
from .codes import Histogram
from .csr import EntryLayout, LiveMatrix

_MEAN_BITS = 5
_STEPS = 16  # steps of a gap with slots of their own
# From this many non-zeros on decoding time matters: the layout by gap, which is several times faster, may then be
# larger by this factor.
_MANY, _SPARE = 1 << 16, 1.005
_POSITIONS = 1 << 31  # beyond this, positions are coded as gaps only

_Write = Callable[[Any, Any, int, Any, Any], int]


def smallest_adaptive(matrices: Sequence[LiveMatrix], best: bytes) -> bytes:
    """The smallest of `best` and the adaptive payloads under these choices of masks."""
    for live in matrices:
        # With few zeros gaps save nothing, and the array of positions takes memory.
        if live.levels.size < _MANY or 2 * live.nonzero < live.levels.size:
            best = _by_gap(live, len(best)) or best
    limit = len(best) if matrices[0].nonzero < _MANY else int(len(best) / _SPARE)
    for live in matrices:
        if live.levels.size < _POSITIONS and (payload := _by_position(live, limit)):
            best, limit = payload, len(payload)
    return best


def _by_position(live: LiveMatrix, limit: int) -> bytes | None:
    """The payload by position (FORMAT.md, section 9.8); None if it takes `limit` bytes or more."""
    levels = np.ascontiguousarray(live.levels, dtype=np.int32)

    def write(matrix: Any, out: Any, capacity: int, size: Any, workspace: Any) -> int:
        source = ffi.cast("int32_t *", levels.ctypes.data)
        return int(lib.bpz_write_adaptive(matrix, source, out, capacity, size, workspace, ffi.sizeof(workspace)))

    head = BitFields()
    head.put(0, 1)
    return _payload(live, head, limit, write)


def _by_gap(live: LiveMatrix, limit: int) -> bytes | None:
    """The payload by gap (FORMAT.md, section 9.9); None if it takes `limit` bytes or more."""
    gaps, values = live.running.gaps, live.running.values
    if gaps is None:
        raise AssertionError("the running layout has gaps")
    bits = _gap_bits(Histogram.of(gaps))

    def write(matrix: Any, out: Any, capacity: int, size: Any, workspace: Any) -> int:
        arrays = [ffi.cast("uint32_t *", array.ctypes.data) for array in (gaps, values)]
        return int(lib.bpz_write_gaps(matrix, bits, *arrays, out, capacity, size, workspace, ffi.sizeof(workspace)))

    head = BitFields()
    head.put(1, 1)
    head.put(bits, 5)
    return _payload(live, head, limit, write)


def _gap_bits(gaps: Histogram) -> int:
    """The number of plain bits of a gap: the largest whose cost is within 0.2 percent of the least cost.

    Each step's cost is that of its own probability; plain bits are quicker to decode than steps.
    """
    costs = []
    for bits in range(min(31, int(gaps.numbers[-1]).bit_length()) + 1):
        steps = gaps.numbers >> bits
        within = np.minimum(steps, _STEPS - 1)
        tries = np.bincount(within, weights=gaps.counts, minlength=_STEPS)[::-1].cumsum()[::-1]
        passed = np.append(tries[1:], ((steps - within) * gaps.counts).sum())
        tries[-1] += passed[-1]  # all further steps share the last slot
        costs.append(bits * gaps.total + _bits_of(tries, passed))
    return max(bits for bits, cost in enumerate(costs) if cost <= 1.002 * min(costs))


def _bits_of(tries: Any, passed: Any) -> float:
    """Bits of decisions of which `passed` out of `tries` were 1, by their entropy."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = passed / tries
        bits = -tries * (share * np.log2(share) + (1 - share) * np.log2(1 - share))
    return float(np.nansum(bits))


def _payload(live: LiveMatrix, kind: BitFields, limit: int, write: _Write) -> bytes | None:
    """Fields and stream, or None if they take `limit` bytes or more. `kind` are the fields after mean_code."""
    mean_code = min(max(round(4.0 * float(np.log2(live.mean_magnitude))), 0), (1 << _MEAN_BITS) - 1)
    head = BitFields()
    head.put(int(EntryLayout.ADAPTIVE), 2)
    head.extend(live.masks)
    head.put(mean_code, _MEAN_BITS)
    head.extend(kind)
    packed = head.pack()
    capacity = limit - len(packed) - 1
    if capacity < 0:
        return None
    out = np.empty(capacity + 1, dtype=np.uint8)  # the address of an empty array is not valid
    rows, columns = live.levels.shape
    matrix = ffi.new(
        "bpz_matrix *",
        {
            "rows": rows,
            "columns": columns,
            "nonzero": live.nonzero,
            "mean_code": mean_code,
            "is_signed": int(live.signed),
        },
    )
    workspace = ffi.new("uint64_t[]", (lib.bpz_adaptive_workspace_size() + 7) // 8)
    size = ffi.new("size_t *")
    status = write(matrix, ffi.cast("uint8_t *", out.ctypes.data), capacity, size, workspace)
    if status == lib.BPZ_ERROR_BUFFER_TOO_SMALL:
        return None
    if status != lib.BPZ_OK:
        raise AssertionError(f"the adaptive writer refused its matrix with status {status}")
    return packed + out[: size[0]].tobytes()
