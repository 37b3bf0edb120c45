"""From float weights to the integers and value maps that the codec writes."""

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
# How a tensor that already has its final values is written: on a grid, as small floats, or by its distinct values.
Coding: TypeAlias = Grid | Minifloat | Literal["shared"]

# A level beyond this says that the step does not fit the tensor: 20 bits a weight are no compression.
_LARGEST_LEVEL = 1 << 20


def grid_levels(name: str, tensor: Tensor, step: float) -> Tensor:
    """Nearest level of each element on a grid of this step; int32, ties to even.

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
    """What every decoder makes of the levels: float32(level) * float32(step), rounded once."""
    return levels.to(torch.float32) * torch.tensor(step, dtype=torch.float32)


def storable_step(step: float) -> float:
    """The nearest step with 8 significant bits: the file then stores it in two bytes in place of four."""
    mantissa, exponent = math.frexp(step)
    return math.ldexp(round(mantissa * 256), exponent - 8)


def distinct_values(tensor: Tensor) -> Tensor:
    """The values other than 0, sorted; float32."""
    values: Tensor = torch.unique(tensor[tensor != 0])
    return values.float()


def codebook_tensor(name: str, tensor: Tensor) -> QuantizedTensor:
    """A tensor of few distinct values as indices into them; index 0 is 0."""
    values = distinct_values(tensor)
    levels = torch.where(tensor == 0, 0, torch.searchsorted(values, tensor.float().contiguous()) + 1)
    book = torch.cat([values.new_zeros(1), values])
    return QuantizedTensor(name, levels.to(torch.int32).numpy(), Codebook(book.numpy()))


def to_tensors(network: nn.Module, codings: Mapping[str, Coding]) -> list[QuantizedTensor | RawTensor]:
    """The network's tensors for the codec, in state-dict order.

    Those without a coding are written as raw float32. Integer buffers (batch counters) mean nothing at inference and
    are left out.
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
