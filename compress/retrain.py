"""Retrain levels and shared values while the structure of the network stays fixed.

The trained parameters are those that the file will hold. A weight on a grid of step s is s round(u), where u is its
real-valued level. The backward pass treats the rounding as the identity (Bengio et al. 2013, section 2.3), and the step
is trained together with the levels. A shared value is one parameter for all weights that use it (Han et al. 2016,
section 3.3). The loss is the length, in nats per example, of a message that transmits first the network and then the
labels (Hinton and van Camp 1993),

    (7)  -mean log p(label | input, s round(u))  +  rate * log 2 * bits(u) / N,

with the bits of equation (6) in rate.py, interpolated linearly between integer levels, and N training examples. Pruned
weights stay 0, and further weights may become 0. Tensors without a coding and the statistics of batch norms do not
change.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..codec import Grid
from ..errors import InputError, user_code
from ..labels import class_labels
from .quantize import SHARED, Coding, grid_values, storable_step
from .rate import LevelBits
from .settings import CompressSettings
from .tensors import tensors_of

_COUNT_INTERVAL = 100  # batches between two counts of how often each level occurs
_STEP_LEARNING_RATE = 0.1  # learning rate of the logarithm of a step, relative to that of levels
_SPARE = 4  # number of magnitudes beyond the largest one that have a cost until the next count


def _cross_entropy(outputs: Tensor, labels: Any) -> Tensor:
    """Mean cross entropy in nats of outputs (n, classes, ...) and labels as labels.class_labels accepts them."""
    return F.cross_entropy(outputs, class_labels(labels, len(outputs), outputs.shape[1], "A batch to retrain on"))


def _soft_cross_entropy(outputs: Tensor, teacher: Tensor) -> Tensor:
    return F.cross_entropy(outputs, teacher.softmax(1))


@dataclass(frozen=True)
class Labelled:
    """The data and the loss of retraining.

    batches   returns the batches of an epoch, given its number: inputs (n, ...) and targets (n, ...)
    count     number of batches in an epoch
    examples  number of examples in an epoch
    nll       the loss of outputs (n, ...) and targets: -log p(target | output) in nats, the mean over examples. The
              default is cross entropy of outputs (n, classes) and class numbers of any integer type
    soft_nll  the loss of outputs and the outputs of the original network instead of targets, for distillation
    """

    batches: Callable[[int], Iterable[tuple[Tensor, Tensor]]]
    count: int
    examples: int
    nll: Callable[[Tensor, Any], Tensor] = _cross_entropy
    soft_nll: Callable[[Tensor, Tensor], Tensor] = _soft_cross_entropy


class _Part(nn.Module):
    """Tensors of the network that are trained together."""

    @abstractmethod
    def values(self) -> dict[str, Tensor]:
        """The tensors as the file will hold them, by name; their gradients pass through the rounding unchanged."""

    @abstractmethod
    def codings(self) -> dict[str, tuple[Tensor, Coding]]:
        """The final values, without gradients, and their coding, by name."""


class _OnGrid(_Part):
    """Tensors of one layer that share a step. Only weights that are non-zero at the start have a trainable level."""

    def __init__(self, tensors: Mapping[str, Tensor], step: float) -> None:
        super().__init__()
        self.names = list(tensors)
        self.shapes = [tensor.shape for tensor in tensors.values()]
        self.indices = [tensor.flatten().nonzero().flatten() for tensor in tensors.values()]
        self.log_step = nn.Parameter(torch.tensor(math.log(step)))
        self.levels = nn.ParameterList(
            [
                tensor.flatten()[index].float() / step
                for tensor, index in zip(tensors.values(), self.indices, strict=True)
            ]
        )
        self.count()

    def count(self) -> None:
        """Recount how often each level occurs, which sets the bits of levels."""
        self.bits = [LevelBits(self.rounded(k), _SPARE).at(index) for k, index in enumerate(self.indices)]

    def rounded(self, k: int) -> Tensor:
        """The rounded levels of the k-th tensor, in its shape."""
        levels: Tensor = self.levels[k].detach()
        return self._scatter(k, levels.round())

    def values(self) -> dict[str, Tensor]:
        step = self.log_step.exp()
        return {
            name: self._scatter(k, step * (levels + (levels.round() - levels).detach()))
            for k, (name, levels) in enumerate(zip(self.names, self.levels, strict=True))
        }

    def add_length_gradient(self, weight: float) -> None:
        """Add `weight` times the gradient of the bits to the levels' gradients, after the backward pass."""
        for bits, levels in zip(self.bits, self.levels, strict=True):
            if levels.grad is not None:
                levels.grad.add_(bits.slope(levels.detach()), alpha=weight)

    def codings(self) -> dict[str, tuple[Tensor, Coding]]:
        step = storable_step(math.exp(self.log_step.item()))
        return {
            name: (grid_values(self.rounded(k).to(torch.int32), step), Grid(step)) for k, name in enumerate(self.names)
        }

    def _scatter(self, k: int, values: Tensor) -> Tensor:
        """The k-th tensor with `values` (n,) at the weights that have a level, and 0 elsewhere."""
        flat = values.new_zeros(self.shapes[k].numel())
        return flat.index_put((self.indices[k],), values).reshape(self.shapes[k])


