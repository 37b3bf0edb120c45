"""The encoder: tries each layout of a profile with and without masks, and writes the smallest."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ._bpz import ffi, lib
from .adaptive import adaptive_streams
from .bits import BitFields, varint
from .codes import Histogram, StreamCode, best_code, estimated_size, gap_histogram
from .csr import Entries, EntryLayout, entries_of, mask_fields, matrix
from .names import name_bytes
from .tensor import Codebook, Grid, RawTensor, Tensor, check_tensor

MAGIC = b"BPZ\x02"
PROFILES = ("small", "fast")
MAX_TENSORS = 4096
_BUILT = 4  # plans whose codes are built, after estimates of all
# What the fast profile gives for wider relative indices: fillers are branches that a processor cannot foresee.
_SPARE = 0.005


@dataclass(frozen=True)
class _Stage:
    """One layout of one choice of masks, with the index width that its estimate prefers."""

    estimate: float
    masks: BitFields
    entries: Entries
    gaps: Histogram | None
    index_bits: int


@dataclass(frozen=True)
class _Plan:
    """A stage with its codes: everything that is written."""

    head: BitFields
    entries: Entries
    index_bits: int
    codes: tuple[StreamCode | None, StreamCode | None, StreamCode]
    size: int


def encode(
    tensors: Sequence[Tensor], progress: Callable[[int, int], None] | None = None, *, profile: str = "small"
) -> bytes:
    """A `.bpz` file of these tensors, in their order. The same tensors give the same bytes.

    profile   small: each tensor in whatever is smallest, usually the adaptive range coder, which takes tens of
              nanoseconds a weight; fast: prefix codes only, which take a few nanoseconds a non-zero weight
    progress  called with (tensors done, tensors in all) after each

    Raises InputError when a tensor has a NaN, a wrong dtype, a level outside its codebook, a name that is
    used twice or does not fit, or when there are more than 4096 of them.
    """
    if profile not in PROFILES:
        raise InputError(f"There is no profile {profile!r}; there are {' and '.join(PROFILES)}.")
    if len(tensors) > MAX_TENSORS:
        raise InputError(f"A .bpz file holds at most {MAX_TENSORS} tensors, not {len(tensors)}; write several files.")
    names: set[str] = set()
    before = b""
    out = bytearray(MAGIC + varint(len(tensors)))
    for done, tensor in enumerate(tensors, 1):
        check_tensor(tensor)
        if tensor.name in names:
            raise InputError(f"Two tensors are called {tensor.name}; names must be unique, rename one.")
        names.add(tensor.name)
        record = _record(tensor, before, adaptive=profile == "small")
        before = tensor.name.encode()
        out += varint(len(record)) + record
        if progress is not None:
            progress(done, len(tensors))
    return bytes(out) + zlib.crc32(out).to_bytes(4, "little")


def _record(tensor: Tensor, before: bytes, *, adaptive: bool) -> bytes:
    """A record without its length; `before` is the name of the one before it."""
    array = tensor.array if isinstance(tensor, RawTensor) else tensor.levels
    kind, value_map = _value_map(tensor)
    head = bytes([kind << 4 | array.ndim]) + name_bytes(tensor.name.encode(), before)
    head += b"".join(varint(extent) for extent in array.shape)
    if isinstance(tensor, RawTensor):
        record = head + array.astype("<f4").tobytes()
    else:
        nonzero = int(np.count_nonzero(array))
        record = head + varint(nonzero) + value_map
        if nonzero:
            levels, signed = matrix(tensor.levels), isinstance(tensor.value_map, Grid)
            stream = _stream(levels, signed=signed, spare=0.0 if adaptive else _SPARE)
            record += (
                min([stream, *adaptive_streams(levels, len(stream), signed=signed)], key=len) if adaptive else stream
            )
    if len(record) > 0x7FFFFFFF:
        raise InputError(f"Tensor {tensor.name} needs {len(record)} bytes, and a record holds 2^31 - 1; split it.")
    return record


def _value_map(tensor: Tensor) -> tuple[int, bytes]:
    """The kind's number, and the step or the codebook."""
    if isinstance(tensor, RawTensor):
        return 0, b""
    if isinstance(tensor.value_map, Codebook):
        stored = tensor.value_map.values[1:]
        return 2, varint(stored.size) + stored.astype("<f4").tobytes()
    step = np.float32(tensor.value_map.step).astype("<f4").tobytes()
    return (3, step[2:]) if step[:2] == b"\0\0" else (1, step)


def _stream(levels: NDArray[np.int32], *, signed: bool, spare: float) -> bytes:
    """The bit stream of a matrix with a non-zero at least."""
    stages = sorted(_stages(levels, signed=signed, spare=spare), key=lambda stage: stage.estimate)[:_BUILT]
    plan = min((_plan(stage) for stage in stages), key=lambda plan: plan.size)
    return _write(plan)


