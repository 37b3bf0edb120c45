"""The slow, obvious decoder in the order of FORMAT.md: the oracle that the C core is held against.

It shares nothing with the C core and favours being read over being fast. On its way it notes how many bits each
stream took, which is what `inspect` shows.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..errors import CorruptFileError, InputError
from .tensor import Codebook, Grid, QuantizedTensor, RawTensor, Tensor

MAX_CODE_LENGTH = 12
MAX_ELEMENTS = 0x7FFFFFFF
KINDS = ("raw", "grid", "codebook")


@dataclass(frozen=True)
class Read:
    """A decoded tensor and where its bytes are: bits by stream, and p of its relative indices (0: none)."""

    tensor: Tensor
    spent: Counter[str]
    index_bits: int


def decode(data: bytes, *, max_elements: int = 1 << 28) -> list[Tensor]:
    """What codec.decode gives for the same bytes; raises the same errors."""
    return [read.tensor for read in read_file(data, max_elements=max_elements)]


def read_file(data: bytes, *, max_elements: int = 1 << 28) -> list[Read]:
    """Section "File" of FORMAT.md."""
    if data[:3] != b"BPZ":
        raise _corrupt("the magic bytes are missing")
    if len(data) < 9:
        raise _corrupt("the file is cut")
    if data[3] != 1:
        raise _corrupt(f"its version is {data[3]}, not 1")
    body, checksum = data[:-4], data[-4:]
    if struct.pack("<I", zlib.crc32(body)) != checksum:
        raise _corrupt("the checksum does not match")
    source = _Bytes(body, 4)
    records: list[Read] = []
    names: set[bytes] = set()
    name = b""
    elements = 0
    for _ in range(source.varint()):
        name, read, count = _read_record(source, name, max_elements - elements)
        elements += count
        if name in names:
            raise _corrupt(f"tensor {name!r} is there twice")
        names.add(name)
        records.append(read)
    if source.at != len(body):
        raise _corrupt("bytes follow the last tensor")
    return records


def _corrupt(why: str) -> CorruptFileError:
    return CorruptFileError(f"This .bpz cannot be decoded: {why}; fetch or make it again.")


class _Bytes:
    """Section "Integers"."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise _corrupt("a field runs past its end")
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if value >= 1 << 32 or (shift > 0 and byte == 0) or shift > 28:
                raise _corrupt("an integer is too large or not in its shortest form")
            if byte < 128:
                return value
            shift += 7

    def finite_float(self) -> float:
        value: float = struct.unpack("<f", self.take(4))[0]
        if not math.isfinite(value):
            raise _corrupt("a value is NaN or infinite")
        return value


def _read_record(source: _Bytes, previous: bytes, room: int) -> tuple[bytes, Read, int]:
    """Section "Record"."""
    begin = source.at
    shared, rest = source.varint(), source.varint()
    if shared > len(previous) or not 1 <= shared + rest <= 255:
        raise _corrupt("a name is outside its range")
    name = previous[:shared] + source.take(rest)
    if 0 in name:
        raise _corrupt("a name holds a zero byte")
    spent = Counter({"names": 8 * (source.at - begin)})
    at = source.at
    kind_rank = source.take(1)[0]
    kind, rank = kind_rank >> 4, kind_rank & 15
    if kind > 2 or rank > 8:
        raise _corrupt("a kind or rank is outside its range")
    shape = tuple(source.varint() for _ in range(rank))
    count = math.prod(shape)
    if count > MAX_ELEMENTS:
        raise _corrupt("a tensor is too large")
    spent["shapes"] = 8 * (source.at - at)
    value_map, map_bits = _read_value_map(source, kind)
    spent["value maps"] = map_bits
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise _corrupt("a name is not UTF-8") from None
    if kind == 0:
        array = np.frombuffer(source.take(4 * count), "<f4").astype(np.float32).reshape(shape)
        if not np.isfinite(array).all():
            raise _corrupt(f"tensor {text} holds NaN or infinite values")
        spent["values"] = 32 * count
        return name, Read(RawTensor(text, array), spent, 0), count
    at = source.at
    payload = source.take(source.varint()) if count else b""
    spent["shapes"] += 8 * (source.at - at - len(payload))
    if count > room:
        raise InputError(f"The file announces more elements than are allowed; pass a larger max_elements if you trust it.")
    levels, index_bits = _read_payload(payload, shape, kind, value_map, spent) if count else (np.zeros(shape, np.int32), 0)
    assert value_map is not None
    return name, Read(QuantizedTensor(text, levels, value_map), spent, index_bits), count


def _read_value_map(source: _Bytes, kind: int) -> tuple[Grid | Codebook | None, int]:
    """Section "Value map"; the map and its size in bits."""
    at = source.at
    if kind == 0:
        return None, 0
    value_map: Grid | Codebook
    if kind == 1:
        value_map = Grid(source.finite_float())
        if not value_map.step > 0:
            raise _corrupt("a grid's step is not above 0")
    else:
        size = source.varint()
        if size == 0:
            raise _corrupt("a codebook is empty")
        if 4 * (size - 1) > len(source.data) - source.at:
            raise _corrupt("a codebook runs past the end")
        value_map = Codebook(np.array([0.0] + [source.finite_float() for _ in range(size - 1)], np.float32))
    return value_map, 8 * (source.at - at)