class _OnCodebook(_Part):
    """Tensors whose weights share values."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        together = torch.cat([tensor.float().flatten() for tensor in tensors.values()])
        entries, index = torch.unique(together, return_inverse=True)
        parts = torch.split(index, [tensor.numel() for tensor in tensors.values()])
        self.index = {name: part.reshape(t.shape) for (name, t), part in zip(tensors.items(), parts, strict=True)}
        self.zero = entries == 0
        self.entries = nn.Parameter(entries)

    def values(self) -> dict[str, Tensor]:
        entries = self.entries.masked_fill(self.zero, 0.0)
        return {name: entries[index] for name, index in self.index.items()}

    def codings(self) -> dict[str, tuple[Tensor, Coding]]:
        return {name: (values.detach(), SHARED) for name, values in self.values().items()}


def retrain(
    network: nn.Module,
    codings: Mapping[str, Coding],
    data: Labelled,
    settings: CompressSettings,
    *,
    teacher: nn.Module | None = None,
    progress: Callable[[str], None] = lambda _text: None,
) -> dict[str, Coding]:
    """Retrain `network` in place. Returns the new codings, to which its tensors are rounded.

    codings  by tensor name. A tensor with a grid need not be rounded yet: its levels start from its present values
    teacher  network whose outputs are also targets, with the weight settings.distill; it takes the same inputs

    Raises InputError when the loss becomes infinite or NaN.
    """
    state = tensors_of(network)
    parameters = dict(network.named_parameters())  # statistics of batch norms are buffers and are not trained
    parts = _parts(parameters, codings, together=settings.shared)
    if not parts or settings.retrain == 0:
        return dict(codings)
    grids = [part for part in parts if isinstance(part, _OnGrid)]
    optimizer = torch.optim.Adam(_groups(parts, settings.learning_rate), fused=True)
    steps = settings.retrain * data.count
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1.0 - step / steps))
    network.eval()
    for epoch in range(settings.retrain):
        total = 0.0
        for batch, (inputs, targets) in enumerate(_batches(data, epoch)):
            if batch % _COUNT_INTERVAL == 0:
                for part in grids:
                    part.count()
            with user_code("the loss of retraining on the data given"):
                loss = _log_loss(network, parts, inputs, targets, teacher, data, settings.distill)
            if not bool(torch.isfinite(loss)):
                raise InputError(
                    f"The loss of retraining became {loss.item()} in epoch {epoch}; lower its learning rate."
                )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if settings.rate_weight > 0.0:
                for part in grids:
                    part.add_length_gradient(settings.rate_weight * math.log(2.0) / data.examples)
            optimizer.step()
            decay.step()
            total += loss.item()
        progress(f"retraining, epoch {epoch + 1} of {settings.retrain}: log loss {total / data.count:.4f}")
    retrained = dict(codings)
    with torch.no_grad():
        for name, (values, coding) in (entry for part in parts for entry in part.codings().items()):
            state[name].copy_(values)
            retrained[name] = coding
    return retrained


def _batches(data: Labelled, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an epoch; errors of the user's code that makes them become InputError."""
    with user_code("the training data"):
        batches = iter(data.batches(epoch))
    while True:
        with user_code("the training data"):
            try:
                inputs, labels = next(batches)
            except StopIteration:
                return
        yield inputs, labels


def _parts(parameters: Mapping[str, Tensor], codings: Mapping[str, Coding], *, together: bool) -> list[_Part]:
    """The trained parts of a network.

    together  weights share one codebook across layers; otherwise each tensor has its own
    """
    by_step: dict[tuple[str, float], dict[str, Tensor]] = {}
    books: dict[str, dict[str, Tensor]] = {}
    for name, coding in codings.items():
        if name not in parameters:
            continue
        tensor = parameters[name].detach()
        if isinstance(coding, Grid):
            by_step.setdefault((name.rpartition(".")[0], coding.step), {})[name] = tensor
        elif coding == SHARED:
            books.setdefault("" if together and tensor.ndim > 1 else name, {})[name] = tensor
    grids = [_OnGrid(tensors, step) for (_, step), tensors in by_step.items()]
    return [*grids, *(_OnCodebook(tensors) for tensors in books.values())]


def _groups(parts: Sequence[_Part], learning_rate: float) -> list[dict[str, object]]:
    """The optimiser's parameter groups: learning rates are relative to a level, a codebook's spacing, and log step."""
    groups: list[dict[str, object]] = []
    for part in parts:
        if isinstance(part, _OnGrid):
            groups.append({"params": list(part.levels), "lr": learning_rate})
            groups.append({"params": [part.log_step], "lr": learning_rate * _STEP_LEARNING_RATE})
        elif isinstance(part, _OnCodebook):
            entries = part.entries.detach()
            distance = float(entries.max() - entries.min()) / max(1, len(entries) - 1)
            groups.append({"params": [part.entries], "lr": learning_rate * distance})
    return groups


def _log_loss(
    network: nn.Module,
    parts: Sequence[_Part],
    inputs: Tensor,
    targets: Tensor,
    teacher: nn.Module | None,
    data: Labelled,
    weight: float,
) -> Tensor:
    """The loss in nats per example; the teacher's outputs count with `weight`, the targets with 1 - `weight`."""
    values: dict[str, Tensor] = {}
    for part in parts:
        values |= part.values()
    outputs = torch.func.functional_call(network, values, (inputs,))
    loss = data.nll(outputs, targets)
    if teacher is None or weight == 0.0:
        return loss
    with torch.no_grad():
        teacher_outputs = teacher(inputs)
    return (1.0 - weight) * loss + weight * data.soft_nll(outputs, teacher_outputs)
