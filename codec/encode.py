"""Tensors in, a `.bpz` file out."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ._bpz import ffi, lib
from .stream_plan import StreamPlan
from .tensor import Codebook, Grid, QuantizedTensor, RawTensor, Tensor
from .tensor_plan import TensorPlan, plan_tensor

MAGIC = b"BPZ\x01"
KIND_RAW, KIND_GRID, KIND_CODEBOOK = 0, 1, 2
MAX_RANK = 8
MAX_NAME = 255
MAX_ELEMENTS = 0x7FFFFFFF


def encode(tensors: Sequence[Tensor], progress: Callable[[int, int], None] | None = None) -> bytes:
    """A version 1 `.bpz` file of these tensors, in this order; the same tensors always give the same bytes.

    progress  called with (tensors done, tensors in all) after each

    Raises InputError for tensors that the format cannot hold: non-finite values, a name twice or too long, a
    level without a codebook entry, a codebook that does not start with 0, a dtype other than the documented.
    """
    parts = [MAGIC, varint(len(tensors))]
    seen: set[str] = set()
    previous = b""
    for number, tensor in enumerate(tensors, 1):
        name = _checked_name(tensor.name, seen)
        parts.append(_name_field(name, previous))
        parts.append(_raw_record(tensor) if isinstance(tensor, RawTensor) else _quantized_record(tensor))
        previous = name
        if progress is not None:
            progress(number, len(tensors))
    body = b"".join(parts)
    return body + struct.pack("<I", zlib.crc32(body))


def varint(value: int) -> bytes:
    """LEB128: seven bits a byte, lowest first, the high bit set on all but the last."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _checked_name(name: str, seen: set[str]) -> bytes:
    data = name.encode()
    if not 1 <= len(data) <= MAX_NAME or 0 in data:
        raise InputError(f"Tensor name {name[:40]!r} has {len(data)} bytes; 1 to {MAX_NAME} without a zero byte fit.")
    if name in seen:
        raise InputError(f"Tensor name {name!r} occurs twice; names have to differ.")
    seen.add(name)
    return data


def _name_field(name: bytes, previous: bytes) -> bytes:
    shared = 0
    while shared < min(len(name), len(previous)) and name[shared] == previous[shared]:
        shared += 1
    return varint(shared) + varint(len(name) - shared) + name[shared:]


def _shape_field(name: str, shape: tuple[int, ...], kind: int) -> bytes:
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if len(shape) > MAX_RANK or count > MAX_ELEMENTS or any(extent >= 1 << 32 for extent in shape):
        raise InputError(f"Tensor {name} has shape {shape}; at most {MAX_RANK} axes and 2^31 - 1 elements fit.")
    return bytes([kind << 4 | len(shape)]) + b"".join(varint(extent) for extent in shape)


def _raw_record(tensor: RawTensor) -> bytes:
    if tensor.array.dtype != np.float32:
        raise InputError(f"Tensor {tensor.name} is {tensor.array.dtype}; a raw tensor has to be float32.")
    if not np.isfinite(tensor.array).all():
        raise InputError(f"Tensor {tensor.name} holds NaN or infinite values; mend the network first.")
    return _shape_field(tensor.name, tensor.shape, KIND_RAW) + tensor.array.astype("<f4").tobytes()


def _quantized_record(tensor: QuantizedTensor) -> bytes:
    if tensor.levels.dtype != np.int32:
        raise InputError(f"The levels of {tensor.name} are {tensor.levels.dtype}; they have to be int32.")
    if isinstance(tensor.value_map, Grid):
        kind, value_map = KIND_GRID, _grid_field(tensor.name, tensor.value_map)
        symbols = _zigzag(tensor)
    else:
        kind, value_map = KIND_CODEBOOK, _codebook_field(tensor, tensor.value_map)
        symbols = tensor.levels.astype(np.uint32)
    head = _shape_field(tensor.name, tensor.shape, kind) + value_map
    if tensor.levels.size == 0:
        return head
    payload = _payload(matrix(symbols))
    return head + varint(len(payload)) + payload


