"""A shrunk network computes the same function as the masked network, and has no dead unit."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bayespress.compress.shrink import shrink
from bayespress.compress.units import find_units
from bayespress.train.models import build_model
from zoo import ZOO

LAYERS = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


def mask(network: nn.Module, seed: int, *, share: float = 0.3) -> nn.Module:
    """Zero a random share of the rows and of the columns of each layer, and its row 1 in any case."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, LAYERS):
                rows, columns = (torch.rand(n, generator=generator) < share for n in module.weight.shape[:2])
                rows[1] = True
                module.weight[rows] = 0
                module.weight[:, columns] = 0
    return network


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ZOO)
def test_the_outputs_do_not_change(name, seed):
    specimen = ZOO[name]
    network = mask(specimen.network(seed), seed)
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    x = specimen.inputs(16) * 2
    with torch.no_grad():
        expected = network(x)
        shrunk = shrink(network, specimen.inputs())
        torch.testing.assert_close(shrunk.network(x), expected, atol=2e-5, rtol=2e-5)
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items()), "the original changed"
    if specimen.shrinks:
        assert parameters(shrunk.network) < parameters(network)
        known = ("no bias can replace them", "must keep equally many")
        assert name == "one-output-a-group" or all(any(reason in note for reason in known) for note in shrunk.notes)
    else:
        assert parameters(shrunk.network) == parameters(network)


@pytest.mark.parametrize(
    ("name", "shape"), [("lenet-5-caffe", (1, 28, 28)), ("wrn-16-4", (3, 32, 32)), ("vgg", (3, 32, 32))]
)
def test_built_in_networks_lose_their_dead_units(name, shape):
    torch.manual_seed(0)
    network = mask(build_model(name).eval(), 0)
    x = torch.rand(2, *shape)
    with torch.no_grad():
        expected = network(x)
        shrunk = shrink(network, x)
        torch.testing.assert_close(shrunk.network(x), expected, atol=1e-4, rtol=1e-4)
    assert all("no bias can replace them" in note for note in shrunk.notes)
    assert parameters(shrunk.network) < 0.75 * parameters(network)


@pytest.mark.parametrize("name", ZOO)
def test_kept_indexes_the_original_weights(name):
    specimen = ZOO[name]
    network = mask(specimen.network(), 1)
    shrunk = shrink(network, specimen.inputs())
    before = network.state_dict()
    for key, tensor in shrunk.network.state_dict().items():
        assert shrunk.kept[key].shape == tensor.shape
        if not key.endswith("bias"):  # folding changes biases and may create new ones
            source = before[key].flatten()[shrunk.kept[key]]
            unchanged = (tensor == source) | (tensor == 0)
            assert bool(unchanged.all())


def test_notes_a_hard_coded_width_and_keeps_all_units():
    specimen = ZOO["hard-coded"]
    shrunk = shrink(mask(specimen.network(), 0), specimen.inputs())
    (note,) = shrunk.notes
    assert "Units of conv stay" in note
    assert "channels of fc" in note
    assert shrunk.network.conv.weight.shape == (6, 1, 3, 3)


def test_a_constant_unit_is_folded_into_the_next_bias():
    network = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 1))
    with torch.no_grad():
        network[0].weight[0] = 0
        network[0].bias[0] = 0.7
    weight, bias = network[2].weight[0, 0].item(), network[2].bias.item()
    shrunk = shrink(network, torch.randn(3, 2)).network
    assert shrunk[0].weight.shape == (1, 2)
    assert shrunk[2].bias.item() == pytest.approx(bias + weight * torch.sigmoid(torch.tensor(0.7)).item())


def test_folding_creates_a_bias_in_a_layer_without_one():
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        network[0].weight[1] = 0
        network[0].bias[1] = 2.0
    x = torch.randn(5, 2)
    shrunk = shrink(network, x)
    assert shrunk.network[2].bias is not None
    torch.testing.assert_close(shrunk.network(x), network(x))


