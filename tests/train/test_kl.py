"""The KL approximation against the integral that it approximates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bayespress.train.kl import log_uniform_kl


def exact_kl(log_alpha: float) -> float:
    """-0.5 log alpha + E log|1 + sqrt(alpha) eps| - E log|eps| by quadrature: 0 as alpha goes to infinity."""
    alpha = np.exp(log_alpha)
    # Substituting u^3 for the distance to the pole of the logarithm makes the integrand smooth there.
    u = np.linspace(-6.0, 6.0, 400_001)
    z = u**3
    density = np.exp(-((z - 1.0) ** 2) / (2 * alpha)) / np.sqrt(2 * np.pi * alpha)
    integrand = np.where(u == 0.0, 0.0, density * np.log(np.abs(z) + (z == 0)) * 3 * u**2)
    expected_log = np.trapezoid(integrand, u)
    return float(-0.5 * log_alpha + expected_log + 0.5 * (np.euler_gamma + np.log(2.0)))


@pytest.mark.parametrize("log_alpha", [-6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 5.0])
def test_approximation_is_within_the_papers_accuracy(log_alpha):
    approximate = float(log_uniform_kl(torch.tensor(log_alpha, dtype=torch.float64)))
    assert approximate == pytest.approx(exact_kl(log_alpha), abs=0.02)


def test_kl_falls_to_zero_as_noise_grows():
    kl = log_uniform_kl(torch.linspace(-10, 10, 201))
    assert bool((kl.diff() <= 0).all())
    assert 0 <= float(kl[-1]) < 1e-4


def test_gradient_is_that_of_finite_differences():
    log_alpha = torch.linspace(-8, 8, 33, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_uniform_kl, (log_alpha,))
