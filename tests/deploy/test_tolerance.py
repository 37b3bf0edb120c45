"""The allowed difference of an output: proportional to its size and to the rounding of its intermediate values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bayespress.deploy.verify.tolerance import additions, allowed_difference, check_outputs, deviation
from bayespress.errors import CheckFailedError


class Scaled(nn.Module):
    """A layer with four outputs of sizes 1e4, 1, 1e-4 and exactly 0."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(16, 4)
        self.register_buffer("size", torch.tensor([1e4, 1.0, 1e-4, 0.0]))

    def forward(self, x):
        return (self.fc(x) + 2.0) * self.size


class Cancelling(Scaled):
    """Small differences of two large values, which float32 computes only to 1e-3."""

    def forward(self, x):
        return (self.fc(x) + 1e4) - 1e4


class Deep(nn.Module):
    """Convolutions, batch norm, attention and a softmax."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16)
        self.attention = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x))).flatten(2).transpose(1, 2)
        return torch.softmax(8.0 * self.head(self.attention(x).mean(1)), 1)


class Spread(nn.Module):
    """Means and variances of planes that are constant if the inputs are zeros."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x):
        x = self.conv(x)
        return torch.cat([x.mean((2, 3)), x.var((2, 3))], 1)


class Sum(nn.Module):
    """Many terms with one sign; another order of addition changes the sum by more than a few units."""

    def forward(self, x):
        return x.abs().sum(1, keepdim=True) - x.shape[1] * 0.7979


def measured(network, x):
    network = network.eval()
    with torch.no_grad():
        outputs = torch.cat([network(each[None]) for each in x]).numpy()
        exact = torch.cat([network.double()(each[None].double()) for each in x]).numpy()
    return outputs, exact, allowed_difference(network.float(), x.numpy(), outputs)


@pytest.mark.parametrize(
    ("network", "shape"), [(Scaled(), (16,)), (Cancelling(), (16,)), (Deep(), (3, 9, 9)), (Sum(), (20_000,))]
)
def test_float64_results_are_within_the_tolerance(network, shape):
    outputs, exact, allowed = measured(network, torch.randn(4, *shape))
    assert (np.abs(exact - outputs) <= 0.25 * allowed).all(), "PyTorch's own rounding leaves room for another's"


def test_sequential_sums_are_within_the_tolerance():
    """A long sum in the least accurate order is within the tolerance."""
    x = torch.randn(2, 20_000)
    outputs, _, allowed = measured(Sum(), x)
    careless = np.abs(x.numpy()).cumsum(1, dtype=np.float32)[:, -1:] - np.float32(20_000 * 0.7979)
    assert (np.abs(careless - outputs) <= allowed).all()


def test_sequential_sums_of_equal_terms_are_within_the_tolerance():
    """Errors of equal terms do not cancel: means of constant planes, and variances that are only rounding."""
    network, x = Spread().eval(), torch.zeros(1, 1, 80, 80)
    outputs, _, allowed = measured(network, x)
    plane = network.conv(x).detach().numpy()[0].reshape(4, -1)
    count = np.float32(plane.shape[1])
    mean = plane.cumsum(1, dtype=np.float32)[:, -1] / count
    variance = np.square(plane - mean[:, None]).cumsum(1, dtype=np.float32)[:, -1] / (count - 1)
    assert (np.abs(np.concatenate([mean, variance]) - outputs[0]) <= allowed[0]).all()


def test_each_output_has_its_own_tolerance():
    outputs, _, allowed = measured(Scaled(), torch.randn(6, 16))
    sizes = np.abs(outputs).max(0)
    assert (allowed[:, :3] < 1e-4 * sizes[:3]).all(), "a part of each output's size"
    assert (allowed[:, 0] >= 1e-6 * np.abs(outputs[:, 0])).all()
    assert (allowed[:, 3] < 1e-30).all(), "what is always 0 has to be 0"
    for column, error, passes in (
        (0, 1e-2, True),
        (0, 10.0, False),
        (2, 1e-5, False),
        (2, 1e-11, True),
        (3, 1e-9, False),
    ):
        wrong = outputs.copy()
        wrong[2, column] += np.float32(error)
        assert deviation(wrong, outputs, allowed).passed is passes, (column, error)


def test_cancellation_widens_the_tolerance_as_needed():
    _, _, allowed = measured(Cancelling(), torch.randn(4, 16))
    unit = np.spacing(np.float32(1e4))
    assert (allowed > unit).all()
    assert (allowed < 64 * unit).all()


