"""Dead units before operations that mix or count units are removed exactly, or stay with a note."""

from __future__ import annotations

import re
import time

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bayespress.compress.dependencies import WorkLimitError, dependency_graph, output_pruner
from bayespress.compress.shrink import shrink
from bayespress.compress.units import find_units

WIDTH = 12


class Dense(nn.Module):
    """One operation on 12 units between two linear layers, with outputs of any scale."""

    def __init__(self, operation, width, scale=1e-4):
        super().__init__()
        self.a, self.b = nn.Linear(8, WIDTH), nn.Linear(width, 3)
        self.operation, self.scale = operation, scale

    def forward(self, x):
        return self.b(self.operation(self.a(x))) * self.scale


class Convolutions(nn.Module):
    def __init__(self, operation, width):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, WIDTH, 3), nn.Conv2d(width, 4, 3), nn.Linear(4, 3)
        self.operation = operation

    def forward(self, x):
        return self.c(self.b(self.operation(self.a(x))).mean((2, 3))) * 1e-4


def kill(network):
    """Zero the incoming weights of units 1 and 3 of each wide layer, and the outgoing weights of units 2 and 4."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                if len(module.weight) > 3:
                    module.weight[[1, 3]] = 0
                    module.bias[3] = 0
                if module.weight.shape[1] > 8:
                    module.weight[:, [2, 4]] = 0
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
    return network.eval()


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def shuffled(h):
    n, c, height, width = h.shape
    return h.view(n, 2, c // 2, height, width).transpose(1, 2).reshape(n, c, height, width)


def last(function, **options):
    return lambda h: function(h, dim=-1, **options)


# Each operation, and the number of features that it returns.
MIXING = {
    "layer norm": (lambda h: F.layer_norm(h, h.shape[-1:]), 12),
    "rms norm": (lambda h: h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-6), 12),
    "softmax": (last(torch.softmax), 12),
    "log softmax": (last(torch.log_softmax), 12),
    "normalize": (F.normalize, 12),
    "sort": (lambda h: h.sort(-1)[0], 12),
    "sort of relu": (lambda h: h.relu().sort(-1, descending=True)[0], 12),
    "argsort": (lambda h: h.gather(1, h.argsort(1)), 12),
    "topk": (lambda h: h.topk(5, -1)[0], 5),
    "cumsum": (last(torch.cumsum), 12),
    "cumprod": (lambda h: (h.abs() + 0.5).cumprod(-1), 12),
    "logcumsumexp": (last(torch.logcumsumexp), 12),
    "cummax": (lambda h: h.cummax(-1)[0], 12),
    "mean": (lambda h: h - h.mean(-1, keepdim=True), 12),
    "maximum": (lambda h: h / (h.abs().amax(-1, keepdim=True) + 1), 12),
    "minimum": (lambda h: h.clamp(max=h.amin(-1, keepdim=True) + 1), 12),
    "deviation": (lambda h: h / h.std(-1, keepdim=True), 12),
    "flip": (lambda h: h.flip(-1).relu(), 12),
    "roll": (lambda h: h.roll(2, -1).relu(), 12),
    "index": (lambda h: h[:, torch.arange(WIDTH - 1, -1, -1)], 12),
    "halves": (lambda h: torch.cat(h.chunk(2, -1)[::-1], -1), 12),
    "glu": (F.glu, 6),
    "interleave": (lambda h: h.view(-1, 3, 4).transpose(1, 2).reshape(-1, 12), 12),
    "pooled": (lambda h: F.max_pool1d(h[:, None], 2)[:, 0], 6),
    "outer": (lambda h: (h[:, :, None] * h[:, None, :]).flatten(1), 144),
    "einsum": (lambda h: torch.einsum("bi,ij->bj", h, torch.ones(h.shape[-1], h.shape[-1], dtype=h.dtype)), 12),
    "difference": (lambda h: h.diff(dim=-1), 11),
    "spectrum": (lambda h: torch.fft.rfft(h).real, 7),
    "count": (lambda h: h.relu() / h.shape[-1], 12),
    "position": (lambda h: h.relu() * torch.arange(h.shape[-1]), 12),
    "padding": (lambda h: F.pad(h, (2, 1)), 15),
    "repeat": (lambda h: h.repeat(1, 2), 24),
}


# One scale is in `make check`: the three take a sixth of its time.
@pytest.mark.parametrize(
    "scale", [pytest.param(1e-4, marks=pytest.mark.slow), 1.0, pytest.param(1e6, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", MIXING)
def test_units_before_an_operation_that_mixes_them_stay(name, scale):
    torch.manual_seed(0)
    network = kill(Dense(*MIXING[name], scale))
    shrunk = shrink(network, torch.randn(4, 8))
    assert parameters(shrunk.network) == parameters(network)
    (note,) = shrunk.notes
    assert note.startswith(("Dead units of a were not removed: ", "Units of a stay, dead or not: "))


MIXING_MAPS = {
    "local response": (nn.LocalResponseNorm(2), 12),
    "wide local response": (nn.LocalResponseNorm(5), 12),
    "group norm": (nn.GroupNorm(3, 12), 12),
    "group norm without scale": (lambda h: F.group_norm(h, 3), 12),
    "layer norm of channels": (lambda h: F.layer_norm(h.movedim(1, -1), (h.shape[1],)).movedim(-1, 1), 12),
    "shuffle": (shuffled, 12),
    "channel shuffle": (nn.ChannelShuffle(3), 12),
    "pixel shuffle": (nn.PixelShuffle(2), 3),
    "softmax": (nn.Softmax2d(), 12),
    "maxout": (lambda h: h.view(h.shape[0], 6, 2, 6, 6).amax(2), 6),
    "gate": (lambda h: h * h.mean(1, keepdim=True).sigmoid(), 12),
    "average": (lambda h: F.avg_pool3d(h[:, None], (3, 1, 1), 1, (1, 0, 0))[:, 0], 12),
}


@pytest.mark.parametrize("name", MIXING_MAPS)
def test_only_the_channels_before_a_mixing_operation_stay(name):
    torch.manual_seed(0)
    network = kill(Convolutions(*MIXING_MAPS[name]))
    shrunk = shrink(network, torch.randn(4, 2, 8, 8))
    assert shrunk.network.a.weight.shape == network.a.weight.shape
    assert len(shrunk.network.b.weight) == 2, "the next layer loses its own dead units"
    assert any(" of a " in note for note in shrunk.notes)
    agree(shrunk.network, network, torch.randn(8, 2, 8, 8))


@pytest.mark.parametrize("channels", [4, 6, 8])
@pytest.mark.parametrize("dead", ["one", "even", "all"])
def test_channel_shuffles_of_any_width_and_any_dead_units(channels, dead):
    """Channel shuffles as in ShuffleNet, between convolutions and after a concatenation of halves.

    With 4 and 8 channels torch-pruning computes a width of 0 and divides by it.
    """

    class Shuffled(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(2, channels, 3), nn.Conv2d(channels // 2, channels // 2, 1)
            self.c, self.d = nn.Conv2d(channels, channels, 3), nn.Linear(channels, 3)

        def forward(self, x):
            left, right = shuffled(self.a(x)).chunk(2, 1)
            h = shuffled(torch.cat([left, self.b(right).relu()], 1))
            return self.d(shuffled(self.c(h)).mean((2, 3))) * 1e-4

    torch.manual_seed(0)
    network = Shuffled().eval()
    with torch.no_grad():
        for layer in (network.a, network.b, network.c):
            units = {"one": slice(1), "even": slice(None, None, 2), "all": slice(None)}[dead]
            layer.weight[units] = 0
    shrunk = shrink(network, torch.randn(4, 2, 8, 8))
    noted = " ".join(shrunk.notes)
    assert all(re.search(rf"nits of ([abc], )*{name}(, [abc])* (stay|were not removed)", noted) for name in "abc")
    agree(shrunk.network, network, torch.randn(8, 2, 8, 8))


def test_notes_dead_units_that_a_grouped_convolution_needs():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2)).eval()
    with torch.no_grad():
        network[0].weight[0] = network[0].bias[0] = 0
    shrunk = shrink(network, torch.randn(4, 2, 8, 8))
    assert shrunk.network[0].weight.shape == network[0].weight.shape
    (note,) = shrunk.notes
    assert "Dead units of 0" in note
    assert "grouped convolution" in note
    with torch.no_grad():
        network[0].weight[2] = network[0].bias[2] = 0
    shrunk = shrink(network, torch.randn(4, 2, 8, 8))
    assert len(shrunk.network[0].weight) == 2
    assert shrunk.notes == ()


SEPARATE = {
    "relu": (F.relu, 12),
    "batch norm": (nn.BatchNorm2d(12), 12),
    "instance norm": (F.instance_norm, 12),
    "softmax over space": (lambda h: h.flatten(2).softmax(-1).view_as(h), 12),
    "gate by channel": (lambda h: h * h.mean((2, 3), keepdim=True).sigmoid(), 12),
    "concatenation": (lambda h: torch.cat([h.relu(), -h.relu()], 1), 24),
}


@pytest.mark.parametrize("name", SEPARATE)
def test_dead_units_before_an_operation_on_separate_units_are_removed(name):
    torch.manual_seed(0)
    network = kill(Convolutions(*SEPARATE[name]))
    shrunk = shrink(network, torch.randn(4, 2, 8, 8))
    # Of a concatenated unit only the copy in the first half has no consumer; the second half still reads it.
    assert len(shrunk.network.a.weight) == (10 if name == "concatenation" else 8)
    assert shrunk.notes == ()
    agree(shrunk.network, network, torch.randn(8, 2, 8, 8))


def agree(shrunk, network, x):
    """Assert that outputs agree, each relative to its own size."""
    with torch.no_grad():
        before, after = network(x), shrunk(x)
    assert bool(((after - before).abs().amax(0) <= 1e-5 * before.abs().amax(0)).all())


def test_a_small_output_is_checked_as_strictly_as_a_large_one():
    """One output, of 1e-7 of the others' size, reads all units through a mean that a removal would change."""

    class Uneven(Dense):
        def forward(self, x):
            h = self.a(x)
            return self.b(h.relu()) * torch.tensor([1.0, 1.0, 1e-7]) + torch.tensor([0, 0, 1e-7]) * h.mean(1, True)

    torch.manual_seed(0)
    network = kill(Uneven(None, 12))
    shrunk = shrink(network, torch.randn(4, 8))
    assert parameters(shrunk.network) == parameters(network)
    assert shrunk.notes


