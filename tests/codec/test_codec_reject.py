"""One bad file for each reason to reject, with the status that says so."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from codec_files import CODEBOOK, CODEBOOK_SHORT, GRID, GRID_SHORT, MINIFLOAT, RAW, RAW_HALF

from bayespress import codec
from bayespress.codec import reference
from bayespress.codec._bpz import lib
from bayespress.codec.bits import varint
from bayespress.codec.native import StatusError
from bayespress.errors import CorruptFileError, InputError

NOT_BPZ, VERSION, TRUNCATED = lib.BPZ_ERROR_NOT_BPZ, lib.BPZ_ERROR_VERSION, lib.BPZ_ERROR_TRUNCATED
TRAILING, CHECKSUM, CORRUPT = lib.BPZ_ERROR_TRAILING, lib.BPZ_ERROR_CHECKSUM, lib.BPZ_ERROR_CORRUPT

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
    """The fields of a good stream: one non-zero, at index 4, of level -1."""
    return (RUNNING, NO_MASK, NO_MASK, P3, *fixed(3), *fixed(1), (4, 3), (1, 1))


def seal_again(data: bytes) -> bytes:
    return data + zlib.crc32(data).to_bytes(4, "little")


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def longer_directory(build) -> bytes:
    """A byte between the last entry and the checksum."""
    entry, section = build.record(nonzero=0)
    return build.seekable((entry + b"\0", section))


def shorter_directory(build) -> bytes:
    """The last entry runs into the checksum."""
    entry, section = build.record(nonzero=0)
    return build.seekable((entry[:-1], section))


HUFFMAN_FULL = (HUFFMAN, (0, 5), 5, 0)  # lengths 1 and 1: the reference of 3 less 2, then the same

CASES = {
    "empty": (TRUNCATED, lambda b: b""),
    "only the magic": (TRUNCATED, lambda b: b"BPZ"),
    "head without a body": (TRUNCATED, lambda b: b"BPZ\2\0"),
    "another magic": (NOT_BPZ, lambda b: b"BPX" + b.file()[3:]),
    "version 1": (VERSION, lambda b: b"BPZ\1" + b.file()[4:]),
    "version 3": (VERSION, lambda b: b"BPZ\3" + b.file()[4:]),
    "checksum": (CHECKSUM, lambda b: b.file()[:-1] + bytes([b.file()[-1] ^ 1])),
    "fewer records than declared": (TRUNCATED, lambda b: b.file(b.record(kind=RAW, shape=(0,)), count=2)),
    "more records than declared": (TRAILING, lambda b: b.file(b.record(nonzero=0), count=0)),
    "too many tensors": (CORRUPT, lambda b: b.file(count=4097)),
    "a longer varint than needed": (CORRUPT, lambda b: seal_again(b"BPZ\2\x80\0")),
    "a varint of eight bytes": (CORRUPT, lambda b: seal_again(b"BPZ\2" + b"\x80" * 7 + b"\1")),
    "a varint above 2^48 - 1": (CORRUPT, lambda b: seal_again(b"BPZ\2" + b"\xff" * 6 + b"\x7f")),
    "a section longer than the file": (TRUNCATED, lambda b: b.file(b.record(nonzero=0, size=40))),
    "sections of 2^48 bytes": (CORRUPT, lambda b: b.file(b.record(nonzero=0, size=2**48 - 1), b.record(name=b"v"))),
    "an entry of one byte": (TRUNCATED, lambda b: b.file((b"\1", b""))),
    "a directory longer than the file": (TRUNCATED, lambda b: b.seekable(b.record(nonzero=0), size=99)),
    "a directory longer than its entries": (CORRUPT, lambda b: longer_directory(b)),
    "a directory shorter than its entries": (TRUNCATED, lambda b: shorter_directory(b)),
    "a directory's checksum": (CHECKSUM, lambda b: flipped(b.seekable(b.record(nonzero=0)), 9)),
    "a section's checksum": (CHECKSUM, lambda b: flipped(b.seekable(b.record(nonzero=0)), -6)),
    "a seekable file cut": (TRUNCATED, lambda b: b.seekable(b.record(nonzero=0))[:-1]),
    "a byte behind a seekable file": (TRAILING, lambda b: b.seekable(b.record(nonzero=0), behind=b"\0")),
    "two tensors of one name": (CORRUPT, lambda b: b.file(b.record(nonzero=0), b.record(nonzero=0))),
    "rank 9": (CORRUPT, lambda b: b.file(b.record(nonzero=0, shape=(1,) * 9))),
    "kind 9": (CORRUPT, lambda b: b.file(b.record(kind=9, nonzero=0))),
    "no name": (CORRUPT, lambda b: b.file(b.record(name=b"", nonzero=0))),
    "a name of no UTF-8": (CORRUPT, lambda b: b.file(b.record(name=b"\xc3", nonzero=0))),
    "a name in overlong UTF-8": (CORRUPT, lambda b: b.file(b.record(name=b"\xc0\x80", nonzero=0))),
    "a surrogate in a name": (CORRUPT, lambda b: b.file(b.record(name=b"\xed\xa0\x80", nonzero=0))),
    "NUL in a name": (CORRUPT, lambda b: b.file(b.record(name=b"a\0", nonzero=0))),
    "a name that runs past its entry": (TRUNCATED, lambda b: b.file((b"\x40\x09w", b""))),
    "2^60 elements": (CORRUPT, lambda b: b.file(b.record(nonzero=0, shape=(2**30, 2**30)))),
    "2^48 elements": (CORRUPT, lambda b: b.file(b.record(nonzero=0, shape=(2**24, 2**24)))),
    "2^64 elements": (CORRUPT, lambda b: b.file(b.record(nonzero=0, shape=(2**32, 2**32)))),
    "more non-zeros than elements": (CORRUPT, lambda b: b.file(b.record(nonzero=7))),
    "a step of zero": (CORRUPT, lambda b: b.file(b.record(nonzero=0, kind=GRID_SHORT, value_map=b"\0\0"))),
    "a negative step": (CORRUPT, lambda b: b.file(b.record(nonzero=0, kind=GRID_SHORT, value_map=b"\0\xbf"))),
    "an infinite step": (CORRUPT, lambda b: b.file(b.record(nonzero=0, kind=GRID_SHORT, value_map=b"\x80\x7f"))),
    "a long step where a short one serves": (
        CORRUPT,
        lambda b: b.file(b.record(nonzero=0, value_map=np.float32(0.5).tobytes())),
    ),
    "half a step": (TRUNCATED, lambda b: b.file(b.record(nonzero=0, value_map=b"\1\2"))),
    "a codebook that runs past its section": (
        TRUNCATED,
        lambda b: b.file(b.record(nonzero=0, kind=CODEBOOK_SHORT, value_map=b"\2")),
    ),
    "a codebook of 65537": (
        CORRUPT,
        lambda b: b.file(b.record(nonzero=0, kind=CODEBOOK, value_map=varint(65536) + bytes(4 * 65536))),
    ),
    "NaN in a codebook": (
        CORRUPT,
        lambda b: b.file(b.record(nonzero=0, kind=CODEBOOK, value_map=b"\1" + np.float32("nan").tobytes())),
    ),
    "infinity in a short codebook": (
        CORRUPT,
        lambda b: b.file(b.record(nonzero=0, kind=CODEBOOK_SHORT, value_map=b"\1\x80\x7f")),
    ),
    "a minifloat without exponent": (CORRUPT, lambda b: b.file(b.record(nonzero=0, kind=MINIFLOAT, value_map=b"\1\0"))),
    "a minifloat of 9 exponent bits": (
        CORRUPT,
        lambda b: b.file(b.record(nonzero=0, kind=MINIFLOAT, value_map=b"\x90\0")),
    ),
    "a minifloat beyond float32": (
        CORRUPT,
        lambda b: b.file(b.record(nonzero=0, kind=MINIFLOAT, value_map=b"\x80\x20")),
    ),
    "half a minifloat": (TRUNCATED, lambda b: b.file(b.record(nonzero=0, kind=MINIFLOAT, value_map=b"\x21"))),
    "a level outside its minifloat": (
        CORRUPT,
        lambda b: stream(b, *plain(b)[:7], *fixed(0, 14), (4, 3), kind=MINIFLOAT),
    ),
    "raw values cut": (TRUNCATED, lambda b: b.file(b.record(kind=RAW, payload=bytes(20)))),
    "raw values and more": (TRAILING, lambda b: b.file(b.record(kind=RAW, payload=bytes(25)))),
    "a raw half that is infinite": (CORRUPT, lambda b: b.file(b.record(kind=RAW_HALF, payload=b"\0\x7c" * 6))),
    "a gap past the matrix, range-coded": (
        CORRUPT,
        lambda b: stream(b, ADAPTIVE, NO_MASK, NO_MASK, (0, 5), (1, 1), (0, 5), (0, 7)),
    ),
    "plain bits of a gap past the matrix": (
        CORRUPT,
        lambda b: stream(b, ADAPTIVE, NO_MASK, NO_MASK, (0, 5), (1, 1), (31, 5), (0, 7), (2**32 - 2, 32)),
    ),
    "a raw NaN": (
        CORRUPT,
        lambda b: b.file(b.record(kind=RAW, payload=np.full(6, np.nan, np.float32).tobytes())),
    ),
    "bytes after a tensor of zeros": (CORRUPT, lambda b: b.file(b.record(nonzero=0, payload=b"\0"))),
    "a name that shares more than there is": (CORRUPT, lambda b: b.file((b"\x40\x11w\0\0\0\0", b""))),
    "a name with a control character": (CORRUPT, lambda b: b.file(b.record(name=b"a\6", nonzero=0))),
    "a name of 256 bytes": (CORRUPT, lambda b: b.file((b"\x40\x0f\xf1\1" + b"a" * 256 + b"\0" * 8, b""))),
    "a name whose length is absurd": (CORRUPT, lambda b: b.file((b"\x40\x0f\x80\x08" + b"a" * 256, b""))),
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
}


@pytest.mark.parametrize("reason", CASES)
def test_bad_file(build, reason):
    status, make = CASES[reason]
    data = make(build)
    with pytest.raises(StatusError, match="cannot be read") as caught:
        codec.decode(data)
    assert caught.value.status == status
    with pytest.raises(CorruptFileError):
        reference.decode(data)


def test_the_good_file_that_the_bad_ones_vary(build):
    data = stream(build, *plain(build))
    for decode in (codec.decode, reference.decode):
        (tensor,) = decode(data)
        np.testing.assert_array_equal(tensor.levels, [[0, 0, 0], [0, -1, 0]])


def test_every_status_has_a_case_and_a_sentence():
    reachable = {NOT_BPZ, VERSION, TRUNCATED, TRAILING, CHECKSUM, CORRUPT}
    assert {status for status, _ in CASES.values()} == reachable


@pytest.mark.parametrize("decode", [codec.decode, reference.decode])
def test_a_small_file_does_not_get_gigabytes(build, decode):
    data = build.file(build.record(nonzero=0, shape=(2**31 - 1,)))
    assert len(data) < 60
    with pytest.raises(InputError, match=r"2147483647 elements"):
        decode(data)
    with pytest.raises(InputError, match=r"5 elements|6 elements"):
        decode(build.file(build.record(nonzero=0)), max_elements=5)
    assert decode(build.file(build.record(nonzero=0)), max_elements=6)[0].levels.shape == (2, 3)
