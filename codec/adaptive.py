"""The adaptive layout: masks, the mean magnitude, and a range-coded stream (FORMAT.md, section 8)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ._bpz import ffi, lib
from .bits import BitFields
from .csr import mask_fields

_LAYOUT = 3
_MEAN_BITS = 5


def adaptive_streams(levels: NDArray[np.int32], limit: int, *, signed: bool) -> Iterator[bytes]:
    """The payloads of a matrix, with its dead rows and columns masked and without, that are below `limit` bytes.

    levels  (rows, columns), one of them at least not 0
    signed  whether levels are a grid's; else a codebook's indices
    """
    rows, columns = (levels != 0).any(axis=1), (levels != 0).any(axis=0)
    yield from _stream(levels, np.ones_like(rows), np.ones_like(columns), limit, signed=signed)
    if not (rows.all() and columns.all()):
        yield from _stream(levels[np.ix_(rows, columns)], rows, columns, limit, signed=signed)


def _stream(
    live: NDArray[np.int32], rows: NDArray[np.bool_], columns: NDArray[np.bool_], limit: int, *, signed: bool
) -> Iterator[bytes]:
    """One choice of masks, if it comes to less than `limit` bytes."""
    head = BitFields()
    head.put(_LAYOUT, 2)
    head.extend(mask_fields(rows))
    head.extend(mask_fields(columns))
    magnitudes = np.abs(live[live != 0].astype(np.int64))
    mean_code = min(max(round(4.0 * float(np.log2(magnitudes.mean()))), 0), (1 << _MEAN_BITS) - 1)
    head.put(mean_code, _MEAN_BITS)
    packed = head.pack()
    room = limit - len(packed) - 1
    if room < 0:
        return
    live = np.ascontiguousarray(live, dtype=np.int32)
    out = np.empty(room + 1, dtype=np.uint8)  # an empty array has no address to give
    matrix = ffi.new(
        "bpz_matrix *",
        {
            "levels": ffi.cast("int32_t *", live.ctypes.data),
            "rows": live.shape[0],
            "columns": live.shape[1],
            "nonzero": magnitudes.size,
            "mean_code": mean_code,
            "is_signed": int(signed),
        },
    )
    workspace = ffi.new("uint64_t[]", (lib.bpz_adaptive_workspace_size() + 7) // 8)
    size = ffi.new("size_t *")
    status = lib.bpz_write_adaptive(
        matrix, ffi.cast("uint8_t *", out.ctypes.data), room, size, workspace, ffi.sizeof(workspace)
    )
    if status == lib.BPZ_OK:
        yield packed + out[: size[0]].tobytes()
    elif status != lib.BPZ_ERROR_BUFFER_TOO_SMALL:
        raise AssertionError(f"the adaptive writer refused its matrix with status {status}")
