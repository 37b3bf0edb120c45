"""One invalid file for each reason to reject a file, a directory entry, or a value map."""

from __future__ import annotations

import zlib

import numpy as np
from codec_fields import CHECKSUM, CORRUPT, NOT_BPZ, TRAILING, TRUNCATED, VERSION, Cases, fixed, plain, stream
from codec_files import CODEBOOK, CODEBOOK_SHORT, GRID_SHORT, MINIFLOAT, RAW, RAW_HALF

from bayespress.codec.bits import varint


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


BAD_FILES: Cases = {
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
    "a raw NaN": (
        CORRUPT,
        lambda b: b.file(b.record(kind=RAW, payload=np.full(6, np.nan, np.float32).tobytes())),
    ),
    "bytes after a tensor of zeros": (CORRUPT, lambda b: b.file(b.record(nonzero=0, payload=b"\0"))),
    "a name that shares more than there is": (CORRUPT, lambda b: b.file((b"\x40\x11w\0\0\0\0", b""))),
    "a name with a control character": (CORRUPT, lambda b: b.file(b.record(name=b"a\6", nonzero=0))),
    "a name of 256 bytes": (CORRUPT, lambda b: b.file((b"\x40\x0f\xf1\1" + b"a" * 256 + b"\0" * 8, b""))),
    "a name whose length is absurd": (CORRUPT, lambda b: b.file((b"\x40\x0f\x80\x08" + b"a" * 256, b""))),
    "a directory's size longer spelled than needed": (CORRUPT, lambda b: seal_again(b"BPZ\2\1\x80\0")),
    "a directory larger than its entries can be": (
        CORRUPT,
        lambda b: bytes.fromhex("42505a020380808080802078") + bytes([0x78]) * 19,
    ),
    "a seekable file cut in its first checksum": (TRUNCATED, lambda b: seal_again(b"BPZ\2\1\0")[:-2]),
    "an extent longer spelled than needed": (
        CORRUPT,
        lambda b: b.file((b"\x41\1w\x80\0" + varint(0) + varint(4), np.float32(0.1).tobytes())),
    ),
    "non-zeros longer spelled than needed": (
        CORRUPT,
        lambda b: b.file((b"\x41\1w\0\x80\0" + varint(4), np.float32(0.1).tobytes())),
    ),
    "a section's size longer spelled than needed": (
        CORRUPT,
        lambda b: b.file((b"\x41\1w\0\0\x84\0", np.float32(0.1).tobytes())),
    ),
    "2^94 elements beside an extent of 0": (
        CORRUPT,
        lambda b: b.file(b.record(nonzero=0, shape=(2**47, 2**47, 0))),
    ),
    "2^48 rows of nothing": (CORRUPT, lambda b: b.file(b.record(nonzero=0, shape=(0, 2**24, 2**24)))),
    "a stored length longer spelled than needed": (
        CORRUPT,
        lambda b: b.file((b"\x41\x0f\x80\0" + b"a" * 15 + b"\0\0\4", np.float32(0.1).tobytes())),
    ),
    "a shared length longer spelled than needed": (
        CORRUPT,
        lambda b: b.file((b"\x41\xf1\x80\0w\0\0\4", np.float32(0.1).tobytes())),
    ),
    "a name without its length": (TRUNCATED, lambda b: b.file((b"\x41\x0f", b""))),
    "an overlong name of three bytes": (CORRUPT, lambda b: b.file(b.record(name=b"\xe0\x80\x80", nonzero=0))),
    "an overlong name of four bytes": (CORRUPT, lambda b: b.file(b.record(name=b"\xf0\x80\x80\x80", nonzero=0))),
    "a name beyond U+10FFFF": (CORRUPT, lambda b: b.file(b.record(name=b"\xf4\x90\x80\x80", nonzero=0))),
    "a name with a byte of no UTF-8": (CORRUPT, lambda b: b.file(b.record(name=b"a\xf5\x80\x80\x80", nonzero=0))),
    "a name with a tail and no head": (CORRUPT, lambda b: b.file(b.record(name=b"a\x80", nonzero=0))),
    "a name with a head and no tail": (CORRUPT, lambda b: b.file(b.record(name=b"\xe2\x82a", nonzero=0))),
    "a shared half of a character without the other": (
        CORRUPT,
        lambda b: b.file(b.record(name=b"\xe2\x82\xac", nonzero=0), (b"\x41\x21a\0\0\4", np.float32(0.1).tobytes())),
    ),
    "three tensors, the last named as the first": (
        CORRUPT,
        lambda b: b.file(*(b.record(name=name, nonzero=0) for name in (b"w", b"v", b"w"))),
    ),
    "300 tensors, the last named as the first": (
        CORRUPT,
        lambda b: b.file(*(b.record(name=b"%d" % (index % 299), nonzero=0) for index in range(300))),
    ),
    "a codebook's size longer spelled than needed": (
        CORRUPT,
        lambda b: b.file(b.record(nonzero=0, kind=CODEBOOK, value_map=b"\x80\0")),
    ),
    "a codebook without a size": (TRUNCATED, lambda b: b.file(b.record(nonzero=0, kind=CODEBOOK, value_map=b""))),
    "half a short step": (TRUNCATED, lambda b: b.file(b.record(nonzero=0, kind=GRID_SHORT, value_map=b"\1"))),
    "NaN as a step": (
        CORRUPT,
        lambda b: b.file(b.record(nonzero=0, value_map=np.float32("nan").tobytes()[:1] + b"\1\xc0\x7f")),
    ),
}
