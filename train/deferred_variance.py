"""Variances of log-variance parameters whose chain rule is left to the pass that adds the KL's gradient.

A backward pass of its own through exp reads two tensors of the weights' size and writes a third, new one; in a dense
network at a small batch that is a tenth of the step. The KL's pass reads the log variances and writes their gradient
anyway, so d / d log sigma^2 = sigma^2 d / d sigma^2 is applied there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class DeferredVariance:
    """sigma^2 of one parameter that holds log sigma^2, in a tensor that is used anew at every step.

    What a backward pass leaves in the parameter's `grad` is then the gradient by sigma^2. It is for the caller to say
    when a step is over: the fused optimisers change a parameter without counting up its version.
    """

    def __init__(self, log_variance: Tensor) -> None:
        self._variance = torch.empty_like(log_variance, requires_grad=False)
        self._stale = True

    def of(self, log_variance: Tensor) -> Tensor:
        """sigma^2, computed once a step however often the layer runs."""
        if self._stale:
            with torch.no_grad():
                torch.exp(log_variance, out=self._variance)
            self._stale = False
        variance: Tensor = _PassThrough.apply(log_variance, self._variance)  # type: ignore[no-untyped-call]
        return variance

    def expire(self) -> None:
        """The parameter is about to change."""
        self._stale = True


class _PassThrough(torch.autograd.Function):
    """The second argument in place of the first, with the first's gradient."""

    @staticmethod
    def forward(ctx: Any, log_variance: Tensor, variance: Tensor) -> Tensor:  # noqa: ARG004
        return variance.view_as(variance)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return outer, None
