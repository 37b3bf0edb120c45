"""One invalid file for each reason to reject a prefix-coded stream: masks, codes, entries, padding."""

from __future__ import annotations

from codec_fields import (
    BY_ROW,
    CORRUPT,
    DENSE,
    FIXED,
    HUFFMAN,
    HUFFMAN_FULL,
    NO_MASK,
    P3,
    RUNNING,
    TRUNCATED,
    Cases,
    fixed,
    plain,
    stream,
)
from codec_files import CODEBOOK_SHORT, GRID_SHORT

BAD_STREAMS: Cases = {
    "no stream": (TRUNCATED, lambda b: stream(b)),
    "mask mode 3": (CORRUPT, lambda b: stream(b, RUNNING, (3, 2), *plain(b)[2:])),
    "a mask that strikes nothing": (CORRUPT, lambda b: stream(b, RUNNING, (1, 2), (3, 2), *plain(b)[2:])),
    "a mask that strikes everything": (CORRUPT, lambda b: stream(b, RUNNING, (1, 2), (0, 2), *plain(b)[2:])),
    "a mask that runs past its section": (TRUNCATED, lambda b: stream(b, RUNNING, (1, 2), shape=(900, 1))),
    "a run past the extent": (
        CORRUPT,
        lambda b: stream(b, RUNNING, (2, 2), (0, 3), (1, 1), 2, *plain(b)[2:]),
    ),
    "a run of 2^32": (
        CORRUPT,
        lambda b: stream(b, RUNNING, (2, 2), (7, 3), (1, 1), (0, 32), (0, 32), (0, 32)),
    ),
    "more non-zeros than live elements": (
        CORRUPT,
        lambda b: stream(b, RUNNING, (1, 2), (1, 2), *plain(b)[2:], nonzero=4),
    ),
    "p of 0": (CORRUPT, lambda b: stream(b, RUNNING, NO_MASK, NO_MASK, (0, 5), *plain(b)[4:])),
    "a number of 33 bits": (CORRUPT, lambda b: stream(b, *plain(b)[:4], *fixed(33), *plain(b)[7:])),
    "an over-full Huffman code": (
        CORRUPT,
        lambda b: stream(b, *plain(b)[:4], HUFFMAN, (0, 5), 5, 2, 3, 0, *plain(b)[7:]),
    ),
    "an incomplete Huffman code": (
        CORRUPT,
        lambda b: stream(b, *plain(b)[:4], HUFFMAN, (0, 5), *([1] * 4096), *plain(b)[7:]),
    ),
    "a Huffman code that ends early": (
        TRUNCATED,
        lambda b: stream(b, *plain(b)[:4], HUFFMAN, (0, 5), *([1] * 9)),
    ),
    "a code length of 13": (CORRUPT, lambda b: stream(b, *plain(b)[:4], HUFFMAN, (0, 5), 20, *plain(b)[7:])),
    "a code length of 0 by difference": (
        CORRUPT,
        lambda b: stream(b, *plain(b)[:4], HUFFMAN, (0, 5), 7, 0, 0),
    ),
    "a gap above the filler": (CORRUPT, lambda b: stream(b, *plain(b)[:3], (1, 5), *plain(b)[4:])),
    "a gap past the matrix": (CORRUPT, lambda b: stream(b, *plain(b)[:-2], (6, 3), (1, 1))),
    "fillers without end": (CORRUPT, lambda b: stream(b, *plain(b)[:4], *fixed(0, 7), *fixed(1), (1, 1))),
    "a gap past its row": (
        CORRUPT,
        lambda b: stream(b, BY_ROW, NO_MASK, NO_MASK, *fixed(1), P3, *fixed(3), *fixed(1), (1, 1), (3, 3), (1, 1)),
    ),
    "more non-zeros in the rows": (
        CORRUPT,
        lambda b: stream(b, BY_ROW, NO_MASK, NO_MASK, *fixed(0, 1), P3, *fixed(0), *fixed(0)),
    ),
    "fewer non-zeros in the rows": (
        CORRUPT,
        lambda b: stream(b, BY_ROW, NO_MASK, NO_MASK, *fixed(0), P3, *fixed(0), *fixed(0)),
    ),
    "more in a row than it has columns": (
        CORRUPT,
        lambda b: stream(b, BY_ROW, NO_MASK, NO_MASK, *fixed(0, 4), P3, *fixed(0), *fixed(0), nonzero=6),
    ),
    "another number of non-zeros when dense": (
        CORRUPT,
        lambda b: stream(b, DENSE, NO_MASK, NO_MASK, *fixed(0, 1)),
    ),
    "a stream cut": (TRUNCATED, lambda b: stream(b, *plain(b)[:7], *fixed(32), (4, 3))),
    "a Huffman stream cut": (
        TRUNCATED,
        lambda b: stream(b, DENSE, NO_MASK, NO_MASK, *HUFFMAN_FULL, shape=(90,), nonzero=5),
    ),
    "a byte after the stream": (CORRUPT, lambda b: stream(b, *plain(b), (0, 8))),
    "set padding": (CORRUPT, lambda b: stream(b, *plain(b), (1, 1))),
    "a number above 2^32 - 1": (
        CORRUPT,
        lambda b: stream(b, *plain(b)[:7], *fixed(1, 2**32 - 1), (4, 3), (1, 1)),
    ),
    "a level above int32": (CORRUPT, lambda b: stream(b, *plain(b)[:7], *fixed(0, 2**32 - 2), (4, 3))),
    "a level outside its codebook": (CORRUPT, lambda b: stream(b, *plain(b), kind=CODEBOOK_SHORT)),
    "a value above float32": (
        CORRUPT,
        lambda b: stream(b, *plain(b)[:7], *fixed(0, 9), (4, 3), kind=GRID_SHORT, value_map=b"\x7f\x7f"),
    ),
    "a mask that ends within a run": (TRUNCATED, lambda b: stream(b, RUNNING, (2, 2), (0, 3), (1, 1), (0, 8))),
    "a base above 2^32 - 1": (
        CORRUPT,
        lambda b: stream(b, *plain(b)[:7], FIXED, (1, 6), (0, 32), (1, 1), (1, 32), (4, 3), (1, 1)),
    ),
    "a run whose number is too long, and nothing behind it": (
        CORRUPT,
        lambda b: stream(b, RUNNING, (2, 2), (7, 3), (1, 1), (0, 32)),
    ),
    "a mask that strikes every row, and nothing behind it": (
        CORRUPT,
        lambda b: stream(b, RUNNING, (1, 2), (0, 4), shape=(4, 3)),
    ),
    "mask mode 3, and nothing behind it": (CORRUPT, lambda b: stream(b, RUNNING, (3, 2))),
    "more non-zeros than live elements, and nothing behind the masks": (
        CORRUPT,
        lambda b: stream(b, RUNNING, (1, 2), (1, 2), NO_MASK, nonzero=4),
    ),
    "a stream without its p": (TRUNCATED, lambda b: stream(b, RUNNING, NO_MASK, NO_MASK)),
    "p of 0 and fillers of no length": (
        CORRUPT,
        lambda b: stream(b, RUNNING, NO_MASK, NO_MASK, (0, 5), *fixed(1), *fixed(1), (0, 9)),
    ),
    "a row code of 33 bits, and nothing behind it": (
        CORRUPT,
        lambda b: stream(b, BY_ROW, NO_MASK, NO_MASK, FIXED, (33, 6)),
    ),
    "an over-full Huffman code, and nothing behind it": (
        CORRUPT,
        lambda b: stream(b, *plain(b)[:4], HUFFMAN, (0, 5), 3, 3, 0),
    ),
    "an incomplete Huffman code, and a stream that needs none": (
        CORRUPT,
        lambda b: stream(b, *plain(b)[:4], HUFFMAN, (0, 5), *([1] * 4096), *fixed(0)),
    ),
    "a code without its width": (TRUNCATED, lambda b: stream(b, *plain(b)[:4], FIXED, (0, 3))),
    "an index cut, and values of no bits": (
        TRUNCATED,
        lambda b: stream(b, RUNNING, NO_MASK, NO_MASK, (7, 5), *fixed(7), *fixed(0)),
    ),
    "a row's number cut, and rows of nothing": (
        TRUNCATED,
        lambda b: stream(b, BY_ROW, NO_MASK, NO_MASK, *fixed(7), P3, *fixed(0), *fixed(0)),
    ),
    "a row's index cut, and values of no bits": (
        TRUNCATED,
        lambda b: stream(b, BY_ROW, NO_MASK, NO_MASK, *fixed(0, 1), (7, 5), *fixed(7), *fixed(0), nonzero=2),
    ),
    "more non-zeros in the rows, and nothing behind": (
        CORRUPT,
        lambda b: stream(b, BY_ROW, NO_MASK, NO_MASK, *fixed(0, 1), P3, *fixed(3), *fixed(0), (0, 3)),
    ),
    "more in a row than it has columns, and nothing behind": (
        CORRUPT,
        lambda b: stream(b, BY_ROW, NO_MASK, NO_MASK, *fixed(0, 4), P3, *fixed(3), *fixed(0), nonzero=6),
    ),
    "a codebook's value number of 2^32 - 1": (
        CORRUPT,
        lambda b: stream(b, *plain(b)[:7], *fixed(0, 2**32 - 1), (4, 3), kind=CODEBOOK_SHORT),
    ),
    "a value above 2^32 - 1 where the stream is long": (
        CORRUPT,
        lambda b: bytes.fromhex(
            "42505a020251017703031c803f80203d9924924924924924924924925800000500000070000007abbe9e2c"
        ),
    ),
    "an index above 2^32 - 1 where the stream is long": (
        CORRUPT,
        # Symbols 0 and 256 of 24 more bits: the latter's numbers are 0 when only 32 bits of them are kept.
        lambda b: stream(
            b,
            RUNNING,
            NO_MASK,
            NO_MASK,
            (31, 5),
            HUFFMAN,
            (24, 5),
            5,
            *([1] * 255),
            0,
            *fixed(0),
            (0, 1),
            (0, 24),
            (1, 1),
            (1, 24),
            *[(0, 1), (0, 24)] * 4,
            nonzero=6,
            shape=(9, 9),
        ),
    ),
    "a running stream cut, of two bits an entry": (
        TRUNCATED,
        lambda b: stream(
            b, RUNNING, NO_MASK, NO_MASK, P3, *fixed(1), *fixed(1), *[(1, 2)] * 60, nonzero=80, shape=(160,)
        ),
    ),
    "a base cut": (
        TRUNCATED,
        lambda b: stream(b, RUNNING, NO_MASK, NO_MASK, P3, *fixed(0), FIXED, (0, 6), (1, 6)),
    ),
    "a code length of 13, and nothing behind it": (
        CORRUPT,
        lambda b: stream(b, *plain(b)[:4], HUFFMAN, (0, 5), 20),
    ),
    "a width cut, and a base in what is left": (
        TRUNCATED,
        lambda b: stream(b, RUNNING, NO_MASK, NO_MASK, P3, *fixed(0), FIXED, (1, 1), (0, 3)),
    ),
    "the last value of a row cut": (
        TRUNCATED,
        lambda b: stream(b, BY_ROW, NO_MASK, NO_MASK, *fixed(0, 1), P3, *fixed(0), *fixed(7), nonzero=2),
    ),
    "the last value cut": (TRUNCATED, lambda b: stream(b, RUNNING, NO_MASK, NO_MASK, P3, *fixed(0), *fixed(7))),
}
