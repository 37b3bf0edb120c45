"""Calls of the C decoder: opens a file, and returns the levels, the value map and the values of a tensor."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import CorruptFileError, InputError
from ..text import printable
from ._bpz import ffi, lib
from .maps import Codebook, Grid, Minifloat, ValueMap
from .tensor import QuantizedTensor, RawTensor, Tensor


class StatusError(CorruptFileError):
    """A CorruptFileError with the C decoder's status number."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Opened:
    """An opened file and its tensors, none of them decoded. Keeps the bytes that C points into alive.

    max_elements  elements, or row pointers, that one array may have
    """

    data: Any
    file: Any
    tensors: list[Any]
    max_elements: int


def check(status: int, where: str) -> None:
    """Raise StatusError unless `status` is BPZ_OK."""
    if status != lib.BPZ_OK:
        text = ffi.string(lib.bpz_status_text(status)).decode()
        raise StatusError(f"{where} cannot be read: {text}; fetch or make the file again.", status)


def default_max_elements(size: int) -> int:
    """Elements that a file of `size` bytes may declare by default: 2^24, and 4096 for each byte."""
    return (1 << 24) + 4096 * size


def open_file(data: Any, max_elements: int | None) -> Opened:
    """Check a file, given as bytes or as a mapping of them, and list its tensors.

    Raises CorruptFileError for bytes that are no `.bpz` file, and InputError for what is not bytes, or when
    the tensors have more elements than `max_elements` together.
    """
    if not isinstance(data, bytes | bytearray | memoryview | mmap.mmap):
        raise InputError(f"A .bpz file is given as bytes, not as a {type(data).__name__}; read the file first.")
    if isinstance(data, bytearray | memoryview):
        data = bytes(data)  # a caller could change its own while it is decoded
    view = ffi.from_buffer(data)
    file = ffi.new("bpz_file *")
    check(lib.bpz_open(file, view, len(data)), "The .bpz file")
    tensors = tensors_of(file)
    limit = check_elements(sum(tensor.count for tensor in tensors), len(data), max_elements)
    return Opened(view, file, tensors, limit)


def tensors_of(file: Any) -> list[Any]:
    """The tensors of an opened file. Raises CorruptFileError for an invalid entry."""
    tensors: list[Any] = []
    while len(tensors) < file.tensor_count:
        tensor = ffi.new("bpz_tensor *")
        if tensors:
            tensor[0] = tensors[-1][0]
            status = lib.bpz_next(file, tensor)
        else:
            status = lib.bpz_tensor_at(file, 0, tensor)
        check(status, f"Tensor {len(tensors)} of the .bpz file")
        tensors.append(tensor)
    return tensors


def check_elements(elements: int, size: int, max_elements: int | None) -> int:
    """The limit of a file of which `size` bytes were read. Raises InputError when it declares more elements."""
    limit = default_max_elements(size) if max_elements is None else max_elements
    if elements > limit:
        raise InputError(
            f"The .bpz file of {size} bytes declares {elements} elements, "
            f"more than the limit of {limit}; pass max_elements={elements} if it can be trusted."
        )
    return limit


