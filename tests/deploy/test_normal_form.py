"""Rules of the normal form at the edges of their domains and with default arguments, computed only in PyTorch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bayespress.deploy.program.normalise import normalised
from bayespress.errors import InputError

EDGES = torch.tensor([[0.0, -1.5, 2.5, math.inf, -math.inf, math.nan, 1e-20, -1e20]])


class Between(nn.Module):
    """A network with a weight that applies a function to its input."""

    def __init__(self, function):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.function = function

    def forward(self, x):
        return self.function(self.weight * x)


def against(value, function):
    """`function` of the edge values and another number, in both argument orders."""
    return lambda x: torch.cat([function(x, torch.full_like(x, value)), function(torch.full_like(x, value), x)])


OTHERS = (0.0, 3.0, -2.0, math.inf, -math.inf, math.nan)
FUNCTIONS = {
    **{f"hypot with {each}": against(each, torch.hypot) for each in OTHERS},
    **{f"floor_divide by {each}": against(each, torch.floor_divide) for each in OTHERS},
    **{f"remainder by {each}": against(each, torch.remainder) for each in OTHERS},
    # torch.export leaves out trailing arguments that have their default.
    "rrelu": nn.RReLU(),
    "rrelu with a lower slope": nn.RReLU(0.05),
    "rrelu with both slopes": nn.RReLU(0.05, 0.9),
    "hardtanh": nn.Hardtanh(),
    "hardtanh with a lower bound": nn.Hardtanh(-3.0),
    "hardtanh with both bounds": nn.Hardtanh(-1.0, 2.0),
    "leaky_relu": nn.LeakyReLU(),
    "elu with alpha": nn.ELU(0.3),
    "variance with a mean": lambda x: torch.stack(torch.var_mean(x[:, :3], 1, correction=2)),
    "product of five": lambda x: x[:, :5].nan_to_num(1.0, 2.0, 3.0).prod(1, keepdim=True),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_edges(name):
    network = Between(FUNCTIONS[name]).eval().requires_grad_(False)
    rewritten = normalised(torch.export.export(network, (EDGES,))).program.module()
    torch.testing.assert_close(rewritten(EDGES), network(EDGES), equal_nan=True)


class Inverse(nn.Module):
    def forward(self, x):
        return torch.erfinv(x)


def test_an_error_about_many_modules_stays_short():
    network = Between(nn.Sequential(*(Inverse() for _ in range(9)))).eval().requires_grad_(False)
    with pytest.raises(InputError, match=r"erfinv.* and 5 more modules is not supported") as logged:
        normalised(torch.export.export(network, (EDGES,)))
    assert len(str(logged.value)) < 400
