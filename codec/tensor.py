"""The tensors of a `.bpz` file, and the checks before they are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..text import printable
from .maps import Codebook, Grid, Levels, Minifloat, ValueMap, describe

# Positions are counted in 32 bits while a tensor is encoded; the format itself reaches further.
MAX_ELEMENTS = 2**32 - 1
# What the format has room for (FORMAT.md, section 4), counted apart from tensors without elements.
MAX_EXTENTS = 2**48 - 1


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """Integer levels and what they mean.

    levels  int32, int16 or int8 in the tensor's shape; 0 is a pruned weight
    """

    name: str
    levels: Levels
    value_map: ValueMap

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.levels.shape

    def values(self) -> NDArray[np.float32]:
        """What every decoder makes of the levels: float32 in the tensor's shape."""
        return self.value_map.values(self.levels)


@dataclass(frozen=True, eq=False)
class RawTensor:
    """Values that are stored as they are, in the narrowest of int8, bfloat16, float16 and float32 that holds them all.

    array  float32, float16 or int8 in the tensor's shape; what comes out of a file is float32
    """

    name: str
    array: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.array.shape

    def values(self) -> NDArray[np.float32]:
        """The array as float32."""
        return self.array.astype(np.float32, copy=False)


Tensor: TypeAlias = QuantizedTensor | RawTensor


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
    if isinstance(tensor, QuantizedTensor):
        _check_array(tensor.name, tensor.levels, ("int32", "int16", "int8"))
        if not isinstance(tensor.value_map, Grid | Codebook | Minifloat):
            raise InputError(
                f"Tensor {printable(name)} needs a Grid, a Codebook or a Minifloat, not {describe(tensor.value_map)}."
            )
        low, high = (int(tensor.levels.min()), int(tensor.levels.max())) if tensor.levels.size else (0, 0)
        if problem := tensor.value_map.problem(low, high):
            raise InputError(f"Tensor {printable(name)} has levels from {low} to {high}, {problem}.")
        return
    _check_array(tensor.name, tensor.array, ("float32", "float16", "int8"))
    bad = np.count_nonzero(~np.isfinite(tensor.array))
    if bad:
        raise InputError(
            f"Tensor {printable(name)} holds {bad} values that are NaN or infinite; train again or clip them."
        )


def _check_array(name: str, array: object, dtypes: tuple[str, ...]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype.name not in dtypes:
        kinds = " or ".join(dtypes)
        raise InputError(f"Tensor {printable(name)} must be an array of {kinds}, not {describe(array)}; convert it.")
    if array.ndim > 8 or array.size > MAX_ELEMENTS:
        raise InputError(
            f"Tensor {printable(name)} has shape {array.shape}; at most 8 axes and 2^32 - 1 elements are written; "
            "split it."
        )
    if math.prod(extent for extent in array.shape if extent) > MAX_EXTENTS:
        raise InputError(
            f"Tensor {printable(name)} has shape {array.shape} and no elements; the product of its other extents "
            "may be 2^48 - 1 at most; give it a shape of smaller extents."
        )
