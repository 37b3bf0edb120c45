"""Kullback-Leibler divergences between variational posteriors and their priors, one function a pair."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Fitted constants of Molchanov et al. 2017, equation 14.
_K1, _K2, _K3 = 0.63576, 1.87320, 1.48695


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
