"""Compressing a file of weights that was not trained here: no posterior, so the user says how exact they shall stay."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import codec
from ..errors import InputError
from ..text import printable
from .round_tensor import is_mask, round_tensor
from .weight_files import PYTORCH, Arrays, from_pytorch, from_safetensors

if TYPE_CHECKING:
    from .onnx_weights import OnnxWeight

SUFFIXES = (".safetensors", *PYTORCH, ".onnx")
_TRIES = 8  # tolerances of the weights that are tried until outputs are within the one asked for
_FINEST = 1e-7  # relative error of float32 itself
_NAMED = 3  # tensors that a note names before it only counts

Progress = Callable[[int, int], None]
_Write = Callable[[Iterable[codec.Tensor], int], int]  # tensors and their number to a file; its size in bytes


@dataclass(frozen=True)
class CompressedFile:
    """What became of a file of weights.

    size           of the `.bpz` in bytes
    errors         of each tensor, by name: the largest relative error of its slices, see round_tensor.py
    outputs_error  of an ONNX model that could be run: the relative error of its worst output, see onnx_outputs.py
    tolerance      of the weights: the one asked for, or a finer one that keeps the outputs within that
    notes          what the user should know, one sentence each
    """

    size: int
    errors: list[tuple[str, float]]
    outputs_error: float | None
    tolerance: float
    notes: tuple[str, ...]


def compress_file(
    path: Path,
    out: Path,
    tolerance: float,
    *,
    profile: str = "small",
    threads: int = 1,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> CompressedFile:
    """Write a `.bpz` file of the weights in `path` to `out`.

    tolerance  relative root mean square error of a tensor, and of every row and column of it, at most: 0.01 for 1 %.
               Of an ONNX model that ONNX Runtime can run it is also the relative error of the outputs, at most
    threads, progress, overwrite  see codec.write

    Vectors (biases, norms, statistics), tensors of a few elements and whole numbers stay as they are; the others are
    rounded, see round_tensor.py. Everything decodes to float32. Of a safetensors file memory holds `threads` tensors at
    a time, and one more.

    Raises InputError for a tolerance out of range, for weights that are not finite or do not fit float32 and for a file
    of another kind, and CorruptFileError for one that is not whole.
    """
    if not 0.0 < tolerance < 1.0:
        raise InputError(f"The tolerance is {tolerance}; it is a relative error above 0 and below 1, like 0.01.")
    check_ending(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}; name one that holds weights.")

    def write(tensors: Iterable[codec.Tensor], count: int) -> int:
        return codec.write(out, tensors, progress, profile=profile, threads=threads, count=count, overwrite=overwrite)

    if path.suffix == ".onnx":
        return _compress_onnx(path, tolerance, write)
    count, arrays = from_safetensors(path) if path.suffix == ".safetensors" else from_pytorch(path)
    return _compress_arrays(path, (count, arrays), tolerance, write)


def check_ending(path: Path) -> None:
    """Raises InputError unless `path` ends as one of the formats does that weights are read from."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path} ends in {path.suffix or 'nothing'!r}; weights are read from {', '.join(SUFFIXES)}.")


def _compress_arrays(path: Path, arrays: Arrays, tolerance: float, write: _Write) -> CompressedFile:
    """Tensors one by one, of whose network nothing is known."""
    count, tensors = arrays
    if count == 0:
        raise InputError(f"{path} holds no tensors; name a file that holds weights.")
    errors: list[tuple[str, float]] = []
    notes: list[str] = []

    def rounded() -> Iterator[codec.Tensor]:
        for name, array in tensors:
            found = round_tensor(name, array, tolerance)
            errors.append((name, found.error))
            notes.extend(found.notes)
            del array
            yield found.tensor
            del found

    size = write(rounded(), count)
    return CompressedFile(size, errors, None, tolerance, tuple(notes))


def _compress_onnx(path: Path, tolerance: float, write: _Write) -> CompressedFile:
    """The weights of a model, so fine that its outputs are within the tolerance, where these can be measured."""
    from .onnx_outputs import NotMeasuredError, OnnxOutputs
    from .onnx_weights import find_weights, read_model

    model = read_model(path)
    weights, notes = _compressible(find_weights(model))
    if not weights:
        raise InputError(f"{path} holds no tensors that can be compressed; name a model that holds weights.")
    outputs = None
    try:
        outputs = OnnxOutputs(model)
    except NotMeasuredError as reason:
        notes.append(f"Only the weights' error was measured, not the outputs': {reason}.")
    arrays = [(weight, weight.array()) for weight in weights]
    finer, outputs_error = tolerance, None
    for attempt in range(_TRIES):
        found = [(weight, round_tensor(weight.name, array, finer)) for weight, array in arrays]
        if outputs is None:
            break
        for weight, each in found:
            weight.replace(each.tensor.values())
        try:
            outputs_error = outputs.error(model)
        except NotMeasuredError:
            outputs_error = math.inf
        if outputs_error <= tolerance or finer <= _FINEST or attempt == _TRIES - 1:
            break
        finer = max(_FINEST, finer * min(0.5, max(0.01, 0.8 * tolerance / outputs_error)))
    if outputs_error is not None and outputs_error > tolerance:
        notes.append(
            f"Outputs are off by {outputs_error:.2g} with weights rounded to {finer:.2g}, more than the tolerance of "
            f"{tolerance:g}; the model amplifies what float32 itself rounds."
        )
    elif finer < tolerance:
        notes.append(
            f"Weights were rounded to {finer:.2g}, so that outputs stay within the tolerance of {tolerance:g}."
        )
    for _, each in found:
        notes.extend(each.notes)
    size = write([each.tensor for _, each in found], len(found))
    errors = [(weight.name, each.error) for weight, each in found]
    return CompressedFile(size, errors, outputs_error, finer, tuple(notes))


def _compressible(weights: list[OnnxWeight]) -> tuple[list[OnnxWeight], list[str]]:
    """The tensors that a file can hold; notes name those of text, masks, and indices beyond what float32 holds."""
    kept: list[OnnxWeight] = []
    masks: list[str] = []
    others: list[str] = []
    for weight in weights:
        array = weight.array()
        whole = array.dtype.kind in "iu"
        fits = array.dtype.kind in "fb" or (whole and bool((abs(array.astype(float)) <= 1 << 24).all()))
        if is_mask(array) or (array.size == 1 and array.dtype.kind == "f" and not np.isfinite(array).all()):
            masks.append(weight.name)
        elif fits:
            kept.append(weight)
        else:
            others.append(weight.name)
    notes = []
    if masks:
        notes.append(f"Left out as constants of the model, with infinite or NaN values: {_names(masks)}.")
    if others:
        notes.append(f"Left out, with text, complex numbers or indices that float32 cannot hold: {_names(others)}.")
    return kept, notes


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(printable, names[:_NAMED])) + more
