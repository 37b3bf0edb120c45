"""The reference decoder: slow, obvious, and in the order of FORMAT.md.

Tests judge the C decoder by it; the two share no code. Section numbers are those of FORMAT.md, and so are the names.
Section 2 is in reference_fields.py, section 9 in reference_adaptive.py.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptFileError, InputError
from .maps import Codebook, Grid, Minifloat, ValueMap
from .reference_adaptive import read_adaptive
from .reference_fields import LARGEST, BitReader, ByteReader, require
from .tensor import QuantizedTensor, RawTensor, Tensor

_ABBREVIATIONS = (b".weight", b".bias", b".running_mean", b".running_var", b".num_batches_tracked")


def decode(data: bytes, *, max_elements: int | None = None) -> list[Tensor]:
    """What `bayespress.codec.decode` returns, and the same errors' types."""
    # Section 3.1
    require(data[:3] == b"BPZ"[: len(data)], "it does not begin with BPZ")
    require(len(data) >= 4, "it ends within its first four bytes")
    require(data[3] == 2, f"its version is {data[3]}, and this decoder knows 2")
    source = ByteReader(data)
    source.take(4)
    tensor_count, is_seekable = divmod(source.varint(), 2)
    require(tensor_count <= 4096, f"it declares {tensor_count} tensors, more than 4096")
    if is_seekable:
        entries_size = source.varint()
        directory = ByteReader(data[: source.at + entries_size])
        directory.at = source.at
        source.take(entries_size)
        source.checksum()
    else:
        require(len(data) - source.at >= 4, "it is shorter than its checksum")
        require(zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little"), "the checksum does not match")
        source.data = data[:-4]
        directory = source  # the sections follow the entries
    entries: list[_Entry] = []
    for _ in range(tensor_count):
        entries.append(_Entry.read(directory, entries[-1].name if entries else ""))
    require(not is_seekable or directory.at == len(directory.data), "the entries do not fill the directory")
    require(len({entry.name for entry in entries}) == tensor_count, "two tensors have one name")
    sections_size = sum(entry.content_size + 4 * is_seekable for entry in entries)
    require(sections_size == len(source.data) - source.at, "the sections do not fill the file")
    elements = sum(entry.count for entry in entries)
    if elements > (2**24 + 4096 * len(data) if max_elements is None else max_elements):
        raise InputError(f"The .bpz file declares {elements} elements, more than the limit; raise max_elements.")
    contents = []
    for entry in entries:
        start = source.at
        contents.append(source.take(entry.content_size))
        if is_seekable:
            source.checksum(start)
    return [_tensor(entry, content) for entry, content in zip(entries, contents, strict=True)]


@dataclass(frozen=True)
class _Entry:
    """Section 4.1: a directory entry."""

    kind: int
    name: str
    shape: tuple[int, ...]
    count: int
    nonzero: int
    content_size: int

    @classmethod
    def read(cls, directory: ByteReader, name_before: str) -> _Entry:
        kind, rank = divmod(directory.take(1)[0], 16)
        require(rank <= 8 and kind <= 8, f"a tensor has kind {kind} and rank {rank}")
        name = _name(directory, name_before.encode())
        shape = tuple(directory.varint() for _ in range(rank))
        count = math.prod(shape)
        product = math.prod(extent for extent in shape if extent != 0)
        require(product <= LARGEST, f"{name} has the shape {shape}, beyond 2^48 - 1")
        if kind <= 3:
            return cls(kind, name, shape, count, count, count * (4, 2, 2, 1)[kind])
        nonzero, content_size = directory.varint(), directory.varint()
        require(nonzero <= count, f"{name} has more non-zeros than elements")
        return cls(kind, name, shape, count, nonzero, content_size)


def _name(directory: ByteReader, name_before: bytes) -> str:
    """Section 4.2."""
    nibbles = divmod(directory.take(1)[0], 16)
    shared_size, stored_size = (nibble if nibble < 15 else 15 + directory.varint() for nibble in nibbles)
    require(shared_size <= len(name_before), "a name shares more than there is of the one before")
    name = name_before[:shared_size]
    for byte in directory.take(stored_size):
        require(byte >= 0x20 or 1 <= byte <= 5, f"a name holds the control character {byte}")
        name += bytes([byte]) if byte >= 0x20 else _ABBREVIATIONS[byte - 1]
    require(1 <= len(name) <= 255, f"a name has {len(name)} bytes")
    try:
        return name.decode()
    except UnicodeDecodeError:
        require(False, "a name is not UTF-8")
        return ""


def _tensor(entry: _Entry, content: bytes) -> Tensor:
    """Section 5."""
    if entry.kind <= 3:
        return RawTensor(entry.name, _plain_values(entry, content))
    source = ByteReader(content)
    value_map = _value_map(entry.kind, source)
    payload = content[source.at :]
    require(entry.nonzero > 0 or not payload, "bytes follow a tensor of zeros")
    levels = np.zeros(entry.count, dtype=np.int32)
    if entry.nonzero:
        rows = entry.shape[0] if len(entry.shape) >= 2 else 1  # section 5.3
        _bit_stream(entry, value_map, payload, levels.reshape(rows, -1))
    tensor = QuantizedTensor(entry.name, levels.reshape(entry.shape), value_map)
    require(bool(np.isfinite(tensor.values()).all()), f"{entry.name} overflows float32")
    return tensor


def _plain_values(entry: _Entry, content: bytes) -> NDArray[np.float32]:
    stored = np.frombuffer(content, dtype=("<f4", "<f2", "<u2", "i1")[entry.kind])
    is_bfloat16 = entry.kind == 2
    values = (stored.astype(np.uint32) << 16).view(np.float32) if is_bfloat16 else stored.astype(np.float32)
    require(bool(np.isfinite(values).all()), f"{entry.name} holds a value that is not finite")
    return values.reshape(entry.shape)


def _value_map(kind: int, source: ByteReader) -> ValueMap:
    """Section 5.1."""
    if kind in (4, 5):
        step = source.float32() if kind == 4 else source.bfloat16()
        require(step > 0, f"a step is {step}, not positive")
        require(kind == 5 or source.data[:2] != b"\0\0", "a step is spelled longer than needed")
        return Grid(step)
    if kind in (6, 7):
        stored_count = source.varint()
        require(stored_count < 65536, f"a codebook has {stored_count + 1} values")
        require(stored_count <= len(source.data), "a codebook runs past its section")
        read_stored_value = source.float32 if kind == 6 else source.bfloat16
        stored_values = [read_stored_value() for _ in range(stored_count)]
        return Codebook(np.array([0.0, *stored_values], dtype=np.float32))
    bits, unit_code = source.take(2)
    try:
        return Minifloat(exponent_bits=bits >> 4, mantissa_bits=bits & 15, unit=unit_code - 149)
    except InputError as error:
        raise CorruptFileError(str(error)) from None


def _check_level(level: int, value_map: ValueMap) -> None:
    """Section 5.2: int32 holds the level, and the value map has a value for it."""
    require(-(2**31) <= level < 2**31, f"level {level} is no int32")
    if isinstance(value_map, Codebook):
        require(0 <= level < value_map.entries.size, f"level {level} is outside its codebook")
    if isinstance(value_map, Minifloat):
        require(abs(level) <= value_map.largest_level, f"level {level} is outside its minifloat")


def _bit_stream(entry: _Entry, value_map: ValueMap, payload: bytes, matrix: NDArray[np.int32]) -> None:
    """Section 6.1: fill the matrix of one tensor."""
    bits = BitReader(payload)
    layout = bits.read(2)
    rows, columns = _mask(bits, matrix.shape[0]), _mask(bits, matrix.shape[1])
    positions = len(rows) * len(columns)
    require(entry.nonzero <= positions, f"{entry.name} has more non-zeros than live elements")

    def store(position: int, level: int) -> None:
        _check_level(level, value_map)
        row, column = divmod(position, len(columns))
        matrix[rows[row], columns[column]] = level

    if layout == 3:
        is_codebook = isinstance(value_map, Codebook)
        for position, level in read_adaptive(bits, len(rows), len(columns), entry.nonzero, is_codebook=is_codebook):
            store(position, level)
        return
    row_code = _code(bits) if layout == 1 else None
    index_bits = bits.read(5) if layout in (1, 2) else 1
    require(index_bits > 0, f"{entry.name} has relative indices of no bits")
    index_code = _code(bits) if layout in (1, 2) else None
    value_code = _code(bits)
    streams = _Streams(bits, row_code, index_bits, index_code, value_code, isinstance(value_map, Codebook), store)
    if layout == 0:
        streams.dense(positions)
        require(np.count_nonzero(matrix) == entry.nonzero, f"{entry.name} has another number of non-zeros")
    elif layout == 1:
        streams.by_row(len(rows), len(columns), entry.nonzero)
    else:
        streams.running(positions, entry.nonzero)
    require(bits.left < 8, "bytes follow the last number of a stream")
    require(bits.read(bits.left) == 0, "the padding is not zero")


def _mask(bits: BitReader, extent: int) -> list[int] | range:
    """Section 6.2: the live indices, ascending."""
    mask_mode = bits.read(2)
    require(mask_mode <= 2, f"a mask has mode {mask_mode}")
    if mask_mode == 0:
        return range(extent)
    live: list[int] = []
    if mask_mode == 1:
        require(extent <= bits.left, "a mask runs past its section")
        live = [index for index in range(extent) if bits.read(1)]
    else:
        run_order, is_run_live, at = bits.read(3), bits.read(1), 0
        while at < extent:
            run = bits.golomb(run_order) + 1
            require(run <= extent - at, "a run of a mask is too long")
            if is_run_live:
                live += range(at, at + run)
            at, is_run_live = at + run, 1 - is_run_live
    require(0 < len(live) < extent, "a mask removes nothing, or everything")
    return live


@dataclass
class _Code:
    """Section 7: `symbols` are those of a Huffman code by their bits, None for a fixed-width code."""

    raw_bits: int
    base: int
    symbols: dict[str, int] | None

    def read(self, bits: BitReader) -> int:
        number = self.base
        if self.symbols is not None:
            code = ""
            while code not in self.symbols:
                code += str(bits.read(1))
            number = self.symbols[code] << self.raw_bits
        number += bits.read(self.raw_bits)
        require(number < 2**32, "a number of a stream is above 2^32 - 1")
        return number


def _code(bits: BitReader) -> _Code:
    """Section 7: a code from its description."""
    if bits.read(1) == 0:  # section 7.1
        raw_bits = bits.read(6)
        require(raw_bits <= 32, f"a number has {raw_bits} bits")
        return _Code(raw_bits, bits.golomb(), None)
    raw_bits = bits.read(5)  # section 7.2
    lengths = _code_lengths(bits)
    symbols, code = {}, 0
    for length in range(1, 13):
        code *= 2
        for symbol in range(len(lengths)):
            if lengths[symbol] == length:
                symbols[f"{code:0{length}b}"] = symbol
                code += 1
    return _Code(raw_bits, 0, symbols)


def _code_lengths(bits: BitReader) -> list[int]:
    """Section 7.2: the length of each symbol's code, 0 for a symbol without one."""
    lengths: list[int] = []
    reference_length, filled = 3, 0
    while filled < 2**12:
        require(len(lengths) < 4096, "a Huffman code is incomplete")
        length_token = bits.golomb()
        if length_token == 1:
            lengths.append(0)
            continue
        if length_token >= 2:
            change = length_token // 2
            reference_length += change if length_token % 2 == 0 else -change
            require(1 <= reference_length <= 12, f"a code length is {reference_length}")
        lengths.append(reference_length)
        filled += 2 ** (12 - reference_length)
    require(filled == 2**12, "a Huffman code is over-full")
    return lengths


@dataclass
class _Streams:
    """Section 8: the entries of layouts 0 to 2. `store` takes a position and its level."""

    bits: BitReader
    row_code: _Code | None
    index_bits: int
    index_code: _Code | None
    value_code: _Code
    is_codebook: bool
    store: Callable[[int, int], None]

    def dense(self, positions: int) -> None:
        """Section 8.1."""
        for position in range(positions):
            self.store(position, self.level(0))

    def by_row(self, rows: int, columns: int, nonzero: int) -> None:
        """Section 8.2."""
        assert self.row_code is not None
        left = nonzero
        for row in range(rows):
            in_row = self.row_code.read(self.bits)
            require(in_row <= min(left, columns), "a row has more non-zeros than it may")
            left -= in_row
            column = -1
            for _ in range(in_row):
                column += 1 + self.gap(columns - column - 1)
                self.store(row * columns + column, self.level(1))
        require(left == 0, "the rows have fewer non-zeros than their tensor declares")

    def running(self, positions: int, nonzero: int) -> None:
        """Section 8.3."""
        position = -1
        for _ in range(nonzero):
            position += 1 + self.gap(positions - position - 1)
            self.store(position, self.level(1))

    def gap(self, limit: int) -> int:
        """Section 8.4; `limit` positions are left."""
        assert self.index_code is not None
        filler = 2**self.index_bits - 1
        gap = 0
        while True:
            number = self.index_code.read(self.bits)
            gap += number
            require(number <= filler and gap < limit, "a relative index leaves its row or its width")
            if number != filler:
                return gap

    def level(self, skipped: int) -> int:
        """Section 8.5; `skipped` is 1 where zero has no value number."""
        number = self.value_code.read(self.bits) + skipped
        if self.is_codebook:
            return number
        return (number + 1) // 2 if number % 2 else -(number // 2)
