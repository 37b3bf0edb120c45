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


# Settings under which a method's noise is large enough to be measured.
NOISY: dict[str, dict[str, float]] = {
    "bayes-by-backprop": {"initial_deviation": 0.2},
    "group-horseshoe": {"initial_log_variance": -3.0},
    "group-normal-jeffreys": {"initial_log_variance": -3.0},
    "sparse-vd": {"initial_log_variance": -3.0},
}
POINT_ESTIMATES = {"deep-compression", "dynamic-network-surgery", "soft-weight-sharing"}


def test_a_fresh_twin_predicts_as_the_layer(case, method):
    layer, x = case
    twin = twin_of(layer, method).eval()
    torch.testing.assert_close(twin(x), layer(x))


def test_samples_have_the_moments_of_the_marginal_posterior(case, method):
    """An input that is zero but for one place shows single weights, whatever correlates them."""
    layer, x = case
    twin = twin_of(layer, method, **NOISY.get(method, {})).train()
    operation = operation_of(layer)
    assert operation is not None
    # Away from the border, which some layers reflect, and at an even place, which no stride passes over.
    unit = torch.zeros_like(x[:1])
    unit[(0, *(extent // 4 * 2 for extent in x.shape[1:]))] = 1.0
    with torch.no_grad():
        samples = twin(unit.expand(4000, *x.shape[1:]))
        if method == "bayes-by-backprop":  # one draw serves a whole batch
            samples = torch.cat([twin(unit) for _ in range(4000)])
        mean, variance = twin.marginal()
        expected_mean = operation(unit, mean, layer.bias)[0]
        expected_variance = operation(unit, variance, None)[0]
    standard_error = (expected_variance / 4000).sqrt() + 1e-4
    assert bool(((samples.mean(0) - expected_mean).abs() < 5.5 * standard_error).all())
    seen = expected_variance > 0
    assert bool(seen.any()) == (method not in POINT_ESTIMATES)
    ratio = samples.var(0)[seen] / expected_variance[seen]
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0.3, atol=0.0)


@pytest.mark.parametrize("name", ["conv2d-padded", "conv2d-grouped", "conv1d", "linear"])
def test_local_reparameterisation_has_the_moments_of_sampled_weights(name):
    """On any input: stride, padding and groups included."""
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    layer, x = make(), torch.randn(1, *shape)
    twin = twin_of(layer, "sparse-vd", initial_log_variance=-3.0).train()
    operation = operation_of(layer)
    mean, variance = twin.marginal()
    with torch.no_grad():
        local = twin(x.expand(4000, *shape))
        direct = torch.cat(
            [operation(x, mean + variance.sqrt() * torch.randn_like(mean), layer.bias) for _ in range(4000)]
        )
    scale = direct.std(0).mean()
    torch.testing.assert_close(local.mean(0), direct.mean(0), rtol=0.0, atol=0.12 * float(scale))
    torch.testing.assert_close(local.std(0) / direct.std(0), torch.ones_like(local[0]), rtol=0.12, atol=0.0)


@pytest.mark.parametrize("method", ["sparse-vd", "bayes-by-backprop"])
def test_samples_match_those_of_sampled_weights(method):
    """The local reparameterisation draws from the same distribution as a draw of the weights themselves."""
    torch.manual_seed(1)
    layer, x = nn.Linear(6, 1), torch.randn(1, 6)
    twin = twin_of(layer, method, **NOISY[method]).train()
    mean, variance = twin.marginal()
    with torch.no_grad():
        local = torch.stack([twin(x).squeeze() for _ in range(6000)])
        weights = mean + variance.sqrt() * torch.randn(6000, 1, 6)
        direct = (weights @ x.squeeze()).squeeze() + layer.bias
    quantiles = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
    torch.testing.assert_close(local.quantile(quantiles), direct.quantile(quantiles), rtol=0.0, atol=0.08)


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


@pytest.mark.parametrize("method", ["sparse-vd", "mc-dropout", "group-normal-jeffreys"])
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


def test_a_step_of_training_and_its_hook_keep_everything_finite(case, method):
    layer, x = case
    net = bayesianize(layer, method).train()
    optimizer = torch.optim.Adam(net.method.parameter_groups(net, 0.01))
    net.start_prior()
    for step in range(10):
        optimizer.zero_grad()
        (net(x).square().mean() + net.kl() / 1000).backward()
        optimizer.step()
        net.after_step((step + 1) / 10)
    net.finish()
    mean, variance = net.network.marginal()
    assert bool(torch.isfinite(mean).all())
    assert bool((torch.isfinite(variance) & (variance >= 0)).all())
    assert mean.shape == variance.shape == layer.weight.shape
    torch.testing.assert_close(net.eval()(x), operation_of(layer)(x, net.network.predictive_weight(), net.network.bias))


def test_sparse_vd_predicts_zero_for_noise():
    layer = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.01]]))
    twin = twin_of(layer, "sparse-vd", initial_log_variance=-4.0)
    # log alpha is -4 for the first weight and -4 - 2 log(0.01) = 5.2 for the second, above the threshold of 3.
    torch.testing.assert_close(twin.predictive_weight(), torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(twin.log_alpha(), torch.tensor([[-4.0, 5.2103]]), rtol=0, atol=1e-3)