def _stages(levels: NDArray[np.int32], *, signed: bool, spare: float) -> list[_Stage]:
    live_rows, live_columns = (levels != 0).any(axis=1), (levels != 0).any(axis=0)
    all_rows, all_columns = np.ones_like(live_rows), np.ones_like(live_columns)
    row_choices = [all_rows] if live_rows.all() else [all_rows, live_rows]
    column_choices = [all_columns] if live_columns.all() else [all_columns, live_columns]
    found: list[_Stage] = []
    for rows, columns in product(row_choices, column_choices):
        masks = mask_fields(rows)
        masks.extend(mask_fields(columns))
        live = levels[np.ix_(rows, columns)] if not (rows.all() and columns.all()) else levels
        positions = np.flatnonzero(live)
        for layout in (EntryLayout.RUNNING, EntryLayout.BY_ROW, EntryLayout.DENSE):
            # Dense, each position takes a bit at least, unless all are alike.
            if layout is EntryLayout.DENSE and found and found[-1].estimate < live.size > positions.size:
                continue
            entries = entries_of(live, layout, positions, signed=signed)
            gaps = None if entries.gaps is None else Histogram.of(entries.gaps)
            estimate, index_bits = (0.0, 0) if gaps is None else _index_width(gaps, spare)
            estimate += masks.size + estimated_size(Histogram.of(entries.values))
            if layout is EntryLayout.BY_ROW:
                estimate += estimated_size(Histogram.of(entries.in_segment))
            found.append(_Stage(estimate, masks, entries, gaps, index_bits))
    return found


def _index_width(gaps: Histogram, spare: float) -> tuple[float, int]:
    """Estimated bits of the index stream, and its p: the widest within `spare` of the smallest, as a fraction."""
    widest = min(31, (int(gaps.numbers[-1]) + 1).bit_length())
    estimates = [(estimated_size(gap_histogram(gaps, p)), p) for p in range(1, widest + 1)]
    limit = (1.0 + spare) * min(estimates)[0]
    return max(((size, p) for size, p in estimates if size <= limit), key=lambda item: item[1] if spare else -item[0])


def _plan(stage: _Stage) -> _Plan:
    entries = stage.entries
    head = BitFields()
    head.put(int(entries.layout), 2)
    head.extend(stage.masks)
    rows = best_code(Histogram.of(entries.in_segment)) if entries.layout is EntryLayout.BY_ROW else None
    if rows is not None:
        head.extend(rows.description)
    size, index_bits, index = 0, 0, None
    if stage.gaps is not None:
        # The estimate is good to a few bits: its neighbours are tried with the real codes.
        tried = []
        for p in range(max(1, stage.index_bits - 1), min(31, stage.index_bits + 1) + 1):
            histogram = gap_histogram(stage.gaps, p)
            code = best_code(histogram)
            tried.append((code.size(histogram), p, code))
        size, index_bits, index = min(tried, key=lambda item: item[:2])
        size -= index.description.size
        head.put(index_bits, 5)
        head.extend(index.description)
    values = Histogram.of(entries.values)
    value = best_code(values)
    head.extend(value.description)
    size += head.size + value.size(values) - value.description.size
    if rows is not None:
        size += rows.size(Histogram.of(entries.in_segment)) - rows.description.size
    return _Plan(head, entries, index_bits, (rows, index, value), size)


def _write(plan: _Plan) -> bytes:
    """The plan's bits, through the C writer; padded with zeros to a whole byte."""
    out = np.zeros((plan.size + 7) // 8, dtype=np.uint8)
    numbers = np.array(plan.head.numbers, dtype=np.uint32)
    widths = np.array(plan.head.widths, dtype=np.uint8)
    writer = ffi.new("bpz_writer *", {"out": ffi.from_buffer("uint8_t[]", out), "capacity": out.size})
    _check(lib.bpz_write_bits(writer, _buffer("uint32_t[]", numbers), _buffer("uint8_t[]", widths), numbers.size))

    entries, keep = plan.entries, []
    codes = []
    for code in plan.codes:
        described, arrays = _native_code(code)
        codes.append(described)
        keep.append(arrays)  # cffi frees what nobody holds
    request = ffi.new("bpz_entries *")
    request.segment_count = entries.in_segment.size
    request.in_segment = _buffer("uint32_t[]", entries.in_segment)
    request.count = entries.values.size
    if entries.gaps is not None:
        request.gaps = _buffer("uint32_t[]", entries.gaps)
    request.values = _buffer("uint32_t[]", entries.values)
    request.index_bits = plan.index_bits
    request.write_segments = entries.layout is EntryLayout.BY_ROW
    _check(lib.bpz_write_entries(writer, request, *codes))
    if writer.bit_count != plan.size:
        raise AssertionError(f"planned {plan.size} bits, wrote {writer.bit_count}")
    return out.tobytes()


def _buffer(kind: str, array: NDArray[np.generic]) -> object:
    return ffi.from_buffer(kind, np.ascontiguousarray(array))


def _native_code(code: StreamCode | None) -> tuple[object, object]:
    """A code for the C writer, and the arrays that it points into."""
    if code is None:
        return ffi.NULL, None
    described = ffi.new("bpz_write_code *", {"base": code.base, "raw_bits": code.raw_bits})
    if not code.lengths:
        return described, None
    lengths, codes = ffi.new("uint8_t[]", list(code.lengths)), ffi.new("uint16_t[]", code.codes)
    described.symbol_count = len(code.lengths)
    described.lengths, described.codes = lengths, codes
    return described, (lengths, codes)


def _check(status: int) -> None:
    if status != lib.BPZ_OK:
        raise AssertionError(f"the writer refused its plan with status {status}")
