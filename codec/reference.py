"""The slow, obvious decoder, in the order of FORMAT.md: the oracle of the C decoder. Shares no code with it.

Section numbers below are FORMAT.md's. Speed is no aim: a bit is a character of a string.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptFileError, InputError
from ..text import printable
from .maps import Codebook, Grid, Minifloat, ValueMap
from .reference_adaptive import AdaptiveStream
from .tensor import QuantizedTensor, RawTensor, Tensor

_LARGEST = 2**48 - 1
_ENDINGS = (b".weight", b".bias", b".running_mean", b".running_var", b".num_batches_tracked")


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise CorruptFileError(f"The .bpz file cannot be read: {printable(problem)}; fetch or make the file again.")


class _Bytes:
    """Section 2.1 and 2.2: fields of whole bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        _require(count <= len(self.data) - self.at, "a field runs past its end")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        number = 0
        for place in range(7):
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << (7 * place)
            _require(byte != 0 or place == 0, "a number is spelled longer than needed")
            if byte < 0x80:
                _require(number <= _LARGEST, f"a number is {number}, above 2^48 - 1")
                return number
        _require(False, "a number has more than seven bytes")
        return 0

    def check(self, start: int = 0) -> None:
        """A CRC-32 of what was taken since `start`."""
        body = self.data[start : self.at]
        _require(zlib.crc32(body) == int.from_bytes(self.take(4), "little"), "a checksum does not match")

    def bfloat16(self) -> float:
        return _Bytes(b"\0\0" + self.take(2)).float32()

    def float32(self) -> float:
        value = float(np.frombuffer(self.take(4), dtype="<f4")[0])
        _require(math.isfinite(value), "a float32 is not finite")
        return value


class _Bits:
    """Section 2.3: fields of bits, most significant first."""

    def __init__(self, data: bytes) -> None:
        self.bits = "".join(f"{byte:08b}" for byte in data)
        self.at = 0

    def take(self, count: int) -> int:
        _require(count <= len(self.bits) - self.at, "a stream ends before its last number")
        self.at += count
        return int(self.bits[self.at - count : self.at] or "0", 2)

    def golomb(self, order: int = 0) -> int:
        zeros = 0
        while self.take(1) == 0:
            zeros += 1
            _require(zeros + order <= 32, "an exponential Golomb number is too long")
        number = (((1 << zeros) - 1) << order) + self.take(zeros + order)
        _require(number < 2**32, "an exponential Golomb number is above 2^32 - 1")
        return number


@dataclass
class _Code:
    """Section 7: `lookup` is the Huffman code by its bits, None for fixed-width."""

    raw_bits: int
    base: int
    lookup: dict[str, int] | None

    def read(self, bits: _Bits) -> int:
        number = self.base
        if self.lookup is not None:
            word = ""
            while word not in self.lookup:
                word += str(bits.take(1))
            number = self.lookup[word] << self.raw_bits
        number += bits.take(self.raw_bits)
        _require(number < 2**32, "a number of a stream is above 2^32 - 1")
        return number


