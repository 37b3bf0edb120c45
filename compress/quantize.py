"""From float weights to the integers and value maps that the codec writes."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping

import torch
from torch import Tensor, nn

from ..codec import Codebook, Grid, QuantizedTensor, RawTensor
from ..errors import InputError

# A level beyond this says that the step does not fit the tensor: 20 bits a weight are no compression.
_LARGEST_LEVEL = 1 << 20
# Beyond this many values a codebook costs more than it saves.
_LARGEST_CODEBOOK = 1024


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


def codebook_tensor(name: str, tensor: Tensor) -> QuantizedTensor:
    """A tensor of few distinct values, exactly. Raises InputError when they are more than a codebook is good for."""
    values = torch.unique(tensor[tensor != 0]).float()
    if len(values) > _LARGEST_CODEBOOK:
        raise InputError(
            f"Tensor {name} has no posterior variance to pick a precision from, and {len(values)} distinct values, "
            f"more than the {_LARGEST_CODEBOOK} of a codebook; train with a method that has either."
        )
    levels = torch.where(tensor == 0, 0, torch.searchsorted(values, tensor.float().contiguous()) + 1)
    book = torch.cat([values.new_zeros(1), values])
    return QuantizedTensor(name, levels.to(torch.int32).numpy(), Codebook(book.numpy()))


def to_tensors(
    network: nn.Module, steps: Mapping[str, float], shared: Container[str] = ()
) -> list[QuantizedTensor | RawTensor]:
    """The network's tensors for the codec, in state-dict order.

    steps   grid step of each tensor that already lies on a grid
    shared  names of tensors that become codebooks; all others are written as raw float32. Integer buffers (batch
            counters) mean nothing at inference and are left out.
    """
    tensors: list[QuantizedTensor | RawTensor] = []
    for name, tensor in network.state_dict().items():
        if not tensor.dtype.is_floating_point:
            continue
        if name in steps:
            levels = grid_levels(name, tensor, steps[name])
            tensors.append(QuantizedTensor(name, levels.numpy(), Grid(steps[name])))
        elif name in shared:
            tensors.append(codebook_tensor(name, tensor))
        else:
            tensors.append(RawTensor(name, tensor.float().numpy()))
    return tensors