@pytest.mark.parametrize("name", ["sigmoid", "silu", "gelu", "glu", "erfc", "log_softmax"])
@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_saturating_functions_have_an_absolute_error(name, scale):
    """Runtimes compute 1/2 + p(x) or 1 + erf(x), so an absolute error of 2^-24 of the limit remains."""
    function = getattr(torch, name, None) or getattr(torch.nn.functional, name)

    def network(x):
        return (function(x, 1) if name == "log_softmax" else function(x)) * scale

    x = {
        "glu": torch.tensor([[1.0, -14.0]]),
        "erfc": torch.tensor([[4.0]]),
        "log_softmax": torch.tensor([[-16.0, 0.0]]),
    }.get(name, torch.tensor([[-5.3]]))
    outputs = network(x).numpy()
    allowed = allowed_difference(network, x.numpy(), outputs)[0, -1:]
    height = float(x.abs().max()) if name in ("silu", "gelu") else 1.0
    assert 2**-24 * height * scale < allowed.item() < 2**-20 * height * scale


def test_comparisons_of_a_number_with_itself_are_exact():
    """nanmean counts the values that equal themselves."""
    x = torch.tensor([[1.0, np.nan, 3.0, 2.0]])
    outputs = x.nanmean(-1).numpy()
    assert allowed_difference(lambda it: it.nanmean(-1), x.numpy(), outputs).item() < 1e-4


def test_half_precision_products():
    network = Deep().eval()
    x = torch.randn(3, 3, 9, 9)
    with torch.no_grad():
        outputs = torch.cat([network(each[None]) for each in x]).numpy()
        halves = Deep().eval()
        for module in halves.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.copy_(module.weight.half().float())
        rounded = torch.cat([halves(each[None].half().float()) for each in x]).numpy()
    full = allowed_difference(network, x.numpy(), outputs)
    half = allowed_difference(network, x.numpy(), outputs, half=True)
    assert not deviation(rounded, outputs, full).passed
    assert deviation(rounded, outputs, half).passed
    assert not deviation(np.roll(outputs, 1, axis=1), outputs, half).passed


def test_messages_name_output_and_difference():
    expected, allowed = np.array([[1.0, 1e-4]], np.float32), np.array([[1e-5, 1e-9]], np.float32)
    found = check_outputs(expected + np.float32(1e-10), expected, allowed)
    assert found.passed
    assert found.relative == pytest.approx(found.absolute / 1e-4)
    with pytest.raises(CheckFailedError, match=r"An output differs by 1e-05 from PyTorch's, 10 % of it: output 1"):
        check_outputs(expected + np.array([[0.0, 1e-5]], np.float32), expected, allowed)
    for wrong in (np.nan, np.inf):
        with pytest.raises(CheckFailedError, match=r"is (nan|inf) instead of 1\."):
            check_outputs(np.array([[wrong, 1e-4]], np.float32), expected, allowed)
    with pytest.raises(CheckFailedError, match="3 outputs, and 2 were expected"):
        check_outputs(np.zeros(3, np.float32), expected, allowed)


def test_a_saturated_gate_may_differ_by_one_spacing():
    """Rounding can only decrease a sigmoid of 1 by one spacing; one sign of each pair of runs does so."""
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(7, 40).eval()
    x = 30.0 * torch.randn(3, 1, 7)
    with torch.no_grad():
        outputs = torch.stack([cell(each) for each in x]).numpy()
    allowed = allowed_difference(lambda each: cell(each[0]), x.numpy(), outputs)
    assert (allowed >= 2.0**-24 * np.abs(outputs)).all()
    assert (allowed[np.abs(outputs) < 1e-3] >= 2.0**-24).all()
    assert (np.abs(outputs) < 1e-3).any()


def test_random_rounding_outside_a_domain_is_ignored():
    """acos of a value above 1 is NaN; that run is ignored."""

    class Edge(nn.Module):
        def forward(self, x):
            return torch.acos(torch.clamp(x, -1.0, 1.0))

    x = np.array([[1.0, -1.0, 0.5]], np.float32)
    outputs = np.arccos(x)
    allowed = allowed_difference(Edge(), x, outputs)
    assert np.isfinite(allowed).all()
    assert allowed[0, 2] < 1e-4


def test_in_place_writes_and_views_keep_their_meaning():
    class InPlace(nn.Module):
        def forward(self, x):
            y = x * 2.0
            y[:, 1:].mul_(3.0)
            y.view(-1)[0] = 5.0
            return y.clone().add_(1.0)

    x = np.ones((1, 4), np.float32)
    outputs = InPlace()(torch.ones(1, 4)).numpy()
    assert (allowed_difference(InPlace(), x, outputs) < 1e-4).all()


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "count"),
    [
        ("convolution", [(1, 3, 8, 8), (16, 3, 3, 3), (16,)], [], 27),
        ("addmm", [(10,), (1, 300), (300, 10)], [], 300),
        ("bmm", [(2, 3, 4), (2, 4, 5)], [], 4),
        ("sum", [(1, 20, 30)], [(1, 20)], 30),
        ("_softmax", [(1, 50)], [(1, 50)], 50),
        ("add", [(1, 50), (50,)], [(1, 50)], 1),
        ("add", [()], [()], 1),
        ("sum", [(1, 0)], [(1,)], 1),
    ],
)
def test_number_of_additions(name, inputs, outputs, count):
    assert additions(name, inputs, outputs) == count
