"""A grouped convolution loses the same number of channels in every group, and loses groups that are entirely dead."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bayespress.compress.shrink import shrink

GROUP_INPUTS, GROUP_OUTPUTS = 3, 4


def network(groups: int = 3) -> nn.Sequential:
    torch.manual_seed(groups)
    return nn.Sequential(
        nn.Conv2d(2, GROUP_INPUTS * groups, 1),
        nn.ReLU(),
        nn.Conv2d(GROUP_INPUTS * groups, GROUP_OUTPUTS * groups, 3, groups=groups),
        nn.ReLU(),
        nn.Conv2d(GROUP_OUTPUTS * groups, 2, 1),
    ).eval()


def zero_outputs(net: nn.Sequential, channels: list[int]) -> None:
    with torch.no_grad():
        net[4].weight[:, channels] = 0


def zero_inputs(net: nn.Sequential, channels: list[int]) -> None:
    with torch.no_grad():
        for channel in channels:
            group = channel // GROUP_INPUTS
            net[2].weight[group * GROUP_OUTPUTS : (group + 1) * GROUP_OUTPUTS, channel % GROUP_INPUTS] = 0


def shrunk_and_checked(net: nn.Sequential) -> nn.Sequential:
    x = torch.randn(5, 2, 6, 6)
    with torch.no_grad():
        expected = net(x)
        shrunk = shrink(net, x[:2])
        torch.testing.assert_close(shrunk.network(x), expected, atol=1e-5, rtol=1e-5)
    assert all("must keep equally many" in note for note in shrunk.notes)
    weight = shrunk.network[2].weight
    source = net[2].weight.flatten()[shrunk.kept["2.weight"]]
    assert bool(((weight == source) | (weight == 0)).all()), "kept does not index the weights"
    return shrunk.network


def test_groups_lose_channels_at_different_positions():
    net = network()
    zero_inputs(net, [0, 4, 8])  # the first, second and third channel of their groups
    zero_outputs(net, [1, 6, 8])
    shrunk = shrunk_and_checked(net)
    assert shrunk[0].weight.shape == (6, 2, 1, 1)
    assert shrunk[2].weight.shape == (9, 2, 3, 3)
    assert shrunk[2].groups == 3


def test_surplus_dead_channels_stay_as_zeros():
    net = network()
    zero_outputs(net, [0, 1, 2, 5, 9, 10])  # three, one and two channels of the groups
    shrunk = shrunk_and_checked(net)
    assert shrunk[2].weight.shape == (9, 3, 3, 3)
    assert int((shrunk[4].weight == 0).all(0).sum()) == 3


def test_a_dead_group_is_removed():
    net = network()
    zero_outputs(net, [4, 5, 6, 7])
    shrunk = shrunk_and_checked(net)
    assert shrunk[2].groups == 2
    assert shrunk[0].weight.shape == (6, 2, 1, 1), "only the dead group reads its inputs"
    assert shrunk[2].weight.shape == (8, 3, 3, 3)


def test_a_dead_group_is_removed_and_the_others_are_balanced():
    net = network()
    zero_outputs(net, [4, 5, 6, 7, 1, 9])
    zero_inputs(net, [0, 7])
    shrunk = shrunk_and_checked(net)
    assert shrunk[2].groups == 2
    assert shrunk[2].weight.shape == (6, 2, 3, 3)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_one_channel_stays_when_all_are_dead(groups):
    net = network(groups)
    zero_outputs(net, list(range(GROUP_OUTPUTS * groups)))
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
