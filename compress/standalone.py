"""Compressing a file of weights that was not trained here: no posterior, so the user says how exact they shall stay."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import codec
from ..codec.maps import Levels
from ..errors import CorruptFileError, InputError, reason_of

_PYTORCH = (".pt", ".pth", ".bin")
SUFFIXES = (".safetensors", *_PYTORCH, ".onnx")
_SMALL = 16  # elements; a grid of so few would save nothing
_LARGEST_LEVEL = 1 << 20
_PIECE = 1 << 20  # elements that are taken to float64 at a time

_Arrays: TypeAlias = tuple[int, Iterator[tuple[str, NDArray[np.generic]]]]


def compress_file(
    path: Path,
    out: Path,
    tolerance: float,
    *,
    profile: str = "small",
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, list[tuple[str, float]]]:
    """Write a `.bpz` file of the weights in `path` to `out`; its size in bytes, and each tensor's relative error.

    tolerance  root mean square error of a tensor relative to its root mean square, at most: 0.01 for 1 %
    threads, progress  see codec.encode

    A tensor is rounded to a uniform grid, whose error is step / sqrt(12) where levels are many; small weights become 0
    by the way. Tensors of a few elements, and whole numbers, stay as they are. Everything decodes to float32. Of a
    safetensors file memory holds `threads` tensors at a time, and one more.

    Raises InputError for a tolerance that is none, for weights that are not finite and for a file of another kind, and
    CorruptFileError for one that is not whole.
    """
    if not 0.0 < tolerance < 1.0:
        raise InputError(f"The tolerance is {tolerance}; it is a relative error above 0 and below 1, like 0.01.")
    count, arrays = read_tensors(path)
    if count == 0:
        raise InputError(f"{path} holds no tensors; name a file that holds weights.")
    errors: list[tuple[str, float]] = []

    def rounded() -> Iterator[codec.Tensor]:
        for name, array in arrays:
            tensor, error = _rounded(name, array, tolerance)
            errors.append((name, error))
            del array
            yield tensor
            del tensor

    size = codec.write(out, rounded(), progress, profile=profile, threads=threads, count=count)
    return size, errors


def read_tensors(path: Path) -> _Arrays:
    """How many tensors a safetensors file, a PyTorch state dict or an ONNX model holds, and name and array of each."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path} ends in {path.suffix or 'nothing'!r}; weights are read from {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise InputError(f"There is no file {path}; name one that holds weights.")
    if path.suffix == ".safetensors":
        return _from_safetensors(path)
    return _from_onnx(path) if path.suffix == ".onnx" else _from_pytorch(path)


def _from_safetensors(path: Path) -> _Arrays:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
    except SafetensorError as error:
        raise CorruptFileError(f"{path} is not a whole safetensors file ({error}); fetch it again.") from None

    def arrays() -> Iterator[tuple[str, NDArray[np.generic]]]:
        for name in names:
            # torch knows bfloat16, NumPy does not. Opened anew, the file's pages do not gather in memory.
            with safe_open(path, framework="pt") as file:
                array = _array(file.get_tensor(name))
            yield name, array
            del array

    return len(names), arrays()


def _from_pytorch(path: Path) -> _Arrays:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        raise CorruptFileError(
            f"{path} is no file of tensors that PyTorch reads safely ({reason_of(error)}); "
            "save net.state_dict() and nothing else."
        ) from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]  # what Lightning and many a training script save
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise InputError(f"{path} holds a {type(state).__name__} and no state dict; save net.state_dict().")
    return len(state), ((str(name), _array(tensor)) for name, tensor in state.items())


def _from_onnx(path: Path) -> _Arrays:
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        model = onnx.load(path)
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise CorruptFileError(f"{path} is no whole ONNX model ({reason_of(error)}); export it again.") from None
    initializers = model.graph.initializer
    return len(initializers), ((tensor.name, numpy_helper.to_array(tensor)) for tensor in initializers)


def _array(tensor: object) -> NDArray[np.generic]:
    """A torch tensor as NumPy has it; bfloat16, which NumPy lacks, as float32."""
    import torch

    assert isinstance(tensor, torch.Tensor)
    plain = tensor.detach()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


def _rounded(name: str, array: NDArray[np.generic], tolerance: float) -> tuple[codec.Tensor, float]:
    """A tensor for the codec, and its relative root mean square error."""
    if array.dtype.kind not in "fiub":
        raise InputError(f"Tensor {name} is of {array.dtype}, and numbers are needed; leave it out.")
    exact = np.ascontiguousarray(array, dtype=np.float32).reshape(array.shape)
    if not np.isfinite(exact).all():
        bad = int(np.count_nonzero(~np.isfinite(exact)))
        raise InputError(f"Tensor {name} holds {bad} values that are NaN or too large for float32; mend it first.")
    if array.dtype.kind != "f" and not np.array_equal(exact.astype(array.dtype), array):
        raise InputError(f"Tensor {name} of {array.dtype} holds numbers that float32 cannot hold; leave it out.")
    power = _root_mean_square(exact)
    if array.dtype.kind != "f" or exact.size < _SMALL or power == 0.0:
        return _as_it_is(name, exact), 0.0
    step = _short(tolerance * power * math.sqrt(12.0))
    largest = max(float(exact.max()), -float(exact.min()))
    while True:
        if largest / step > _LARGEST_LEVEL:
            return _as_it_is(name, exact), 0.0  # one weight so far outside that a grid for the others cannot hold it
        levels, error = _levels(exact, step)
        error /= power
        if error <= tolerance:
            return codec.QuantizedTensor(name, levels, codec.Grid(step)), error
        # Few levels, or an unlucky place of the grid: a little finer.
        step = _short(step * max(0.5, 0.99 * tolerance / error))


def _levels(exact: NDArray[np.float32], step: float) -> tuple[Levels, float]:
    """Nearest levels in the narrowest type that holds them, and the root mean square error of their values."""
    reach = max(float(exact.max()), -float(exact.min())) / step + 1
    levels = np.empty(exact.shape, dtype=np.min_scalar_type(-math.ceil(reach)))
    flat, into, squares = exact.reshape(-1), levels.reshape(-1), 0.0
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE].astype(np.float64)
        into[start : start + _PIECE] = np.rint(piece / step)
        squares += float(np.square(into[start : start + _PIECE] * np.float32(step) - piece).sum())
    return levels, math.sqrt(squares / flat.size)


def _root_mean_square(exact: NDArray[np.float32]) -> float:
    flat = exact.reshape(-1)
    pieces = (flat[start : start + _PIECE] for start in range(0, flat.size, _PIECE))
    return math.sqrt(sum(float(np.square(piece, dtype=np.float64).sum()) for piece in pieces) / max(1, flat.size))


def _as_it_is(name: str, exact: NDArray[np.float32]) -> codec.Tensor:
    """Raw, but zeros need no bytes."""
    if exact.size and not exact.any():
        return codec.QuantizedTensor(name, np.zeros(exact.shape, dtype=np.int32), codec.Grid(1.0))
    return codec.RawTensor(name, exact)


def _short(step: float) -> float:
    """The step rounded down to 8 significant bits, which the file stores in two bytes."""
    mantissa, exponent = math.frexp(step)
    return math.ldexp(math.floor(mantissa * 256), exponent - 8)