def _grid_field(name: str, grid: Grid) -> bytes:
    step = np.float32(grid.step)
    if not np.isfinite(step) or step <= 0:
        raise InputError(f"The grid of {name} has step {grid.step}; a finite float32 above 0 is needed.")
    if float(step) != float(grid.step):
        raise InputError(f"The grid of {name} has step {grid.step!r}, which float32 cannot hold; round it first.")
    return struct.pack("<f", step)


def _codebook_field(tensor: QuantizedTensor, codebook: Codebook) -> bytes:
    values, levels = codebook.values, tensor.levels
    if values.dtype != np.float32 or values.ndim != 1 or not np.isfinite(values).all():
        raise InputError(f"The codebook of {tensor.name} has to be one row of finite float32 values.")
    if len(values) == 0 or struct.pack("<f", values[0]) != bytes(4):
        raise InputError(f"The codebook of {tensor.name} has to start with 0, the value of a pruned weight.")
    if levels.size and not 0 <= int(levels.min()) <= int(levels.max()) < len(values):
        raise InputError(
            f"The levels of {tensor.name} run from {levels.min()} to {levels.max()}; its codebook has entries 0 to "
            f"{len(values) - 1}."
        )
    return varint(len(values)) + values[1:].astype("<f4").tobytes()


def _zigzag(tensor: QuantizedTensor) -> npt.NDArray[np.uint32]:
    """0, 1, -1, 2, -2 ... become 0, 1, 2, 3, 4 ..."""
    levels = tensor.levels.astype(np.int64)
    if levels.size and int(levels.min()) <= -(1 << 31):
        raise InputError(f"Tensor {tensor.name} holds level -2^31; levels lie strictly between -2^31 and 2^31.")
    return np.where(levels > 0, 2 * levels - 1, -2 * levels).astype(np.uint32)


def matrix(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The (output, rest) view of a tensor that is not empty: one row up to rank 1, else shape[0] rows."""
    return np.ascontiguousarray(array.reshape((1, -1) if array.ndim < 2 else (array.shape[0], -1)))


def _payload(symbols: npt.NDArray[np.uint32]) -> bytes:
    plan = plan_tensor(symbols)
    keep: list[Any] = []
    c_plan = _c_plan(plan, keep)
    out = np.empty((plan.bits + 7) // 8, np.uint8)
    size = ffi.new("size_t *")
    workspace_size = lib.bpz_encode_workspace_size()
    workspace = ffi.new("uint16_t[]", (workspace_size + 1) // 2)
    rows, columns = symbols.shape
    status = lib.bpz_encode(
        ffi.cast("uint32_t *", symbols.ctypes.data), rows, columns, c_plan,
        ffi.cast("uint8_t *", out.ctypes.data), out.size, size, workspace, workspace_size,
    )  # fmt: skip
    if status != lib.BPZ_OK or size[0] != out.size:
        raise AssertionError(f"the plan of {plan.bits} bits was not met: status {status}, {size[0]} bytes")
    return out.tobytes()


def _c_plan(plan: TensorPlan, keep: list[Any]) -> Any:
    """The plan as C reads it; `keep` holds what it points to."""
    c_plan = ffi.new("bpz_plan *")
    c_plan.row_mask, c_plan.column_mask = plan.row_mask, plan.column_mask
    c_plan.live_rows = ffi.cast("uint8_t *", plan.live_rows.ctypes.data)
    c_plan.live_columns = ffi.cast("uint8_t *", plan.live_columns.ctypes.data)
    c_plan.csr, c_plan.index_bits = int(plan.csr), plan.index_bits
    for c_stream, stream in (
        (c_plan.counts, plan.counts),
        (c_plan.indices, plan.indices),
        (c_plan.values, plan.values),
    ):
        _fill_stream(c_stream, stream)
        keep.append(stream.lengths)
    keep += [plan.live_rows, plan.live_columns]
    return c_plan


def _fill_stream(c_stream: Any, stream: StreamPlan) -> None:
    c_stream.mode, c_stream.parameter = int(stream.mode), stream.parameter
    c_stream.alphabet = len(stream.lengths)
    c_stream.lengths = ffi.cast("uint8_t *", stream.lengths.ctypes.data)
