"""The local reparameterisation's last line: Gaussian outputs from their means and variances."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .kernels import floats, lib, takes
from .kl import TINY


def gaussian_output(mean: Tensor, variance: Tensor) -> Tensor:
    """b = mean + sqrt(variance) eps, eps ~ N(0, 1) elementwise; differentiable in both, of one shape.

    Source: Kingma, Salimans, Welling, "Variational Dropout and the Local Reparameterization Trick", 2015, eq. 6.
    The gradient is by hand: these are a network's largest tensors, and autograd kept four of them where one does.
    Compiled (kernels/kl.c) for float32 in main memory.
    """
    output: Tensor = _GaussianOutput.apply(mean, variance)  # type: ignore[no-untyped-call]
    return output


class _GaussianOutput(torch.autograd.Function):
    """d b / d variance = eps / (2 sqrt(variance)); TINY keeps the root of 0 differentiable."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, variance: Tensor) -> Tensor:
        if takes(mean, variance):
            noise, output = torch.randn(mean.shape), torch.empty_like(mean)
            lib.bp_gaussian_output(
                mean.numel(), floats(mean), floats(variance), TINY, floats(noise), floats(output)
            )  # fmt: skip
            ctx.save_for_backward(noise)
            return output
        deviation = (variance + TINY).sqrt_()
        # Drawn in float32 and in the order of memory: that PyTorch does by vectors, all else one at a time.
        noise = torch.randn(deviation.numel(), dtype=torch.float32, device=deviation.device)
        noise = noise.as_strided(deviation.shape, deviation.stride()).to(deviation.dtype)
        output = torch.addcmul(mean, deviation, noise)
        ctx.save_for_backward(noise.div_(deviation).mul_(0.5))
        return output

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor]:
        (slope,) = ctx.saved_tensors
        return outer, torch.mul(outer, slope)
