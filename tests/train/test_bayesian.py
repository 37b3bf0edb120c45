"""Making a whole network variational."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bayespress
from bayespress.errors import InputError
from bayespress.train.bayesian import bayesianize
from bayespress.train.layers import VariationalLayer
from bayespress.train.methods import METHODS
from bayespress.train.models import build_model
from zoo import Shared


class Residual(nn.Module):
    """Shared modules, batch norm, a residual add and a transposed convolution, which stays deterministic."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.shared = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.norm(self.first(x)).relu()
        x = x + self.shared(self.shared(x))
        return self.head(self.up(x).mean((2, 3)))


def test_linear_and_convolutions_become_variational_and_the_rest_is_listed():
    net = bayesianize(Residual())
    assert [name for name, _ in net.variational_layers()] == ["first", "shared", "head"]
    assert set(net.deterministic()) == {"norm.weight", "norm.bias", "up.weight", "up.bias"}


def test_the_original_is_left_as_it_was():
    original = Residual()
    before = {name: tensor.clone() for name, tensor in original.state_dict().items()}
    net = bayesianize(original)
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    assert not any(isinstance(module, VariationalLayer) for module in original.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in original.state_dict().items())


def test_a_shared_layer_stays_one_layer():
    layer = nn.Linear(4, 4)
    net = bayesianize(nn.Sequential(layer, nn.ReLU(), layer))
    assert net.network[0] is net.network[2]
    assert len(list(net.variational_layers())) == 1


def test_evaluation_predicts_as_the_original_and_training_samples():
    torch.manual_seed(0)
    original = build_model("lenet-5-caffe").eval()
    net = bayesianize(original, initial_log_variance=-6.0)
    x = torch.rand(2, 1, 28, 28)
    mask = {name: layer.predictive_weight() != 0 for name, layer in net.variational_layers()}
    with torch.no_grad():
        for name, kept in mask.items():
            original.get_submodule(name).weight *= kept
    torch.testing.assert_close(net.eval()(x), original(x))
    net.train()
    assert not torch.equal(net(x), net(x))


def test_kl_is_the_sum_over_layers():
    net = bayesianize(Residual())
    assert net.kl().item() == pytest.approx(sum(layer.kl().item() for _, layer in net.variational_layers()), rel=1e-6)


def test_posterior_tensors_carry_every_tensor_of_the_original():
    original = Residual()
    tensors = bayesianize(original).posterior_tensors()
    variances = {"first.weight/variance", "shared.weight/variance", "head.weight/variance"}
    assert set(tensors) == set(original.state_dict()) | variances
    for name, tensor in original.state_dict().items():
        assert torch.equal(tensors[name], tensor)
    torch.testing.assert_close(tensors["head.weight/variance"], torch.full((3, 4), -10.0).exp())


def test_point_network_holds_the_means():
    net = bayesianize(Residual())
    with torch.no_grad():
        net.network.head.weight.fill_(0.25)
    point = net.point_network()
    assert isinstance(point.head, nn.Linear)
    assert bool((point.head.weight == 0.25).all())


def test_a_users_own_loop_trains():
    torch.manual_seed(0)
    x = torch.randn(256, 5)
    y = x[:, 0] * 2
    net = bayespress.bayesianize(nn.Linear(5, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(600):
        optimizer.zero_grad()
        loss = (net(x).squeeze(1) - y).square().mean() / 2 + net.kl() / len(x)
        loss.backward()
        optimizer.step()
    layer = net.network
    assert layer.weight[0, 0].item() == pytest.approx(2.0, abs=0.1)
    log_alpha = layer.log_alpha().squeeze(0)
    assert log_alpha[0] < -5, "the input that matters must stay sharp"
    assert bool((log_alpha[1:] > 1).all()), "the inputs that say nothing must drown in noise"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bayesianize(nn.ReLU()), "no Linear or ConvNd layer"),
        (lambda: bayesianize(nn.Linear(2, 2), "dropout"), "no method 'dropout'"),
        (lambda: bayesianize(nn.Linear(2, 2), initial=1), "no setting of sparse-vd 'initial'"),
        (lambda: bayesianize(poisoned()), "weight holds NaN"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InputError, match=message):
        make()


def poisoned() -> nn.Module:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight[0, 0] = float("nan")
    return layer


def test_both_names_of_a_layer_are_in_the_posterior():
    network = nn.Module()
    network.first = network.alias = nn.Linear(3, 3)
    net = bayespress.bayesianize(network)
    assert len(list(net.variational_layers())) == 1
    assert set(net.posterior_tensors()) == {
        f"{name}.{key}" for name in ("first", "alias") for key in ("weight", "weight/variance", "bias")
    }
    assert set(net.point_network().state_dict()) == set(network.state_dict())


def test_layers_that_share_one_weight_stay_deterministic():
    """Two posteriors for one tensor would contradict each other."""
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    network[2].weight = network[0].weight
    net = bayespress.bayesianize(network)
    assert [name for name, _ in net.variational_layers()] == ["1"]
    assert set(net.deterministic()) == {"0.weight", "0.bias", "2.bias"}
    x = torch.randn(2, 3)
    torch.testing.assert_close(net.point_network()(x), network(x))


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("deferred", [True, False])
@pytest.mark.parametrize("weight", [0.25, 0.0])
def test_the_kl_gradient_added_in_place_is_autograd_s(method, used, deferred, weight):
    """Behind a backward pass of the log loss, and where a layer took no part in it and has no gradient yet."""
    x = torch.randn(7, 6)

    def gradients(in_place: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(3)
        net = bayesianize(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4)), method).train()
        net.start_prior()
        net.defer_gradients(in_place and deferred)
        torch.manual_seed(4)
        loss = net(x).square().mean() if used else torch.zeros((), requires_grad=True)
        if in_place:
            loss.backward()
            net.add_kl_gradient(weight)
        else:
            (loss + weight * net.kl()).backward()
        return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}

    expected, got = gradients(in_place=False), gradients(in_place=True)
    assert expected.keys() == got.keys() or weight == 0.0
    for name, gradient in expected.items():
        torch.testing.assert_close(got.get(name, torch.zeros_like(gradient)), gradient, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_deferred_gradients_train_to_the_same_network(method):
    """Over several steps, with a layer that runs twice, and with plain steps on the same network afterwards."""
    x = torch.randn(32, 6)

    def trained(defer: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(5)
        net = bayesianize(Shared(), method).train()
        net.start_prior()
        net.defer_gradients(defer)
        optimizer = torch.optim.Adam(net.method.parameter_groups(net, 0.05), fused=True)
        for step in range(6):
            if step == 3:
                net.defer_gradients(False)
            optimizer.zero_grad()
            net(x[:, :5]).square().mean().backward()
            net.add_kl_gradient(0.01)
            optimizer.step()
            net.after_step(0.5)
        return net.state_dict()

    plain = trained(defer=False)
    for name, value in trained(defer=True).items():
        torch.testing.assert_close(value, plain[name], rtol=1e-4, atol=1e-5)
