"""Value maps: the rules that turn the levels of a tensor into values (FORMAT.md, sections 5.1 and 5.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Levels: TypeAlias = NDArray[np.int8] | NDArray[np.int16] | NDArray[np.int32]


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

    def values(self, levels: Levels) -> NDArray[np.float32]:
        """The values of the levels, the same bits that every decoder returns."""
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(levels.astype(np.float32) * np.float32(self.step), dtype=np.float32)

    def problem(self, low: int, high: int) -> str | None:
        """What is wrong with levels from `low` to `high`; None if nothing is."""
        with np.errstate(over="ignore"):
            ends = np.array([low, high]).astype(np.float32) * np.float32(self.step)
        if np.isfinite(ends).all():
            return None
        return f"which overflow float32 on a grid of step {self.step:.3g}; choose a smaller step"


@dataclass(frozen=True, eq=False)
class Codebook:
    """Shared values: level i means values[i], and values[0] is 0.

    entries  float32, one axis, 1 to 65536 of them.
    """

    entries: NDArray[np.float32]

    def __post_init__(self) -> None:
        entries: object = self.entries  # a caller may ignore the annotation
        if not isinstance(entries, np.ndarray) or entries.dtype != np.float32 or entries.ndim != 1:
            raise InputError(f"A codebook must be a float32 array with one axis, not {describe(entries)}; convert it.")
        if not 1 <= entries.size <= 65536:
            raise InputError(f"A codebook holds 1 to 65536 values, not {entries.size}; use a grid instead.")
        if not np.isfinite(entries).all():
            raise InputError("A codebook holds a value that is not finite; look for the division that made it.")
        if entries[0] != 0.0 or np.signbit(entries[0]):
            raise InputError(f"A codebook's first value must be 0, for pruned weights, not {entries[0]}; put it first.")

    def values(self, levels: Levels) -> NDArray[np.float32]:
        """The values of the levels, the same bits that every decoder returns."""
        return self.entries[levels]

    def problem(self, low: int, high: int) -> str | None:
        """What is wrong with levels from `low` to `high`; None if nothing is."""
        if low >= 0 and high < self.entries.size:
            return None
        return f"and its codebook has {self.entries.size} values; quantise it again"


@dataclass(frozen=True)
class Minifloat:
    """Small floating-point numbers: a level is a sign and, as its magnitude, the bits of exponent and mantissa.

    With M the low `mantissa_bits` = m of |level| and E the `exponent_bits` above them, the value is M 2^unit where E is
    0, else (2^m + M) 2^(unit + E - 1): level 1 is 2^unit, and levels are in the order of their values.

    exponent_bits  1 to 8
    mantissa_bits  0 to 15, the leading one not counted
    unit           -149 to 106, and no value may reach 2^128

    Raises InputError for numbers outside these ranges.
    """

    exponent_bits: int
    mantissa_bits: int
    unit: int

    def __post_init__(self) -> None:
        if not (1 <= self.exponent_bits <= 8 and 0 <= self.mantissa_bits <= 15 and -149 <= self.unit <= 106):
            raise InputError(
                f"A minifloat of {self.exponent_bits} exponent and {self.mantissa_bits} mantissa bits with the unit "
                f"2^{self.unit} is not to be had; the ranges are 1 to 8, 0 to 15 and -149 to 106."
            )
        if self.unit + self.mantissa_bits + (1 << self.exponent_bits) - 1 > 128:
            raise InputError(f"A minifloat's largest value leaves float32 with the unit 2^{self.unit}; choose less.")

    @property
    def largest_level(self) -> int:
        """The largest magnitude of a level."""
        return (1 << (self.exponent_bits + self.mantissa_bits)) - 1

    def values(self, levels: Levels) -> NDArray[np.float32]:
        """The values of the levels, which are exact."""
        magnitude = np.abs(levels.astype(np.int64))
        exponent, mantissa = magnitude >> self.mantissa_bits, magnitude & ((1 << self.mantissa_bits) - 1)
        number = np.where(exponent > 0, mantissa | 1 << self.mantissa_bits, mantissa).astype(np.float64)
        sized = np.ldexp(number, self.unit + np.maximum(exponent - 1, 0))
        return np.asarray(np.where(levels < 0, -sized, sized), dtype=np.float32)

    def nearest(self, values: NDArray[np.floating]) -> NDArray[np.int32]:
        """The level nearest to each value, ties to the even level; values beyond the largest get the largest level."""
        size = np.ldexp(np.abs(values.astype(np.float64)), -self.unit)  # in units
        shift = np.maximum(np.frexp(size)[1] - 1 - self.mantissa_bits, 0)
        magnitude = np.rint(np.ldexp(size, -shift)) + np.ldexp(shift.astype(np.float64), self.mantissa_bits)
        magnitude = np.minimum(magnitude, self.largest_level)
        return np.asarray(np.where(values < 0, -magnitude, magnitude), dtype=np.int32)

    def problem(self, low: int, high: int) -> str | None:
        """What is wrong with levels from `low` to `high`; None if nothing is."""
        if max(-low, high) <= self.largest_level:
            return None
        return f"and its minifloat reaches to {self.largest_level}; quantise it again"


ValueMap: TypeAlias = Grid | Codebook | Minifloat


def describe(value: object) -> str:
    """The type of a value for error messages, with dtype and shape if it is an array."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return f"a {type(value).__name__}"
