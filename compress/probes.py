"""Whether two networks compute the same function, judged on inputs of several kinds and scales.

Outputs are compared one by one, each relative to its own size over a batch: an output of 1e-4 beside one of 1 counts as
much. With f and g the networks, x a batch, j an output and e the precision of the arithmetic,

    (1)  max_x |f_j - g_j|  <=  tolerance * max_x |f_j|  +  100 * max_x |f_j(x) - f_j(x (1 + 4 e))|.

The second term is what rounding alone does to output j, which counts where an output is a difference of large numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_LARGE_EXAMPLE = 1024  # elements; of larger inputs fewer rows are enough, since each holds many values
_ROWS, _LARGE_ROWS = 8, 2
_SCALES = (1.0, 1e-3, 30.0)


@dataclass(frozen=True)
class Probes:
    """Input batches for one network, and the precision that it runs in.

    network    a copy, in float64 where it runs in that
    batches    each (rows, ...), all of one shape
    expected   the outputs of `network` for each
    precision  of the arithmetic, as torch.finfo says it (eps)
    tolerance  of equation (1)
    """

    network: nn.Module
    batches: list[Tensor]
    expected: list[Tensor]
    precision: float
    tolerance: float

    @property
    def blind(self) -> bool:
        """Whether some output is NaN for every batch."""
        return bool(torch.stack([outputs.isnan().any(0) for outputs in self.expected]).all(0).any())

    def difference(self, network: nn.Module, expected: Sequence[Tensor] | None = None) -> str:
        """In what `network` computes something else, as a clause, or nothing.

        expected  the outputs to compare with, in place of those of this object's network, of the first batches or all
        """
        for batch, right in zip(self.batches, expected or self.expected, strict=False):
            found = run(network, batch)
            if found.shape != right.shape:
                return f"their removal changes the shape of the outputs to {tuple(found.shape)}"
            finite = torch.isfinite(right)
            if not torch.allclose(found[~finite], right[~finite], equal_nan=True):
                return "their removal makes outputs infinite or finite"
            error = torch.where(finite, found - right, 0.0).abs().amax(0)
            scale = torch.where(finite, right, 0.0).abs().amax(0)
            excess = error - self.tolerance * scale
            if bool((excess > 0).any()):
                excess -= 100.0 * self._noise(batch)
            if bool((excess > 0).any()):
                worst = float((error / scale.clamp_min(1e-300))[excess > 0].max())
                return f"their removal changes outputs by {100 * worst:.2g} %"
        return ""

    def _noise(self, batch: Tensor) -> Tensor:
        """How far rounding alone moves every output, the second term of equation (1); of the shape of one row."""
        if not batch.is_floating_point():
            return torch.zeros(())
        still, moved = run(self.network, batch), run(self.network, batch * (1.0 + 4.0 * self.precision))
        return torch.where(torch.isfinite(still) & torch.isfinite(moved), still - moved, 0.0).abs().amax(0)


def run(network: nn.Module, batch: Tensor) -> Tensor:
    """The network's outputs without gradients, in float64."""
    with torch.no_grad():
        outputs: Tensor = network(batch)
    return outputs.detach().double().clone()


def make_probes(network: nn.Module, example: Tensor) -> Probes:
    """Probes around `example` (n >= 1, ...). Raises what the network raises on the example itself."""
    rows = _ROWS if example[0].numel() <= _LARGE_EXAMPLE else _LARGE_ROWS
    failure: Exception | None = None
    # A forward may know its own batch size, or mix float64 with what it makes in float32 itself.
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
    kinds = {parameter.dtype for parameter in network.parameters() if parameter.is_floating_point()}
    return max(kinds or {torch.float32}, key=lambda dtype: torch.finfo(dtype).eps)


def _probes(network: nn.Module, example: Tensor, precision: float, tolerance: float) -> Probes:
    probes = Probes(network, [], [], precision, tolerance)
    for batch in _inputs(example):
        try:
            expected = run(network, batch)
        except Exception:
            continue  # inputs of our making need not suit a network; the example does
        probes.batches.append(batch)
        probes.expected.append(expected)
    return probes


def _inputs(example: Tensor) -> list[Tensor]:
    """The example, the example at other scales, noise, and zeros; of whole numbers only mixtures of the example."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(example.numel(), generator=generator)
    shuffled = example.flatten()[order].reshape(example.shape)
    if not example.is_floating_point():
        return [example, shuffled, torch.zeros_like(example)]
    noise = torch.randn(example.shape, generator=generator, dtype=torch.float64).to(example.dtype)
    return [example, noise, example * _SCALES[1], (noise - shuffled) * _SCALES[2], torch.zeros_like(example)]


def perturbations(shape: torch.Size, like: Tensor) -> list[Callable[[], Tensor]]:
    """Makers of values that a unit without listeners may take: of both signs, only high, and only low."""
    size = 1.0 + float(like.abs().amax()) if like.numel() else 1.0
    size = size if size < 1e3 else 1e3

    def drawn(seed: int) -> Tensor:
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return (noise * size).to(like.dtype)

    return [lambda: drawn(1), lambda: drawn(2).abs() * 3.0, lambda: -drawn(3).abs() * 3.0]
