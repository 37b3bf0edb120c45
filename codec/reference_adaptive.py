"""The slow, obvious decoder of the adaptive layout (FORMAT.md, section 9): an oracle, as reference.py is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ..errors import CorruptFileError

# The tables of section 9.2 and 9.4, from their formulas.
_LOGISTIC = [int(min(max(round(4096 / (1 + np.exp(-(i - 16) / 2))), 1), 4095)) for i in range(33)]
_GEOMETRIC = [int(max(round(65536 * (1 - 2 ** (-code / 4))), 1311)) for code in range(32)]


def _squash(odds: int) -> int:
    step, part = divmod(odds + 2048, 128)
    return (_LOGISTIC[step] * (128 - part) + _LOGISTIC[step + 1] * part + 64) // 128


def _stretched() -> list[int]:
    """For each probability of 12 bits the least log odds that reach it."""
    table, odds = [], -2047
    for probability in range(4096):
        while odds < 2047 and _squash(odds) < probability:
            odds += 1
        table.append(odds)
    return table


_STRETCH = _stretched()


@dataclass
class _Slot:
    """An adaptive probability of a one, in 65536ths."""

    p: int
    seen: int = 0

    def learn(self, bit: int) -> None:
        rate = 65536 // (self.seen + 2)
        self.p += (65535 - self.p) * rate >> 16 if bit else -(self.p * rate >> 16)
        self.seen = min(self.seen + 1, 255)


class _Coder:
    """Section 9.1: the interval's width, and where in it the stream lies."""

    def __init__(self, data: bytes) -> None:
        self.data, self.taken, self.multiplied = data, 8, 0
        self.range = 2**64 - 1
        self.at = min(int.from_bytes(data[:8].ljust(8, b"\0"), "big"), 2**64 - 2)

    def bit(self, p: int) -> int:
        bound = (self.range >> 16) * p
        bit = int(self.at < bound)
        if bit:
            self.range = bound
        else:
            self.range -= bound
            self.at -= bound
        self._widen()
        return bit

    def plain(self, count: int) -> int:
        number = 0
        for _ in range(count):
            self.range >>= 1
            bit = int(self.at >= self.range)
            self.at -= bit * self.range
            number = 2 * number + bit
        if self.at >= self.range:
            raise CorruptFileError("A range-coded stream leaves its interval; fetch or make the file again.")
        self._widen()
        return number

    def _widen(self) -> None:
        if self.range < 2**32:
            following = self.data[self.taken : self.taken + 4].ljust(4, b"\0")
            self.range <<= 32
            self.at = self.at << 32 | int.from_bytes(following, "big")
            self.taken += 4
            self.multiplied += 1


def _within(p: int, least: int, most: int) -> int:
    return min(max(p, least), most)


