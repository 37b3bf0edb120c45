"""Bits for the encoder: lists of fields, and their sizes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class BitFields:
    """Fields in order, most significant bit first: numbers below 2^32 and their widths."""

    numbers: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)

    def put(self, number: int, width: int) -> None:
        """Append `width` bits, 0 to 32."""
        self.numbers.append(number)
        self.widths.append(width)

    def put_golomb(self, number: int, order: int = 0) -> None:
        """Append an exponential Golomb number (FORMAT.md, section 2.5)."""
        prefix = golomb_prefix(number, order)
        self.put(0, prefix)
        self.put(1, 1)
        self.put(number - (((1 << prefix) - 1) << order), prefix + order)

    def extend(self, other: BitFields) -> None:
        """Append all of `other`."""
        self.numbers += other.numbers
        self.widths += other.widths

    def pack(self) -> bytes:
        """The fields as bytes, padded with zero bits."""
        bits = 0
        for number, width in zip(self.numbers, self.widths, strict=True):
            bits = bits << width | number
        padding = -self.size % 8
        return (bits << padding).to_bytes((self.size + padding) // 8, "big")

    @property
    def size(self) -> int:
        """The number of bits."""
        return sum(self.widths)


def golomb_prefix(number: int, order: int) -> int:
    """The number of zeros at the beginning of an exponential Golomb number."""
    return ((number >> order) + 1).bit_length() - 1


def golomb_size(number: int, order: int = 0) -> int:
    """The number of bits of an exponential Golomb number."""
    return 2 * golomb_prefix(number, order) + 1 + order


def varint(number: int) -> bytes:
    """The bytes of a varint (FORMAT.md, section 2.3)."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
