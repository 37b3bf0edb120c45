"""Grouped convolutions lose channels as far as all their groups lose equally many, and groups that are dead whole."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bayespress.compress.shrink import shrink

IN_A_GROUP, OUT_A_GROUP = 3, 4


def network(groups: int = 3) -> nn.Sequential:
    torch.manual_seed(groups)
    return nn.Sequential(
        nn.Conv2d(2, IN_A_GROUP * groups, 1),
        nn.ReLU(),
        nn.Conv2d(IN_A_GROUP * groups, OUT_A_GROUP * groups, 3, groups=groups),
        nn.ReLU(),
        nn.Conv2d(OUT_A_GROUP * groups, 2, 1),
    ).eval()


def silence_outputs(net: nn.Sequential, channels: list[int]) -> None:
    with torch.no_grad():
        net[4].weight[:, channels] = 0


def silence_inputs(net: nn.Sequential, channels: list[int]) -> None:
    with torch.no_grad():
        for channel in channels:
            group = channel // IN_A_GROUP
            net[2].weight[group * OUT_A_GROUP : (group + 1) * OUT_A_GROUP, channel % IN_A_GROUP] = 0


def shrunk_and_checked(net: nn.Sequential) -> nn.Sequential:
    x = torch.randn(5, 2, 6, 6)
    with torch.no_grad():
        expected = net(x)
        shrunk = shrink(net, x[:2])
        torch.testing.assert_close(shrunk.network(x), expected, atol=1e-5, rtol=1e-5)
    assert all("must keep equally many" in note for note in shrunk.notes)
    weight = shrunk.network[2].weight
    source = net[2].weight.flatten()[shrunk.kept["2.weight"]]
    assert bool(((weight == source) | (weight == 0)).all()), "the map of places and the weights differ"
    return shrunk.network


def test_equally_many_at_different_places():
    net = network()
    silence_inputs(net, [0, 4, 8])  # the first, second and third of their groups
    silence_outputs(net, [1, 6, 8])
    shrunk = shrunk_and_checked(net)
    assert shrunk[0].weight.shape == (6, 2, 1, 1)
    assert shrunk[2].weight.shape == (9, 2, 3, 3)
    assert shrunk[2].groups == 3


def test_what_goes_beyond_the_others_stays_as_zeros():
    net = network()
    silence_outputs(net, [0, 1, 2, 5, 9, 10])  # three, one and two
    shrunk = shrunk_and_checked(net)
    assert shrunk[2].weight.shape == (9, 3, 3, 3)
    assert int((shrunk[4].weight == 0).all(0).sum()) == 3


def test_a_group_that_is_dead_goes_whole():
    net = network()
    silence_outputs(net, [4, 5, 6, 7])
    shrunk = shrunk_and_checked(net)
    assert shrunk[2].groups == 2
    assert shrunk[0].weight.shape == (6, 2, 1, 1), "the inputs of the dead group have no other listener"
    assert shrunk[2].weight.shape == (8, 3, 3, 3)


def test_a_dead_group_and_balanced_others():
    net = network()
    silence_outputs(net, [4, 5, 6, 7, 1, 9])
    silence_inputs(net, [0, 7])
    shrunk = shrunk_and_checked(net)
    assert shrunk[2].groups == 2
    assert shrunk[2].weight.shape == (6, 2, 3, 3)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_all_of_it_dead(groups):
    net = network(groups)
    silence_outputs(net, list(range(OUT_A_GROUP * groups)))
    shrunk = shrunk_and_checked(net)
    assert shrunk[2].weight.shape == (1, 1, 3, 3)
    assert shrunk[2].groups == 1


def test_constants_before_a_grouped_convolution_are_folded():
    net = network()
    with torch.no_grad():
        net[0].weight[[1, 3, 8]] = 0
        net[0].bias[[1, 3, 8]] = torch.tensor([0.5, 2.0, 1.0])
    shrunk = shrunk_and_checked(net)
    assert shrunk[0].weight.shape == (6, 2, 1, 1)
    assert shrunk[2].weight.shape == (12, 2, 3, 3)
