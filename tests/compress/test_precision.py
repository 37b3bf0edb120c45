"""The grid step costs what it promises, and levels say what they should."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayespress.codec import QuantizedTensor, RawTensor
from bayespress.compress.posterior import Posterior, read_posterior
from bayespress.compress.precision import grid_step
from bayespress.compress.prune import prune, prune_by_log_alpha, prune_to_sparsity
from bayespress.compress.quantize import grid_levels, grid_values, storable_step, to_tensors
from bayespress.compress.rate import rate_levels
from bayespress.compress.settings import CompressSettings
from bayespress.errors import CorruptFileError, InputError


@pytest.mark.parametrize("budget", [0.001, 0.03, 1.0])
def test_rounding_costs_the_budget(budget):
    """Equation (1) measured on random weights of very different variances, against equation (2)'s promise."""
    generator = torch.Generator().manual_seed(0)
    variance = torch.exp(torch.randn(200_000, generator=generator, dtype=torch.float64) * 1.5 - 8)
    step = grid_step(variance, budget)
    weights = torch.randn(200_000, generator=generator, dtype=torch.float64) * step * 50
    rounded = torch.round(weights / step) * step
    cost = ((rounded - weights).square() / (2 * variance)).mean().item()
    assert cost == pytest.approx(budget, rel=0.03)


def test_the_cost_is_that_of_the_log_density():
    """Equation (1) is the expected log density ratio of Gaussians with the mean moved."""
    variance, moved = torch.tensor(0.04), torch.tensor(0.03)
    before = torch.distributions.Normal(0.0, variance.sqrt())
    after = torch.distributions.Normal(moved, variance.sqrt())
    divergence = torch.distributions.kl_divergence(before, after)
    assert divergence.item() == pytest.approx((moved.square() / (2 * variance)).item(), rel=1e-5)


def test_a_certain_weight_has_no_step():
    with pytest.raises(InputError, match="variance 0"):
        grid_step(torch.tensor([1.0, 0.0]), 0.1)


@given(st.floats(1e-30, 1e30))
def test_storable_steps_have_two_bytes_and_are_near(step):
    stored = storable_step(step)
    assert abs(stored - step) <= step / 256
    bits = torch.tensor(stored, dtype=torch.float32).view(torch.int32).item()
    assert bits & 0xFFFF == 0
    assert torch.tensor(stored, dtype=torch.float32).item() == stored


def test_levels_are_the_nearest():
    tensor = torch.tensor([[0.0, 0.49, 0.51], [-1.49, -1.51, 7.0]])
    levels = grid_levels("w", tensor, 1.0)
    assert levels.tolist() == [[0, 0, 1], [-1, -2, 7]]
    assert grid_values(levels, 0.5).tolist() == [[0, 0, 0.5], [-0.5, -1.0, 3.5]]


def test_a_step_far_too_fine_is_refused():
    with pytest.raises(InputError, match="fc would need level 10000000"):
        grid_levels("fc", torch.tensor([1.0]), 1e-7)


def test_tensors_for_the_codec():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    tensors = to_tensors(network, {"0.weight": 0.25})
    assert [tensor.name for tensor in tensors] == [
        "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
    ]  # fmt: skip
    assert isinstance(tensors[0], QuantizedTensor)
    assert all(isinstance(tensor, RawTensor) for tensor in tensors[1:])


def test_pruning_follows_log_alpha():
    values = {"w": torch.tensor([1.0, 1.0, 0.0, -2.0])}
    variances = {"w": torch.tensor([math.exp(2.9), math.exp(3.1), 1.0, 4 * math.exp(2.9)])}
    assert prune_by_log_alpha(Posterior(values, variances), 3.0)["w"].tolist() == [1.0, 0.0, 0.0, -2.0]


def ranked():
    values = {"a": torch.tensor([[0.1, -5.0], [3.0, 0.2]]), "b": torch.tensor([4.0, 1.0])}
    variances = {"a": torch.tensor([[1e-6, 1.0], [100.0, 1.0]]), "b": torch.tensor([1.0, 1e-4])}
    return Posterior(values, variances)


@pytest.mark.parametrize(
    ("rule", "a", "b"),
    [
        # signal-to-noise is 100, 5 / 0.3, 0.2 in a and 4, 100 in b
        ("signal-to-noise", [[0.1, -5.0], [0.0, 0.0]], [0.0, 1.0]),
        ("magnitude", [[0.0, -5.0], [3.0, 0.0]], [4.0, 0.0]),
    ],
)
def test_pruning_to_a_sparsity_ranks_across_the_network(rule, a, b):
    pruned = prune_to_sparsity(ranked(), rule, 50.0)
    assert torch.equal(pruned["a"], torch.tensor(a))
    assert torch.equal(pruned["b"], torch.tensor(b))


def test_random_pruning_drops_as_many_and_the_same_each_time():
    posterior = Posterior({"w": torch.ones(1000)}, {"w": torch.ones(1000)})
    first = prune_to_sparsity(posterior, "random", 73.0)["w"]
    assert first.count_nonzero() == 270
    assert torch.equal(first, prune_to_sparsity(posterior, "random", 73.0)["w"])


