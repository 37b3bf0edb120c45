"""A tensor as the file has it: a directory entry and a section (FORMAT.md, sections 4 and 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .bits import varint
from .maps import Codebook, Grid, ValueMap
from .names import name_bytes
from .plan import smallest_payload
from .tensor import RawTensor, Tensor

# Kinds (FORMAT.md, section 4.1).
RAW_FLOAT32, RAW_FLOAT16, RAW_BFLOAT16, RAW_INT8 = range(4)
GRID, GRID_SHORT, CODEBOOK, CODEBOOK_SHORT, MINIFLOAT = range(4, 9)


@dataclass(frozen=True)
class Entry:
    """A directory entry.

    nonzero       levels that are not 0; None for a raw tensor
    content_size  bytes of value map and payload together
    """

    name: str
    kind: int
    shape: tuple[int, ...]
    nonzero: int | None
    content_size: int

    def packed(self, before: str) -> bytes:
        """The bytes of the entry; `before` is the name of the entry before it, empty for the first."""
        head = bytes([self.kind << 4 | len(self.shape)]) + name_bytes(self.name.encode(), before.encode())
        numbers = list(self.shape)
        if self.nonzero is not None:
            numbers += [self.nonzero, self.content_size]
        return head + b"".join(varint(number) for number in numbers)


def encoded(tensor: Tensor, *, profile: str) -> tuple[Entry, bytes]:
    """Entry and section, value map and payload, of a tensor that tensor.check_tensor has passed."""
    if isinstance(tensor, RawTensor):
        kind, section = _raw(tensor.values())
        return Entry(tensor.name, kind, tensor.shape, None, len(section)), section
    nonzero = int(np.count_nonzero(tensor.levels))
    kind, section = _map(tensor.value_map)
    if nonzero:
        section += smallest_payload(
            tensor.levels, nonzero, signed=not isinstance(tensor.value_map, Codebook), adaptive=profile == "small"
        )
    return Entry(tensor.name, kind, tensor.shape, nonzero, len(section)), section


def _raw(values: NDArray[np.float32]) -> tuple[int, bytes]:
    """The kind and the bytes of plain values, in the narrowest type that holds them bit for bit."""
    bits = np.ascontiguousarray(values).reshape(-1).view(np.uint32)
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = np.ascontiguousarray(values).reshape(-1)
        for kind, dtype in ((RAW_INT8, np.int8), (RAW_FLOAT16, np.float16)):
            rounded = narrow.astype(dtype)
            if np.array_equal(rounded.astype(np.float32).view(np.uint32), bits):
                return kind, rounded.astype(rounded.dtype.newbyteorder("<")).tobytes()
    if _is_short(bits):
        return RAW_BFLOAT16, _short(bits)
    return RAW_FLOAT32, bits.astype("<u4").tobytes()


def _map(value_map: ValueMap) -> tuple[int, bytes]:
    """The kind and the bytes of a value map."""
    if isinstance(value_map, Grid):
        bits = np.array([value_map.step], dtype=np.float32).view(np.uint32)
        return (GRID_SHORT, _short(bits)) if _is_short(bits) else (GRID, bits.astype("<u4").tobytes())
    if isinstance(value_map, Codebook):
        bits, count = value_map.entries[1:].view(np.uint32), varint(value_map.entries.size - 1)
        if _is_short(bits):
            return CODEBOOK_SHORT, count + _short(bits)
        return CODEBOOK, count + bits.astype("<u4").tobytes()
    return MINIFLOAT, bytes([value_map.exponent_bits << 4 | value_map.mantissa_bits, value_map.unit + 149])


def _is_short(bits: NDArray[np.uint32]) -> bool:
    """Whether float32 of these bits are bfloat16 too."""
    return not (bits & 0xFFFF).any()


def _short(bits: NDArray[np.uint32]) -> bytes:
    return (bits >> 16).astype("<u2").tobytes()
