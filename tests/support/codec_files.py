"""Hand-built `.bpz` files, written independently of the encoder."""

from __future__ import annotations

import zlib

import numpy as np

from bayespress.codec.bits import BitFields, varint
from bayespress.codec.native import open_file


def seal(body: bytes) -> bytes:
    """The body with its checksum."""
    return body + zlib.crc32(body).to_bytes(4, "little")


def pack(fields: BitFields) -> bytes:
    """Bits as bytes, computed without the C writer."""
    text = "".join(f"{n:b}".zfill(w)[-w:] for n, w in zip(fields.numbers, fields.widths, strict=True) if w)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


RAW, RAW_HALF, RAW_BFLOAT, RAW_INT8, GRID, GRID_SHORT, CODEBOOK, CODEBOOK_SHORT, MINIFLOAT = range(9)
MAPS = {
    GRID: np.float32(0.1).tobytes(),
    GRID_SHORT: b"\0\x3f",
    CODEBOOK: b"\1" + np.float32(0.1).tobytes(),
    CODEBOOK_SHORT: b"\1\0\x40",
    MINIFLOAT: b"\x21\x92",  # 2 and 1 bits, the unit 2^-3
}


class FileBuilder:
    """Builds files field by field, valid except where a test asks otherwise."""

    def record(
        self, *, kind=GRID, name=b"w", shape=(2, 3), nonzero=1, value_map=None, payload=b"", size=None
    ) -> tuple[bytes, bytes]:
        """A directory entry and its section."""
        section = (MAPS.get(kind, b"") if value_map is None else value_map) + payload
        entry = bytes([kind << 4 | len(shape), len(name)]) + name + b"".join(varint(extent) for extent in shape)
        if kind >= GRID:
            entry += varint(nonzero) + varint(len(section) if size is None else size)
        return entry, section

    def file(self, *records: tuple[bytes, bytes], count: int | None = None) -> bytes:
        """A file under one checksum."""
        body = b"BPZ\2" + varint(2 * (len(records) if count is None else count))
        return seal(body + b"".join(entry for entry, _ in records) + b"".join(section for _, section in records))

    def seekable(self, *records: tuple[bytes, bytes], size: int | None = None, behind: bytes = b"") -> bytes:
        """A seekable file."""
        entries = b"".join(entry for entry, _ in records)
        front = b"BPZ\2" + varint(2 * len(records) + 1) + varint(len(entries) if size is None else size) + entries
        return seal(front) + b"".join(seal(section) for _, section in records) + behind

    def bits(self, *fields: tuple[int, int] | int) -> bytes:
        """Fields as (number, width); a bare number is an exponential Golomb number of order 0."""
        out = BitFields()
        for item in fields:
            if isinstance(item, int):
                out.put_golomb(item)
            else:
                out.put(*item)
        return pack(out)


def parts_of(data: bytes) -> list[bytearray]:
    """The parts of a valid file without checksums: everything, or magic to count, entries, and each section."""
    if not data[4] & 1:
        return [bytearray(data[:-4])]
    behind = 6 if data[4] & 0x80 else 5
    size, at = 0, behind
    while True:
        size |= (data[at] & 0x7F) << 7 * (at - behind)
        at += 1
        if not data[at - 1] & 0x80:
            break
    parts = [bytearray(data[:behind]), bytearray(data[at : at + size])]
    return parts + [bytearray(data[start : start + length - 4]) for start, length in sections_of(data)]


def sections_of(data: bytes) -> list[tuple[int, int]]:
    """Offset and size of each section, with its checksum."""
    tensors = open_file(data, None).tensors
    return [(int(tensor.section_offset), int(tensor.section_size)) for tensor in tensors]


def sealed(parts: list[bytearray]) -> bytes:
    """A file of these parts with matching checksums."""
    if len(parts) == 1:
        return seal(bytes(parts[0]))
    front, entries, *sections = (bytes(part) for part in parts)
    return seal(front + varint(len(entries)) + entries) + b"".join(seal(section) for section in sections)
