"""Golden vectors: a few inputs, and what PyTorch computes for them, which every later runtime must reproduce.

Real examples alone leave much of a network untried: a clamp that they never reach, an activation's flat end, a padding
whose border they leave at 0. So zeros, values of eight times the examples' size and noise go with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import InputError, reason_of, user_code

MOST_EXAMPLES = 8
_EXTREME = 8.0  # times the largest value of the examples; float16 holds what such inputs make of common networks


@dataclass(frozen=True)
class Golden:
    """Golden vectors.

    inputs   (n, ...), finite float32
    outputs  (n, ...), what the network gives for each of them by itself; finite float32
    real     how many of the inputs are examples of the data; they come first
    notes    what was left out and why, one sentence each
    """

    inputs: Tensor
    outputs: Tensor
    real: int
    notes: tuple[str, ...]


def golden_vectors(network: nn.Module, examples: Tensor) -> Golden:
    """Run a network on the first `MOST_EXAMPLES` of these examples, on zeros, extremes and noise.

    network   in evaluation mode
    examples  (n >= 1, ...) of the data, float32

    An input whose outputs are not finite is left out with a note, as no two runtimes need agree on it; so is a made-up
    input that the network does not take. Raises InputError when the network fails for an example, gives other than
    one float32 tensor of fixed shape, or gives finite outputs for none of the examples.
    """
    name = type(network).__name__
    if examples.dtype != torch.float32:
        raise InputError(f"{name} was given examples of {_kind(examples)}; a network of float32 inputs is needed.")
    if examples.ndim == 0 or len(examples) == 0:
        raise InputError(f"There are no examples for {name} in a tensor of shape {tuple(examples.shape)}; give one.")
    kept: list[tuple[Tensor, Tensor]] = []
    notes: list[str] = []
    real = examples[:MOST_EXAMPLES].detach().clone()
    for index, example in enumerate(real):
        if not bool(torch.isfinite(example).all()):
            raise InputError(f"Example {index} for {name} holds NaN or infinite values; give finite ones.")
        output = _run(network, example, name)
        _check_shape(output, kept)
        if bool(torch.isfinite(output).all()):
            kept.append((example, output))
        else:
            notes.append(f"Example {index} is no golden input, as {name} gives NaN or infinite values for it.")
    if not kept:
        raise InputError(f"{name} gives NaN or infinite values for every example; mend the network or the examples.")
    count = len(kept)
    for what, example in _made_up(real):
        try:
            output = _run(network, example, name)
            _check_shape(output, kept)
        except InputError as error:
            cause = error.__cause__ or error
            notes.append(f"{what} is no golden input, as {name} does not take it ({reason_of(cause)}).")
            continue
        if bool(torch.isfinite(output).all()):
            kept.append((example, output))
        else:
            notes.append(f"{what} is no golden input, as {name} gives NaN or infinite values for it.")
    inputs, outputs = (torch.stack(list(each)) for each in zip(*kept, strict=True))
    return Golden(inputs, outputs, count, tuple(notes))


def _made_up(real: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Each with its name, as the beginning of a sentence."""
    generator = torch.Generator().manual_seed(0)
    shape = real.shape[1:]
    largest = float(real.abs().max()) if real.numel() else 0.0
    size = min(_EXTREME * (largest or 1.0), torch.finfo(torch.float32).max)
    signs = torch.randint(0, 2, shape, generator=generator).float() * 2.0 - 1.0
    values = real.double() if real.numel() else torch.zeros(1, dtype=torch.float64)
    mean, spread = float(values.mean()), float(values.std(correction=0)) or 1.0
    yield "The input of zeros", torch.zeros(shape)
    # Not one value everywhere: the variance of such planes is all rounding, and says nothing of a network.
    sizes = 1.0 - 0.5 * torch.rand(shape, generator=generator)
    yield f"The input of {size / 2:g} to {size:g}", sizes * size
    yield f"The input of {size:g} with random signs", signs * size
    noise = torch.randn(shape, generator=generator, dtype=torch.float64) * spread + mean
    limit = torch.finfo(torch.float32).max
    yield "The input of noise", noise.clamp(-limit, limit).float()


def _run(network: nn.Module, example: Tensor, name: str) -> Tensor:
    """The output of one example, without the batch axis."""
    with torch.no_grad(), user_code(f"the network {name}"):
        output = network(example.unsqueeze(0).clone())  # a forward may write into its input
    if not isinstance(output, Tensor):
        raise InputError(f"{name} gives a {type(output).__name__}; a network of one float32 tensor is needed.")
    if output.dtype != torch.float32:
        raise InputError(f"{name} gives {_kind(output)}; end its forward in float32, for instance with `.float()`.")
    if output.ndim == 0 or len(output) != 1:
        raise InputError(
            f"{name} gives shape {tuple(output.shape)} for one example; the first axis must be that of the examples."
        )
    return output[0].detach().clone()


def _check_shape(output: Tensor, kept: list[tuple[Tensor, Tensor]]) -> None:
    if kept and output.shape != kept[0][1].shape:
        raise InputError(
            f"The network gives shape {tuple(kept[0][1].shape)} for one example and {tuple(output.shape)} for another; "
            "outputs of one fixed shape are needed."
        )


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
