"""One invalid file for each reason to reject a range-coded stream."""

from __future__ import annotations

from codec_fields import ADAPTIVE, CORRUPT, NO_MASK, TRUNCATED, Cases, stream
from codec_files import CODEBOOK_SHORT, GRID, MINIFLOAT
from codec_forced import forced_stream


def by_gap(build, bits, *, gap_bits=0, kind=GRID) -> bytes:
    """A file by gap of a 2 by 3 matrix with one non-zero; `bits` are what the range decoder returns."""
    coded = forced_stream(bits, rows=2, columns=3, nonzero=1, gap_bits=gap_bits)
    fields = [(byte, 8) for byte in coded]
    return stream(build, ADAPTIVE, NO_MASK, NO_MASK, (0, 5), (1, 1), (gap_bits, 5), (0, 7), *fields, kind=kind)


def by_position(build, bits, *, nonzero) -> bytes:
    """A file by position of a 2 by 3 matrix; `bits` are what the range decoder returns."""
    coded = forced_stream(bits, rows=2, columns=3, nonzero=nonzero)
    fields = [(byte, 8) for byte in coded]
    return stream(build, ADAPTIVE, NO_MASK, NO_MASK, (0, 5), (0, 1), (0, 4), *fields, nonzero=nonzero)


BAD_ADAPTIVE: Cases = {
    "a gap past the matrix, range-coded": (
        CORRUPT,
        lambda b: stream(b, ADAPTIVE, NO_MASK, NO_MASK, (0, 5), (1, 1), (0, 5), (0, 7)),
    ),
    "plain bits of a gap past the matrix": (
        CORRUPT,
        lambda b: stream(b, ADAPTIVE, NO_MASK, NO_MASK, (0, 5), (1, 1), (31, 5), (0, 7), (2**32 - 2, 32)),
    ),
    "set bits before an adaptive stream": (CORRUPT, lambda b: stream(b, ADAPTIVE, NO_MASK, NO_MASK, (0, 6), (1, 4))),
    "an adaptive stream without its mean": (TRUNCATED, lambda b: b.file(b.record(payload=b"\xc0"))),
    "an adaptive stream with a zero at its end": (
        CORRUPT,
        lambda b: stream(b, ADAPTIVE, NO_MASK, NO_MASK, (0, 5), (0, 5), (255, 8), (0, 8)),
    ),
    "an adaptive stream with too many non-zeros": (
        CORRUPT,
        lambda b: stream(b, ADAPTIVE, NO_MASK, NO_MASK, (0, 5), (0, 5)),
    ),
    "an adaptive stream with too few non-zeros": (
        CORRUPT,
        lambda b: stream(b, ADAPTIVE, NO_MASK, NO_MASK, (0, 5), (0, 5), (2**32 - 1, 32)),
    ),
    "bytes after an adaptive stream": (
        CORRUPT,
        lambda b: stream(b, ADAPTIVE, NO_MASK, NO_MASK, (0, 5), (0, 5), *[(2**32 - 1, 32)] * 9, nonzero=1),
    ),
    "an adaptive level outside its codebook": (
        CORRUPT,
        lambda b: stream(b, ADAPTIVE, NO_MASK, NO_MASK, (31, 5), (0, 5), kind=CODEBOOK_SHORT, nonzero=6),
    ),
    "an adaptive stream whose last byte is 0": (
        CORRUPT,
        lambda b: bytes.fromhex("42505a0202510177020106803fc0000100808ab641"),
    ),
    "an adaptive stream of a byte too many": (
        CORRUPT,
        lambda b: bytes.fromhex("42505a020251017702010a803fc0000001010101011eebbfb8"),
    ),
    "padding set before an adaptive stream": (
        CORRUPT,
        lambda b: bytes.fromhex("42505a0202510177020105803fc0010162d31522"),
    ),
    "plain bits that lead out of the interval": (
        CORRUPT,
        lambda b: bytes.fromhex("42505a0202510177e04f0d0e803fc01200ffffffffffffffffff01d07945"),
    ),
    "a level of 2^31, by gap": (CORRUPT, lambda b: by_gap(b, [0, 0, *[1] * 31, *[0] * 31])),
    "a level of -2^31 - 1, by gap": (CORRUPT, lambda b: by_gap(b, [0, 1, *[1] * 31, *[0] * 30, 1])),
    "a level of 2^32 - 1, by position": (
        CORRUPT,
        lambda b: stream(b, ADAPTIVE, NO_MASK, NO_MASK, (31, 5), (0, 5), nonzero=6),
    ),
    "a level outside its minifloat, by gap": (
        CORRUPT,
        lambda b: by_gap(b, [0, 0, 1, 1, 1, 0, 0, 0, 0], kind=MINIFLOAT),
    ),
    "a gap to the position behind the last": (
        CORRUPT,
        lambda b: by_gap(b, [0, 1, 1, 0], gap_bits=3),
    ),
    "fewer survivors than non-zeros": (
        CORRUPT,
        lambda b: by_position(b, [1, 0, 0, 0, 0, 0, 0, 0], nonzero=2),
    ),
    "more survivors than non-zeros": (
        CORRUPT,
        lambda b: by_position(b, [1, 0, 0, 1, 0, 0, 0, 0, 0, 0], nonzero=1),
    ),
}
