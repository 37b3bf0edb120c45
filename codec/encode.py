"""The encoder: writes tensors to a file, in memory or on disk."""

from __future__ import annotations

import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO

from ..errors import InputError, unknown_name
from ..files import StrPath
from ..outputs import WEIGHT_FILE, output_file
from ..text import printable
from .bits import varint
from .entry import Entry, encoded
from .tensor import Tensor, check_tensor

MAGIC = b"BPZ\x02"
PROFILES = ("small", "fast")
MAX_TENSORS = 4096
# Files whose sections have this many bytes are seekable: readers may want a part of them, and four bytes are little.
SEEKABLE_FROM = 1 << 16

Progress = Callable[[int, int], None]


def encode(
    tensors: Sequence[Tensor],
    progress: Progress | None = None,
    *,
    profile: str = "small",
    seekable: bool | None = None,
    threads: int = 1,
) -> bytes:
    """A `.bpz` file of these tensors, in their order. The same tensors give the same bytes.

    profile   small: each tensor in what is smallest, usually the adaptive range coder, or in what decodes several times
              faster within half a percent of that; fast: prefix codes only, a few nanoseconds a non-zero weight
    seekable  whether each tensor can be read and checked by itself; by default if they take 64 KiB or more
    threads   tensors that are encoded at once
    progress  called with (tensors done, tensors in all) after each

    Raises InputError when a tensor has a NaN, a wrong dtype, a level outside its codebook, a name that is
    used twice or does not fit, or when there are more than 4096 of them.
    """
    done = list(_encoded(tensors, len(tensors), profile, threads, progress))
    front, checked = _front([entry for entry, _ in done], seekable)
    out = bytearray(front)
    for _, section in done:
        out += section
        if checked:
            out += _checksum(zlib.crc32(section))
    return bytes(out) if checked else bytes(out) + _checksum(zlib.crc32(out))


def write(
    path: StrPath,
    tensors: Iterable[Tensor],
    progress: Progress | None = None,
    *,
    profile: str = "small",
    seekable: bool | None = None,
    threads: int = 1,
    count: int | None = None,
    overwrite: bool = False,
) -> int:
    """Write what `encode` returns to `path`, whole or not at all; returns its size in bytes.

    Tensors are taken one by one, and sections wait on the disk beside `path`: memory holds `threads` tensors and what
    encoding them takes, 8 to 20 bytes an element, however many there are. `count` is their number, for `progress`,
    where `tensors` does not know it. Another `.bpz` file at `path` is replaced only with `overwrite`, and a file of
    another kind never. Raises what `encode` raises, and InputError when `path` cannot be written.
    """
    in_all = count if count is not None else len(tensors) if isinstance(tensors, Sequence) else 0
    with (
        output_file(Path(path), WEIGHT_FILE, overwrite=overwrite) as temporary,
        tempfile.TemporaryFile(dir=temporary.parent) as spool,
    ):
        entries: list[Entry] = []
        checksums: list[int] = []
        for entry, section in _encoded(tensors, in_all, profile, threads, progress):
            spool.write(section)
            entries.append(entry)
            checksums.append(zlib.crc32(section))
        spool.seek(0)
        front, checked = _front(entries, seekable)
        with temporary.open("wb") as file:
            file.write(front)
            crc = zlib.crc32(front)
            for entry, own in zip(entries, checksums, strict=True):
                crc = _copy(spool, file, entry.content_size, crc)
                if checked:
                    file.write(_checksum(own))
            if not checked:
                file.write(_checksum(crc))
            return file.tell()


def _encoded(
    tensors: Iterable[Tensor], in_all: int, profile: str, threads: int, progress: Progress | None
) -> Iterator[tuple[Entry, bytes]]:
    """The tensors checked and encoded, in order, `threads` at a time."""
    if profile not in PROFILES:
        raise unknown_name("profile", profile, PROFILES)
    if threads < 1:
        raise InputError(f"{threads} threads were asked for; at least 1 is needed.")
    if in_all > MAX_TENSORS:
        raise InputError(f"A .bpz file holds at most {MAX_TENSORS} tensors, not {in_all}; write several files.")
    names: set[str] = set()
    done = 0
    waiting: deque[Future[tuple[Entry, bytes]]] = deque()

    def finished() -> tuple[Entry, bytes]:
        nonlocal done
        one = waiting.popleft().result()
        done += 1
        if progress is not None:
            progress(done, max(in_all, done))
        return one

    with ThreadPoolExecutor(threads) as pool:
        for tensor in tensors:
            check_tensor(tensor)
            if tensor.name in names:
                raise InputError(f"Two tensors are called {printable(tensor.name)}; names must be unique, rename one.")
            names.add(tensor.name)
            if len(names) > MAX_TENSORS:
                raise InputError(f"A .bpz file holds at most {MAX_TENSORS} tensors; write several files.")
            while len(waiting) >= threads:
                yield finished()
            waiting.append(pool.submit(encoded, tensor, profile=profile))
            del tensor
        while waiting:
            yield finished()


def _front(entries: Sequence[Entry], seekable: bool | None) -> tuple[bytes, bool]:
    """All bytes before the first section, and whether each section has a checksum."""
    checked = sum(entry.content_size for entry in entries) >= SEEKABLE_FROM if seekable is None else seekable
    before, listed = "", bytearray()
    for entry in entries:
        listed += entry.packed(before)
        before = entry.name
    out = MAGIC + varint(2 * len(entries) + checked)
    if not checked:
        return out + bytes(listed), False
    out += varint(len(listed)) + bytes(listed)
    return out + _checksum(zlib.crc32(out)), True


def _checksum(crc: int) -> bytes:
    return crc.to_bytes(4, "little")


def _copy(source: IO[bytes], target: IO[bytes], size: int, crc: int) -> int:
    """Copy `size` bytes in pieces; returns the CRC-32 continued from `crc`."""
    while size:
        piece = source.read(min(size, 1 << 20))
        crc = zlib.crc32(piece, crc)
        target.write(piece)
        size -= len(piece)
    return crc
