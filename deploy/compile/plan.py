"""The plan of a compiled network: where every tensor lies, and which kernel is called on what, in order.

Memory has two regions. `weights` holds what loading leaves behind (decoded weights, constants of the graph, what
follows from them alone) and is only read afterwards, so that several threads may share it; `arena` holds the input and
all that a run computes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

ALIGNMENT = 64


@dataclass(frozen=True)
class View:
    """A tensor: byte offset into its region, shape and NumPy's name of its type."""

    offset: int
    shape: tuple[int, ...]
    dtype: str = "float32"
    arena: bool = True


@dataclass(frozen=True)
class Call:
    """One kernel call: the kernel's name, its arguments, outputs last, and which weights are among them.

    layers  what the weights it reads belong to, for reports
    """

    kernel: str
    views: tuple[View, ...]
    layers: tuple[str, ...] = ()

    @property
    def once(self) -> bool:
        """Whether it computes something of the weights alone, and so runs when they are loaded."""
        return not any(view.arena for view in self.views)


@dataclass(frozen=True)
class SparseParameter:
    """A weight that is loaded as compressed sparse rows.

    values, input_offsets, rows, value_table  the arrays, see kernels/sparse.py; the first two have room for this
    network's entries
    shape                 of the weight
    inner, channel_stride, table  column c lies at c // inner * channel_stride + table[c % inner] of the input
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
    """Everything that the generated schedule says; offsets are multiples of `alignment` bytes."""

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
        """Offset of `size` fresh bytes in one of the regions."""
        rounded = -(-size // self.alignment) * self.alignment
        if arena:
            self.arena += rounded
            return self.arena - rounded
        self.weights += rounded
        return self.weights - rounded
