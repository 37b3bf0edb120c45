"""Round one tensor, whose role in the network is unknown, to a given relative error.

A state dict has no graph, so a tensor's role must be inferred from its shape. Vectors (biases, scales and shifts of
norms, running means and variances, steps of quantisers) are a few per cent of a network, but a small error in them can
change outputs a lot: a vector may hold a variance of 1e-3 and one of 40. They are stored as float32, like tensors of a
few elements; integers are stored exactly. The remaining tensors are matrices and kernels. Which of their axes is the
output depends on the layer, so the error is bounded on every slice w of the first and of the second axis,

    (1)  sqrt(sum (w^ - w)^2) <= tolerance * sqrt(sum w^2).

This bounds the error of outputs with small weights and of inputs with large values. A uniform grid satisfies it well
when the slices have similar sizes. When they differ, or when a weight is an outlier, small floats satisfy it better,
since their error is relative to each weight. Of the two, the coding with fewer bits is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import codec
from ..codec.maps import Levels
from ..errors import InputError
from ..text import printable

_SMALL = 16  # elements; rounding a smaller tensor would save nothing
_LONG_VECTOR = 1 << 16  # elements; a vector of this size or larger is rounded
_LARGEST_LEVEL = 1 << 20
_BLOCK = 1 << 20  # elements that are converted to float64 at a time
_UNEVEN = 3.0  # root mean square of the tensor over that of its smallest slice, above which small floats are tried
_OUTLIER = 1e4  # size of a weight over the root mean square of all others, above which a note is written
_SMALLEST_FLOAT32 = 1e-37  # below this value float32 loses digits

_Array = NDArray[np.generic]
_Block = tuple[slice, slice]


@dataclass(frozen=True)
class Rounded:
    """A rounded tensor for the codec.

    error  the largest relative error of a slice, equation (1)
    notes  notes for the user, one sentence each
    """

    tensor: codec.Tensor
    error: float
    notes: tuple[str, ...] = ()


def round_tensor(name: str, array: _Array, tolerance: float) -> Rounded:
    """Round a tensor so that the relative error of each slice is at most `tolerance`.

    Raises InputError, which names the tensor, for elements that are not real numbers, not finite, or beyond float32.
    """
    shown = printable(name)
    if array.dtype.kind not in "fiub":
        raise InputError(f"Tensor {shown} has type {array.dtype}, but real numbers are needed; leave it out.")
    if array.dtype.kind != "f":
        return Rounded(_integers(name, shown, array), 0.0)
    with np.errstate(over="ignore"):
        exact = np.ascontiguousarray(array, dtype=np.float32).reshape(array.shape)
    if not np.isfinite(exact).all():
        if is_mask(array):
            raise InputError(
                f"Tensor {shown} is a mask of infinite values, but a .bpz file holds only finite numbers; leave it out "
                "of the file and let the network create it."
            )
        bad = int(np.count_nonzero(~np.isfinite(exact)))
        raise InputError(
            f"Tensor {shown} holds {bad} values that are NaN or too large for float32; replace them by finite values."
        )
    notes = _cast_notes(shown, array, exact) if array.dtype.itemsize > 4 else []
    vector = np.count_nonzero(np.array(exact.shape) > 1) <= 1
    if not exact.any() or exact.size < _SMALL or (vector and exact.size < _LONG_VECTOR):
        return Rounded(_exact(name, exact), 0.0, tuple(notes))
    notes += _outlier_notes(shown, exact)
    view = array.reshape(array.shape[0], array.shape[1], -1) if not vector else array.reshape(-1, 1, 1)
    grid = None if vector else _on_grid(view, tolerance)  # in a long vector each weight is a slice
    if grid is not None and grid.unevenness <= _UNEVEN:
        best: _Candidate | None = grid
    else:
        candidates = [candidate for candidate in (grid, _as_floats(view, tolerance)) if candidate]
        best = min(candidates, key=lambda candidate: candidate.bits, default=None)
    if best is None:
        return Rounded(_exact(name, exact), 0.0, tuple(notes))
    levels = best.levels.reshape(exact.shape)
    return Rounded(codec.QuantizedTensor(name, levels, best.value_map), best.error, tuple(notes))


def is_mask(array: _Array) -> bool:
    """Whether an array holds only infinities and zeros, so that it is a constant mask and not weights."""
    if array.dtype.kind != "f" or array.size < 2:
        return False
    infinite = np.isinf(array)
    return bool(infinite.any() and (infinite | (array == 0)).all())


@dataclass(frozen=True)
class _Candidate:
    """One way to code the tensor within the tolerance.

    levels      in the shape of the tensor's view
    error       the largest relative error of a slice
    unevenness  root mean square of the tensor over that of its smallest slice
    """

    levels: Levels
    value_map: codec.Grid | codec.Minifloat
    error: float
    unevenness: float = 1.0

    @property
    def bits(self) -> float:
        """Approximate size in bits: the number of elements times the entropy of the levels."""
        flat = self.levels.reshape(-1)
        lowest = int(flat.min())
        counts = np.zeros(int(flat.max()) - lowest + 1, dtype=np.int64)
        for start in range(0, flat.size, _BLOCK):
            counts += np.bincount(flat[start : start + _BLOCK].astype(np.int64) - lowest, minlength=len(counts))
        share = counts[counts > 0] / flat.size
        return float(-(share * np.log2(share)).sum() * self.levels.size)


def _on_grid(view: _Array, tolerance: float) -> _Candidate | None:
    """The coarsest uniform grid within the tolerance, or None if it would need too many levels."""
    sizes = _sizes(view)
    smallest = min(float(size[size > 0].min()) for size in sizes)
    whole = math.sqrt(float(np.mean(np.square(sizes[0]))))
    largest = max(float(view.max()), -float(view.min()))
    step = _storable_below(tolerance * smallest * math.sqrt(12.0))
    while step > 0.0 and largest / step <= _LARGEST_LEVEL:
        dtype = np.min_scalar_type(-math.ceil(largest / step + 1))
        factor = np.float32(step)
        levels, error = _levels(
            view, dtype, lambda block, step=step: np.rint(block / step), lambda levels, factor=factor: levels * factor
        )
        if error <= tolerance:
            return _Candidate(levels, codec.Grid(step), error, whole / smallest)
        # The rounding errors of few levels are not uniform and may exceed the estimate; try a finer step.
        step = _storable_below(step * max(0.5, 0.99 * tolerance / error))
    return None


def _as_floats(view: _Array, tolerance: float) -> _Candidate | None:
    """The shortest small-float format within the tolerance, or None if it needs more than 15 bits of mantissa."""
    smallest = min(float(size[size > 0].min()) for size in _sizes(view))
    largest = max(float(view.max()), -float(view.min()))
    top = math.frexp(largest)[1] + 1
    # Weights below this fraction of the smallest slice need no relative precision.
    bottom = max(math.frexp(smallest * tolerance / 2.0)[1], -148)
    exponent_bits = max(1, math.ceil(math.log2(max(2, top - bottom + 1))))
    if exponent_bits > 8:
        return None
    for mantissa_bits in range(max(0, math.floor(-math.log2(tolerance)) - 2), 16):
        unit = max(-149, min(bottom - mantissa_bits, 129 - mantissa_bits - (1 << exponent_bits), 106))
        if unit + mantissa_bits + (1 << exponent_bits) - 1 > 128:
            return None
        form = codec.Minifloat(exponent_bits, mantissa_bits, unit)
        levels, error = _levels(view, np.dtype(np.int32), form.nearest, form.values)
        if error <= tolerance:
            return _Candidate(levels, form, error)
    return None


def _levels(
    view: _Array, dtype: np.dtype[np.generic], nearest: Callable[..., _Array], values: Callable[..., _Array]
) -> tuple[Levels, float]:
    """The level of each element, and the largest relative error of a slice.

    dtype    of the levels
    nearest  returns the nearest levels of an array
    values   returns the values of an array of levels
    """
    levels = np.empty(view.shape, dtype=dtype)
    squared_errors = [np.zeros(extent) for extent in view.shape[:2]]
    for position, block in _blocks(view):
        levels[position] = nearest(block)
        _add_squares(squared_errors, position, values(levels[position]).astype(np.float64) - block)
    worst = 0.0
    for error, size in zip(squared_errors, _sizes(view), strict=True):
        error = np.sqrt(error)
        if (error[size == 0] > 0).any():
            return levels, math.inf
        if (size > 0).any():
            worst = max(worst, float((error[size > 0] / (size[size > 0] * math.sqrt(view.size / len(size)))).max()))
    return levels, worst


def _sizes(view: _Array) -> list[NDArray[np.float64]]:
    """Root mean square of each slice, (extent,) for the first axis and for the second."""
    squares = [np.zeros(extent) for extent in view.shape[:2]]
    for position, block in _blocks(view):
        _add_squares(squares, position, block)
    return [np.sqrt(square * len(square) / view.size) for square in squares]


def _blocks(view: _Array) -> Iterator[tuple[_Block, NDArray[np.float64]]]:
    """Blocks of rows and columns in float64, of at most about `_BLOCK` elements to limit memory."""
    columns = max(1, min(view.shape[1], _BLOCK // max(1, view.shape[2])))
    rows = max(1, _BLOCK // max(1, columns * view.shape[2]))
    for top in range(0, view.shape[0], rows):
        for left in range(0, view.shape[1], columns):
            position = (slice(top, top + rows), slice(left, left + columns))
            yield position, view[position].astype(np.float64)


def _add_squares(sums: list[NDArray[np.float64]], position: _Block, values: NDArray[np.float64]) -> None:
    """Add the squares of a block's values to the sums of its rows, sums[0], and of its columns, sums[1]."""
    squares = np.square(values).sum(2)
    sums[0][position[0]] += squares.sum(1)
    sums[1][position[1]] += squares.sum(0)


