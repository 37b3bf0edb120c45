"""From float weights to the integers and value maps that the codec writes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..codec import Grid, QuantizedTensor, RawTensor
from ..errors import InputError

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


def to_tensors(network: nn.Module, steps: Mapping[str, float]) -> list[QuantizedTensor | RawTensor]:
    """The network's tensors for the codec, in state-dict order.

    steps  grid step of each tensor that already lies on a grid; the others are written as raw float32. Integer
           buffers (batch counters) mean nothing at inference and are left out.
    """
    tensors: list[QuantizedTensor | RawTensor] = []
    for name, tensor in network.state_dict().items():
        if not tensor.dtype.is_floating_point:
            continue
        if name in steps:
            levels = grid_levels(name, tensor, steps[name])
            tensors.append(QuantizedTensor(name, levels.numpy(), Grid(steps[name])))
        else:
            tensors.append(RawTensor(name, tensor.float().numpy()))
    return tensors
