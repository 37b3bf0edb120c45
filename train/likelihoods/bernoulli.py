"""Labels that are each true or false on their own: one (binary) or several (multi-label) an example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError
from ...metric import ERROR, Metric
from .base import Likelihood, as_tensor, confusion_counts


class _Bernoulli(Likelihood):
    """Independent Bernoulli targets by their logits: all but what the targets have to look like."""

    def nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return _nll(outputs, targets)

    def soft_nll(self, outputs: Tensor, teacher: Tensor) -> Tensor:
        return _nll(outputs, teacher.sigmoid())

    def tally(self, outputs: Tensor, targets: Tensor) -> tuple[float, int]:
        return _tally(outputs, targets)


@dataclass(frozen=True)
class Binary(_Bernoulli):
    """p(y = 1 | output) = sigmoid(output): two classes by a single logit.

    Outputs are logits, (n, 1) or (n,); targets are 0 or 1 of any type, or booleans, (n,) or (n, 1). The metric is the
    error in percent, at probability 1/2.

    >>> import torch
    >>> from bayespress.train.likelihoods import Binary
    >>> likelihood = Binary()
    >>> targets = likelihood.targets([True, False], 2, (1,), "The batch")
    >>> likelihood.figure(*likelihood.tally(torch.tensor([[2.0], [3.0]]), targets))
    50.0
    """

    name = "binary"
    metric = ERROR
    wanted = "one logit, of shape (n, 1) or (n,)"

    def targets(self, targets: Any, examples: int, shape: tuple[int, ...] | None, where: str) -> Tensor:
        found = _zeros_and_ones(targets, examples, where)
        if found.numel() != examples:
            raise InputError(
                f"{where} has targets of shape {tuple(found.shape)}, and the task binary needs one an example; choose "
                "the task multi-label."
            )
        return found.reshape(examples, *(shape if shape is not None else (1,)))

    def confusion(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        return confusion_counts(outputs > 0.0, targets > 0.5, 2)

    def fits(self, shape: tuple[int, ...]) -> bool:
        return shape in ((), (1,))


@dataclass(frozen=True)
class MultiLabel(_Bernoulli):
    """p(y | outputs) = prod_k Bernoulli(y_k; sigmoid(output_k)): several labels, any number of which are true.

    Outputs are one logit a label, (n, labels); targets are 0 or 1 of any type, or booleans, (n, labels). The metric is
    the share of labels that are wrong at probability 1/2, in percent.

    >>> import torch
    >>> from bayespress.train.likelihoods import MultiLabel
    >>> likelihood = MultiLabel()
    >>> targets = likelihood.targets([[1, 0], [0, 0]], 2, (2,), "The batch")
    >>> likelihood.figure(*likelihood.tally(torch.tensor([[2.0, -2.0], [3.0, -1.0]]), targets))
    25.0
    """

    name = "multi-label"
    metric = Metric(name="label error", unit="%")
    wanted = "one logit a label, of shape (n, labels)"

    def targets(self, targets: Any, examples: int, shape: tuple[int, ...] | None, where: str) -> Tensor:
        found = _zeros_and_ones(targets, examples, where)
        if found.ndim != 2 or (shape is not None and tuple(found.shape[1:]) != shape):
            wanted = "labels" if shape is None else ", ".join(map(str, shape))
            raise InputError(
                f"{where} has targets of shape {tuple(found.shape)}, and the task multi-label needs ({examples}, "
                f"{wanted}); give a 0 or a 1 for each label, or choose the task cross-entropy for class numbers."
            )
        return found

    def fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 1


def _zeros_and_ones(targets: Any, examples: int, where: str) -> Tensor:
    """As float32. Raises InputError for other values."""
    found = as_tensor(targets, examples, where).float()
    wrong = found[(found != 0.0) & (found != 1.0)]
    if wrong.numel():
        raise InputError(
            f"{where} holds the target {wrong.flatten()[0].item():g}, and each label is 0 or 1; choose the task "
            "gaussian for real numbers, or cross-entropy for class numbers."
        )
    return found


def _nll(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(outputs, targets, reduction="sum") / max(1, len(outputs))


def _tally(outputs: Tensor, targets: Tensor) -> tuple[float, int]:
    return int(((outputs > 0.0) != (targets > 0.5)).sum()), targets.numel()