def _integers(name: str, shown: str, array: _Array) -> codec.Tensor:
    """Store integers and booleans exactly."""
    exact = array.astype(np.float32)
    if not np.array_equal(exact.astype(np.float64), array.astype(np.float64)) or (
        array.dtype.itemsize == 8 and not np.array_equal(exact.astype(np.longdouble), array.astype(np.longdouble))
    ):
        raise InputError(f"Tensor {shown} of {array.dtype} holds numbers that float32 cannot hold; leave it out.")
    if exact.size and float(np.abs(exact).max()) <= _LARGEST_LEVEL:
        return codec.QuantizedTensor(name, array.astype(np.int32), codec.Grid(1.0))
    return codec.RawTensor(name, exact)


def _exact(name: str, exact: NDArray[np.float32]) -> codec.Tensor:
    """Store values as raw float32; all zeros become levels, which take almost no bytes."""
    if exact.size and not exact.any():
        return codec.QuantizedTensor(name, np.zeros(exact.shape, dtype=np.int32), codec.Grid(1.0))
    return codec.RawTensor(name, exact)


def _cast_notes(shown: str, array: _Array, exact: NDArray[np.float32]) -> list[str]:
    """A note if values of a float64 tensor become 0 in float32. Raises InputError for a whole row or column of them."""
    if not array.size:
        return []
    size = np.abs(array)
    axes = [axis for axis, extent in enumerate(array.shape[:2]) if extent > 1] if array.ndim > 1 else []
    for largest in [size.max()] + [size.max(tuple(k for k in range(array.ndim) if k != axis)) for axis in axes]:
        small = (largest > 0) & (largest < _SMALLEST_FLOAT32)
        if small.any():
            raise InputError(
                f"Tensor {shown} of {array.dtype} has a row or column whose weights are at most "
                f"{float(np.asarray(largest)[small].max()):.3g}, which float32 cannot hold; scale them."
            )
    lost = int(np.count_nonzero((exact == 0) & (array != 0)))
    return [f"Tensor {shown}: {lost} {array.dtype} values too small for float32 became 0."] if lost else []


def _outlier_notes(shown: str, exact: NDArray[np.float32]) -> list[str]:
    flat = exact.reshape(-1)
    index = max(int(flat.argmax()), int(flat.argmin()), key=lambda k: abs(float(flat[k])))
    largest = abs(float(flat[index]))
    total = 0.0
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK].astype(np.float64)
        if start <= index < start + _BLOCK:
            block[index - start] = 0.0
        total += float(np.square(block).sum())
    others = math.sqrt(total / (flat.size - 1))
    if others == 0.0 or largest <= _OUTLIER * others:
        return []
    return [
        f"Tensor {shown} has an outlier: {float(flat[index]):.3g}, while the root mean square of its other values is "
        f"{others:.3g}; both are kept, but check that the value is intended."
    ]


def _storable_below(step: float) -> float:
    """The step rounded down to 8 significant bits, which the file stores in two bytes; 0 below float32's range."""
    if step < 1.5e-38:
        return 0.0
    mantissa, exponent = math.frexp(step)
    return math.ldexp(math.floor(mantissa * 256), exponent - 8)
