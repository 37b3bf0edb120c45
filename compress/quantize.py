"""Convert float weights to the integer levels and value maps that the codec writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor, nn

from ..codec import Codebook, Grid, Minifloat, QuantizedTensor, RawTensor
from ..errors import InputError
from .tensors import tensors_of

SHARED: Final = "shared"
# The form in which a tensor is written: levels of a grid, small floats, or indices into its distinct values.
Coding: TypeAlias = Grid | Minifloat | Literal["shared"]

# A level beyond this means that the step does not fit the tensor: 20 bits per weight are no compression.
_LARGEST_LEVEL = 1 << 20


def grid_levels(name: str, tensor: Tensor, step: float) -> Tensor:
    """The nearest level of each element on a grid of this step; int32, ties to even.

    Raises InputError when a level would need more than 21 bits.
    """
    levels = torch.round(tensor.double() / step)
    largest = float(levels.abs().max()) if levels.numel() else 0.0
    if largest > _LARGEST_LEVEL:
        raise InputError(
            f"Tensor {name} would need level {largest:.0f} on a grid of step {step:.3g}; raise the precision budget."
        )
    return levels.to(torch.int32)


def grid_values(levels: Tensor, step: float) -> Tensor:
    """The values that every decoder computes from the levels: float32(level) * float32(step), rounded once."""
    return levels.to(torch.float32) * torch.tensor(step, dtype=torch.float32)


def storable_step(step: float) -> float:
    """The nearest step with 8 significant bits, which the file stores in two bytes instead of four."""
    mantissa, exponent = math.frexp(step)
    return math.ldexp(round(mantissa * 256), exponent - 8)


def distinct_values(tensor: Tensor) -> Tensor:
    """The distinct values of a tensor except 0, sorted; float32."""
    values: Tensor = torch.unique(tensor[tensor != 0])
    return values.float()


def codebook_tensor(name: str, tensor: Tensor) -> QuantizedTensor:
    """Encode a tensor with few distinct values as indices into a codebook; index 0 is the value 0."""
    values = distinct_values(tensor)
    levels = torch.where(tensor == 0, 0, torch.searchsorted(values, tensor.float().contiguous()) + 1)
    book = torch.cat([values.new_zeros(1), values])
    return QuantizedTensor(name, levels.to(torch.int32).numpy(), Codebook(book.numpy()))


def to_tensors(network: nn.Module, codings: Mapping[str, Coding]) -> list[QuantizedTensor | RawTensor]:
    """The network's tensors in the form that the codec writes, in state-dict order.

    Tensors without a coding are written as raw float32. Integer buffers (batch counters) have no effect at inference
    and are left out.
    """
    tensors: list[QuantizedTensor | RawTensor] = []
    for name, tensor in tensors_of(network).items():
        coding = codings.get(name)
        if not tensor.dtype.is_floating_point:
            continue
        if isinstance(coding, Grid):
            tensors.append(QuantizedTensor(name, grid_levels(name, tensor, coding.step).numpy(), coding))
        elif isinstance(coding, Minifloat):
            tensors.append(QuantizedTensor(name, coding.nearest(tensor.float().numpy()), coding))
        elif coding == SHARED:
            tensors.append(codebook_tensor(name, tensor))
        else:
            tensors.append(RawTensor(name, tensor.float().numpy()))
    return tensors
