"""Rounding one tensor of unknown role to a stated relative error.

A state dict has no graph: a tensor's role has to be read from its shape. A vector (biases, scales and shifts of norms,
running means and variances, steps of quantisers) is a few per cent of a network and can change outputs by far more than
its own error, a variance of 1e-3 beside one of 40 for example: it is kept as float32. So are a few elements, and whole
numbers. What is left are matrices and kernels. Which of their axes is the output depends on the layer, so the error is
bounded on every slice w of the first and of the second axis,

    (1)  sqrt(sum (w^ - w)^2) <= tolerance * sqrt(sum w^2),

which keeps the rows of small outputs and the columns of large inputs alike. One uniform grid does so where slices are
of like size; where they are not, or where one weight is far outside, small floats do, whose error is relative to each
weight. Of both the one with fewer bits is taken.
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

_SMALL = 16  # elements; a grid of so few would save nothing
_LONG_VECTOR = 1 << 16  # elements, above which a vector is too much to keep as it is
_LARGEST_LEVEL = 1 << 20
_PIECE = 1 << 20  # elements that are taken to float64 at a time
_UNEVEN = 3.0  # how many times the smallest slice the whole tensor is, from which small floats are tried
_OUTLIER = 1e4  # how many times the root mean square of all others one weight is, from which a note says so
_TINY = 1e-37  # below it float32 loses digits

_Array = NDArray[np.generic]
_Place = tuple[slice, slice]


@dataclass(frozen=True)
class Rounded:
    """A tensor for the codec; the largest relative error of its slices, equation (1); what the user should know."""

    tensor: codec.Tensor
    error: float
    notes: tuple[str, ...] = ()


def round_tensor(name: str, array: _Array, tolerance: float) -> Rounded:
    """Round a tensor so that no slice of it is off by more than `tolerance`.

    Raises InputError, which names the tensor, for what is no number, is not finite, or does not fit float32.
    """
    shown = printable(name)
    if array.dtype.kind not in "fiub":
        raise InputError(f"Tensor {shown} is of {array.dtype}, and numbers are needed; leave it out.")
    if array.dtype.kind != "f":
        return Rounded(_whole(name, shown, array), 0.0)
    with np.errstate(over="ignore"):
        exact = np.ascontiguousarray(array, dtype=np.float32).reshape(array.shape)
    if not np.isfinite(exact).all():
        if is_mask(array):
            raise InputError(
                f"Tensor {shown} is a mask of infinite values, and a .bpz file holds finite numbers; leave it out of "
                "the file, and let the network make it."
            )
        bad = int(np.count_nonzero(~np.isfinite(exact)))
        raise InputError(f"Tensor {shown} holds {bad} values that are NaN or too large for float32; mend it first.")
    notes = _cast_notes(shown, array, exact) if array.dtype.itemsize > 4 else []
    vector = np.count_nonzero(np.array(exact.shape) > 1) <= 1
    if not exact.any() or exact.size < _SMALL or (vector and exact.size < _LONG_VECTOR):
        return Rounded(_as_it_is(name, exact), 0.0, tuple(notes))
    notes += _outlier_notes(shown, exact)
    view = array.reshape(array.shape[0], array.shape[1], -1) if not vector else array.reshape(-1, 1, 1)
    grid = None if vector else _on_grid(view, tolerance)  # each weight of a long vector is a slice of its own
    if grid is not None and grid.evenness <= _UNEVEN:
        found: _Candidate | None = grid
    else:
        found = min(
            (each for each in (grid, _as_floats(view, tolerance)) if each), key=lambda each: each.bits, default=None
        )
    if found is None:
        return Rounded(_as_it_is(name, exact), 0.0, tuple(notes))
    levels = found.levels.reshape(exact.shape)
    return Rounded(codec.QuantizedTensor(name, levels, found.value_map), found.error, tuple(notes))


def is_mask(array: _Array) -> bool:
    """Whether an array holds infinities and, beside them, at most zeros: a constant, and no weights."""
    if array.dtype.kind != "f" or array.size < 2:
        return False
    infinite = np.isinf(array)
    return bool(infinite.any() and (infinite | (array == 0)).all())


@dataclass(frozen=True)
class _Candidate:
    """Levels (as the view's shape), what they mean, the largest error of a slice, and about how many bits they take."""

    levels: Levels
    value_map: codec.Grid | codec.Minifloat
    error: float
    evenness: float = 1.0

    @property
    def bits(self) -> float:
        """Elements times the entropy of the levels."""
        flat = self.levels.reshape(-1)
        lowest = int(flat.min())
        counts = np.zeros(int(flat.max()) - lowest + 1, dtype=np.int64)
        for start in range(0, flat.size, _PIECE):
            counts += np.bincount(flat[start : start + _PIECE].astype(np.int64) - lowest, minlength=len(counts))
        share = counts[counts > 0] / flat.size
        return float(-(share * np.log2(share)).sum() * self.levels.size)


def _on_grid(view: _Array, tolerance: float) -> _Candidate | None:
    """The coarsest uniform grid within the tolerance, or None where it would need too many levels."""
    sizes = _sizes(view)
    smallest = min(float(each[each > 0].min()) for each in sizes)
    whole = math.sqrt(float(np.mean(np.square(sizes[0]))))
    largest = max(float(view.max()), -float(view.min()))
    step = _short(tolerance * smallest * math.sqrt(12.0))
    while step > 0.0 and largest / step <= _LARGEST_LEVEL:
        kind = np.min_scalar_type(-math.ceil(largest / step + 1))
        factor = np.float32(step)
        levels, error = _levels(
            view, kind, lambda piece, step=step: np.rint(piece / step), lambda found, factor=factor: found * factor
        )
        if error <= tolerance:
            return _Candidate(levels, codec.Grid(step), error, whole / smallest)
        # Few levels, or an unlucky place of the grid: a little finer.
        step = _short(step * max(0.5, 0.99 * tolerance / error))
    return None


def _as_floats(view: _Array, tolerance: float) -> _Candidate | None:
    """The shortest small floats within the tolerance, or None where 15 bits of mantissa are not enough."""
    smallest = min(float(each[each > 0].min()) for each in _sizes(view))
    largest = max(float(view.max()), -float(view.min()))
    top = math.frexp(largest)[1] + 1
    # What is smaller than this share of the smallest slice may lose its relative precision.
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
    view: _Array, kind: np.dtype[np.generic], nearest: Callable[..., _Array], values: Callable[..., _Array]
) -> tuple[Levels, float]:
    """The level of each element in a type that holds it, and the largest relative error of a slice."""
    levels = np.empty(view.shape, dtype=kind)
    wrong = [np.zeros(extent) for extent in view.shape[:2]]
    for place, piece in _pieces(view):
        levels[place] = nearest(piece)
        _add_squares(wrong, place, values(levels[place]).astype(np.float64) - piece)
    worst = 0.0
    for error, size in zip(wrong, _sizes(view), strict=True):
        error = np.sqrt(error)
        if (error[size == 0] > 0).any():
            return levels, math.inf
        if (size > 0).any():
            worst = max(worst, float((error[size > 0] / (size[size > 0] * math.sqrt(view.size / len(size)))).max()))
    return levels, worst


