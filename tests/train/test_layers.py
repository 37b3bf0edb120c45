"""The methods of the package keep the contract of methods, and what is particular to some."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bayespress.testing import MethodContract
from bayespress.testing.method import LAYERS
from bayespress.train.bayesian import bayesianize
from bayespress.train.methods import METHODS, method_named
from bayespress.train.operation import operation_of


class TestMethods(MethodContract):
    """The contract, for every method of the package with its own settings."""

    @pytest.fixture(params=sorted(METHODS))
    def method(self, request):
        return method_named(request.param)


def twin_of(layer, method, **options):
    return bayesianize(layer, method, **options).network


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
    twin = twin_of(layer, method, **method_named(method).noisy_settings).train()
    mean, variance = twin.marginal()
    with torch.no_grad():
        local = torch.stack([twin(x).squeeze() for _ in range(6000)])
        weights = mean + variance.sqrt() * torch.randn(6000, 1, 6)
        direct = (weights @ x.squeeze()).squeeze() + layer.bias
    quantiles = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
    torch.testing.assert_close(local.quantile(quantiles), direct.quantile(quantiles), rtol=0.0, atol=0.08)


@pytest.mark.parametrize("method", ["sparse-vd", "mc-dropout", "group-normal-jeffreys"])
def test_kl_is_a_sum_over_weights(method):
    narrow, wide = nn.Linear(3, 2), nn.Linear(6, 2)
    with torch.no_grad():
        wide.weight.copy_(torch.cat([narrow.weight, narrow.weight], 1))
    assert twin_of(wide, method).kl().item() == pytest.approx(2 * twin_of(narrow, method).kl().item(), rel=1e-5)


def test_sparse_vd_predicts_zero_for_noise():
    layer = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.01]]))
    twin = twin_of(layer, "sparse-vd", initial_log_variance=-4.0)
    # log alpha is -4 for the first weight and -4 - 2 log(0.01) = 5.2 for the second, above the threshold of 3.
    torch.testing.assert_close(twin.predictive_weight(), torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(twin.log_alpha(), torch.tensor([[-4.0, 5.2103]]), rtol=0, atol=1e-3)
