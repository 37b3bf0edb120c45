"""One bad file for each reason to refuse a range-coded stream."""

from __future__ import annotations

from codec_fields import ADAPTIVE, CORRUPT, NO_MASK, TRUNCATED, Cases, stream
from codec_files import CODEBOOK_SHORT

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
}
