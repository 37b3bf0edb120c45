"""Choosing how one stream of symbols is coded: whichever of the four modes takes the fewest bits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from .huffman_code import MAX_ALPHABET, code_lengths


class Mode(IntEnum):
    """Stream modes of FORMAT.md."""

    CONSTANT = 0
    FIXED = 1
    HUFFMAN = 2
    GOLOMB = 3


@dataclass(frozen=True, eq=False)
class StreamPlan:
    """A stream's mode, its parameter (constant, width or order), its code lengths, and the bits that all takes."""

    mode: Mode
    parameter: int
    lengths: npt.NDArray[np.uint8]
    bits: int


_NO_LENGTHS = np.zeros(0, np.uint8)
_MODE_BITS = 2
_GOLOMB_ORDERS = range(16)
# Beyond this a histogram would be longer than a small tensor is worth; such alphabets get no Huffman code anyway.
_LONGEST_HISTOGRAM = 1 << 16


def plan_stream(symbols: npt.NDArray[np.uint32]) -> StreamPlan:
    """The cheapest way to code these symbols, description included; deterministic."""
    if symbols.size == 0:
        return StreamPlan(Mode.CONSTANT, 0, _NO_LENGTHS, _MODE_BITS + 1)
    largest = int(symbols.max())
    if largest == int(symbols.min()):
        return StreamPlan(Mode.CONSTANT, largest, _NO_LENGTHS, _MODE_BITS + golomb_bits(largest, 0))
    width = max(1, largest.bit_length())
    plans = [StreamPlan(Mode.FIXED, width, _NO_LENGTHS, _MODE_BITS + 5 + width * symbols.size)]
    if largest < _LONGEST_HISTOGRAM:
        counts = np.bincount(symbols.ravel(), minlength=largest + 1)
        present, counted = np.flatnonzero(counts), counts[counts > 0]
    else:
        present, counted = np.unique(symbols, return_counts=True)
    for order in _GOLOMB_ORDERS:
        bits = int((golomb_bits_of(present, order) * counted).sum())
        plans.append(StreamPlan(Mode.GOLOMB, order, _NO_LENGTHS, _MODE_BITS + 4 + bits))
    if largest < MAX_ALPHABET:
        lengths = code_lengths(counts)
        bits = golomb_bits(len(lengths), 4) + lengths_bits(lengths) + int((lengths.astype(np.int64) * counts).sum())
        plans.append(StreamPlan(Mode.HUFFMAN, 0, lengths, _MODE_BITS + bits))
    return min(plans, key=lambda plan: plan.bits)


def golomb_bits(value: int, order: int) -> int:
    """Bits of the Exp-Golomb code of one value."""
    return 2 * ((value >> order) + 1).bit_length() - 1 + order


def golomb_bits_of(values: npt.NDArray[np.integer], order: int) -> npt.NDArray[np.int64]:
    """The same for many values below 2^32."""
    exponent = np.frexp(((values.astype(np.int64) >> order) + 1).astype(np.float64))[1]
    return 2 * exponent.astype(np.int64) - 1 + order


def lengths_bits(lengths: npt.NDArray[np.uint8]) -> int:
    """Bits that a table of code lengths takes, see FORMAT.md, "Code lengths"."""
    present = lengths[lengths > 0].astype(np.int64)
    change = np.diff(present, prepend=present[:1])
    code = np.where(change >= 0, np.where(change < 2, change, 2 * change), np.where(change == -1, 2, -2 * change + 1))
    return 4 + int(golomb_bits_of(code, 0).sum()) + (len(lengths) - len(present)) * golomb_bits(3, 0)
