"""Fields of bytes and bits for the reference decoder (FORMAT.md, section 2)."""

from __future__ import annotations

import math
import zlib

import numpy as np

from ..errors import CorruptFileError
from ..text import printable

LARGEST = 2**48 - 1


def require(condition: bool, problem: str) -> None:
    """Raise CorruptFileError unless the condition holds."""
    if not condition:
        raise CorruptFileError(f"The .bpz file cannot be read: {printable(problem)}; fetch or make the file again.")


class ByteReader:
    """Sections 2.2, 2.3 and 2.6: fields of whole bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        require(count <= len(self.data) - self.at, "a field runs past its end")
        self.at += count
        return self.data[self.at - count : self.at]

    def bfloat16(self) -> float:
        """A `bf16`."""
        return ByteReader(b"\0\0" + self.take(2)).float32()

    def float32(self) -> float:
        """An `f32`."""
        value = float(np.frombuffer(self.take(4), dtype="<f4")[0])
        require(math.isfinite(value), "a float32 is not finite")
        return value

    def varint(self) -> int:
        """A `varint`."""
        number = 0
        for place in range(7):
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << (7 * place)
            require(byte != 0 or place == 0, "a number is spelled longer than needed")
            if byte < 0x80:
                require(number <= LARGEST, f"a number is {number}, above 2^48 - 1")
                return number
        require(False, "a number has more than seven bytes")
        return 0

    def checksum(self, start: int = 0) -> None:
        """A checksum of the bytes that were taken since `start`."""
        body = self.data[start : self.at]
        require(zlib.crc32(body) == int.from_bytes(self.take(4), "little"), "a checksum does not match")


class BitReader:
    """Sections 2.4 and 2.5: fields of bits, the most significant first. A bit is a character of a string."""

    def __init__(self, data: bytes) -> None:
        self.bits = "".join(f"{byte:08b}" for byte in data)
        self.at = 0

    @property
    def left(self) -> int:
        """Bits that were not read yet."""
        return len(self.bits) - self.at

    def read(self, width: int) -> int:
        """A field of `width` bits."""
        require(width <= self.left, "a stream ends before its last number")
        self.at += width
        return int(self.bits[self.at - width : self.at] or "0", 2)

    def golomb(self, order: int = 0) -> int:
        """An exponential Golomb number."""
        zeros = 0
        while self.read(1) == 0:
            zeros += 1
            require(zeros + order <= 32, "an exponential Golomb number is too long")
        number = (((1 << zeros) - 1) << order) + self.read(zeros + order)
        require(number < 2**32, "an exponential Golomb number is above 2^32 - 1")
        return number
