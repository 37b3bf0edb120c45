"""The C decoder from Python: opening a file, and one tensor's levels, map and values."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptFileError, InputError
from ._bpz import ffi, lib
from .tensor import Codebook, Grid, QuantizedTensor, RawTensor, Tensor


class StatusError(CorruptFileError):
    """A CorruptFileError with the C decoder's status number."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Opened:
    """An opened file and its tensors, none of them decoded. Keeps the bytes that C points into alive."""

    data: Any
    file: Any
    tensors: list[Any]


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
        data = bytes(data)  # theirs can change under our feet
    view = ffi.from_buffer(data)
    file = ffi.new("bpz_file *")
    check(lib.bpz_open(file, view, len(data)), "The .bpz file")
    tensors = []
    for index in range(file.tensor_count):
        tensor = ffi.new("bpz_tensor *")
        check(lib.bpz_tensor_at(file, index, tensor), f"Tensor {index} of the .bpz file")
        tensors.append(tensor)
    elements = sum(tensor.count for tensor in tensors)
    limit = default_max_elements(len(data)) if max_elements is None else max_elements
    if elements > limit:
        raise InputError(
            f"The .bpz file of {len(data)} bytes declares {elements} elements, "
            f"more than the limit of {limit}; pass max_elements={elements} if it can be trusted."
        )
    return Opened(view, file, tensors)


def new_workspace() -> Any:
    """Workspace for one thread's decoding calls."""
    return ffi.new("uint64_t[]", (lib.bpz_workspace_size() + 7) // 8)


def name_of(tensor: Any) -> str:
    """A tensor's name."""
    return bytes(ffi.buffer(tensor.name, tensor.name_length)).decode()


def shape_of(tensor: Any) -> tuple[int, ...]:
    """A tensor's shape."""
    return tuple(tensor.shape[axis] for axis in range(tensor.rank))


def read_levels(opened: Opened, tensor: Any, workspace: Any) -> tuple[NDArray[np.int32] | None, Any]:
    """Levels in the tensor's shape, none for a raw tensor; and where the record's bits went (bpz_spent)."""
    spent = ffi.new("bpz_spent *")
    raw = kind_of(opened, tensor).kind == lib.BPZ_KIND_RAW
    levels = np.empty(0 if raw else tensor.count, dtype=np.int32)
    status = lib.bpz_decode_levels(
        opened.file,
        tensor,
        _pointer("int32_t *", levels),
        levels.size,
        workspace,
        ffi.sizeof(workspace),
        spent,
    )
    if raw and status == lib.BPZ_ERROR_UNSUPPORTED:
        return None, spent
    check(status, f"Tensor {name_of(tensor)}")
    return levels.reshape(shape_of(tensor)), spent


def read_values(opened: Opened, tensor: Any, workspace: Any) -> NDArray[np.float32]:
    """float32 values in the tensor's shape, as a device computes them."""
    values = np.empty(tensor.count, dtype=np.float32)
    status = lib.bpz_decode_f32(
        opened.file, tensor, _pointer("float *", values), values.size, workspace, ffi.sizeof(workspace)
    )
    check(status, f"Tensor {name_of(tensor)}")
    return values.reshape(shape_of(tensor))


def read_csr(
    opened: Opened, tensor: Any, workspace: Any
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.float32]]:
    """Row pointer (rows + 1,), column and value of each entry: the matrix that C's bpz_tensor speaks of."""
    row_pointer = np.empty(tensor.rows + 1, dtype=np.uint32)
    columns, values = np.empty(tensor.nonzero, dtype=np.uint32), np.empty(tensor.nonzero, dtype=np.float32)
    status = lib.bpz_decode_csr(
        opened.file, tensor, _pointer("uint32_t *", row_pointer), _pointer("uint32_t *", columns),
        _pointer("float *", values), tensor.nonzero, workspace, ffi.sizeof(workspace),
    )  # fmt: skip
    if status == lib.BPZ_ERROR_UNSUPPORTED:
        raise InputError(f"Tensor {name_of(tensor)} is stored as plain values and has no sparse rows; decode it whole.")
    check(status, f"Tensor {name_of(tensor)}")
    return row_pointer, columns, values


def kind_of(opened: Opened, tensor: Any) -> Any:
    """The tensor's bpz_value_map."""
    described = ffi.new("bpz_value_map *")
    check(lib.bpz_value_map_of(opened.file, tensor, described), f"Tensor {name_of(tensor)}")
    return described


def read_tensor(opened: Opened, tensor: Any, workspace: Any) -> Tensor:
    """One tensor, decoded."""
    described = kind_of(opened, tensor)
    if described.kind == lib.BPZ_KIND_RAW:
        return RawTensor(name_of(tensor), read_values(opened, tensor, workspace))
    levels, _ = read_levels(opened, tensor, workspace)
    if levels is None:
        raise AssertionError("levels of a tensor that is not raw")
    if described.kind == lib.BPZ_KIND_GRID:
        return QuantizedTensor(name_of(tensor), levels, Grid(described.step))
    stored = np.frombuffer(ffi.buffer(described.codebook, 4 * (described.codebook_count - 1)), dtype="<f4")
    return QuantizedTensor(name_of(tensor), levels, Codebook(np.concatenate([[0.0], stored]).astype(np.float32)))


def _pointer(kind: str, array: NDArray[np.generic]) -> Any:
    """A pointer that is not NULL even for an empty array."""
    return ffi.cast(kind, array.ctypes.data)
