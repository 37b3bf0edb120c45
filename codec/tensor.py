"""What the codec takes and gives: named tensors of integers with a value map, or of plain float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Grid:
    """Uniform grid: value = float32(level) * float32(step), rounded once."""

    step: float


@dataclass(frozen=True, eq=False)
class Codebook:
    """Any values: value = values[level]; float32 (k,), values[0] is 0."""

    values: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """Integer levels, int32 of the tensor's shape; level 0 is the pruned weight."""

    name: str
    levels: npt.NDArray[np.int32]
    value_map: Grid | Codebook

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.levels.shape

    def values(self) -> npt.NDArray[np.float32]:
        """The weights, float32 of the tensor's shape."""
        if isinstance(self.value_map, Grid):
            return self.levels.astype(np.float32) * np.float32(self.value_map.step)
        return self.value_map.values[self.levels]


@dataclass(frozen=True, eq=False)
class RawTensor:
    """A tensor left alone, float32."""

    name: str
    array: npt.NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.array.shape

    def values(self) -> npt.NDArray[np.float32]:
        """The array itself."""
        return self.array


Tensor: TypeAlias = QuantizedTensor | RawTensor