def decode(data: bytes, *, max_elements: int | None = None) -> list[Tensor]:
    """What `bayespress.codec.decode` returns, and the same errors' types."""
    # Section 3
    _require(data[:3] == b"BPZ"[: len(data)], "it does not begin with BPZ")
    _require(len(data) >= 4, "it ends within its first four bytes")
    _require(data[3] == 2, f"its version is {data[3]}, and this decoder knows 2")
    body = _Bytes(data)
    body.take(4)
    count, seekable = divmod(body.varint(), 2)
    _require(count <= 4096, f"it declares {count} tensors, more than 4096")
    if seekable:
        size = body.varint()
        end = body.at + size
        body.take(size)
        body.check()
        fields = _Bytes(data[:end])
        fields.at = end - size
    else:
        _require(len(data) - body.at >= 4, "it is shorter than its checksum")
        _require(zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little"), "the checksum does not match")
        at, body = body.at, _Bytes(data[:-4])
        fields, body.at = body, at
    heads: list[_Head] = []
    for _ in range(count):
        heads.append(_Head(fields, heads[-1].name.encode() if heads else b""))
    _require(not seekable or fields.at == len(fields.data), "the entries do not fill the directory")
    _require(len({head.name for head in heads}) == count, "two tensors have one name")
    sections = sum(head.size + 4 * seekable for head in heads)
    _require(sections == len(body.data) - body.at, "the sections do not fill the file")
    elements = sum(head.count for head in heads)
    if elements > (2**24 + 4096 * len(data) if max_elements is None else max_elements):
        raise InputError(f"The .bpz file declares {elements} elements, more than the limit; raise max_elements.")
    for head in heads:
        start = body.at
        head.section = body.take(head.size)
        if seekable:
            body.check(start)
    return [head.tensor() for head in heads]


class _Head:
    """Section 4: an entry; `section` is set once it was found."""

    def __init__(self, fields: _Bytes, before: bytes) -> None:
        (kind_and_rank,) = fields.take(1)
        self.kind, rank = kind_and_rank >> 4, kind_and_rank & 15
        _require(rank <= 8 and self.kind <= 8, f"a tensor has kind {self.kind} and rank {rank}")
        self.name = _name(fields, before)
        self.shape = tuple(fields.varint() for _ in range(rank))
        self.count = math.prod(self.shape)
        extents = math.prod(extent for extent in self.shape if extent != 0)
        _require(extents <= _LARGEST, f"{self.name} has the shape {self.shape}, beyond 2^48 - 1")
        self.nonzero, self.size = self.count, self.count * (4, 2, 2, 1, 0, 0, 0, 0, 0)[self.kind]
        self.section = b""
        if self.kind >= 4:
            self.nonzero, self.size = fields.varint(), fields.varint()
            _require(self.nonzero <= self.count, f"{self.name} has more non-zeros than elements")

    def tensor(self) -> Tensor:
        """Section 5."""
        if self.kind <= 3:
            stored = np.frombuffer(self.section, dtype=("<f4", "<f2", "<u2", "i1")[self.kind])
            array = (_upper_halves(stored) if self.kind == 2 else stored.astype(np.float32)).reshape(self.shape)
            _require(bool(np.isfinite(array).all()), f"{self.name} holds a value that is not finite")
            return RawTensor(self.name, array)
        fields = _Bytes(self.section)
        self.value_map = self._map(fields)
        self.payload = self.section[fields.at :]
        _require(self.nonzero > 0 or not self.payload, "bytes follow a tensor of zeros")
        levels = np.zeros(self.count, dtype=np.int32)
        if self.nonzero:
            rows = self.shape[0] if len(self.shape) >= 2 else 1
            _stream(self, levels.reshape(rows, -1))
        tensor = QuantizedTensor(self.name, levels.reshape(self.shape), self.value_map)
        _require(bool(np.isfinite(tensor.values()).all()), f"{self.name} overflows float32")
        return tensor

    def _map(self, fields: _Bytes) -> ValueMap:
        if self.kind in (4, 5):
            step = fields.float32() if self.kind == 4 else fields.bfloat16()
            _require(step > 0, f"a step is {step}, not positive")
            _require(self.kind == 5 or self.section[:2] != b"\0\0", "a step is spelled longer than needed")
            return Grid(step)
        if self.kind in (6, 7):
            count = fields.varint()
            _require(count < 65536, f"a codebook has {count + 1} values")
            _require(count <= len(self.section), "a codebook runs past its section")
            stored = [fields.float32() if self.kind == 6 else fields.bfloat16() for _ in range(count)]
            return Codebook(np.array([0.0, *stored], dtype=np.float32))
        widths, unit = fields.take(2)
        try:
            return Minifloat(widths >> 4, widths & 15, unit - 149)
        except InputError as error:
            raise CorruptFileError(str(error)) from None


def _upper_halves(stored: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (stored.astype(np.uint32) << 16).view(np.float32)


def _name(fields: _Bytes, before: bytes) -> str:
    """Section 4.1: a name from the one before it."""
    (head,) = fields.take(1)
    shared, stored = ((nibble if nibble < 15 else 15 + fields.varint()) for nibble in (head >> 4, head & 15))
    _require(shared <= len(before), "a name shares more than there is of the one before")
    name = before[:shared]
    for byte in fields.take(stored):
        _require(byte >= 0x20 or 1 <= byte <= 5, f"a name holds the control character {byte}")
        name += bytes([byte]) if byte >= 0x20 else _ENDINGS[byte - 1]
    _require(1 <= len(name) <= 255, f"a name has {len(name)} bytes")
    try:
        return name.decode()
    except UnicodeDecodeError:
        _require(False, "a name is not UTF-8")
        return ""


def _stream(head: _Head, levels: NDArray[np.int32]) -> None:
    """Sections 6 to 8: fill the matrix of one tensor."""
    bits = _Bits(head.payload)
    layout = bits.take(2)
    rows, columns = _mask(bits, levels.shape[0]), _mask(bits, levels.shape[1])
    _require(head.nonzero <= len(rows) * len(columns), f"{head.name} has more non-zeros than live elements")
    if layout == 3:
        _adaptive(head, bits, levels, rows, columns)
        return
    row_code = _code(bits) if layout == 1 else None
    index_bits = bits.take(5) if layout != 0 else 1
    _require(index_bits > 0, f"{head.name} has relative indices of no bits")
    filler = 2**index_bits - 1
    index_code = _code(bits) if layout != 0 else None
    value_code = _code(bits)

    def read_gap(room: int) -> int:
        assert index_code is not None
        gap = 0
        while True:
            number = index_code.read(bits)
            gap += number
            _require(number <= filler and gap < room, "a relative index leaves its row or its width")
            if number != filler:
                return gap

    def read_level(row: int, column: int, skip_zero: int) -> None:
        level = _level(value_code.read(bits) + skip_zero, head.value_map)
        levels[rows[row], columns[column]] = level

    if layout == 0:
        for row in range(len(rows)):
            for column in range(len(columns)):
                read_level(row, column, 0)
        _require(np.count_nonzero(levels) == head.nonzero, f"{head.name} has another number of non-zeros")
    elif layout == 1:
        assert row_code is not None
        left = head.nonzero
        for row in range(len(rows)):
            in_row = row_code.read(bits)
            _require(in_row <= min(left, len(columns)), "a row has more non-zeros than it may")
            left -= in_row
            column = -1
            for _ in range(in_row):
                column += 1 + read_gap(len(columns) - column - 1)
                read_level(row, column, 1)
        _require(left == 0, f"{head.name} has fewer non-zeros in its rows than it declares")
    else:
        position = -1
        for _ in range(head.nonzero):
            position += 1 + read_gap(len(rows) * len(columns) - position - 1)
            read_level(*divmod(position, len(columns)), 1)
    left = len(bits.bits) - bits.at
    _require(left < 8, "bytes follow the last number of a stream")
    _require(bits.take(left) == 0, "the padding is not zero")


def _adaptive(
    head: _Head, bits: _Bits, levels: NDArray[np.int32], rows: list[int] | range, columns: list[int] | range
) -> None:
    """Section 9: fill the matrix from a range-coded stream."""
    mean_code = bits.take(5)
    gap_bits = bits.take(5) if bits.take(1) else None
    _require(bits.take(-bits.at % 8) == 0, "the padding is not zero")
    signed = not isinstance(head.value_map, Codebook)
    stream = AdaptiveStream(
        head.payload[bits.at // 8 :], len(rows), len(columns), head.nonzero, mean_code, signed, gap_bits
    )
    found = 0
    for row, column, negative, magnitude in stream.levels():
        found += 1
        _require(found <= head.nonzero, f"{head.name} has more non-zeros than it declares")
        level = -magnitude if negative else magnitude
        _require(-(2**31) <= level < 2**31, f"level {level} is no int32")
        if isinstance(head.value_map, Codebook):
            _require(level < head.value_map.entries.size, f"level {level} is outside its codebook")
        _require(_fits(level, head.value_map), f"level {level} is outside its minifloat")
        levels[rows[row], columns[column]] = level
    _require(found == head.nonzero, f"{head.name} has fewer non-zeros than it declares")
    _require(not stream.surplus, "bytes follow the last number of a stream")


def _mask(bits: _Bits, extent: int) -> list[int] | range:
    """Section 6: the live indices, ascending."""
    mode = bits.take(2)
    _require(mode <= 2, f"a mask has mode {mode}")
    if mode == 0:
        return range(extent)
    live: list[int] = []
    if mode == 1:
        _require(extent <= len(bits.bits) - bits.at, "a mask runs past its section")
        live = [index for index in range(extent) if bits.take(1)]
    else:
        order, alive, at = bits.take(3), bits.take(1), 0
        while at < extent:
            run = bits.golomb(order) + 1
            _require(run <= extent - at, "a run of a mask is too long")
            if alive:
                live += range(at, at + run)
            at, alive = at + run, 1 - alive
    _require(0 < len(live) < extent, "a mask strikes out nothing, or everything")
    return live


def _code(bits: _Bits) -> _Code:
    """Section 7: a code from its description."""
    if bits.take(1) == 0:
        width = bits.take(6)
        _require(width <= 32, f"a number has {width} bits")
        return _Code(width, bits.golomb(), None)
    raw_bits = bits.take(5)
    lengths: list[int] = []
    reference, filled = 3, 0
    while filled < 2**12:
        _require(len(lengths) < 4096, "a Huffman code is incomplete")
        token = bits.golomb()
        if token == 1:
            lengths.append(0)
            continue
        if token >= 2:
            reference += token // 2 if token % 2 == 0 else -(token // 2)
            _require(1 <= reference <= 12, f"a code length is {reference}")
        lengths.append(reference)
        filled += 2 ** (12 - reference)
    _require(filled == 2**12, "a Huffman code is over-full")
    lookup, code = {}, 0
    for length in range(1, 13):
        code *= 2
        for symbol in range(len(lengths)):
            if lengths[symbol] == length:
                lookup[f"{code:0{length}b}"] = symbol
                code += 1
    return _Code(raw_bits, 0, lookup)


def _level(number: int, value_map: ValueMap) -> int:
    """Section 8.5: what a value number means."""
    if isinstance(value_map, Codebook):
        _require(number < value_map.entries.size, f"level {number} is outside its codebook")
        return number
    level = (number + 1) // 2 if number % 2 else -(number // 2)
    _require(-(2**31) <= level < 2**31, f"level {level} is no int32")
    _require(_fits(level, value_map), f"level {level} is outside its minifloat")
    return level


def _fits(level: int, value_map: ValueMap) -> bool:
    return not isinstance(value_map, Minifloat) or abs(level) <= value_map.largest_level
