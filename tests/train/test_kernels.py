"""The compiled loops against the same formulas in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bayespress.train.bayesian import bayesianize
from bayespress.train.kl import TINY, log_uniform_kl, total_log_uniform_kl
from bayespress.train.noise import gaussian_output


def log_uniform_of(mean, log_variance):
    """Value and gradients by autograd, in double precision."""
    mean, log_variance = (part.double().requires_grad_() for part in (mean, log_variance))
    total = log_uniform_kl(log_variance - torch.log(mean.square() + TINY)).sum()
    total.backward()
    return total.item(), mean.grad, log_variance.grad


def spread(count):
    """Means and log variances from far more signal than noise to the contrary."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(count, generator=generator) * 10.0 ** torch.randint(-6, 2, (count,), generator=generator)
    log_variance = torch.empty(count).uniform_(-14.0, 6.0, generator=generator)
    return mean, log_variance


# Below, at and above a vector and a block of the compiled loop.
@pytest.mark.parametrize("count", [1, 7, 16, 1023, 1024, 1025, 5000])
def test_log_uniform_kl_and_gradient(count):
    mean, log_variance = (part.requires_grad_() for part in spread(count))
    total = total_log_uniform_kl(mean, log_variance)
    (3.0 * total).backward()
    expected, by_mean, by_log_variance = log_uniform_of(mean.detach(), log_variance.detach())
    assert total.item() == pytest.approx(expected, rel=2e-6, abs=1e-7 * count)
    torch.testing.assert_close(mean.grad.double(), 3.0 * by_mean, rtol=3e-5, atol=1e-5)
    torch.testing.assert_close(log_variance.grad.double(), 3.0 * by_log_variance, rtol=3e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("mean", "log_variance"), [(0.0, -30.0), (0.0, 30.0), (1e3, -60.0), (1e-20, 80.0), (-50.0, 0.0)]
)
def test_log_uniform_kl_at_the_extremes(mean, log_variance):
    parts = torch.full((3,), mean).requires_grad_(), torch.full((3,), log_variance).requires_grad_()
    total = total_log_uniform_kl(*parts)
    total.backward()
    # Beyond 30 nats the compiled exponential stands still, and with it a KL that a weight has long stopped to feel.
    alpha = min(30.0, max(-30.0, log_uniform_alpha(mean, log_variance)))
    assert total.item() == pytest.approx(3 * log_uniform_kl(torch.tensor(alpha).double()).item(), rel=1e-5, abs=1e-6)
    assert all(bool(torch.isfinite(part.grad).all()) for part in parts)


def log_uniform_alpha(mean, log_variance):
    return log_variance - float(torch.log(torch.tensor(mean).double().square() + TINY))


def test_a_tensor_that_is_not_contiguous_takes_the_other_path_to_the_same_value():
    mean, log_variance = (part.reshape(50, 100) for part in spread(5000))
    whole = total_log_uniform_kl(mean, log_variance).item()
    assert total_log_uniform_kl(mean.t(), log_variance.t()).item() == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("settings", [{}, {"mixture_weight": 0.75, "log_sigma1": -1.0, "log_sigma2": -7.0}])
def test_mixture_kl_and_gradient(settings, monkeypatch):
    net = bayesianize(nn.Linear(100, 30), "bayes-by-backprop", initial_deviation=0.1, **settings).train()
    noise = torch.randn(30, 100, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(torch, "randn_like", lambda weight: noise.to(weight.dtype))
    found = []
    for dtype in (torch.float32, torch.float64):
        net.to(dtype).zero_grad()
        kl = net.kl()
        (2.0 * kl).backward()
        found.append((kl.item(), [p.grad.double() for p in net.parameters() if p.grad is not None]))
    (compiled, gradients), (expected, exact) = found
    assert compiled == pytest.approx(expected, rel=1e-6)
    for ours, theirs in zip(gradients, exact, strict=True):
        assert (ours - theirs).abs().max() < 3e-6 * theirs.abs().max()


def test_gaussian_outputs_have_their_moments_and_gradients():
    torch.manual_seed(0)
    mean = torch.linspace(-2.0, 2.0, 5).repeat(40_000, 1).requires_grad_()
    variance = torch.linspace(0.0, 4.0, 5).repeat(40_000, 1).requires_grad_()
    out = gaussian_output(mean, variance)
    torch.testing.assert_close(out.mean(0), mean[0], rtol=0, atol=0.04)
    torch.testing.assert_close(out.var(0), variance[0], rtol=0.03, atol=1e-6)
    out.square().sum().backward()
    # d E[b^2] / d variance = 1, whatever the mean; at variance 0 the slope is noise of infinite spread
    assert torch.equal(mean.grad, 2.0 * out.detach())
    torch.testing.assert_close(variance.grad.mean(0)[1:], torch.ones(4), rtol=0, atol=0.05)


def test_gaussian_outputs_of_channels_last_and_bfloat16():
    torch.manual_seed(0)
    variance = torch.ones(64, 8, 20, 20).contiguous(memory_format=torch.channels_last).bfloat16()
    out = gaussian_output(torch.zeros_like(variance), variance)
    assert out.dtype == torch.bfloat16
    assert out.stride() == variance.stride()
    assert out.float().std().item() == pytest.approx(1.0, abs=0.01)
