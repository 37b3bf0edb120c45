"""Decoding from a stream that is read once from front to back: a pipe, a download, a file larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from ..errors import CorruptFileError, InputError
from ._bpz import ffi, lib
from .decode import decode
from .native import Opened, check, check_elements, new_workspace, read_tensor, tensors_of
from .tensor import Tensor

_HEAD = 18  # bytes after which the size of the directory is known
# Bytes of one read. A size in the file may be false, and some sources allocate as many bytes as they are asked for.
_PIECE = 1 << 20


def stream(source: IO[bytes], *, max_elements: int | None = None) -> Iterator[Tensor]:
    """The tensors of a `.bpz` file that is read from front to back, each as soon as its section is there.

    Of a seekable file, which `encode` and `write` make of all but small networks, memory holds the directory and one
    tensor. Each tensor has been checked when it comes; that the file ends too early or goes on is raised behind the
    tensors before. Another file is read whole before the first tensor comes, since only its end shows whether it is
    sound. No more is read than the file's directory announces, and one byte.

    max_elements  see decode; the default counts the bytes that have come so far

    Raises what `decode` raises.
    """
    front = _read(source, _HEAD)
    needed = ffi.new("size_t *")
    file = ffi.new("bpz_file *")
    status = lib.bpz_open_directory(file, ffi.from_buffer(front), len(front), needed)
    if status == lib.BPZ_ERROR_UNSUPPORTED:
        yield from decode(_whole(source, front), max_elements=max_elements)
        return
    if status == lib.BPZ_ERROR_TRUNCATED and needed[0] > len(front):
        front += _read(source, needed[0] - len(front))
    directory = ffi.from_buffer(front)
    check(lib.bpz_open_directory(file, directory, len(front), needed), "The .bpz file")
    tensors = tensors_of(file)
    if max_elements is not None:
        check_elements(sum(tensor.count for tensor in tensors), lib.bpz_file_size(file), max_elements)
    workspace = new_workspace()
    rest, elements = front[needed[0] :], 0
    for tensor in tensors:
        size = tensor.section_size
        section = rest[:size] + _read(source, size - len(rest[:size]))
        rest = rest[size:]
        view = ffi.from_buffer(section)
        if len(section) < size:
            check(lib.BPZ_ERROR_TRUNCATED, "The .bpz file")
        # The directory may be false about sections that were not read yet.
        elements += tensor.count
        limit = check_elements(elements, tensor.section_offset + size, max_elements)
        check(lib.bpz_window(file, tensor.section_offset, view, len(section)), "The .bpz file")
        yield read_tensor(Opened(view, file, tensors, limit), tensor, workspace)
    if rest or source.read(1):
        raise CorruptFileError("The .bpz file cannot be read: bytes follow its end; fetch or make the file again.")


def _whole(source: IO[bytes], data: bytes) -> bytes:
    """A file under one checksum, of which `data` has come: what its directory announces, and a byte more if there is.

    That byte shows `decode` that the file goes on. The directory is read in pieces that double, so that looking at it
    again with each takes linear time.
    """
    announced = ffi.new("uint64_t *")
    while (status := lib.bpz_announced_size(ffi.from_buffer(data), len(data), announced)) == lib.BPZ_ERROR_TRUNCATED:
        piece = _read(source, len(data))
        data += piece
        if not piece:
            return data
    check(status, "The .bpz file")
    return data + _read(source, announced[0] + 1 - len(data))


def _read(source: IO[bytes], size: int) -> bytes:
    """Up to `size` bytes: fewer only at the end of the source. A pipe returns fewer at a time."""
    pieces = []
    while size > 0 and (piece := source.read(min(size, _PIECE))):
        if not isinstance(piece, bytes):
            raise InputError(f"The stream gives {type(piece).__name__}, and bytes are needed; open it in binary mode.")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
