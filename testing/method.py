"""The contract of a training method, on every kind of layer."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ..compress.pipeline import compress_network
from ..compress.posterior import Posterior
from ..train.bayesian import BayesianNetwork, bayesianize
from ..train.layers import VariationalLayer
from ..train.methods import Method
from ..train.operation import operation_of

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
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
_SAMPLES = 4000
_DEVIATIONS = 5.5  # standard errors; a correct method stays within this limit in all of these tests together

Case = tuple[nn.Module, Tensor]


def twin_of(layer: nn.Module, method: Method) -> VariationalLayer:
    """The variational twin of a single layer."""
    twin = bayesianize(layer, method).network
    assert isinstance(twin, VariationalLayer)
    return twin


class MethodContract:
    """Tests for a training method. Extend this class with a fixture `method` that returns the method's settings."""

    @pytest.fixture(params=LAYERS)
    def case(self, request: pytest.FixtureRequest) -> Case:
        """A layer of each kind, and random inputs of shape (5, ...)."""
        torch.manual_seed(0)
        make, shape = LAYERS[request.param]
        return make(), torch.randn(5, *shape)

    def test_a_fresh_twin_predicts_as_the_layer(self, case: Case, method: Method) -> None:
        layer, x = case
        twin = twin_of(layer, method).eval()
        torch.testing.assert_close(twin(x), layer(x))

    def test_samples_have_the_moments_of_the_marginal_posterior(self, case: Case, method: Method) -> None:
        """Uses an input with a single nonzero element, so that each output depends on a single weight of a channel."""
        layer, x = case
        options: dict[str, Any] = dict(method.noisy_settings)
        noisy = replace(method, **options) if options else method  # type: ignore[type-var]
        twin = twin_of(layer, noisy).train()
        operation, bias = operation_of(layer), twin.bias
        assert operation is not None
        # At an even position, which no stride skips, and not at the border, which some layers reflect.
        unit = torch.zeros_like(x[:1])
        unit[(0, *(extent // 4 * 2 for extent in x.shape[1:]))] = 1.0
        with torch.no_grad():
            if method.draws_per_batch:
                samples = torch.cat([twin(unit) for _ in range(_SAMPLES)])
            else:
                samples = twin(unit.expand(_SAMPLES, *x.shape[1:]))
            mean, variance = twin.marginal()
            expected_mean = operation(unit, mean, bias)[0]
            expected_variance = operation(unit, variance, None)[0]
        standard_error = (expected_variance / _SAMPLES).sqrt() + 1e-4
        assert bool(((samples.mean(0) - expected_mean).abs() < _DEVIATIONS * standard_error).all())
        varies = expected_variance > 0
        assert bool(varies.any()) == (not method.is_point_estimate)
        ratio = samples.var(0)[varies] / expected_variance[varies]
        torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0.3, atol=0.0)

    def test_every_parameter_gets_a_finite_gradient(self, case: Case, method: Method) -> None:
        layer, x = case
        twin = twin_of(layer, method).train()
        (twin(x).square().sum() + twin.kl()).backward()
        for name, parameter in twin.named_parameters():
            assert parameter.grad is not None, name
            assert bool(torch.isfinite(parameter.grad).all()), name

    def test_the_in_place_kl_gradient_equals_autograd_s(self, case: Case, method: Method) -> None:
        layer, x = case
        gradients = []
        for in_place in (False, True):
            torch.manual_seed(1)
            net = bayesianize(layer, method).train()
            net.start_prior()
            loss = net(x).square().sum()
            torch.manual_seed(2)  # for a KL term that is estimated from samples
            if in_place:
                loss.backward()
                net.add_kl_gradient(0.1)
            else:
                (loss + 0.1 * net.kl()).backward()
            gradients.append({name: parameter.grad for name, parameter in net.named_parameters()})
        plain, added = gradients
        for name, expected in plain.items():
            torch.testing.assert_close(added[name], expected, rtol=1e-4, atol=1e-5)

    def test_zero_weights_and_inputs_give_finite_gradients(self, method: Method) -> None:
        layer = nn.Linear(3, 2)
        nn.init.zeros_(layer.weight)
        twin = twin_of(layer, method).train()
        (twin(torch.zeros(4, 3)).sum() + twin.kl()).backward()
        assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in twin.parameters())

    def test_a_twin_can_be_copied_and_saved(self, case: Case, method: Method, tmp_path: Path) -> None:
        layer, x = case
        twin = twin_of(layer, method).eval()
        torch.save(twin.state_dict(), tmp_path / "twin.pt")
        other = copy.deepcopy(twin)
        nn.init.zeros_(other.weight)
        other.load_state_dict(torch.load(tmp_path / "twin.pt", weights_only=True))
        torch.testing.assert_close(other(x), twin(x))

    def test_everything_stays_finite_during_training(self, case: Case, method: Method) -> None:
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
        twin, operation = net.network, operation_of(layer)
        assert isinstance(twin, VariationalLayer)
        assert operation is not None
        mean, variance = twin.marginal()
        assert bool(torch.isfinite(mean).all())
        assert bool((torch.isfinite(variance) & (variance >= 0)).all())
        assert mean.shape == variance.shape == twin.weight.shape
        torch.testing.assert_close(net.eval()(x), operation(x, twin.predictive_weight(), twin.bias))

    def test_its_posterior_compresses(self, method: Method) -> None:
        """Compression accepts the shapes of means, variances and group noise, and fine rounding keeps the outputs."""
        torch.manual_seed(0)
        net = bayesianize(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), method).eval()
        posterior = Posterior.from_tensors(net.posterior_tensors())
        for name, noise in posterior.group_noise.items():
            assert noise.expand(posterior.values[name].shape).shape == posterior.values[name].shape
        point, x = net.point_network(), torch.randn(4, 6)
        packed = _compressed(net, posterior, x)
        torch.testing.assert_close(packed(x), point(x), rtol=0.05, atol=0.05)


def _compressed(net: BayesianNetwork, posterior: Posterior, x: Tensor) -> nn.Module:
    """The network after fine rounding without pruning; weights that the method has pruned stay pruned."""
    from ..compress.settings import CompressSettings

    quantizer = "size" if net.method.is_point_estimate else "posterior"
    settings = CompressSettings(rule="magnitude", threshold=-math.inf, quantizer=quantizer, budget=1e-6)
    return compress_network(net.point_network(), posterior, x, settings).network
