"""Normalised batch norms compute the same function."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bayespress import codec
from bayespress.compress.normalise import normalise_statistics
from bayespress.compress.pipeline import compress_network
from bayespress.compress.settings import CompressSettings
from zoo import ZOO, posterior_of


@pytest.mark.parametrize("name", ["residual", "depthwise"])
def test_the_outputs_do_not_change(name):
    specimen = ZOO[name]
    network = specimen.network()
    normal = copy.deepcopy(network)
    assert normalise_statistics(normal) == ["norm1", "norm2"]
    x = specimen.inputs(16)
    with torch.no_grad():
        torch.testing.assert_close(normal(x), network(x), atol=1e-5, rtol=1e-5)
    assert not normal.norm1.running_mean.any()
    assert len(normal.norm1.running_var.unique()) == 1


def test_norms_without_scale_or_statistics_do_not_change():
    for norm in (nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(3, track_running_stats=False), nn.LayerNorm(3)):
        assert normalise_statistics(nn.Sequential(norm)) == []


def test_the_file_holds_two_numbers_per_channel_on_grids():
    specimen = ZOO["residual"]
    network = specimen.network()
    packed = compress_network(network, posterior_of(network), specimen.inputs(), CompressSettings(budget=0.01))
    tensors = {tensor.name: tensor for tensor in codec.decode(packed.weights)}
    layout = {tensor.name: tensor for tensor in codec.layout(packed.weights).tensors}
    for norm in ("norm1", "norm2"):
        assert not tensors[f"{norm}.running_mean"].levels.any()
        assert set(tensors[f"{norm}.running_var"].levels) == {1}
        assert layout[f"{norm}.running_mean"].bytes + layout[f"{norm}.running_var"].bytes < 40
        scale = packed.network.state_dict()[f"{norm}.weight"]
        step = tensors[f"{norm}.weight"].value_map.step
        assert step < 0.02 * float(scale.square().mean().sqrt())
