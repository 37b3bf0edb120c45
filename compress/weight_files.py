"""Read the tensors of a safetensors file or a PyTorch state dict, without executing code from the file."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptFileError, InputError, reason_of
from ..text import printable

_LARGEST_DENSE = 1 << 30  # elements of a sparse tensor that is converted to a dense one
PYTORCH = (".pt", ".pth", ".bin")

# The number of tensors, and an iterator over the name and the values of each.
Arrays: TypeAlias = tuple[int, Iterator[tuple[str, NDArray[np.generic]]]]


def from_safetensors(path: Path) -> Arrays:
    """The tensors of a safetensors file, read one at a time to limit memory. Raises CorruptFileError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
    except (SafetensorError, OSError) as error:
        raise CorruptFileError(
            f"{path} is not a complete safetensors file ({reason_of(error)}); fetch it again."
        ) from None

    def arrays() -> Iterator[tuple[str, NDArray[np.generic]]]:
        for name in names:
            # Read by torch, since NumPy has no bfloat16. Reopening the file releases the pages of earlier tensors.
            with safe_open(path, framework="pt") as file:
                array = _array(name, file.get_tensor(name))
            yield name, array
            del array

    return len(names), arrays()


def from_pytorch(path: Path) -> Arrays:
    """The tensors of a PyTorch state dict.

    Raises CorruptFileError when PyTorch cannot read the file without running code, and InputError for other content.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, ValueError, KeyError, TypeError,
            AttributeError, IndexError, AssertionError) as error:  # fmt: skip
        raise CorruptFileError(
            f"{path} is not a file of tensors that PyTorch can read safely ({reason_of(error)}); "
            "save only net.state_dict()."
        ) from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]  # the form that Lightning and many training scripts save
    if not isinstance(state, dict):
        raise InputError(f"{path} holds a {type(state).__name__}, not a state dict; save net.state_dict().")
    names: set[str] = set()
    for name, tensor in state.items():
        if not isinstance(tensor, torch.Tensor):
            raise InputError(
                f"{path} holds {printable(name)}, a {type(tensor).__name__}, but a state dict must hold only tensors; "
                "save net.state_dict() without it."
            )
        if str(name) in names:
            raise InputError(f"{path} holds two tensors named {printable(name)}; rename one.")
        names.add(str(name))
    return len(state), ((str(name), _array(str(name), tensor)) for name, tensor in state.items())


def _array(name: str, tensor: object) -> NDArray[np.generic]:
    """Convert a torch tensor to NumPy: sparse tensors become dense; bfloat16 and float8 become float32."""
    import torch

    assert isinstance(tensor, torch.Tensor)
    shown = printable(name)
    if tensor.device.type == "meta":
        raise InputError(f"Tensor {shown} is on the device meta and has no values; save the loaded weights.")
    try:
        plain = tensor.detach()
        if plain.is_quantized:
            plain = plain.dequantize()
        if plain.layout != torch.strided:
            if plain.numel() > _LARGEST_DENSE:
                raise ValueError(f"{plain.numel()} elements are too many for a dense tensor")
            plain = plain.to_dense()
        if plain.is_floating_point() and plain.dtype not in (torch.float16, torch.float32, torch.float64):
            plain = plain.float()
        return np.asarray(plain.resolve_conj().resolve_neg().numpy())
    except (RuntimeError, TypeError, NotImplementedError, ValueError) as error:
        raise InputError(
            f"Tensor {shown} of {tensor.dtype} cannot be read ({reason_of(error)}); leave it out."
        ) from None
