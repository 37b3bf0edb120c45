"""The plan of a compiled network: the memory offset of each tensor, and the ordered list of kernel calls.

Memory has two regions. Loading fills `weights`: decoded weights, constants of the graph, and tensors computed from
these alone. A run only reads it, so several threads can share it. `arena` holds the input and all tensors that a run
computes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

ALIGNMENT = 64


@dataclass(frozen=True)
class View:
    """A tensor in memory.

    offset  bytes from the start of its region
    dtype   NumPy's name of the element type
    arena   True if the tensor is in the arena, False if it is in the region of the weights
    """

    offset: int
    shape: tuple[int, ...]
    dtype: str = "float32"
    arena: bool = True


@dataclass(frozen=True)
class Call:
    """One kernel call.

    kernel  the kernel's name
    views   its arguments; the output is last
    layers  names of the layers whose weights it reads, for reports
    """

    kernel: str
    views: tuple[View, ...]
    layers: tuple[str, ...] = ()

    @property
    def once(self) -> bool:
        """True if the call depends on weights and constants alone; it then runs once, when weights are loaded."""
        return not any(view.arena for view in self.views)


@dataclass(frozen=True)
class SparseParameter:
    """A weight that is loaded as compressed sparse rows.

    values, input_offsets, rows, value_table  the arrays of kernels/sparse.py; the first two hold exactly as many
                                              entries as this network stores
    shape                                     shape of the weight
    inner, channel_stride, table              column c of the weight multiplies the input at offset
                                              c // inner * channel_stride + table[c % inner], in floats
    """

    values: View
    input_offsets: View
    rows: View
    value_table: View
    shape: tuple[int, ...]
    inner: int
    channel_stride: int
    table: tuple[int, ...]


@dataclass
class Plan:
    """The content of the generated schedule. All offsets are multiples of `alignment` bytes.

    parameters  the network's parameters by their names in the `.bpz`
    constants   constants of the graph, each with its byte offset in the region of the weights
    weights     size of the region of the weights, in bytes
    arena       size of the arena, in bytes
    scratch     most bytes that one kernel allocates while it runs
    """

    parameters: dict[str, View | SparseParameter] = field(default_factory=dict)
    constants: list[tuple[npt.NDArray[Any], int]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    input: View = View(0, ())
    output: View = View(0, ())
    weights: int = 0
    arena: int = 0
    scratch: int = 0
    alignment: int = ALIGNMENT

    def reserve(self, size: int, *, arena: bool) -> int:
        """Reserve `size` bytes at the end of a region; return their offset."""
        rounded = -(-size // self.alignment) * self.alignment
        if arena:
            self.arena += rounded
            return self.arena - rounded
        self.weights += rounded
        return self.weights - rounded
