"""KL divergences against the integrals and averages that they stand for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import distributions as D

from bayespress.train.kl import (
    TINY,
    log_normal_gamma_kl,
    log_normal_inverse_gamma_kl,
    log_uniform_kl,
    standard_normal_kl,
    total_log_uniform_kl,
)


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


def test_the_total_is_the_sum_and_so_are_its_gradients():
    torch.manual_seed(0)
    mean = (torch.randn(40, 30, dtype=torch.float64) * 0.1).requires_grad_()
    log_variance = (torch.randn(40, 30, dtype=torch.float64) * 4 - 6).requires_grad_()
    with torch.no_grad():
        mean[0, 0] = 0.0
    elementwise = log_uniform_kl(log_variance - torch.log(mean.square() + TINY)).sum()
    total = total_log_uniform_kl(mean, log_variance)
    torch.testing.assert_close(total, elementwise)
    expected = torch.autograd.grad(3.0 * elementwise, (mean, log_variance))
    torch.testing.assert_close(torch.autograd.grad(3.0 * total, (mean, log_variance)), expected)


def double(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


@pytest.mark.parametrize(("mean", "log_variance"), [(0.0, 0.0), (1.3, -2.0), (-0.4, 1.5)])
def test_standard_normal_kl(mean, log_variance):
    mean, log_variance = double(mean, log_variance)
    expected = D.kl_divergence(D.Normal(mean, torch.exp(log_variance / 2)), D.Normal(*double(0.0, 1.0)))
    torch.testing.assert_close(standard_normal_kl(mean, log_variance), expected)


def log_normal_kl_by_quadrature(mean, log_variance, log_density) -> float:
    """E[log q - log p] over x = exp(m + s t), t standard normal."""
    t = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    m, s = mean, math.exp(log_variance / 2)
    log_x = m + s * t
    log_q = -log_x - math.log(s) - 0.5 * math.log(2 * math.pi) - t.square() / 2
    weight = torch.exp(-t.square() / 2) / math.sqrt(2 * math.pi)
    return float(torch.trapezoid(weight * (log_q - log_density(log_x)), t))


@pytest.mark.parametrize(("mean", "log_variance"), [(0.0, -1.0), (-2.0, 0.3), (1.0, -6.0)])
@pytest.mark.parametrize("scale", [1.0, 0.3, 1e-2])
def test_log_normal_gamma_kl(mean, log_variance, scale):
    def log_gamma(log_x):  # shape 1/2
        return -0.5 * log_x - torch.exp(log_x) / scale - math.lgamma(0.5) - 0.5 * math.log(scale)

    expected = log_normal_kl_by_quadrature(mean, log_variance, log_gamma)
    assert float(log_normal_gamma_kl(*double(mean, log_variance), scale)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("mean", "log_variance"), [(0.0, -1.0), (2.0, 0.3), (-1.0, -6.0)])
def test_log_normal_inverse_gamma_kl(mean, log_variance):
    def log_inverse_gamma(log_x):  # shape 1/2, scale 1
        return -1.5 * log_x - torch.exp(-log_x) - math.lgamma(0.5)

    expected = log_normal_kl_by_quadrature(mean, log_variance, log_inverse_gamma)
    assert float(log_normal_inverse_gamma_kl(*double(mean, log_variance))) == pytest.approx(expected, rel=1e-6)


def test_the_product_of_gamma_and_inverse_gamma_is_half_cauchy():
    """What the horseshoe's scales rest on: sqrt(ab) ~ C+(0, k) for a ~ Gamma(1/2, k^2), b ~ InverseGamma(1/2, 1)."""
    torch.manual_seed(0)
    k, half, one = 0.7, torch.tensor(0.5), torch.tensor(1.0)
    a = D.Gamma(half, one / k**2).sample((400_000,))
    b = 1.0 / D.Gamma(half, one).sample((400_000,))
    quantiles = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
    got = torch.sqrt(a * b).quantile(quantiles)
    torch.testing.assert_close(got, D.HalfCauchy(k).icdf(quantiles), rtol=0.03, atol=0.0)


@pytest.mark.parametrize(
    "function",
    [
        log_uniform_kl,
        lambda x: standard_normal_kl(x, x / 2),
        lambda x: log_normal_gamma_kl(x / 4, x / 8, 0.5),
        lambda x: log_normal_inverse_gamma_kl(x / 4, x / 8),
    ],
    ids=["log-uniform", "standard-normal", "log-normal-gamma", "log-normal-inverse-gamma"],
)
def test_gradients_are_those_of_finite_differences(function):
    x = torch.linspace(-8, 8, 33, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x,))
