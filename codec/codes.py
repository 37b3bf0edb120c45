"""The smallest code for one stream of numbers, chosen by their histogram (FORMAT.md, section 7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bits import BitFields
from .huffman_code import MAX_SYMBOLS, canonical_codes, code_lengths, length_tokens

# Estimated bits of the length token of a symbol, used and unused: measured on Gaussian levels.
_USED, _UNUSED = 2.0, 3.0
_COUNTED = 1 << 20  # numbers below this are counted in an array, which is much faster than sorting
_PIECE = 1 << 22
_TRIED = 3  # Huffman codes that are built, after estimates of all; more were never smaller by a byte


@dataclass(frozen=True)
class Histogram:
    """The different numbers of a stream, ascending, and how often each occurs."""

    numbers: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, stream: NDArray[np.uint32]) -> Histogram:
        """Count a stream."""
        if stream.size and (largest := int(stream.max())) < _COUNTED:
            # In pieces, because bincount makes a copy of eight bytes for each number.
            counts = np.zeros(largest + 1, dtype=np.int64)
            for start in range(0, stream.size, _PIECE):
                counts += np.bincount(stream[start : start + _PIECE], minlength=largest + 1)
            numbers = np.flatnonzero(counts)
            return cls(numbers.astype(np.int64), counts[numbers].astype(np.int64))
        numbers, counts = np.unique(stream, return_counts=True)
        return cls(numbers.astype(np.int64), counts.astype(np.int64))

    @cached_property
    def total(self) -> int:
        """The number of numbers in the stream."""
        return int(self.counts.sum())


@dataclass(frozen=True)
class StreamCode:
    """A code as the file describes it.

    base      fixed-width: what the raw bits are added to
    raw_bits  fixed-width: bits of a number; Huffman: low bits that follow the code as they are
    lengths   Huffman: bits of each symbol's code; empty for fixed-width
    """

    raw_bits: int
    base: int = 0
    lengths: tuple[int, ...] = ()

    @cached_property
    def description(self) -> BitFields:
        """The fields that describe the code (FORMAT.md, section 7)."""
        fields = BitFields()
        if self.lengths:
            fields.put(1, 1)
            fields.put(self.raw_bits, 5)
            for token in length_tokens(self.lengths):
                fields.put_golomb(token)
        else:
            fields.put(0, 1)
            fields.put(self.raw_bits, 6)
            fields.put_golomb(self.base)
        return fields

    @cached_property
    def codes(self) -> list[int]:
        """The canonical codes of `lengths`."""
        return canonical_codes(self.lengths)

    def size(self, histogram: Histogram) -> int:
        """Bits of the description and of a stream with this histogram."""
        bits = self.description.size + self.raw_bits * histogram.total
        if self.lengths:
            lengths = np.array(self.lengths, dtype=np.int64)
            bits += int((lengths[histogram.numbers >> self.raw_bits] * histogram.counts).sum())
        return bits


@dataclass(frozen=True)
class _Shifted:
    """A histogram without the low bits of its numbers, and the estimated size of a Huffman code for it."""

    raw_bits: int
    symbols: NDArray[np.int64]
    counts: NDArray[np.int64]
    estimate: float = field(default=0.0)


def fixed_code(histogram: Histogram) -> StreamCode:
    """The smaller of the fixed-width codes with and without a base."""
    low, high = int(histogram.numbers[0]), int(histogram.numbers[-1])
    plain = StreamCode(high.bit_length())
    based = StreamCode((high - low).bit_length(), low)
    return min(plain, based, key=lambda code: code.size(histogram))


def best_code(histogram: Histogram) -> StreamCode:
    """The smallest code of a stream that is not empty, with its description; the same on every call."""
    best = fixed_code(histogram)
    best_size = best.size(histogram)
    for shifted in sorted(_shifts(histogram), key=lambda item: item.estimate)[:_TRIED]:
        if shifted.estimate > 1.2 * best_size:
            continue
        frequencies = dict(zip(shifted.symbols.tolist(), shifted.counts.tolist(), strict=True))
        code = StreamCode(shifted.raw_bits, 0, tuple(code_lengths(frequencies)))
        size = code.size(histogram)
        if size < best_size:
            best, best_size = code, size
    return best


def estimated_size(histogram: Histogram) -> float:
    """Estimated bits of the best code, without building it."""
    fixed = float(fixed_code(histogram).size(histogram))
    return min([fixed, *(shifted.estimate for shifted in _shifts(histogram))])


def _shifts(histogram: Histogram) -> list[_Shifted]:
    found = []
    symbols, counts = histogram.numbers, histogram.counts
    for raw_bits in range(32):
        if raw_bits:
            symbols, counts = _merge(symbols >> 1, counts)
        if symbols.size < 2:
            break
        if int(symbols[-1]) < MAX_SYMBOLS:
            total = histogram.total
            unused = int(symbols[-1]) + 1 - symbols.size
            table = 6.0 + _USED * symbols.size + _UNUSED * unused
            found.append(_Shifted(raw_bits, symbols, counts, _huffman_estimate(counts) + table + raw_bits * total))
    return found


def _huffman_estimate(counts: NDArray[np.int64]) -> float:
    """Bits of a Huffman-coded stream: its entropy, but one whole bit for a symbol with more than half of the counts."""
    bits = 0.0
    ordered = np.sort(counts)
    total = int(ordered.sum())
    while ordered.size > 1 and 2 * int(ordered[-1]) > total:
        bits += total
        total -= int(ordered[-1])
        ordered = ordered[:-1]
    return bits - float((ordered * np.log2(ordered / total)).sum())


def _merge(symbols: NDArray[Any], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Add the counts of equal symbols, which are neighbours."""
    starts = np.flatnonzero(np.diff(symbols, prepend=-1))
    return symbols[starts], np.add.reduceat(counts, starts)


def gap_histogram(gaps: Histogram, index_bits: int) -> Histogram:
    """The index numbers of these gaps, of which 2^index_bits - 1 and more are written with fillers."""
    filler = (1 << index_bits) - 1
    if int(gaps.numbers[-1]) < filler:
        return gaps
    numbers = np.append(gaps.numbers % filler, filler)
    counts = np.append(gaps.counts, (gaps.numbers // filler * gaps.counts).sum())
    order = np.argsort(numbers, kind="stable")
    merged, totals = _merge(numbers[order], counts[order])
    return Histogram(merged, totals)
