"""Test whether two networks compute the same function, on inputs of several kinds and scales.

Each output is compared relative to its own largest value over a batch, so an output of size 1e-4 is checked as strictly
as one of size 1. For networks f and g, a batch of inputs x, an output j and the machine epsilon e of the arithmetic,

    (1)  max_x |f_j - g_j|  <=  tolerance * max_x |f_j|  +  100 * max_x |f_j(x) - f_j(x (1 + 4 e))|.

The second term bounds the effect of rounding on output j. It matters where an output is a difference of large numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_LARGE_EXAMPLE = 1024  # elements; for larger inputs fewer rows suffice, since each holds many values
_ROWS, _LARGE_ROWS = 8, 2
_SCALES = (1.0, 1e-3, 30.0)


@dataclass(frozen=True)
class Probes:
    """Input batches for one network, its outputs, and the precision in which it runs.

    network    a copy, in float64 if it can run in float64
    batches    (rows, ...) each, all of one shape
    expected   the outputs of `network` for each batch
    precision  machine epsilon of the arithmetic, see torch.finfo
    tolerance  relative tolerance of equation (1)
    """

    network: nn.Module
    batches: list[Tensor]
    expected: list[Tensor]
    precision: float
    tolerance: float

    @property
    def blind(self) -> bool:
        """Whether any output is NaN for every batch, so that it cannot be compared."""
        return bool(torch.stack([outputs.isnan().any(0) for outputs in self.expected]).all(0).any())

    def difference(self, network: nn.Module, expected: Sequence[Tensor] | None = None) -> str:
        """How the outputs of `network` differ from the expected ones, as a clause; an empty string if they agree.

        expected  outputs for the first batches, or for all; None takes those of this object's network
        """
        for batch, reference in zip(self.batches, expected or self.expected, strict=False):
            outputs = run(network, batch)
            if outputs.shape != reference.shape:
                return f"their removal changes the shape of the outputs to {tuple(outputs.shape)}"
            finite = torch.isfinite(reference)
            if not torch.allclose(outputs[~finite], reference[~finite], equal_nan=True):
                return "their removal makes outputs infinite or finite"
            error = torch.where(finite, outputs - reference, 0.0).abs().amax(0)
            scale = torch.where(finite, reference, 0.0).abs().amax(0)
            excess = error - self.tolerance * scale
            if bool((excess > 0).any()):
                excess -= 100.0 * self._noise(batch)
            if bool((excess > 0).any()):
                worst = float((error / scale.clamp_min(1e-300))[excess > 0].max())
                return f"their removal changes outputs by {100 * worst:.2g} %"
        return ""

    def _noise(self, batch: Tensor) -> Tensor:
        """The change of each output caused by rounding alone, as in equation (1); the shape of one row of outputs."""
        if not batch.is_floating_point():
            return torch.zeros(())
        exact, perturbed = run(self.network, batch), run(self.network, batch * (1.0 + 4.0 * self.precision))
        return torch.where(torch.isfinite(exact) & torch.isfinite(perturbed), exact - perturbed, 0.0).abs().amax(0)


def run(network: nn.Module, batch: Tensor) -> Tensor:
    """The network's outputs without gradients, in float64."""
    with torch.no_grad():
        outputs: Tensor = network(batch)
    return outputs.detach().double().clone()


def make_probes(network: nn.Module, example: Tensor) -> Probes:
    """Input batches derived from `example` (n >= 1, ...). Raises the network's own error if it fails on the example."""
    rows = _ROWS if example[0].numel() <= _LARGE_EXAMPLE else _LARGE_ROWS
    failure: Exception | None = None
    # A forward may depend on a fixed batch size, or fail in float64 because it creates float32 tensors itself.
    for cast in (torch.float64, None):
        for batch in (example[:rows], example):
            if cast is None:
                work, inputs, tolerance = copy.deepcopy(network), batch, 1e-4
            else:
                work, inputs = copy.deepcopy(network).to(cast), batch.to(cast) if batch.is_floating_point() else batch
                tolerance = 1e-7
            try:
                if run(work, inputs).shape[:1] == inputs.shape[:1]:
                    return _probes(work, inputs, torch.finfo(cast or _precision_of(network)).eps, tolerance)
            except Exception as error:  # a forward raises whatever its author's operators raise
                failure = error
    raise failure if failure is not None else ValueError("the outputs have no row for each input")


def _precision_of(network: nn.Module) -> torch.dtype:
    dtypes = {parameter.dtype for parameter in network.parameters() if parameter.is_floating_point()}
    return max(dtypes or {torch.float32}, key=lambda dtype: torch.finfo(dtype).eps)


def _probes(network: nn.Module, example: Tensor, precision: float, tolerance: float) -> Probes:
    probes = Probes(network, [], [], precision, tolerance)
    for batch in _inputs(example):
        try:
            expected = run(network, batch)
        except Exception:
            continue  # a network need not accept generated inputs; it accepts the example
        probes.batches.append(batch)
        probes.expected.append(expected)
    return probes


def _inputs(example: Tensor) -> list[Tensor]:
    """The example, its shuffled values, other scales, noise and zeros. Integer inputs are never scaled or replaced."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(example.numel(), generator=generator)
    shuffled = example.flatten()[order].reshape(example.shape)
    if not example.is_floating_point():
        return [example, shuffled, torch.zeros_like(example)]
    noise = torch.randn(example.shape, generator=generator, dtype=torch.float64).to(example.dtype)
    return [example, noise, example * _SCALES[1], (noise - shuffled) * _SCALES[2], torch.zeros_like(example)]


def perturbations(shape: torch.Size, like: Tensor) -> list[Callable[[], Tensor]]:
    """Functions that draw replacement values for a unit's outputs: of both signs, only positive, only negative.

    shape  of the values
    like   values of the same type, whose size sets the size of the replacements
    """
    size = 1.0 + float(like.abs().amax()) if like.numel() else 1.0
    size = size if size < 1e3 else 1e3

    def drawn(seed: int) -> Tensor:
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return (noise * size).to(like.dtype)

    return [lambda: drawn(1), lambda: drawn(2).abs() * 3.0, lambda: -drawn(3).abs() * 3.0]