def test_constants_that_differ_in_the_last_bit_are_folded():
    """The same sigmoid of the same number differs between a vector's lanes and its tail. The mask test found this."""
    torch.manual_seed(5)
    network = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 5), nn.Sigmoid(), nn.Linear(5, 3, bias=False))
    with torch.no_grad():
        network[0].weight.zero_()
        network[2].weight.mul_(torch.tensor([0, 0, 0, 0, 1, 0, 0, 0, 1, 0]).reshape(5, 2))
        network[4].weight.mul_(torch.tensor([0, 0, 1, *[0] * 11, 1]).reshape(3, 5))
    x = torch.randn(7, 1)
    shrunk = shrink(network, x[:2]).network
    assert [shrunk[index].weight.shape for index in (0, 2, 4)] == [(1, 1), (1, 1), (3, 1)]
    torch.testing.assert_close(shrunk(x), network(x))


def test_a_constant_before_padding_stays():
    """At the border a padded convolution reads zeros, not the constant, so no bias can replace the unit."""
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Sigmoid(), nn.Conv2d(3, 2, 3, padding=1))
    with torch.no_grad():
        network[0].weight[1] = 0
    shrunk = shrink(network, torch.randn(2, 1, 6, 6)).network
    assert shrunk[0].weight.shape[0] == 3


def test_a_network_of_dead_units_still_runs():
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        network[0].weight.zero_()
    x = torch.randn(5, 4)
    shrunk = shrink(network, x).network
    assert shrunk[0].weight.shape == (1, 4)
    torch.testing.assert_close(shrunk(x), network(x))


def test_units_whose_only_consumer_is_dead_are_dead():
    """The outgoing weights of a unit do not matter if they lead only to a dead unit of the next layer."""
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        network[2].weight[0] = torch.tensor([1.0, 0, 0, 0])  # only unit 0 of layer 2 reads unit 0 of layer 1
        network[2].weight[1:, 0] = 0
        network[4].weight[:, 0] = 0  # no layer reads unit 0 of layer 2
    shrunk = shrink(network, torch.randn(2, 3)).network
    assert shrunk[0].weight.shape[0] == 3
    assert shrunk[2].weight.shape == (3, 3)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_mask_of_an_mlp(data):
    widths = data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=4), label="widths")
    torch.manual_seed(data.draw(st.integers(0, 2**16), label="seed"))
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        linear = nn.Linear(n_in, n_out, bias=data.draw(st.booleans()))
        bits = data.draw(st.lists(st.booleans(), min_size=n_in * n_out, max_size=n_in * n_out))
        with torch.no_grad():
            linear.weight.mul_(torch.tensor(bits).reshape(n_out, n_in))
        layers += [linear, data.draw(st.sampled_from([nn.ReLU, nn.Sigmoid, nn.Tanh]))()]
    network = nn.Sequential(*layers[:-1])
    x = torch.randn(7, widths[0])
    shrunk = shrink(network, x[:2])
    with torch.no_grad():
        torch.testing.assert_close(shrunk.network(x), network(x), atol=1e-5, rtol=1e-5)
    assert shrunk.notes == ()
    for group in find_units(shrunk.network, x[:2]).groups:
        alive = group.alive(shrunk.network, outgoing=True) & group.alive(shrunk.network, outgoing=False)
        assert group.count == 1 or bool(alive.all())


def test_a_unit_is_removed_together_with_its_depthwise_filter():
    specimen = ZOO["depthwise"]
    network = specimen.network()
    with torch.no_grad():
        network.project.weight[:, [2, 5]] = 0  # these units have no consumer
        network.expand.weight[7] = 0  # constant before the filter, whose padding makes its output vary in space
        for norm in (network.norm1, network.norm2):
            norm.running_mean[7], norm.weight[7], norm.bias[7] = 0.0, 1.0, 1.0
        network.filter.weight[7] = 0.1
    x = specimen.inputs(8)
    with torch.no_grad():
        expected = network(x)
        shrunk = shrink(network, specimen.inputs()).network
        torch.testing.assert_close(shrunk(x), expected, atol=2e-5, rtol=2e-5)
    assert shrunk.filter.weight.shape == (8, 1, 3, 3)
    assert shrunk.filter.groups == shrunk.expand.out_channels == shrunk.project.in_channels == 8
    assert shrunk.norm2.running_mean.shape == (8,)
