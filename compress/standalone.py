"""Compressing a file of weights that was not trained here: no posterior, so the user says how exact they shall stay."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import codec
from ..errors import CorruptFileError, InputError, reason_of

_PYTORCH = (".pt", ".pth", ".bin")
SUFFIXES = (".safetensors", *_PYTORCH, ".onnx")
_SMALL = 16  # elements; a grid of so few would save nothing
_LARGEST_LEVEL = 1 << 20


def compress_file(
    path: Path, tolerance: float, *, profile: str = "small", progress: Callable[[int, int], None] | None = None
) -> tuple[bytes, list[tuple[str, float]]]:
    """A `.bpz` file of the weights in `path`, and each tensor's relative error.

    tolerance  root mean square error of a tensor relative to its root mean square, at most: 0.01 for 1 %
    progress   see codec.encode

    A tensor is rounded to a uniform grid, whose error is step / sqrt(12) where levels are many; small weights become 0
    by the way. Tensors of a few elements, and whole numbers, stay as they are. Everything decodes to float32.

    Raises InputError for a tolerance that is none, for weights that are not finite and for a file of another kind, and
    CorruptFileError for one that is not whole.
    """
    if not 0.0 < tolerance < 1.0:
        raise InputError(f"The tolerance is {tolerance}; it is a relative error above 0 and below 1, like 0.01.")
    tensors = [_rounded(name, array, tolerance) for name, array in read_tensors(path)]
    if not tensors:
        raise InputError(f"{path} holds no tensors; name a file that holds weights.")
    errors = [(tensor.name, error) for tensor, error in tensors]
    return codec.encode([tensor for tensor, _ in tensors], progress, profile=profile), errors


def read_tensors(path: Path) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Name and array of each tensor of a safetensors file, a PyTorch state dict or an ONNX model, one at a time."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path} ends in {path.suffix or 'nothing'!r}; weights are read from {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise InputError(f"There is no file {path}; name one that holds weights.")
    if path.suffix == ".safetensors":
        return _from_safetensors(path)
    return _from_onnx(path) if path.suffix == ".onnx" else _from_pytorch(path)


def _from_safetensors(path: Path) -> Iterator[tuple[str, NDArray[np.generic]]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:  # torch knows bfloat16, NumPy does not
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                yield name, _array(file.get_tensor(name))
    except SafetensorError as error:
        raise CorruptFileError(f"{path} is not a whole safetensors file ({error}); fetch it again.") from None


def _from_pytorch(path: Path) -> Iterator[tuple[str, NDArray[np.generic]]]:
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
    for name, tensor in state.items():
        yield str(name), _array(tensor)


def _from_onnx(path: Path) -> Iterator[tuple[str, NDArray[np.generic]]]:
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        model = onnx.load(path)
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise CorruptFileError(f"{path} is no whole ONNX model ({reason_of(error)}); export it again.") from None
    for tensor in model.graph.initializer:
        yield tensor.name, numpy_helper.to_array(tensor)


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
    power = float(np.sqrt(np.mean(np.square(exact, dtype=np.float64)))) if exact.size else 0.0
    if array.dtype.kind != "f" or exact.size < _SMALL or power == 0.0:
        return _as_it_is(name, exact), 0.0
    step = _short(tolerance * power * math.sqrt(12.0))
    while True:
        levels = np.rint(exact.astype(np.float64) / step)
        if np.abs(levels).max() > _LARGEST_LEVEL:
            return _as_it_is(name, exact), 0.0  # one weight so far outside that a grid for the others cannot hold it
        tensor = codec.QuantizedTensor(name, levels.astype(np.int32), codec.Grid(step))
        error = float(np.sqrt(np.mean(np.square(tensor.values().astype(np.float64) - exact)))) / power
        if error <= tolerance:
            return tensor, error
        # Few levels, or an unlucky place of the grid: a little finer.
        step = _short(step * max(0.5, 0.99 * tolerance / error))


def _as_it_is(name: str, exact: NDArray[np.float32]) -> codec.Tensor:
    """Raw, but zeros need no bytes."""
    if exact.size and not exact.any():
        return codec.QuantizedTensor(name, np.zeros(exact.shape, dtype=np.int32), codec.Grid(1.0))
    return codec.RawTensor(name, exact)


def _short(step: float) -> float:
    """The step rounded down to 8 significant bits, which the file stores in two bytes."""
    mantissa, exponent = math.frexp(step)
    return math.ldexp(math.floor(mantissa * 256), exponent - 8)
