"""One class a pixel: segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError
from ...metric import Metric
from .base import Likelihood, as_tensor, confusion_counts, type_of


@dataclass(frozen=True)
class PixelCrossEntropy(Likelihood):
    """p(c | outputs) = prod over pixels of softmax(outputs of the pixel)_c, for segmentation.

    ignore  class number of pixels that nothing is known of; None where all are known

    Outputs are one logit a class and pixel, (n, classes, height, width) or of another number of axes; targets are class
    numbers of any integer type, (n, height, width). The metric is the share of known pixels with a wrong class, in
    percent.

    >>> import torch
    >>> from bayespress.train.likelihoods import PixelCrossEntropy
    >>> likelihood = PixelCrossEntropy(ignore=255)
    >>> outputs = torch.tensor([[[[2.0, 2.0, 0.0]], [[0.0, 0.0, 2.0]]]])
    >>> likelihood.figure(*likelihood.tally(outputs, torch.tensor([[[0, 1, 255]]])))
    50.0
    """

    ignore: int | None = None

    name = "pixel-cross-entropy"
    metric = Metric(name="pixel error", unit="%")
    wanted = "one logit a class and pixel, of shape (n, classes, height, width)"

    def __post_init__(self) -> None:
        """Raises InputError for a class number that is none."""
        if self.ignore is not None and (isinstance(self.ignore, bool) or not isinstance(self.ignore, int)):
            raise InputError(f"The class to ignore is {self.ignore!r}; it has to be a whole number.")

    def targets(self, targets: Any, examples: int, shape: tuple[int, ...] | None, where: str) -> Tensor:
        found = as_tensor(targets, examples, where)
        if found.is_floating_point() or found.ndim < 2:
            raise InputError(
                f"{where} has targets of shape {tuple(found.shape)} and type {type_of(found)}, and the task "
                f"{self.name} needs a class number for each pixel; choose the task "
                f"{'gaussian for real numbers' if found.is_floating_point() else 'cross-entropy for one class a row'}."
            )
        found = found.to(torch.int64)
        if shape is not None:
            if tuple(found.shape[1:]) != shape[1:]:
                raise InputError(
                    f"{where} has targets of shape {tuple(found.shape)}, and the network's outputs are of shape "
                    f"{(examples, *shape)}; give the targets the outputs' height and width."
                )
            known = found if self.ignore is None else found[found != self.ignore]
            wrong = known[(known < 0) | (known >= shape[0])]
            if wrong.numel():
                raise InputError(
                    f"{where} holds the pixel class {int(wrong[0])}; classes are 0 to {shape[0] - 1}, and the option "
                    "ignore names one that is not counted."
                )
        return found

    def nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        ignored = -100 if self.ignore is None else self.ignore
        return F.cross_entropy(outputs, targets, ignore_index=ignored, reduction="sum") / max(1, len(outputs))

    def soft_nll(self, outputs: Tensor, teacher: Tensor) -> Tensor:
        return F.cross_entropy(outputs, teacher.softmax(1), reduction="sum") / max(1, len(outputs))

    def tally(self, outputs: Tensor, targets: Tensor) -> tuple[float, int]:
        known = self._known(targets)
        return int(((outputs.argmax(1) != targets) & known).sum()), int(known.sum())

    def confusion(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        known = self._known(targets)
        return confusion_counts(outputs.argmax(1)[known], targets[known], outputs.shape[1])

    def _known(self, targets: Tensor) -> Tensor:
        """Which pixels count."""
        return torch.ones_like(targets, dtype=torch.bool) if self.ignore is None else targets != self.ignore

    def fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) >= 2
