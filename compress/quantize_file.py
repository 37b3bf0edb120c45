"""Compress a file of weights that has no posterior: the user gives the tolerance of the weights' rounding error."""

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
_MOST_ATTEMPTS = 8  # weight tolerances that are tried until the outputs meet the requested tolerance
_FINEST = 1e-7  # relative rounding error of float32
_NAMED = 3  # tensors that a note names; the others are counted

Progress = Callable[[int, int], None]
_Write = Callable[[Iterable[codec.Tensor], int], int]  # writes tensors, given their number; returns the size in bytes


@dataclass(frozen=True)
class CompressedFile:
    """The result of compressing a file of weights.

    size           size of the `.bpz` in bytes
    errors         name of each tensor, and the largest relative error of its slices, see round_tensor.py
    outputs_error  largest relative error of an output of an ONNX model, see onnx_outputs.py; None if not measured
    tolerance      tolerance of the weights: the requested one, or a finer one that keeps the outputs within it
    notes          notes for the user, one sentence each
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
    """Write the weights in `path` as a `.bpz` file to `out`.

    tolerance  largest relative root mean square error of a tensor and of each of its rows and columns: 0.01 for 1 %.
               For an ONNX model that ONNX Runtime can run, also the largest relative error of its outputs
    threads, progress, overwrite  see codec.write

    Vectors (biases, norms, statistics), tensors of a few elements and integers are stored exactly; other tensors are
    rounded, see round_tensor.py. All tensors decode to float32. For a safetensors file, memory holds at most
    `threads` + 1 tensors at a time.

    Raises InputError for a tolerance out of range, for weights that are not finite or do not fit float32 and for a file
    of another format, and CorruptFileError for a damaged file.
    """
    if not 0.0 < tolerance < 1.0:
        raise InputError(f"The tolerance is {tolerance}; give a relative error above 0 and below 1, such as 0.01.")
    check_ending(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}; name a file that holds weights.")

    def write(tensors: Iterable[codec.Tensor], count: int) -> int:
        return codec.write(out, tensors, progress, profile=profile, threads=threads, count=count, overwrite=overwrite)

    if path.suffix == ".onnx":
        return _compress_onnx(path, tolerance, write)
    count, arrays = from_safetensors(path) if path.suffix == ".safetensors" else from_pytorch(path)
    return _compress_arrays(path, (count, arrays), tolerance, write)


def check_ending(path: Path) -> None:
    """Raises InputError unless `path` has the ending of a format that weights are read from."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path} ends in {path.suffix or 'nothing'!r}; weights are read from {', '.join(SUFFIXES)}.")


def _compress_arrays(path: Path, arrays: Arrays, tolerance: float, write: _Write) -> CompressedFile:
    """Compress named arrays one at a time, without a network to run."""
    count, tensors = arrays
    if count == 0:
        raise InputError(f"{path} holds no tensors; name a file that holds weights.")
    errors: list[tuple[str, float]] = []
    notes: list[str] = []

    def rounded() -> Iterator[codec.Tensor]:
        for name, array in tensors:
            result = round_tensor(name, array, tolerance)
            errors.append((name, result.error))
            notes.extend(result.notes)
            del array
            yield result.tensor
            del result

    size = write(rounded(), count)
    return CompressedFile(size, errors, None, tolerance, tuple(notes))


def _compress_onnx(path: Path, tolerance: float, write: _Write) -> CompressedFile:
    """Compress the weights of a model, with a tolerance fine enough for its outputs if these can be measured."""
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
        notes.append(f"Only the error of the weights was measured, not that of the outputs: {reason}.")
    arrays = [(weight, weight.array()) for weight in weights]
    finer, outputs_error = tolerance, None
    for attempt in range(_MOST_ATTEMPTS):
        rounded = [(weight, round_tensor(weight.name, array, finer)) for weight, array in arrays]
        if outputs is None:
            break
        for weight, result in rounded:
            weight.replace(result.tensor.values())
        try:
            outputs_error = outputs.error(model)
        except NotMeasuredError:
            outputs_error = math.inf
        if outputs_error <= tolerance or finer <= _FINEST or attempt == _MOST_ATTEMPTS - 1:
            break
        finer = max(_FINEST, finer * min(0.5, max(0.01, 0.8 * tolerance / outputs_error)))
    if outputs_error is not None and outputs_error > tolerance:
        notes.append(
            f"The relative error of the outputs is {outputs_error:.2g} with weights rounded to {finer:.2g}, above the "
            f"tolerance of {tolerance:g}; the model amplifies the rounding errors of float32."
        )
    elif finer < tolerance:
        notes.append(
            f"Weights were rounded to {finer:.2g}, so that outputs stay within the tolerance of {tolerance:g}."
        )
    for _, result in rounded:
        notes.extend(result.notes)
    size = write([result.tensor for _, result in rounded], len(rounded))
    errors = [(weight.name, result.error) for weight, result in rounded]
    return CompressedFile(size, errors, outputs_error, finer, tuple(notes))


def _compressible(weights: list[OnnxWeight]) -> tuple[list[OnnxWeight], list[str]]:
    """The tensors that a `.bpz` file can hold; notes name the masks, the text and the integers that it cannot."""
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
