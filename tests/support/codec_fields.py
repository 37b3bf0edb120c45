"""Fields of hand-built bit streams, and the statuses of the C decoder."""

from __future__ import annotations

from collections.abc import Callable

from codec_files import GRID, FileBuilder

from bayespress.codec._bpz import lib

NOT_BPZ, VERSION, TRUNCATED = lib.BPZ_ERROR_NOT_BPZ, lib.BPZ_ERROR_VERSION, lib.BPZ_ERROR_TRUNCATED
TRAILING, CHECKSUM, CORRUPT = lib.BPZ_ERROR_TRAILING, lib.BPZ_ERROR_CHECKSUM, lib.BPZ_ERROR_CORRUPT

# By the reason to refuse: the status, and the file.
Cases = dict[str, tuple[int, Callable[[FileBuilder], bytes]]]

ADAPTIVE, RUNNING, BY_ROW, DENSE = (3, 2), (2, 2), (1, 2), (0, 2)
NO_MASK = (0, 2)
FIXED = (0, 1)
HUFFMAN = (1, 1)
P3 = (3, 5)


def fixed(width: int, base: int = 0) -> tuple:
    return (FIXED, (width, 6), base)


def stream(build, *fields, nonzero=1, shape=(2, 3), kind=GRID, value_map=None) -> bytes:
    payload = build.bits(*fields)
    return build.file(build.record(nonzero=nonzero, shape=shape, kind=kind, payload=payload, value_map=value_map))


def plain(build) -> tuple:
    """The fields of a valid stream with one non-zero: level -1 at position 4."""
    return (RUNNING, NO_MASK, NO_MASK, P3, *fixed(3), *fixed(1), (4, 3), (1, 1))


HUFFMAN_FULL = (HUFFMAN, (0, 5), 5, 0)  # lengths 1 and 1: the reference of 3 less 2, then the same
