"""A `.bpz` file in, tensors out, by the C core."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import CorruptFileError, InputError
from ._bpz import ffi, lib
from .tensor import Codebook, Grid, QuantizedTensor, RawTensor, Tensor

# Elements that decode() agrees to allocate: a forged file of sixty bytes may announce gigabytes of zeros.
DEFAULT_MAX_ELEMENTS = 1 << 28


def decode(data: bytes, *, max_elements: int = DEFAULT_MAX_ELEMENTS) -> list[Tensor]:
    """The tensors of a `.bpz` file: levels and value maps exactly as they were encoded.

    max_elements  how many elements all tensors together may have

    Raises CorruptFileError for bytes that are not a whole, unchanged file of a version we know, and InputError
    for a file that announces more than `max_elements`.
    """
    file = ffi.new("bpz_file *")
    source = ffi.from_buffer(data)
    _check(lib.bpz_open(file, source, len(data)), "the file")
    headers = list(_headers(file))
    total = sum(int(header.count) for header in headers)
    if total > max_elements:
        raise InputError(
            f"The file announces {total:,} elements and {max_elements:,} are allowed; pass a larger max_elements if "
            "you trust it."
        )
    workspace_size = lib.bpz_workspace_size()
    workspace = ffi.new("uint16_t[]", (workspace_size + 1) // 2)
    tensors: list[Tensor] = []
    seen: set[str] = set()
    for header in headers:
        try:
            name = ffi.string(header.name).decode()
        except UnicodeDecodeError:
            raise CorruptFileError("The .bpz file holds a tensor name that is not UTF-8.") from None
        if name in seen:
            raise CorruptFileError(f"The .bpz file holds tensor {name!r} twice.")
        seen.add(name)
        tensors.append(_tensor(file, header, name, workspace, workspace_size))
    return tensors


def _headers(file: Any) -> Iterator[Any]:
    header = ffi.new("bpz_tensor *")
    for index in range(file.tensor_count):
        _check((lib.bpz_next if index else lib.bpz_first)(file, header), f"tensor {index}")
        yield ffi.new("bpz_tensor *", header[0])


def _tensor(file: Any, header: Any, name: str, workspace: Any, workspace_size: int) -> Tensor:
    shape = tuple(header.shape[axis] for axis in range(header.rank))
    if header.kind == lib.BPZ_RAW:
        array = np.empty(shape, np.float32)
        out = ffi.cast("float *", array.ctypes.data)
        _check(lib.bpz_decode_f32(file, header, out, array.size, workspace, workspace_size), f"tensor {name}")
        if not np.isfinite(array).all():
            raise CorruptFileError(f"Tensor {name} of the .bpz file holds NaN or infinite values.")
        return RawTensor(name, array)
    levels = np.empty(shape, np.int32)
    out = ffi.cast("int32_t *", levels.ctypes.data)
    _check(lib.bpz_decode_levels(file, header, out, levels.size, workspace, workspace_size), f"tensor {name}")
    if header.kind == lib.BPZ_GRID:
        return QuantizedTensor(name, levels, Grid(float(header.step)))
    values = np.empty(header.codebook_size, np.float32)
    _check(lib.bpz_codebook(file, header, ffi.cast("float *", values.ctypes.data), values.size), f"tensor {name}")
    return QuantizedTensor(name, levels, Codebook(values))


def _check(status: int, what: str) -> None:
    if status != lib.BPZ_OK:
        text = ffi.string(lib.bpz_status_text(status)).decode()
        raise CorruptFileError(f"This .bpz cannot be decoded, {what}: {text} (status {status}); fetch or make it again.")