def new_workspace() -> Any:
    """Workspace for one thread's decoding calls."""
    return ffi.new("uint64_t[]", (lib.bpz_workspace_size() + 7) // 8)


def name_of(tensor: Any) -> str:
    """A tensor's name."""
    return bytes(ffi.buffer(tensor.name, tensor.name_length)).decode()


def label_of(tensor: Any) -> str:
    """A tensor's name for error messages, escaped: it comes from the file and may hold control characters."""
    return f"Tensor {printable(name_of(tensor))}"


def shape_of(tensor: Any) -> tuple[int, ...]:
    """A tensor's shape."""
    return tuple(tensor.shape[axis] for axis in range(tensor.rank))


def read_array(opened: Opened, tensor: Any, workspace: Any, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """All elements in the tensor's shape: values as float32 or float16, levels as int8 or int32."""
    element, out = _element(dtype), _empty(tensor, tensor.count, dtype)
    status = lib.bpz_decode(
        opened.file, tensor, element, _pointer("void *", out), out.size, workspace, ffi.sizeof(workspace)
    )
    _check_read(status, tensor, out.dtype)
    return out.reshape(shape_of(tensor))


def read_csr(
    opened: Opened, tensor: Any, workspace: Any, dtype: DTypeLike = np.float32
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[Any]]:
    """Row pointers (rows + 1,), and the column and element of each entry (see bpz_decode_csr).

    Raises InputError for what has no sparse rows, and for more rows than the file may have elements: a tensor without
    elements may have any number of them.
    """
    element = _element(dtype)
    if tensor.rows > opened.max_elements:
        raise InputError(
            f"{label_of(tensor)} has no elements but {tensor.rows} rows, more than the limit of "
            f"{opened.max_elements}; pass max_elements={tensor.rows} for sparse rows of it."
        )
    row_pointer = _empty(tensor, tensor.rows + 1, np.uint32)
    columns, values = _empty(tensor, tensor.nonzero, np.uint32), _empty(tensor, tensor.nonzero, dtype)
    status = lib.bpz_decode_csr(
        opened.file, tensor, element, _pointer("uint32_t *", row_pointer), _pointer("uint32_t *", columns),
        _pointer("void *", values), tensor.nonzero, workspace, ffi.sizeof(workspace),
    )  # fmt: skip
    if status == lib.BPZ_ERROR_UNSUPPORTED:
        raise InputError(
            f"{label_of(tensor)} is stored as plain values or has 2^32 columns, and has no sparse rows, or it does not "
            f"fit {values.dtype}; decode it whole."
        )
    check(status, label_of(tensor))
    return row_pointer, columns, values


def read_bit_usage(opened: Opened, tensor: Any, workspace: Any) -> Any:
    """Where the bits of the tensor are (bpz_bit_usage)."""
    bit_usage = ffi.new("bpz_bit_usage *")
    levels = _empty(tensor, tensor.count, np.int32)
    status = lib.bpz_decode_with_usage(
        opened.file, tensor, _pointer("int32_t *", levels), levels.size, workspace, ffi.sizeof(workspace), bit_usage
    )
    if status != lib.BPZ_ERROR_UNSUPPORTED:
        check(status, label_of(tensor))
    return bit_usage


def check_section(opened: Opened, tensor: Any, workspace: Any) -> None:
    """Raise StatusError if the section's checksum does not match."""
    check(lib.bpz_check(opened.file, tensor, workspace, ffi.sizeof(workspace)), label_of(tensor))


def kind_of(opened: Opened, tensor: Any, workspace: Any) -> Any:
    """The tensor's bpz_value_map."""
    described = ffi.new("bpz_value_map *")
    status = lib.bpz_value_map_of(opened.file, tensor, described, workspace, ffi.sizeof(workspace))
    check(status, label_of(tensor))
    return described


def read_tensor(opened: Opened, tensor: Any, workspace: Any) -> Tensor:
    """One tensor, decoded."""
    described = kind_of(opened, tensor, workspace)
    if described.kind == lib.BPZ_KIND_RAW:
        return RawTensor(name_of(tensor), read_array(opened, tensor, workspace))
    levels = read_array(opened, tensor, workspace, np.int32)
    return QuantizedTensor(name_of(tensor), levels, _value_map(described))


def _value_map(described: Any) -> ValueMap:
    if described.kind == lib.BPZ_KIND_GRID:
        return Grid(described.step)
    if described.kind == lib.BPZ_KIND_MINIFLOAT:
        return Minifloat(described.exponent_bits, described.mantissa_bits, described.unit)
    wide = described.storage == lib.BPZ_STORED_FLOAT32
    size = described.codebook_count - 1
    stored = np.frombuffer(ffi.buffer(described.codebook, (4 if wide else 2) * size), dtype="<u4" if wide else "<u2")
    bits = np.concatenate([[0], stored.astype(np.uint32) << (0 if wide else 16)]).astype(np.uint32)
    return Codebook(bits.view(np.float32))


_ELEMENTS = {
    np.dtype(np.float32): lib.BPZ_FLOAT32,
    np.dtype(np.float16): lib.BPZ_FLOAT16,
    np.dtype(np.int8): lib.BPZ_INT8,
    np.dtype(np.int32): lib.BPZ_INT32,
}


def _element(dtype: DTypeLike) -> int:
    try:
        return int(_ELEMENTS[np.dtype(dtype)])
    except (KeyError, TypeError):
        raise InputError(f"Tensors decode to float32, float16, int32 or int8, not to {dtype}.") from None


def _check_read(status: int, tensor: Any, dtype: np.dtype[Any]) -> None:
    if status == lib.BPZ_ERROR_UNSUPPORTED:
        raise InputError(f"{label_of(tensor)} does not fit {dtype}, or has no levels; decode it to float32.")
    check(status, label_of(tensor))


def _empty(tensor: Any, size: int, dtype: DTypeLike) -> NDArray[Any]:
    """An array of `size` elements. Raises InputError when there is no memory for it."""
    try:
        return np.empty(size, dtype=dtype)
    except (MemoryError, ValueError):  # ValueError: more than an address can hold
        raise InputError(
            f"{label_of(tensor)} takes {size * np.dtype(dtype).itemsize} bytes of memory, more than there are; "
            "read it as sparse rows, or on a larger machine."
        ) from None


def _pointer(kind: str, array: NDArray[np.generic]) -> Any:
    """A pointer that is not NULL even for an empty array."""
    return ffi.cast(kind, array.ctypes.data)
