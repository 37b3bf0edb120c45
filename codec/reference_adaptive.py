"""The reference decoder of the adaptive layout: slow, obvious, and in the order of FORMAT.md, section 9.

It computes the tables of section 9 from their formulas, where the document and the C decoder have them as numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .reference_fields import BitReader, require


def read_adaptive(
    bits: BitReader, rows: int, columns: int, nonzero: int, *, is_codebook: bool
) -> Iterator[tuple[int, int]]:
    """Section 9.1 and 9.10: position and level of each non-zero, from the bits that follow the masks."""
    mean_code = bits.read(5)
    is_by_gap = bits.read(1)
    gap_bits = bits.read(5) if is_by_gap else None
    require(bits.read(-bits.at % 8) == 0, "the padding is not zero")
    stream = bytes(bits.read(8) for _ in range(bits.left // 8))
    decoder = RangeDecoder(stream)
    model = Model(rows, columns, nonzero, mean_code, is_codebook, gap_bits)
    yield from model.levels(decoder)
    decoder.finish()


class RangeDecoder:
    """Section 9.2: the width of the interval, and where in it the stream lies."""

    def __init__(self, stream: bytes) -> None:
        require(not stream.endswith(b"\0"), "a range-coded stream ends with a zero, which is implied")
        self.stream, self.next, self.renormalisations = stream, 8, 0
        self.range = 2**64 - 1
        self.offset = min(int.from_bytes(stream[:8].ljust(8, b"\0"), "big"), 2**64 - 2)

    def decode_bit(self, probability: int) -> int:
        bound = (self.range >> 16) * probability
        bit = int(self.offset < bound)
        if bit:
            self.range = bound
        else:
            self.range -= bound
            self.offset -= bound
        self._renormalise()
        return bit

    def decode_plain(self, count: int) -> int:
        number = 0
        for _ in range(count):
            self.range >>= 1
            bit = int(self.offset >= self.range)
            self.offset -= bit * self.range
            number = 2 * number + bit
        require(self.offset < self.range, "a range-coded stream leaves its interval")
        self._renormalise()
        return number

    def finish(self) -> None:
        require(len(self.stream) <= 4 * self.renormalisations + 4, "bytes follow the last number of a stream")

    def _renormalise(self) -> None:
        if self.range < 2**32:
            following = self.stream[self.next : self.next + 4].ljust(4, b"\0")
            self.range <<= 32
            self.offset = self.offset << 32 | int.from_bytes(following, "big")
            self.next += 4
            self.renormalisations += 1


@dataclass
class Slot:
    """Section 9.3: an adaptive probability of a one, in 65536ths."""

    probability: int
    seen: int = 0

    def learn(self, bit: int) -> None:
        rate = 65536 // (self.seen + 2)
        change = (65535 - self.probability) * rate >> 16 if bit else -(self.probability * rate >> 16)
        self.probability += change
        self.seen = min(self.seen + 1, 255)

    def decode(self, decoder: RangeDecoder) -> int:
        bit = decoder.decode_bit(self.probability)
        self.learn(bit)
        return bit


# Section 9.4
LOGISTIC = [int(min(max(round(4096 / (1 + np.exp(-(i - 16) / 2))), 1), 4095)) for i in range(33)]


def squash(log_odds: int) -> int:
    """A probability in 4096ths from log odds in 256ths."""
    i, part = divmod(log_odds + 2048, 128)
    return (LOGISTIC[i] * (128 - part) + LOGISTIC[i + 1] * part + 64) // 128


def _stretched() -> list[int]:
    """For each probability in 4096ths the least log odds that reach it."""
    table, log_odds = [], -2047
    for probability in range(4096):
        while log_odds < 2047 and squash(log_odds) < probability:
            log_odds += 1
        table.append(log_odds)
    return table


_STRETCH = _stretched()


def stretch(probability: int) -> int:
    """Log odds in 256ths from a probability in 65536ths."""
    return _STRETCH[probability >> 4]


def density_step(probability: int) -> int:
    """Which of 32 even steps of log odds a probability belongs to."""
    return (stretch(probability) + 2048) // 128


def _clamp(number: int, least: int, most: int) -> int:
    return min(max(number, least), most)


# Section 9.5
POWER_OF_MEAN = [int(max(round(65536 * (1 - 2 ** (-code / 4))), 1311)) for code in range(32)]


@dataclass
class Model:
    """Section 9.5 to 9.9: the estimates over a matrix of so many live rows and columns."""

    rows: int
    columns: int
    nonzero: int
    mean_code: int
    is_codebook: bool
    gap_bits: int | None  # None: by position
    column_slots: list[Slot] = field(init=False)
    row_slots: list[Slot] = field(init=False)

    def __post_init__(self) -> None:
        self.density = _clamp((self.nonzero << 16) // (self.rows * self.columns), 64, 65472)
        self.column_shift = 0
        while (self.columns - 1) >> self.column_shift >= 8192:
            self.column_shift += 1
        buckets = ((self.columns - 1) >> self.column_shift) + 1
        self.column_density, self.above = [self.density] * buckets, [0] * buckets
        self.column_slots = [Slot(self.density) for _ in range(128)]
        self.row_slots = [Slot(self.density) for _ in range(128)]
        self.weight = [1 << 15, 1 << 15]
        self.sign_slots = [Slot(1 << 15) for _ in range(9)]
        self._begin_row()
        self._begin_magnitudes()
        if self.gap_bits is not None:
            self._begin_gaps(self.gap_bits)

    def _begin_row(self) -> None:
        self.row_density, self.left, self.left_sign = self.density, 0, 0

    def _begin_magnitudes(self) -> None:
        power = [POWER_OF_MEAN[self.mean_code]]
        while len(power) < 32:
            power.append(power[-1] ** 2 >> 16)
        self.exponent_slots = [Slot(_clamp(each, 300, 65000), 4) for each in power]
        self.digit_slots = {
            (exponent, node): Slot(self._upper_half(power[exponent - node.bit_length()]), 4)
            for exponent in range(1, 32)
            for node in range(1, 16)
            if node.bit_length() <= exponent
        }

    @staticmethod
    def _upper_half(power: int) -> int:
        return max((power << 16) // (65536 + power), 300)

    def _begin_gaps(self, gap_bits: int) -> None:
        power = 65536 - self.density
        for _ in range(gap_bits):
            power = power**2 >> 16
        self.gap_slots = [[Slot(_clamp(power, 300, 65000), 4) for _ in range(16)] for _ in range(4)]
        self.gap_context = 0

    def levels(self, decoder: RangeDecoder) -> Iterator[tuple[int, int]]:
        """Position and level of each non-zero, in order."""
        return self._by_position(decoder) if self.gap_bits is None else self._by_gap(decoder, self.gap_bits)

    def _flag(self, decoder: RangeDecoder, column: int) -> int:
        """Section 9.6: whether the position is a non-zero."""
        bucket = column >> self.column_shift
        density = self.column_density[bucket]
        near = 2 * (self.above[bucket] != 0) + (self.left & 1)
        column_slot = self.column_slots[4 * density_step(density) + near]
        row_slot = self.row_slots[4 * density_step(self.row_density) + self.left]
        log_odds = [stretch(slot.probability) for slot in (column_slot, row_slot)]
        mixed = sum(odds * weight for odds, weight in zip(log_odds, self.weight, strict=True)) >> 16
        probability = squash(_clamp(mixed, -2047, 2047))
        bit = decoder.decode_bit(probability << 4)
        error = ((bit << 12) - probability) * 6
        self.weight = [
            _clamp(weight + (odds * error + (1 << 15) >> 16), -(8 << 16), 8 << 16)
            for odds, weight in zip(log_odds, self.weight, strict=True)
        ]
        column_slot.learn(bit)
        row_slot.learn(bit)
        if bit:
            self.column_density[bucket] += 65535 - density >> 4
            self.row_density += 65535 - self.row_density >> 5
        else:
            self.column_density[bucket] -= density >> 4
            self.row_density -= self.row_density >> 5
            self.above[bucket] = self.left_sign = 0
        self.left = (self.left << 1 | bit) & 3
        return bit

    def _value(self, decoder: RangeDecoder, bucket: int) -> int:
        """Section 9.7: the level of a non-zero."""
        negative = 0
        if not self.is_codebook:
            negative = self.sign_slots[3 * self.left_sign + self.above[bucket]].decode(decoder)
        self.above[bucket] = self.left_sign = 1 + negative
        exponent = 0
        while exponent < 31 and self.exponent_slots[exponent].decode(decoder):
            exponent += 1
        magnitude = 1
        for place in range(exponent):
            slot = self.digit_slots[exponent, magnitude] if place < 4 else None
            bit = decoder.decode_bit(1 << 15) if slot is None else slot.decode(decoder)
            magnitude = 2 * magnitude + bit
        return -magnitude if negative else magnitude

    def _by_position(self, decoder: RangeDecoder) -> Iterator[tuple[int, int]]:
        """Section 9.8."""
        found = 0
        for row in range(self.rows):
            self._begin_row()
            for column in range(self.columns):
                if self._flag(decoder, column):
                    found += 1
                    require(found <= self.nonzero, "there are more non-zeros than the tensor declares")
                    yield row * self.columns + column, self._value(decoder, column >> self.column_shift)
        require(found == self.nonzero, "there are fewer non-zeros than the tensor declares")

    def _by_gap(self, decoder: RangeDecoder, gap_bits: int) -> Iterator[tuple[int, int]]:
        """Section 9.9."""
        positions, position = self.rows * self.columns, 0
        for _ in range(self.nonzero):
            gap = self._gap(decoder, gap_bits, positions - position)
            if gap:
                self.left_sign = 0
            self.above[0] = 0
            position += gap
            yield position, self._value(decoder, 0)
            position += 1

    def _gap(self, decoder: RangeDecoder, gap_bits: int, limit: int) -> int:
        steps = 0
        while self.gap_slots[self.gap_context][min(steps, 15)].decode(decoder):
            steps += 1
            require(steps << gap_bits < limit, "a gap leads past the matrix")
        self.gap_context = steps if steps < 2 else 2 if steps < 4 else 3
        gap, left = steps, gap_bits
        while left:
            count = min(left, 16)
            gap = gap << count | decoder.decode_plain(count)
            left -= count
        require(gap < limit, "a gap leads past the matrix")
        return gap
