"""Range-coded streams from which the decoder reads chosen bits, also those that no encoder writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from bayespress.codec.reference_adaptive import Model, RangeDecoder
from bayespress.errors import CorruptFileError


class _ForcedCoder(RangeDecoder):
    """FORMAT.md, section 9.2, from the writer's side: narrows the interval by the bits that it is given."""

    def __init__(self, bits: Iterable[int]) -> None:
        super().__init__(b"")
        self.bits: Iterator[int] = iter(bits)
        self.low = 0

    def decode_bit(self, probability: int) -> int:
        bound = (self.range >> 16) * probability
        bit = next(self.bits)
        if bit:
            self.range = bound
        else:
            self.low += bound
            self.range -= bound
        self._renormalise()
        return bit

    def decode_plain(self, count: int) -> int:
        number = 0
        for _ in range(count):
            bit = next(self.bits)
            self.range >>= 1
            self.low += bit * self.range
            number = 2 * number + bit
        self._renormalise()
        return number

    def _renormalise(self) -> None:
        if self.range < 2**32:
            self.range <<= 32
            self.low <<= 32
            self.renormalisations += 1

    def shortest_stream(self) -> bytes:
        """The shortest stream in the interval."""
        size = 8 + 4 * self.renormalisations
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
    mean_code: int = 0,
    is_codebook: bool = False,
    gap_bits: int | None = None,
) -> bytes:
    """The stream from which a decoder of such a matrix reads these bits; there must be as many as it asks for.

    gap_bits  of the layout by gap; None for the layout by position
    """
    coder = _ForcedCoder(bits)
    model = Model(rows, columns, nonzero, mean_code, is_codebook, gap_bits)
    with contextlib.suppress(CorruptFileError):  # what the model itself rejects
        for _ in model.levels(coder):
            pass
    return coder.shortest_stream()