def test_an_endless_analysis_is_stopped():
    """Each pass through the local response norm flattens the channels again."""
    network = kill(nn.Sequential(nn.Conv2d(1, 4, 3), nn.LocalResponseNorm(2), nn.Flatten(), nn.Linear(144, 5)))
    x = torch.randn(4, 1, 8, 8)
    start = time.monotonic()
    shrunk = shrink(network, x)
    assert time.monotonic() - start < 60
    assert "following the channels takes more work than the limit allows" in shrunk.notes[0]


def test_work_is_counted():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    graph = dependency_graph(network, torch.randn(2, 3))
    graph.get_pruning_group(network[0], output_pruner(network[0]), [0, 1])
    with pytest.raises(WorkLimitError):
        graph.spend(10**9)


def test_units_that_can_be_followed_are_removed_while_others_stay():
    network = kill(
        nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.LocalResponseNorm(2), nn.Flatten(), nn.Linear(144, 12), nn.ReLU(), nn.Linear(12, 3)
        )
    )
    shrunk = shrink(network, torch.randn(4, 1, 8, 8))
    assert shrunk.network[0].weight.shape == (4, 1, 3, 3)
    assert shrunk.network[3].weight.shape == (8, 144)
    agree(shrunk.network, network, torch.randn(8, 1, 8, 8))


