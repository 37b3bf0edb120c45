"""Real-valued targets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from ...metric import Metric
from .base import Likelihood, as_tensor, type_of


@dataclass(frozen=True)
class Gaussian(Likelihood):
    """p(y | f) = prod_k N(y_k; f_k, sigma^2), for regression; -log p is the squared error over 2 sigma^2.

    sigma  standard deviation of the targets about the outputs, in the unit of the targets. The larger it is, the more
           the prior weighs against the data, and the more weights are removed. Standardised targets suit the default

    Outputs are real numbers of the targets' shape, (n, ...); targets of shape (n,) go with outputs of shape (n,) or
    (n, 1). The metric is the root of the mean squared error (RMSE), in the unit of the targets.

    Source: MacKay, "A practical Bayesian framework for backpropagation networks", 1992, equation 2.

    >>> import torch
    >>> from bayespress.train.likelihoods import Gaussian
    >>> likelihood = Gaussian(sigma=0.5)
    >>> likelihood.figure(*likelihood.tally(torch.zeros(2, 1), torch.tensor([[3.0], [-3.0]])))
    3.0
    """

    sigma: float = 1.0

    name = "gaussian"
    metric = Metric(name="RMSE")
    wanted = "one real number a target, of the targets' shape (n, ...)"

    def __post_init__(self) -> None:
        """Raises InputError for a deviation that is none."""
        sigma: object = self.sigma  # recipes are untyped
        if isinstance(sigma, bool) or not isinstance(sigma, int | float) or not 0.0 < sigma < math.inf:
            raise InputError(f"The sigma of the gaussian likelihood is {sigma!r}; it has to be a number above 0.")

    def targets(self, targets: Any, examples: int, shape: tuple[int, ...] | None, where: str) -> Tensor:
        found = as_tensor(targets, examples, where)
        if found.dtype == torch.bool:
            raise InputError(
                f"{where} has targets of type bool, and the task gaussian needs numbers; choose the task binary or "
                "multi-label."
            )
        numbers = found.float()
        if not bool(torch.isfinite(numbers).all()):
            raise InputError(f"{where} holds targets of type {type_of(found)} that are not finite; mend the data.")
        if numbers.ndim == 1 and shape != ():
            numbers = numbers[:, None]
        elif shape == () and tuple(numbers.shape[1:]) == (1,):
            numbers = numbers[:, 0]
        if shape is not None and tuple(numbers.shape[1:]) != shape:
            raise InputError(
                f"{where} has targets of shape {tuple(found.shape)}, and the network's outputs are of shape "
                f"{(examples, *shape)}; give the network one output for each number of a target."
            )
        return numbers

    def nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        squares = (outputs - targets).square().sum() / max(1, len(outputs))
        constant = 0.5 * math.log(2.0 * math.pi * self.sigma**2) * math.prod(outputs.shape[1:])
        return squares / (2.0 * self.sigma**2) + constant

    def soft_nll(self, outputs: Tensor, teacher: Tensor) -> Tensor:
        return self.nll(outputs, teacher)

    def tally(self, outputs: Tensor, targets: Tensor) -> tuple[float, int]:
        return float((outputs.double() - targets.double()).square().sum()), targets.numel()

    def figure(self, total: float, count: int) -> float:
        return math.sqrt(total / count)
