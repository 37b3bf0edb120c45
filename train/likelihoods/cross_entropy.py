"""One class an example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError
from ...labels import class_labels
from ...metric import ERROR
from .base import Likelihood, confusion_counts


@dataclass(frozen=True)
class CrossEntropy(Likelihood):
    """p(c | outputs) = softmax(outputs)_c, for classification.

    Outputs are one logit a class, (n, classes); targets are class numbers of any integer type, (n,) or (n, 1), or
    one-hot, (n, classes). The metric is the top-1 error in percent.

    >>> import torch
    >>> from bayespress.train.likelihoods import CrossEntropy
    >>> outputs = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    >>> likelihood = CrossEntropy()
    >>> likelihood.figure(*likelihood.tally(outputs, torch.tensor([0, 0])))
    50.0
    """

    name = "cross-entropy"
    metric = ERROR
    wanted = "one logit a class, of shape (n, classes)"

    def targets(self, targets: Any, examples: int, shape: tuple[int, ...] | None, where: str) -> Tensor:
        if shape is None:
            raise InputError(f"{where} has class numbers, and no names of classes; give one for each class.")
        return class_labels(targets, examples, shape[0], where)

    def nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets)

    def soft_nll(self, outputs: Tensor, teacher: Tensor) -> Tensor:
        return F.cross_entropy(outputs, teacher.softmax(1))

    def tally(self, outputs: Tensor, targets: Tensor) -> tuple[float, int]:
        return int((outputs.argmax(1) != targets).sum()), len(targets)

    def confusion(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        return confusion_counts(outputs.argmax(1), targets, outputs.shape[1])

    def fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 1