@dataclass
class AdaptiveStream:
    """The levels of a matrix of `rows` and `columns` live ones, in row-major order.

    nonzero    how many of them are not zero, as the entry says
    mean_code  the field of the head; signed, whether the map is no codebook; gap_bits the k of gaps, if by gap
    """

    data: bytes
    rows: int
    columns: int
    nonzero: int
    mean_code: int
    signed: bool
    gap_bits: int | None
    coder: _Coder = field(init=False)

    def __post_init__(self) -> None:
        """Section 9.3 to 9.5: where the estimates begin."""
        self.coder = _Coder(self.data)
        self.density = _within((self.nonzero << 16) // (self.rows * self.columns), 64, 65472)
        self.shift = 0
        while (self.columns - 1) >> self.shift >= 8192:
            self.shift += 1
        buckets = ((self.columns - 1) >> self.shift) + 1
        self.column_density, self.above = [self.density] * buckets, [0] * buckets
        self.by_column = [_Slot(self.density) for _ in range(128)]
        self.by_row = [_Slot(self.density) for _ in range(128)]
        self.sign = [_Slot(0x8000) for _ in range(9)]
        self.weights = [1 << 15, 1 << 15]
        power = [_GEOMETRIC[self.mean_code]]
        while len(power) < 32:
            power.append(power[-1] ** 2 >> 16)
        self.more = [_Slot(_within(each, 300, 65000), 4) for each in power]
        self.digit = {
            (exponent, node): _Slot(self._upper_half(power[exponent - node.bit_length()]), 4)
            for exponent in range(1, 32)
            for node in range(1, 16)
            if node.bit_length() <= exponent
        }

    @staticmethod
    def _upper_half(power: int) -> int:
        return max((power << 16) // (65536 + power), 300)

    def levels(self) -> Iterator[tuple[int, int, int, int]]:
        """Row, column, whether negative, magnitude of each position that is not zero."""
        if self.gap_bits is not None:
            yield from self._by_gap(self.gap_bits)
            return
        for row in range(self.rows):
            self.row_density, self.left, self.left_sign = self.density, 0, 0
            for column in range(self.columns):
                if self._survives(column >> self.shift):
                    yield row, column, *self._value(column >> self.shift)

    @property
    def surplus(self) -> bool:
        """Whether bytes follow those that settle the last interval, or the last is a zero that is implied."""
        return len(self.data) > 4 * self.coder.multiplied + 4 or self.data.endswith(b"\0")

    def _by_gap(self, k: int) -> Iterator[tuple[int, int, int, int]]:
        """Section 9.5."""
        go_on = 65536 - self.density
        for _ in range(k):
            go_on = go_on**2 >> 16
        slots = [[_Slot(_within(go_on, 300, 65000), 4) for _ in range(16)] for _ in range(4)]
        context, position, self.left_sign = 0, 0, 0
        for _ in range(self.nonzero):
            steps = 0
            while self._bit(slots[context][min(steps, 15)]):
                steps += 1
                if steps << k >= self.rows * self.columns:
                    raise CorruptFileError("A gap leads past the matrix; fetch or make the file again.")
            context = steps if steps < 2 else 2 if steps < 4 else 3
            gap, left = steps, k
            while left:
                count = min(left, 16)
                gap = gap << count | self.coder.plain(count)
                left -= count
            position += gap
            if position >= self.rows * self.columns:
                raise CorruptFileError("A gap leads past the matrix; fetch or make the file again.")
            if gap:
                self.left_sign = 0
            self.above[0] = 0
            yield *divmod(position, self.columns), *self._value(0)
            position += 1

    def _survives(self, bucket: int) -> int:
        """Section 9.3."""
        density = self.column_density[bucket]
        one = self.by_column[self._step(density) * 4 + 2 * (self.above[bucket] != 0) + (self.left & 1)]
        two = self.by_row[self._step(self.row_density) * 4 + self.left]
        odds = [_STRETCH[slot.p >> 4] for slot in (one, two)]
        mixed = sum(o * w for o, w in zip(odds, self.weights, strict=True)) >> 16
        p = _squash(_within(mixed, -2047, 2047))
        bit = self.coder.bit(p << 4)
        error = ((bit << 12) - p) * 6
        self.weights = [
            _within(w + (o * error + 0x8000 >> 16), -(8 << 16), 8 << 16)
            for o, w in zip(odds, self.weights, strict=True)
        ]
        one.learn(bit)
        two.learn(bit)
        if bit:
            self.column_density[bucket] += 65535 - density >> 4
            self.row_density += 65535 - self.row_density >> 5
        else:
            self.column_density[bucket] -= density >> 4
            self.row_density -= self.row_density >> 5
            self.above[bucket] = self.left_sign = 0
        self.left = (self.left << 1 | bit) & 3
        return bit

    def _value(self, bucket: int) -> tuple[int, int]:
        """Section 9.4."""
        negative = self._bit(self.sign[self.left_sign * 3 + self.above[bucket]]) if self.signed else 0
        self.above[bucket] = self.left_sign = 1 + negative
        exponent = 0
        while exponent < 31 and self._bit(self.more[exponent]):
            exponent += 1
        node, magnitude = 1, 1
        for _ in range(exponent):
            if node < 16:
                bit = self._bit(self.digit[exponent, node])
                node = 2 * node + bit
            else:
                bit = self.coder.bit(0x8000)
            magnitude = 2 * magnitude + bit
        return negative, magnitude

    def _bit(self, slot: _Slot) -> int:
        bit = self.coder.bit(slot.p)
        slot.learn(bit)
        return bit

    @staticmethod
    def _step(density: int) -> int:
        return (_STRETCH[density >> 4] + 2048) // 128
