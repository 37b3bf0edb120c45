"""What goes into a `.bpz` file and comes out of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


@dataclass(frozen=True, eq=False)
class Grid:
    """A uniform grid: value = float32(level) * float32(step), rounded once.

    step  any finite positive number; kept as the nearest float32, because that is what the file stores.
    """

    step: float

    def __post_init__(self) -> None:
        with np.errstate(over="ignore", under="ignore"):
            step = float(np.float32(self.step))
        if not (math.isfinite(step) and step > 0.0):
            raise InputError(f"A grid's step must be a positive finite float32, not {self.step!r}; choose another.")
        object.__setattr__(self, "step", step)


@dataclass(frozen=True, eq=False)
class Codebook:
    """Shared values: level i means values[i], and values[0] is 0.

    values  float32, one axis, 1 to 65536 of them.
    """

    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        values: object = self.values  # a caller may disregard the annotation
        if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.ndim != 1:
            raise InputError(f"A codebook must be a float32 array with one axis, not {describe(values)}; convert it.")
        if not 1 <= values.size <= 65536:
            raise InputError(f"A codebook holds 1 to 65536 values, not {values.size}; use a grid instead.")
        if not np.isfinite(values).all():
            raise InputError("A codebook holds a value that is not finite; look for the division that made it.")
        if values[0] != 0.0 or np.signbit(values[0]):
            raise InputError(f"A codebook's first value must be 0, for pruned weights, not {values[0]}; put it first.")


ValueMap: TypeAlias = Grid | Codebook


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """Integer levels and what they mean.

    levels  int32 in the tensor's shape; 0 is a pruned weight
    """

    name: str
    levels: NDArray[np.int32]
    value_map: ValueMap

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.levels.shape

    def values(self) -> NDArray[np.float32]:
        """What every decoder makes of the levels: float32 in the tensor's shape."""
        if isinstance(self.value_map, Codebook):
            return self.value_map.values[self.levels]
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(self.levels.astype(np.float32) * np.float32(self.value_map.step), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class RawTensor:
    """Values that are stored as they are: float32 in the tensor's shape."""

    name: str
    array: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.array.shape

    def values(self) -> NDArray[np.float32]:
        """The array itself."""
        return self.array


Tensor: TypeAlias = QuantizedTensor | RawTensor


def describe(value: object) -> str:
    """A value's type as an error names it, with dtype and shape where it has them."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return f"a {type(value).__name__}"


def check_tensor(tensor: object) -> None:
    """Raise InputError unless `tensor` can be written."""
    if not isinstance(tensor, QuantizedTensor | RawTensor):
        raise InputError(f"Each tensor must be a QuantizedTensor or a RawTensor, not {describe(tensor)}.")
    name: object = tensor.name
    try:
        encoded = name.encode() if isinstance(name, str) else b""
    except UnicodeEncodeError:
        encoded = b""
    if not 1 <= len(encoded) <= 255 or min(encoded) < 0x20:
        raise InputError(
            f"A tensor's name must be 1 to 255 bytes of UTF-8 without control characters, not {name!r}; rename it."
        )
    quantized = isinstance(tensor, QuantizedTensor)
    array: object = tensor.levels if isinstance(tensor, QuantizedTensor) else tensor.array
    dtype = np.dtype(np.int32 if quantized else np.float32)
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise InputError(f"Tensor {name} must be an array of {dtype}, not {describe(array)}; convert it.")
    if array.ndim > 8 or array.size > 2**31 - 1:
        raise InputError(f"Tensor {name} has shape {array.shape}; at most 8 axes and 2^31 - 1 elements fit a file.")
    if isinstance(tensor, RawTensor):
        bad = np.count_nonzero(~np.isfinite(array))
        if bad:
            raise InputError(f"Tensor {name} holds {bad} values that are NaN or infinite; train again or clip them.")
    elif isinstance(tensor.value_map, Codebook):
        _check_indices(tensor.name, tensor.levels, tensor.value_map)
    elif isinstance(tensor.value_map, Grid):
        _check_range(tensor, tensor.value_map.step)
    else:
        raise InputError(f"Tensor {name} needs a Grid or a Codebook, not {describe(tensor.value_map)}.")


def _check_indices(name: str, levels: NDArray[np.int32], codebook: Codebook) -> None:
    if levels.size and (levels.min() < 0 or levels.max() >= codebook.values.size):
        raise InputError(
            f"Tensor {name} has levels from {levels.min()} to {levels.max()}, and its codebook has "
            f"{codebook.values.size} values; quantise it again."
        )


def _check_range(tensor: QuantizedTensor, step: float) -> None:
    if not tensor.levels.size:
        return
    ends = np.array([tensor.levels.min(), tensor.levels.max()]).astype(np.float32)
    with np.errstate(over="ignore"):
        ends *= np.float32(step)
    if not np.isfinite(ends).all():
        raise InputError(
            f"Tensor {tensor.name} has levels from {tensor.levels.min()} to {tensor.levels.max()}, "
            f"which overflow float32 on a grid of step {step:.3g}; choose a smaller step."
        )