class _Bits:
    """Section "Bit stream": bits of each byte lowest first."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def read(self, count: int) -> int:
        if self.at + count > 8 * len(self.data):
            raise _corrupt("a stream runs past its end")
        value = 0
        for number in range(count):
            value |= (self.data[self.at >> 3] >> (self.at & 7) & 1) << number
            self.at += 1
        return value

    def golomb(self, order: int) -> int:
        zeros = 0
        while self.read(1) == 0:
            zeros += 1
            if zeros + order > 32:
                raise _corrupt("an Exp-Golomb code is too long")
        value = (((1 << zeros) - 1) << order) + self.read(zeros + order)
        if value >= 1 << 32:
            raise _corrupt("an Exp-Golomb code is too large")
        return value


def _read_mask(bits: _Bits, length: int) -> list[int]:
    """Section "Masks": the places of the live elements."""
    mode = bits.read(2)
    if mode == 0:
        return list(range(length))
    if mode == 1:
        return [place for place in range(length) if bits.read(1)]
    if mode == 3:
        raise _corrupt("a mask's mode is 3")
    live, places, at = bits.read(1), [], 0
    while at < length:
        run = bits.golomb(0) + 1
        if run > length - at:
            raise _corrupt("a run goes over the edge of its mask")
        if live:
            places += range(at, at + run)
        at, live = at + run, 1 - live
    return places


class _Stream:
    """Section "Streams"."""

    def __init__(self, bits: _Bits) -> None:
        self.bits = bits
        self.mode = bits.read(2)
        if self.mode == 0:
            self.parameter = bits.golomb(0)
        elif self.mode == 1:
            self.parameter = bits.read(5) + 1
        elif self.mode == 3:
            self.parameter = bits.read(4)
        else:
            self.symbols = _canonical_code(_read_code_lengths(bits))

    def read(self) -> int:
        if self.mode == 0:
            return self.parameter
        if self.mode == 1:
            return self.bits.read(self.parameter)
        if self.mode == 3:
            return self.bits.golomb(self.parameter)
        code = ""
        while code not in self.symbols:
            code += str(self.bits.read(1))
        return self.symbols[code]


def _read_code_lengths(bits: _Bits) -> list[int]:
    """Section "Code lengths"."""
    alphabet = bits.golomb(4)
    if not 2 <= alphabet <= 4096:
        raise _corrupt("an alphabet is outside its range")
    previous = bits.read(4)
    lengths = []
    for _ in range(alphabet):
        code = bits.golomb(0)
        if code == 3:
            lengths.append(0)
            continue
        if code > 2 * MAX_CODE_LENGTH + 1:
            raise _corrupt("a code length is outside its range")
        change = {0: 0, 1: 1, 2: -1}.get(code, code // 2 if code % 2 == 0 else -(code - 1) // 2)
        previous += change
        if not 1 <= previous <= MAX_CODE_LENGTH:
            raise _corrupt("a code length is outside its range")
        lengths.append(previous)
    return lengths


def _canonical_code(lengths: list[int]) -> dict[str, int]:
    """Section "Canonical codes"."""
    if sum(1 << (MAX_CODE_LENGTH - length) for length in lengths if length) != 1 << MAX_CODE_LENGTH:
        raise _corrupt("a Huffman code is over-full or incomplete")
    symbols, code = {}, 0
    for length in range(1, MAX_CODE_LENGTH + 1):
        code <<= 1
        for symbol, its_length in enumerate(lengths):
            if its_length == length:
                symbols[format(code, f"0{length}b")] = symbol
                code += 1
    return symbols


def _read_payload(
    payload: bytes, shape: tuple[int, ...], kind: int, value_map: Grid | Codebook | None, spent: Counter[str]
) -> tuple[np.ndarray, int]:
    """Sections "Masks", "Layouts" and "Symbols"; the levels and p."""
    bits = _Bits(payload)
    levels = np.zeros(math.prod(shape), np.int32)
    columns_in_all = len(levels) if len(shape) < 2 else len(levels) // shape[0]
    rows = _read_mask(bits, len(levels) // columns_in_all)
    columns = _read_mask(bits, columns_in_all)
    spent["masks"] = bits.at
    sparse = bits.read(1)
    index_bits = bits.read(4) if sparse else 0
    if sparse and not 1 <= index_bits <= 12:
        raise _corrupt("the width of a relative index is outside its range")
    counts, indices = (_Stream(bits), _Stream(bits)) if sparse else (None, None)
    values = _Stream(bits)
    spent["code tables"] = bits.at - spent["masks"]

    def store(row: int, column: int, symbol: int) -> None:
        if kind == 2:
            assert isinstance(value_map, Codebook)
            if symbol >= len(value_map.values):
                raise _corrupt("a level has no codebook entry")
            level = symbol
        else:
            if symbol >= (1 << 32) - 1:
                raise _corrupt("a level is outside its range")
            level = (symbol + 1) // 2 if symbol % 2 else -(symbol // 2)
        levels[row * columns_in_all + column] = level

    def read(stream: _Stream, name: str) -> int:
        before = bits.at
        symbol = stream.read()
        spent[name] += bits.at - before
        return symbol

    for row in rows:
        if counts is None or indices is None:
            for column in columns:
                store(row, column, read(values, "values"))
            continue
        count = read(counts, "row pointers")
        if count > len(columns):
            raise _corrupt("a row has more entries than columns")
        at = 0
        for _ in range(count):
            while (index := read(indices, "column indices")) == (1 << index_bits) - 1:
                at += index
                if at >= len(columns):
                    raise _corrupt("a column is outside its row")
            at += index
            if index >= 1 << index_bits or at >= len(columns):
                raise _corrupt("a column is outside its row")
            symbol = read(values, "values") + 1
            if symbol > (1 << 32) - 1:
                raise _corrupt("a level is outside its range")
            store(row, columns[at], symbol)
            at += 1
    padding = 8 * len(payload) - bits.at
    if padding >= 8 or bits.read(padding) != 0:
        raise _corrupt("something follows a tensor's last symbol")
    spent["padding"] = padding
    return levels.reshape(shape), index_bits