def test_a_sparsity_takes_the_place_of_the_threshold():
    assert prune(ranked(), CompressSettings(sparsity=0.0))["b"].tolist() == [4.0, 1.0]
    assert prune(ranked(), CompressSettings(log_alpha=-20.0))["b"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("sparsity", [-1.0, 100.0, float("nan")])
def test_sparsities_and_rules_out_of_range(sparsity):
    with pytest.raises(InputError, match="at least 0 and below 100"):
        CompressSettings(sparsity=sparsity)
    with pytest.raises(InputError, match="no pruning rule 'size'; there are signal-to-noise"):
        CompressSettings(rule="size")
    with pytest.raises(InputError, match="no profile 'tiny'; there are small and fast"):
        CompressSettings(profile="tiny")


@pytest.mark.parametrize(
    ("values", "variances", "message"),
    [
        ({"w": [1.0, float("nan")]}, {}, "w of the posterior holds NaN"),
        ({"w": [1.0]}, {"w": [-1.0]}, "variance of w holds negative"),
        ({"w": [1.0]}, {"w": [float("inf")]}, "variance of w holds negative or non-finite"),
        ({"w": [1.0]}, {"w": [1.0, 2.0]}, "variance of w has no mean of the same shape"),
        ({}, {"w": [1.0]}, "variance of w has no mean"),
    ],
)
def test_a_posterior_that_is_none(values, variances, message):
    tensors = ({name: torch.tensor(numbers) for name, numbers in each.items()} for each in (values, variances))
    with pytest.raises(InputError, match=message):
        Posterior(*tensors)


def test_a_posterior_of_another_network_is_refused():
    network = torch.nn.Linear(2, 2)
    whole = dict(network.state_dict())
    with pytest.raises(InputError, match=r"bias"):
        Posterior({"weight": whole["weight"]}, {}).load_into(network)
    with pytest.raises(InputError, match=r"weight has shape \(1, 2\) in the posterior and \(2, 2\)"):
        Posterior(whole | {"weight": torch.zeros(1, 2)}, {}).load_into(network)
    with pytest.raises(InputError, match="holds tensor other, which the network lacks"):
        Posterior(whole | {"other": torch.zeros(1)}, {}).load_into(network)


def test_reading_a_posterior(tmp_path):
    with pytest.raises(InputError, match="There is no posterior"):
        read_posterior(tmp_path / "posterior.safetensors")
    (tmp_path / "posterior.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(CorruptFileError, match="not a whole safetensors file"):
        read_posterior(tmp_path / "posterior.safetensors")


@pytest.mark.parametrize("budget", [0.0, -1.0, float("inf"), float("nan")])
def test_budgets_out_of_range(budget):
    with pytest.raises(InputError, match="above 0"):
        CompressSettings(budget=budget)
    with pytest.raises(InputError, match="NaN"):
        CompressSettings(log_alpha=float("nan"))


def cost_of(levels, mean, variance, step, rate):
    """Equations (4) and (5), weight by weight."""
    magnitudes = [abs(int(level)) for level in levels if level != 0]
    survival = (len(magnitudes) + 0.5) / (len(levels) + 1)
    total = 0.0
    for level, w, v in zip(levels.tolist(), mean.tolist(), variance.tolist(), strict=True):
        if level == 0:
            bits = -math.log2(1 - survival)
        else:
            bits = 1 - math.log2(survival) - math.log2(magnitudes.count(abs(level)) / len(magnitudes))
        total += (w - level * step) ** 2 / (2 * v) + rate * math.log(2) * bits
    return total


@pytest.mark.parametrize("rate", [0.05, 0.3, 1.0])
def test_levels_by_rate_cost_less_and_take_fewer_bits(rate):
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(3000, generator=generator).pow(3) * 0.1 * (torch.rand(3000, generator=generator) < 0.3)
    variance = torch.full_like(mean, 0.002)
    nearest, chosen = (rate_levels(mean, variance, 0.1, each) for each in (0.0, rate))
    assert nearest.tolist() == grid_levels("w", mean, 0.1).tolist()
    assert cost_of(chosen, mean, variance, 0.1, rate) < cost_of(nearest, mean, variance, 0.1, rate)
    assert torch.count_nonzero(chosen) < torch.count_nonzero(nearest)
    assert bool((chosen.abs() <= nearest.abs()).all())
    assert bool((chosen * nearest >= 0).all())


def test_a_certain_weight_keeps_its_level_at_any_rate():
    mean, variance = torch.tensor([0.31, 0.0, -0.12, 0.11]), torch.tensor([1e-9, 0.0, 1e-9, 10.0])
    assert rate_levels(mean, variance, 0.1, 1.0).tolist() == [3, 0, -1, 0]
    assert rate_levels(torch.zeros(3), torch.zeros(3), 0.1, 1.0).tolist() == [0, 0, 0]


def test_a_negative_rate_is_refused():
    with pytest.raises(InputError, match=r"rate is -0\.1"):
        CompressSettings(rate=-0.1)
