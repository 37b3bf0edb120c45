"""What a likelihood is: the log loss of targets given outputs, the checks of both, and the figure to judge by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ...confusion import MOST_CLASSES
from ...errors import InputError
from ...metric import Metric
from ...text import printable


@dataclass(frozen=True)
class Likelihood(ABC):
    """p(target | output), which makes a task of a network and its data.

    A subclass is a frozen dataclass of its options, and says

    name    as `fit(likelihood=...)` and `train --task` take it
    metric  the figure that it is judged by
    wanted  what the outputs of a network have to be, for errors
    """

    name: ClassVar[str]
    metric: ClassVar[Metric]
    wanted: ClassVar[str]

    @abstractmethod
    def targets(self, targets: Any, examples: int, shape: tuple[int, ...] | None, where: str) -> Tensor:
        """The targets in the form that `nll` takes.

        examples  how many there have to be
        shape     of one example's outputs; None before the network is known
        where     names the targets in errors, as in "Batch 3 of epoch 0"

        Raises InputError for targets of another type or shape, and for values out of range.
        """

    @abstractmethod
    def nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """-log p(target | output) in nats, summed within an example and averaged over examples: a scalar."""

    @abstractmethod
    def tally(self, outputs: Tensor, targets: Tensor) -> tuple[float, int]:
        """What a batch adds to the metric, as a sum and a count; see `figure`."""

    def figure(self, total: float, count: int) -> float:
        """The metric from the sums of `tally` over all batches: by default the share of `total`, in percent."""
        return 100.0 * total / count

    def confusion(self, outputs: Tensor, targets: Tensor) -> Tensor | None:  # noqa: ARG002
        """What a batch adds to the confusion matrix, see `confusion_counts`; by default None: there are no classes."""
        return None

    def soft_nll(self, outputs: Tensor, teacher: Tensor) -> Tensor:  # noqa: ARG002
        """The log loss when a teacher's outputs stand for the targets, for distillation.

        Raises InputError where the likelihood does not define it.
        """
        raise InputError(f"Distillation is not defined under the likelihood {self.name}; set distill to 0.")

    def loss(self, outputs: Tensor, given: Any, where: str = "The batch") -> Tensor:
        """`nll` of targets as a loader gives them, checked. Raises InputError as `targets` does."""
        targets = self.targets(given, len(outputs), tuple(outputs.shape[1:]), where)
        return self.nll(outputs, targets.to(outputs.device))

    def fits(self, shape: tuple[int, ...]) -> bool:  # noqa: ARG002
        """Whether outputs of this shape, without the batch axis, can be under this likelihood: by default of any."""
        return True

    def checked_outputs(self, outputs: Any, inputs: Tensor) -> Tensor:
        """The outputs of a network for `inputs`. Raises InputError for anything that has no likelihood."""
        if not isinstance(outputs, Tensor):
            raise InputError(
                f"The network gives a {type(outputs).__name__}, and a tensor is needed, {self.wanted}; return only "
                "that from its forward."
            )
        right = outputs.ndim > 0 and len(outputs) == len(inputs) and outputs.is_floating_point()
        if not right or not self.fits(tuple(outputs.shape[1:])):
            raise InputError(
                f"The network gives outputs of shape {tuple(outputs.shape)} and type {type_of(outputs)} for inputs of "
                f"shape {tuple(inputs.shape)}; the likelihood {self.name} needs {self.wanted}."
            )
        return outputs

    def options(self) -> dict[str, Any]:
        """The options by name, for the record of a run."""
        return asdict(self)


def confusion_counts(predicted: Tensor, targets: Tensor, classes: int) -> Tensor | None:
    """How many examples of each class were taken for each class, (classes, classes), the class first.

    predicted, targets  class numbers, of the same shape

    Returns None for more than MOST_CLASSES classes, whose counts no record keeps.

    >>> import torch
    >>> from bayespress.train.likelihoods.base import confusion_counts
    >>> confusion_counts(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    if classes > MOST_CLASSES:
        return None
    pairs = targets.flatten().long() * classes + predicted.flatten().long()
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def as_tensor(targets: Any, examples: int, where: str) -> Tensor:
    """Targets as a dense tensor of real numbers with one row an example. Raises InputError."""
    if isinstance(targets, list | tuple | np.ndarray):
        try:
            array = np.asarray(targets)
        except ValueError:  # rows of several lengths
            array = np.asarray(None)
        if array.dtype.kind in "buif" and array.dtype.itemsize <= 8:
            if array.dtype.kind == "u" and array.dtype.itemsize > 1:  # torch lacks operations on these
                array = array.astype(np.int64)
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
            targets = torch.from_numpy(np.ascontiguousarray(array))
    if not isinstance(targets, Tensor) or targets.is_complex() or targets.layout != torch.strided:
        kind = printable(type_of(targets))
        raise InputError(f"{where} has targets of type {kind}; give a dense tensor, or an array, of real numbers.")
    if targets.ndim == 0 or len(targets) != examples:
        raise InputError(f"{where} has {examples} inputs and targets of shape {tuple(targets.shape)}; give one each.")
    return targets


def type_of(value: Any) -> str:
    """The element type of a tensor or an array, and the class of anything else, for errors."""
    return str(getattr(value, "dtype", type(value).__name__)).removeprefix("torch.")
