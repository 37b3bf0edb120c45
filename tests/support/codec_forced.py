"""Range-coded streams that make the decoder see chosen bits, whatever its estimates: what an encoder never writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from bayespress.codec.reference_adaptive import AdaptiveStream
from bayespress.errors import CorruptFileError


class _Forced:
    """FORMAT.md, section 9.1, from the writer's side: narrows an interval by the bits that it is given."""

    def __init__(self, bits: Iterable[int]) -> None:
        self.bits: Iterator[int] = iter(bits)
        self.low, self.range, self.multiplied = 0, 2**64 - 1, 0

    def bit(self, p: int) -> int:
        bound = (self.range >> 16) * p
        bit = next(self.bits)
        if bit:
            self.range = bound
        else:
            self.low += bound
            self.range -= bound
        self._widen()
        return bit

    def plain(self, count: int) -> int:
        number = 0
        for _ in range(count):
            bit = next(self.bits)
            self.range >>= 1
            self.low += bit * self.range
            number = 2 * number + bit
        self._widen()
        return number

    def _widen(self) -> None:
        if self.range < 2**32:
            self.range <<= 32
            self.low <<= 32
            self.multiplied += 1

    def stream(self) -> bytes:
        """The shortest stream in the interval."""
        size = 8 + 4 * self.multiplied
        for zeros in range(8 * size, -1, -8):
            rounded = -(-self.low >> zeros) << zeros
            if rounded < self.low + self.range:
                return rounded.to_bytes(size, "big").rstrip(b"\0")
        raise AssertionError("the interval holds its lower end")


def forced_stream(
    bits: Iterable[int],
    *,
    rows: int,
    columns: int,
    nonzero: int,
    mean: int = 0,
    signed: bool = True,
    k: int | None = None,
) -> bytes:
    """The stream that a decoder of such a matrix reads these bits from; it must not want more of them.

    k  of the gaps; None for a bit for each position
    """
    stream = AdaptiveStream(b"", rows, columns, nonzero, mean, signed, k)
    coder = _Forced(bits)
    stream.coder = coder  # type: ignore[assignment]
    with contextlib.suppress(CorruptFileError):  # what the model refuses itself
        for _ in stream.levels():
            pass
    return coder.stream()
