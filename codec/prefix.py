"""Prefix-coded layouts: their codes, and their bits (FORMAT.md, sections 6 to 8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._bpz import ffi, lib
from .bits import BitFields
from .codes import Histogram, StreamCode, best_code, estimated_size, gap_histogram
from .csr import Entries, EntryLayout, LiveMatrix


@dataclass(frozen=True)
class Stage:
    """One layout for one choice of masks, with the index_bits of its smallest estimate; `estimate` is in bits."""

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


def stages_of(live: LiveMatrix, layouts: Sequence[EntryLayout], *, spare: float) -> Iterator[Stage]:
    """The layouts of a live matrix that can be smallest; `spare` is that of _index_width."""
    least = float("inf")
    for layout in layouts:
        # The dense layout takes at least one bit for each position, unless all levels are equal.
        if layout is EntryLayout.DENSE and least < live.levels.size > live.positions.size:
            continue
        entries = live.entries(layout)
        gaps = None if entries.gaps is None else Histogram.of(entries.gaps)
        estimate, index_bits = (0.0, 0) if gaps is None else _index_width(gaps, spare)
        estimate += live.masks.size + estimated_size(Histogram.of(entries.values))
        if layout is EntryLayout.BY_ROW:
            estimate += estimated_size(Histogram.of(entries.in_segment))
        least = min(least, estimate)
        yield Stage(estimate, live.masks, entries, gaps, index_bits)


def written(stages: Sequence[Stage]) -> bytes:
    """The smallest of these stages, with the codes that are best for it."""
    return _write(min((_plan(stage) for stage in stages), key=lambda plan: plan.size))


def _index_width(gaps: Histogram, spare: float) -> tuple[float, int]:
    """Estimated bits of the index stream, and index_bits: the widest within the fraction `spare` of the smallest."""
    widest = min(31, (int(gaps.numbers[-1]) + 1).bit_length())
    estimates = [(estimated_size(gap_histogram(gaps, bits)), bits) for bits in range(1, widest + 1)]
    limit = (1.0 + spare) * min(estimates)[0]
    within = [(size, bits) for size, bits in estimates if size <= limit]
    return max(within, key=lambda item: item[1] if spare else -item[0])


def _plan(stage: Stage) -> _Plan:
    entries = stage.entries
    head = BitFields()
    head.put(int(entries.layout), 2)
    head.extend(stage.masks)
    rows = best_code(Histogram.of(entries.in_segment)) if entries.layout is EntryLayout.BY_ROW else None
    if rows is not None:
        head.extend(rows.description)
    size, index_bits, index = 0, 0, None
    if stage.gaps is not None:
        # The estimate is accurate to a few bits, so its neighbours are tried with real codes.
        tried = []
        for bits in range(max(1, stage.index_bits - 1), min(31, stage.index_bits + 1) + 1):
            histogram = gap_histogram(stage.gaps, bits)
            code = best_code(histogram)
            tried.append((code.size(histogram), bits, code))
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
    """The bits of the plan, written by the C writer and padded with zeros to whole bytes."""
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
        keep.append(arrays)  # cffi frees arrays without a reference
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
