"""Golden vectors: a few inputs with PyTorch's outputs, which every other runtime must reproduce.

Real examples alone leave parts of a network untested: a clamp that they never reach, the flat end of an activation, a
padding where their border is 0. Zeros, values of eight times the examples' largest value, and noise are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import InputError, reason_of, user_code

MOST_EXAMPLES = 8
_EXTREME = 8.0  # times the largest value of the examples; float16 holds the activations that follow in common networks


@dataclass(frozen=True)
class Golden:
    """Golden vectors.

    inputs   (n, ...), finite float32
    outputs  (n, ...), finite float32, the outputs when the network runs on one input at a time
    real     number of inputs that are examples from the data; they come first
    notes    one sentence, with the reason, for each input that was left out
    """

    inputs: Tensor
    outputs: Tensor
    real: int
    notes: tuple[str, ...]


def golden_vectors(network: nn.Module, examples: Tensor) -> Golden:
    """Run a network on the first `MOST_EXAMPLES` of the examples, on zeros, extreme values and noise.

    network   in evaluation mode
    examples  (n >= 1, ...) from the data, float32

    An input whose outputs are not finite is left out with a note, since two runtimes need not agree on it. A generated
    input on which the network fails is left out as well. Raises InputError when the network fails on an example, when
    it does not return one float32 tensor of fixed shape, and when no example has finite outputs.
    """
    name = type(network).__name__
    if examples.dtype != torch.float32:
        raise InputError(f"The examples for {name} are {_kind(examples)}; give float32 inputs.")
    if examples.ndim == 0 or len(examples) == 0:
        raise InputError(f"The examples for {name} have shape {tuple(examples.shape)}; give one example or more.")
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
            notes.append(f"Example {index} is not a golden input: {name} returns NaN or infinite values for it.")
    if not kept:
        raise InputError(
            f"{name} returns NaN or infinite values for every example; correct the network or the examples."
        )
    count = len(kept)
    for label, example in _generated(real):
        try:
            output = _run(network, example, name)
            _check_shape(output, kept)
        except InputError as error:
            cause = error.__cause__ or error
            notes.append(f"{label} is not a golden input: {name} fails on it ({reason_of(cause)}).")
            continue
        if bool(torch.isfinite(output).all()):
            kept.append((example, output))
        else:
            notes.append(f"{label} is not a golden input: {name} returns NaN or infinite values for it.")
    inputs, outputs = (torch.stack(list(tensors)) for tensors in zip(*kept, strict=True))
    return Golden(inputs, outputs, count, tuple(notes))


def _generated(real: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Generated inputs of one example's shape, each with a label that starts a sentence."""
    generator = torch.Generator().manual_seed(0)
    shape = real.shape[1:]
    largest = float(real.abs().max()) if real.numel() else 0.0
    size = min(_EXTREME * (largest or 1.0), torch.finfo(torch.float32).max)
    signs = torch.randint(0, 2, shape, generator=generator).float() * 2.0 - 1.0
    values = real.double() if real.numel() else torch.zeros(1, dtype=torch.float64)
    mean, spread = float(values.mean()), float(values.std(correction=0)) or 1.0
    yield "The input of zeros", torch.zeros(shape)
    # Values vary, because a normalisation of constant planes would divide by a variance that is pure rounding error.
    sizes = 1.0 - 0.5 * torch.rand(shape, generator=generator)
    yield f"The input of {size / 2:g} to {size:g}", sizes * size
    yield f"The input of {size:g} with random signs", signs * size
    noise = torch.randn(shape, generator=generator, dtype=torch.float64) * spread + mean
    limit = torch.finfo(torch.float32).max
    yield "The input of noise", noise.clamp(-limit, limit).float()


def _run(network: nn.Module, example: Tensor, name: str) -> Tensor:
    """The output for one example, without the batch axis."""
    with torch.no_grad(), user_code(f"the network {name}"):
        output = network(example.unsqueeze(0).clone())  # a forward may write into its input
    if not isinstance(output, Tensor):
        raise InputError(f"{name} returns a {type(output).__name__}; return one float32 tensor.")
    if output.dtype != torch.float32:
        raise InputError(f"{name} returns {_kind(output)}; end its forward in float32, for instance with `.float()`.")
    if output.ndim == 0 or len(output) != 1:
        raise InputError(
            f"{name} returns shape {tuple(output.shape)} for one example; the first axis must count the examples."
        )
    return output[0].detach().clone()


def _check_shape(output: Tensor, kept: list[tuple[Tensor, Tensor]]) -> None:
    if kept and output.shape != kept[0][1].shape:
        raise InputError(
            f"The network returns shape {tuple(kept[0][1].shape)} for one example and {tuple(output.shape)} for "
            "another; return outputs of one fixed shape."
        )


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
