"""Retraining of levels and codebooks with the structure fixed.

What is trained is what the file will hold. A weight on a grid of step s is s round(u), u its real-valued level; the
rounding is passed over backwards (Bengio et al. 2013, section 2.3), and the step is trained with the levels. A weight
that shares a value moves with all that share it (Han et al. 2016, section 3.3). The loss is the length, in nats an
example, of a message that sends a receiver first the network and then the labels (Hinton and van Camp 1993),

    (7)  -mean log p(label | input, s round(u))  +  rate * log 2 * bits(u) / N,

with the bits of equation (6) in rate.py, by straight lines between whole levels, and N training examples. Weights that
were struck out stay so; others may go on to 0. Tensors that have no coding, and the statistics of batch norms, stay as
they are.
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

_REFRESH = 100  # batches between two counts of how often each level occurs
_STEP_RATE = 0.1  # learning rate of the logarithm of a step, relative to that of levels
_SPARE = 4  # magnitudes beyond the present largest that have a price until the next count


def _cross_entropy(outputs: Tensor, labels: Any) -> Tensor:
    """Of classes, as labels.class_labels takes them."""
    return F.cross_entropy(outputs, class_labels(labels, len(outputs), outputs.shape[1], "A batch to retrain on"))


def _soft_cross_entropy(outputs: Tensor, teacher: Tensor) -> Tensor:
    return F.cross_entropy(outputs, teacher.softmax(1))


@dataclass(frozen=True)
class Labelled:
    """Data to retrain on, and the loss.

    batches   the batches of an epoch, by its number: inputs (n, ...) and targets (n, ...)
    count     batches in an epoch
    examples  in an epoch
    nll       of outputs (n, ...) and targets as the batches give them: -log p(target | output) in nats, the mean over
              examples; by default cross entropy, outputs (n, classes) and classes of any integer type
    soft_nll  the same with the outputs of the original network in place of targets, for distillation
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
        """The tensors as the file will hold them, with gradients that see no rounding."""

    @abstractmethod
    def codings(self) -> dict[str, tuple[Tensor, Coding]]:
        """The same at the end, without gradients, and what they lie on."""


class _OnGrid(_Part):
    """Tensors of one layer that share a step. Only weights that are not 0 at the start have a level to train."""

    def __init__(self, tensors: Mapping[str, Tensor], step: float) -> None:
        super().__init__()
        self.names = list(tensors)
        self.shapes = [tensor.shape for tensor in tensors.values()]
        self.places = [tensor.flatten().nonzero().flatten() for tensor in tensors.values()]
        self.log_step = nn.Parameter(torch.tensor(math.log(step)))
        self.levels = nn.ParameterList(
            [
                tensor.flatten()[place].float() / step
                for tensor, place in zip(tensors.values(), self.places, strict=True)
            ]
        )
        self.count()

    def count(self) -> None:
        """See afresh how often each level occurs."""
        self.bits = [LevelBits(self.whole(k), _SPARE).at(place) for k, place in enumerate(self.places)]

    def whole(self, k: int) -> Tensor:
        """The k-th tensor's levels as they round."""
        levels: Tensor = self.levels[k].detach()
        return self._spread(k, levels.round())

    def values(self) -> dict[str, Tensor]:
        step = self.log_step.exp()
        return {
            name: self._spread(k, step * (levels + (levels.round() - levels).detach()))
            for k, (name, levels) in enumerate(zip(self.names, self.levels, strict=True))
        }

    def add_length_gradient(self, weight: float) -> None:
        """Add `weight` times the gradient of the levels' bits to theirs, behind the backward pass."""
        for bits, levels in zip(self.bits, self.levels, strict=True):
            if levels.grad is not None:
                levels.grad.add_(bits.slope(levels.detach()), alpha=weight)

    def codings(self) -> dict[str, tuple[Tensor, Coding]]:
        step = storable_step(math.exp(self.log_step.item()))
        return {
            name: (grid_values(self.whole(k).to(torch.int32), step), Grid(step)) for k, name in enumerate(self.names)
        }

    def _spread(self, k: int, values: Tensor) -> Tensor:
        """Values (n,) of the weights that have a level, among zeros in the k-th tensor's shape."""
        flat = values.new_zeros(self.shapes[k].numel())
        return flat.index_put((self.places[k],), values).reshape(self.shapes[k])


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
    """Retrain `network` in place; the codings that its tensors then lie on.

    codings  by tensor name. What is to lie on a grid need not do so yet: its levels are rounded from where it is
    teacher  whose outputs are among the labels, by the weight settings.distill; takes the same inputs

    Raises InputError when the loss stops being finite.
    """
    state = tensors_of(network)
    parameters = dict(network.named_parameters())  # batch norms' statistics are not trained
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
            if batch % _REFRESH == 0:
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
    found = dict(codings)
    with torch.no_grad():
        for each in parts:
            for name, (values, coding) in each.codings().items():
                state[name].copy_(values)
                found[name] = coding
    return found


def _batches(data: Labelled, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an epoch, of which the user's code makes each."""
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
    """What is trained, layer by layer; weights that share values across layers go `together`."""
    by_step: dict[tuple[str, float], dict[str, Tensor]] = {}
    books: dict[str, dict[str, Tensor]] = {}
    for name, coding in codings.items():
        if name not in parameters:
            continue
        if isinstance(coding, Grid):
            by_step.setdefault((name.rpartition(".")[0], coding.step), {})[name] = parameters[name].detach()
        elif coding == SHARED:
            books.setdefault("" if together and parameters[name].detach().ndim > 1 else name, {})[name] = parameters[
                name
            ].detach()
    grids = [_OnGrid(tensors, step) for (_, step), tensors in by_step.items()]
    return [*grids, *(_OnCodebook(tensors) for tensors in books.values())]


def _groups(parts: Sequence[_Part], learning_rate: float) -> list[dict[str, object]]:
    """Levels and shared values move by their own distances, steps by their logarithm."""
    groups: list[dict[str, object]] = []
    for part in parts:
        if isinstance(part, _OnGrid):
            groups.append({"params": list(part.levels), "lr": learning_rate})
            groups.append({"params": [part.log_step], "lr": learning_rate * _STEP_RATE})
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
    """The log loss in nats an example of outputs and targets, in which the teacher's outputs have their weight."""
    values: dict[str, Tensor] = {}
    for part in parts:
        values |= part.values()
    outputs = torch.func.functional_call(network, values, (inputs,))
    loss = data.nll(outputs, targets)
    if teacher is None or weight == 0.0:
        return loss
    with torch.no_grad():
        taught = teacher(inputs)
    return (1.0 - weight) * loss + weight * data.soft_nll(outputs, taught)