def test_an_exception_in_the_analysis_becomes_a_note():
    class Untraceable(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 12), nn.Linear(12, 3)

        def forward(self, x):
            with torch.no_grad():
                return self.b(self.a(x).relu())

    network = kill(Untraceable())
    shrunk = shrink(network, torch.randn(4, 8))
    assert "torch-pruning cannot follow" in shrunk.notes[0]
    assert find_units(network, torch.randn(4, 8)).groups == []


def test_shared_and_repeated_layers_stay_with_a_note():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.e, self.f, self.b = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 3)
            self.f.weight = self.e.weight

        def forward(self, x):
            return self.b(self.f(self.e(x).relu()).relu())

    network = kill(Tied())
    shrunk = shrink(network, torch.randn(4, 12))
    assert any("computed or shared" in note for note in shrunk.notes)
    agree(shrunk.network, network, torch.randn(8, 12))


def test_units_multiplied_by_a_small_varying_factor_are_not_folded():
    """A constant unit is multiplied by a factor of about 1e-7 that depends on the input; its weight is about 1e7."""

    class Faint(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 12), nn.Linear(12, 3)

        def forward(self, x):
            return self.b(self.a(x).relu() * (1e-7 * (1 + x[:, :1].square()))) * 1e-4

    network = kill(Faint())
    with torch.no_grad():
        network.a.bias[1] = 5.0
        network.b.weight.mul_(1e7)
    shrunk = shrink(network, torch.randn(4, 8))
    agree(shrunk.network, network, torch.randn(8, 8))
    assert len(shrunk.network.a.weight) == 9, "unit 1 varies"


def test_only_the_layer_at_fault_stays():
    """The forward uses the width of one of four layers, which torch-pruning cannot see."""

    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(12, 12) for _ in range(4)])
            self.last = nn.Linear(12, 3)

        def forward(self, x):
            for number, layer in enumerate(self.layers):
                x = layer(x).tanh()
                if number == 2:
                    x = x * x.shape[1]
            return self.last(x)

    torch.manual_seed(0)
    network = kill(Deep())
    shrunk = shrink(network, torch.randn(4, 12))
    assert [len(layer.weight) for layer in shrunk.network.layers] == [8, 8, 12, 8]
    assert len(shrunk.notes) == 1
    assert "layers.2" in shrunk.notes[0]
    agree(shrunk.network, network, torch.randn(8, 12))


def test_a_forward_that_needs_float32_is_shrunk():
    class Narrow(Dense):
        def forward(self, x):
            return super().forward(x.float())

    network = kill(Narrow(F.relu, 12))
    shrunk = shrink(network, torch.randn(4, 8))
    assert len(shrunk.network.a.weight) == 8
    agree(shrunk.network, network, torch.randn(8, 8))


def test_a_network_whose_outputs_are_nan_is_not_shrunk():
    network = kill(Dense(F.relu, 12, float("nan")))
    shrunk = shrink(network, torch.randn(4, 8))
    assert len(shrunk.network.a.weight) == 12
    (note,) = shrunk.notes
    assert "NaN" in note
