"""Kullback-Leibler divergences between variational posteriors and their priors, one function a pair."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .kernels import floats, lib, takes

# Fitted constants of Molchanov et al. 2017, equation 14.
_K1, _K2, _K3 = 0.63576, 1.87320, 1.48695
# Added to a squared mean under the logarithm, as in the authors' code: a mean of exactly 0 has no log alpha.
TINY = 1e-8


def log_uniform_kl(log_alpha: Tensor) -> Tensor:
    """KL(N(w | theta, alpha theta^2) || log-uniform), elementwise, in nats.

    KL ~ k1 - k1 sigmoid(k2 + k3 log_alpha) + 0.5 log(1 + alpha^-1)

    log_alpha  log of the noise-to-signal ratio alpha = sigma^2 / theta^2, any shape
    k1, k2, k3 0.63576, 1.87320, 1.48695

    The improper prior leaves the divergence defined up to a constant; as in the paper's equation 14 it is
    chosen so that KL -> 0 as alpha -> infinity (the paper states -KL, and its C = -k1).
    Source: Molchanov, Ashukha, Vetrov, "Variational Dropout Sparsifies Deep Neural Networks", 2017, eq. 14.
    """
    return _K1 * torch.sigmoid(-(_K2 + _K3 * log_alpha)) + 0.5 * F.softplus(-log_alpha)


def total_log_uniform_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Sum of log_uniform_kl over weights N(mean, exp(log_variance)), in nats; a scalar.

    The gradient is worked out by hand in few passes over memory: this runs over every weight in every step, and
    through autograd it took longer than the network's own forward and backward pass.
    """
    total: Tensor = _TotalLogUniformKL.apply(mean, log_variance)  # type: ignore[no-untyped-call]
    return total


class _TotalLogUniformKL(torch.autograd.Function):
    """With s = sigmoid(-(k2 + k3 log_alpha)) and t = sigmoid(log_alpha):

    KL = k1 s - 0.5 log t,   d KL / d log_alpha = -k1 k3 s (1 - s) - 0.5 (1 - t)

    Compiled (kernels/kl.c) for float32 in main memory, by PyTorch's operations for everything else.
    """

    @staticmethod
    def forward(ctx: Any, mean: Tensor, log_variance: Tensor) -> Tensor:
        ctx.compiled = takes(mean, log_variance)
        if ctx.compiled:
            ctx.save_for_backward(mean, log_variance)
            return mean.new_tensor(lib.bp_log_uniform_kl(mean.numel(), floats(mean), floats(log_variance)))
        square = mean.square().add_(TINY)
        log_alpha = torch.log(square).neg_().add_(log_variance)
        s = torch.mul(log_alpha, -_K3).sub_(_K2).sigmoid_()
        t = log_alpha.sigmoid_()
        total = _K1 * s.sum() - 0.5 * torch.log(t).sum()
        slope = torch.addcmul(s, s, s, value=-1.0).mul_(-_K1 * _K3).add_(t.sub_(1.0), alpha=0.5)
        ctx.save_for_backward(mean, square, slope)
        return total

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor]:
        if ctx.compiled:
            mean, log_variance = ctx.saved_tensors
            by_mean, by_log_variance = torch.zeros_like(mean), torch.zeros_like(mean)
            lib.bp_log_uniform_kl_gradient(
                mean.numel(), floats(mean), floats(log_variance), outer.item(),
                floats(by_mean), floats(by_log_variance),
            )  # fmt: skip
            return by_mean, by_log_variance
        mean, square, slope = ctx.saved_tensors
        by_log_variance = slope * outer
        return torch.mul(by_log_variance, mean).div_(square).mul_(-2.0), by_log_variance


def add_log_uniform_kl_gradient(mean: Tensor, log_variance: Tensor, weight: float, *, chain: bool = False) -> bool:
    """Add `weight` times the gradient of total_log_uniform_kl to the parameters' `grad`, in place, where that can be.

    chain  what `log_variance.grad` holds is a gradient by the variance (see deferred_variance.py) and becomes one by
           its logarithm on the way; the caller has seen to it that the compiled loop takes these tensors

    Through autograd the same costs four new tensors of the weights' size, whose memory the system has to hand out anew
    in every step: in small dense networks more than all arithmetic of the KL.
    """
    gradients = [parameter.grad for parameter in (mean, log_variance)]
    if any(gradient is None or not takes(gradient) for gradient in gradients) or not takes(mean, log_variance):
        return False
    arrays = [floats(tensor) for tensor in (mean, log_variance)]
    add = lib.bp_log_uniform_kl_chain if chain else lib.bp_log_uniform_kl_gradient
    add(mean.numel(), *arrays, weight, *[floats(g) for g in gradients if g is not None])
    return True


def standard_normal_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)), elementwise, in nats.

    Source: Louizos, Ullrich, Welling, "Bayesian Compression for Deep Learning", 2017, eq. 8.
    """
    return 0.5 * (log_variance.exp() + mean.square() - log_variance - 1.0)


def log_normal_gamma_kl(mean: Tensor, log_variance: Tensor, scale: float) -> Tensor:
    """KL(LN(mean, v) || Gamma(1/2, scale)), elementwise, in nats, v = exp(log_variance).

    The log-normal is given by mean m and variance v of its logarithm, the Gamma by shape and scale. With
    E[log x] = m and E[x] = exp(m + v/2) the expectations are closed:

    KL = exp(m + v/2) / scale - (m - log scale) / 2 - (log v + 1 + log 2) / 2

    Source: Louizos et al. 2017, appendix; derived anew here, with the scale as the Gamma has it.
    """
    expected = torch.exp(mean + 0.5 * log_variance.exp() - math.log(scale))
    return expected - 0.5 * (mean - math.log(scale)) - 0.5 * (log_variance + 1.0 + math.log(2.0))


def log_normal_inverse_gamma_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(LN(mean, v) || InverseGamma(1/2, 1)), elementwise, in nats, v = exp(log_variance).

    1/x of an inverse Gamma is a Gamma and of a log-normal the log-normal with -mean, so

    KL = exp(-m + v/2) + m / 2 - (log v + 1 + log 2) / 2

    Source: Louizos et al. 2017, appendix.
    """
    return log_normal_gamma_kl(-mean, log_variance, 1.0)