def _sizes(view: _Array) -> list[NDArray[np.float64]]:
    """Root mean square of each slice of the first and of the second axis; of the first alone where that has one."""
    squares = [np.zeros(extent) for extent in view.shape[:2]]
    for place, piece in _pieces(view):
        _add_squares(squares, place, piece)
    return [np.sqrt(each * len(each) / view.size) for each in squares]


def _pieces(view: _Array) -> Iterator[tuple[_Place, NDArray[np.float64]]]:
    """Blocks of rows and columns in float64, small enough for memory to stay so."""
    columns = max(1, min(view.shape[1], _PIECE // max(1, view.shape[2])))
    rows = max(1, _PIECE // max(1, columns * view.shape[2]))
    for top in range(0, view.shape[0], rows):
        for left in range(0, view.shape[1], columns):
            place = (slice(top, top + rows), slice(left, left + columns))
            yield place, view[place].astype(np.float64)


def _add_squares(into: list[NDArray[np.float64]], place: _Place, values: NDArray[np.float64]) -> None:
    squares = np.square(values).sum(2)
    into[0][place[0]] += squares.sum(1)
    into[1][place[1]] += squares.sum(0)


def _whole(name: str, shown: str, array: _Array) -> codec.Tensor:
    """Integers and truth values, exactly."""
    exact = array.astype(np.float32)
    if not np.array_equal(exact.astype(np.float64), array.astype(np.float64)) or (
        array.dtype.itemsize == 8 and not np.array_equal(exact.astype(np.longdouble), array.astype(np.longdouble))
    ):
        raise InputError(f"Tensor {shown} of {array.dtype} holds numbers that float32 cannot hold; leave it out.")
    if exact.size and float(np.abs(exact).max()) <= _LARGEST_LEVEL:
        return codec.QuantizedTensor(name, array.astype(np.int32), codec.Grid(1.0))
    return codec.RawTensor(name, exact)


def _as_it_is(name: str, exact: NDArray[np.float32]) -> codec.Tensor:
    """Raw, but zeros need no bytes."""
    if exact.size and not exact.any():
        return codec.QuantizedTensor(name, np.zeros(exact.shape, dtype=np.int32), codec.Grid(1.0))
    return codec.RawTensor(name, exact)


def _cast_notes(shown: str, array: _Array, exact: NDArray[np.float32]) -> list[str]:
    """What float32 loses of a float64 tensor. Raises InputError where that is a whole row or column."""
    if not array.size:
        return []
    size = np.abs(array)
    axes = [axis for axis, extent in enumerate(array.shape[:2]) if extent > 1] if array.ndim > 1 else []
    for largest in [size.max()] + [size.max(tuple(k for k in range(array.ndim) if k != axis)) for axis in axes]:
        small = (largest > 0) & (largest < _TINY)
        if small.any():
            raise InputError(
                f"Tensor {shown} of {array.dtype} has a part whose weights are at most "
                f"{float(np.asarray(largest)[small].max()):.3g}, which float32 cannot hold; scale them."
            )
    lost = int(np.count_nonzero((exact == 0) & (array != 0)))
    return [f"Of tensor {shown} {lost} values of {array.dtype} too small for float32 became 0."] if lost else []


def _outlier_notes(shown: str, exact: NDArray[np.float32]) -> list[str]:
    flat = exact.reshape(-1)
    place = max(int(flat.argmax()), int(flat.argmin()), key=lambda k: abs(float(flat[k])))
    largest = abs(float(flat[place]))
    total = 0.0
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE].astype(np.float64)
        if start <= place < start + _PIECE:
            piece[place - start] = 0.0
        total += float(np.square(piece).sum())
    others = math.sqrt(total / (flat.size - 1))
    if others == 0.0 or largest <= _OUTLIER * others:
        return []
    return [
        f"Tensor {shown} has an outlier: {float(flat[place]):.3g}, where the root mean square of its other values is "
        f"{others:.3g}; both are kept, but check that it belongs there."
    ]


def _short(step: float) -> float:
    """The step rounded down to 8 significant bits, which the file stores in two bytes; 0 below float32's range."""
    if step < 1.5e-38:
        return 0.0
    mantissa, exponent = math.frexp(step)
    return math.ldexp(math.floor(mantissa * 256), exponent - 8)
