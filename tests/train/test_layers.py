"""One contract for every method and every kind of layer."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bayespress.train.bayesian import bayesianize
from bayespress.train.layers import VariationalLayer
from bayespress.train.methods import METHODS
from bayespress.train.operation import operation_of

LAYERS = {
    "linear": (lambda: nn.Linear(6, 4), (6,)),
    "linear-no-bias": (lambda: nn.Linear(6, 4, bias=False), (6,)),
    "linear-on-sequences": (lambda: nn.Linear(6, 4), (3, 6)),
    "conv1d": (lambda: nn.Conv1d(2, 3, 3, stride=2, dilation=2), (2, 15)),
    "conv2d-padded": (lambda: nn.Conv2d(2, 3, 3, padding=1), (2, 6, 7)),
    "conv2d-same": (lambda: nn.Conv2d(2, 3, 3, padding="same"), (2, 6, 7)),
    "conv2d-reflect": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 6, 7)),
    "conv2d-grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2, bias=False), (4, 6, 5)),
    "conv2d-depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4), (4, 6, 5)),
    "conv3d": (lambda: nn.Conv3d(1, 2, 2), (1, 3, 4, 5)),
}


@pytest.fixture(params=sorted(METHODS))
def method(request):
    return request.param


@pytest.fixture(params=LAYERS)
def case(request):
    torch.manual_seed(0)
    make, shape = LAYERS[request.param]
    return make(), torch.randn(5, *shape)


def twin_of(layer, method, **options) -> VariationalLayer:
    twin = bayesianize(layer, method, **options).network
    assert isinstance(twin, VariationalLayer)
    return twin


def test_a_fresh_twin_predicts_as_the_layer(case, method):
    layer, x = case
    twin = twin_of(layer, method).eval()
    torch.testing.assert_close(twin(x), layer(x))


def test_samples_have_the_moments_of_the_marginal_posterior(case, method):
    """The mean of many sampled outputs is the output of the mean; the variance follows from the marginals."""
    layer, x = case
    twin = twin_of(layer, method, initial_log_variance=-3.0).train()
    operation = operation_of(layer)
    assert operation is not None
    with torch.no_grad():
        samples = torch.stack([twin(x) for _ in range(2000)])
        mean, variance = twin.marginal()
        expected_mean = operation(x, mean, layer.bias)
        expected_variance = operation(x.square(), variance, None)
    standard_error = (expected_variance / 2000).sqrt()
    assert bool(((samples.mean(0) - expected_mean).abs() < 5.5 * standard_error).all())
    torch.testing.assert_close(
        samples.var(0) / expected_variance, torch.ones_like(expected_variance), rtol=0.25, atol=0.0
    )


def test_samples_match_those_of_sampled_weights(method):
    """The local reparameterisation draws from the same distribution as a draw of the weights themselves."""
    torch.manual_seed(1)
    layer, x = nn.Linear(6, 1), torch.randn(1, 6)
    twin = twin_of(layer, method, initial_log_variance=-2.0).train()
    mean, variance = twin.marginal()
    with torch.no_grad():
        local = torch.stack([twin(x).squeeze() for _ in range(6000)])
        weights = mean + variance.sqrt() * torch.randn(6000, 1, 6)
        direct = (weights @ x.squeeze()).squeeze() + layer.bias
    quantiles = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
    torch.testing.assert_close(local.quantile(quantiles), direct.quantile(quantiles), rtol=0.0, atol=0.12)


def test_every_parameter_gets_a_finite_gradient(case, method):
    layer, x = case
    twin = twin_of(layer, method).train()
    (twin(x).square().sum() + twin.kl()).backward()
    for name, parameter in twin.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name


def test_a_weight_of_zero_breaks_nothing(method):
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.weight)
    twin = twin_of(layer, method).train()
    (twin(torch.zeros(4, 3)).sum() + twin.kl()).backward()
    assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in twin.parameters())


def test_kl_is_a_sum_over_weights(method):
    narrow, wide = nn.Linear(3, 2), nn.Linear(6, 2)
    with torch.no_grad():
        wide.weight.copy_(torch.cat([narrow.weight, narrow.weight], 1))
    assert twin_of(wide, method).kl().item() == pytest.approx(2 * twin_of(narrow, method).kl().item(), rel=1e-5)


def test_a_twin_survives_copying_and_saving(case, method, tmp_path):
    layer, x = case
    twin = twin_of(layer, method).eval()
    torch.save(twin.state_dict(), tmp_path / "twin.pt")
    other = copy.deepcopy(twin)
    nn.init.zeros_(other.weight)
    other.load_state_dict(torch.load(tmp_path / "twin.pt"))
    torch.testing.assert_close(other(x), twin(x))


def test_sparse_vd_predicts_zero_for_noise():
    layer = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.01]]))
    twin = twin_of(layer, "sparse-vd", initial_log_variance=-4.0)
    # log alpha is -4 for the first weight and -4 - 2 log(0.01) = 5.2 for the second, above the threshold of 3.
    torch.testing.assert_close(twin.predictive_weight(), torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(twin.log_alpha(), torch.tensor([[-4.0, 5.2103]]), rtol=0, atol=1e-3)
