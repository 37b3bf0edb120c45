"""Levels are the nearest ones, pruning follows its rule, and invalid posteriors are rejected."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayespress.codec import Grid, QuantizedTensor, RawTensor
from bayespress.compress.posterior import Posterior, read_posterior
from bayespress.compress.prune import prune
from bayespress.compress.quantize import grid_levels, grid_values, storable_step, to_tensors
from bayespress.compress.settings import CompressSettings
from bayespress.errors import CorruptFileError, InputError


@given(st.floats(1e-30, 1e30))
def test_storable_steps_take_two_bytes_and_are_close(step):
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


def test_rejects_a_step_that_is_too_fine():
    with pytest.raises(InputError, match="fc would need level 10000000"):
        grid_levels("fc", torch.tensor([1.0]), 1e-7)


def test_tensors_for_the_codec():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    tensors = to_tensors(network, {"0.weight": Grid(0.25)})
    assert [tensor.name for tensor in tensors] == [
        "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
    ]  # fmt: skip
    assert isinstance(tensors[0], QuantizedTensor)
    assert all(isinstance(tensor, RawTensor) for tensor in tensors[1:])


def test_pruning_follows_log_alpha():
    values = {"w": torch.tensor([1.0, 1.0, 0.0, -2.0])}
    variances = {"w": torch.tensor([math.exp(2.9), math.exp(3.1), 1.0, 4 * math.exp(2.9)])}
    posterior = Posterior(values, variances)
    assert prune(posterior, CompressSettings())["w"].tolist() == [1.0, 0.0, 0.0, -2.0]
    by_ratio = CompressSettings(rule="signal-to-noise")
    assert prune(posterior, by_ratio)["w"].tolist() == [1.0, 0.0, 0.0, -2.0], "the default thresholds are equivalent"


def ranked():
    values = {"a": torch.tensor([[0.1, -5.0], [3.0, 0.2]]), "b": torch.tensor([4.0, 1.0])}
    variances = {"a": torch.tensor([[1e-6, 1.0], [100.0, 1.0]]), "b": torch.tensor([1.0, 1e-4])}
    return Posterior(values, variances)


@pytest.mark.parametrize(
    ("rule", "a", "b"),
    [
        # signal-to-noise is 100, 5 / 0.3, 0.2 in a and 4, 100 in b
        ("signal-to-noise", [[0.1, -5.0], [0.0, 0.0]], [0.0, 1.0]),
        ("log-alpha", [[0.1, -5.0], [0.0, 0.0]], [0.0, 1.0]),
        ("magnitude", [[0.0, -5.0], [3.0, 0.0]], [4.0, 0.0]),
    ],
)
def test_pruning_to_a_sparsity_ranks_across_the_network(rule, a, b):
    pruned = prune(ranked(), CompressSettings(rule=rule, sparsity=50.0))
    assert torch.equal(pruned["a"], torch.tensor(a))
    assert torch.equal(pruned["b"], torch.tensor(b))


def test_random_pruning_is_repeatable_and_meets_the_sparsity():
    posterior = Posterior({"w": torch.ones(1000)}, {"w": torch.ones(1000)})
    settings = CompressSettings(rule="random", sparsity=73.0)
    first = prune(posterior, settings)["w"]
    assert first.count_nonzero() == 270
    assert torch.equal(first, prune(posterior, settings)["w"])


@pytest.mark.parametrize(
    ("rule", "threshold", "a", "b"),
    [
        ("log-alpha", -20.0, [[0.0, 0.0], [0.0, 0.0]], [0.0, 0.0]),
        ("signal-to-noise", 10.0, [[0.1, 0.0], [0.0, 0.0]], [0.0, 1.0]),
        ("magnitude", 2.0, [[0.0, -5.0], [3.0, 0.0]], [4.0, 0.0]),
    ],
)
def test_thresholds_are_in_the_units_of_their_rule(rule, threshold, a, b):
    values = ranked().values | {"a": torch.tensor([[0.1, -2.0], [3.0, 0.2]])}
    if rule == "magnitude":
        values["a"][0, 1] = -5.0
    pruned = prune(Posterior(values, ranked().variances), CompressSettings(rule=rule, threshold=threshold))
    assert torch.equal(pruned["a"], torch.tensor(a))
    assert torch.equal(pruned["b"], torch.tensor(b))


def test_groups_are_pruned_by_the_noise_of_their_scale():
    """Groups are the inputs of a linear layer and the output channels of a convolution."""
    values = {"fc.weight": torch.ones(2, 3), "conv.weight": torch.ones(2, 1, 3, 3)}
    noise = {
        "fc.weight": torch.tensor([[-1.0, 2.0, 0.5]]),
        "conv.weight": torch.tensor([0.1, -0.1]).reshape(2, 1, 1, 1),
    }
    posterior = Posterior(values, values, noise)
    pruned = prune(posterior, CompressSettings(rule="group-scale"))
    assert pruned["fc.weight"].tolist() == [[1.0, 0.0, 0.0]] * 2
    assert pruned["conv.weight"].flatten(1).sum(1).tolist() == [0.0, 9.0]
    assert prune(posterior, CompressSettings(rule="group-scale", threshold=1.0))["fc.weight"].sum() == 4
    assert prune(posterior, CompressSettings(rule="group-scale", sparsity=100 * 2 / 24))["fc.weight"].sum() == 4
    with pytest.raises(InputError, match=r"w has no group scales, .* train with group-normal-jeffreys"):
        prune(Posterior({"w": torch.ones(2, 2)}, {"w": torch.ones(2, 2)}), CompressSettings(rule="group-scale"))


def test_a_sparsity_replaces_the_threshold():
    assert prune(ranked(), CompressSettings(sparsity=0.0))["b"].tolist() == [4.0, 1.0]
    with pytest.raises(InputError, match=r"sparsity of 50 % and a threshold of 3 exclude each other"):
        CompressSettings(sparsity=50.0, threshold=3.0)
    with pytest.raises(InputError, match="rule random has no threshold"):
        CompressSettings(rule="random")


@pytest.mark.parametrize("sparsity", [-1.0, 100.0, float("nan")])
def test_rejects_invalid_sparsities_and_rules(sparsity):
    with pytest.raises(InputError, match="at least 0 and below 100"):
        CompressSettings(sparsity=sparsity)
    with pytest.raises(InputError, match="no pruning rule 'size'; choose one of log-alpha"):
        CompressSettings(rule="size")
    with pytest.raises(InputError, match="no profile 'tiny'; choose one of small"):
        CompressSettings(profile="tiny")


@pytest.mark.parametrize(
    ("values", "variances", "message"),
    [
        ({"w": [1.0, float("nan")]}, {"w": [1.0, 1.0]}, "w of the posterior holds NaN"),
        ({"w": [1.0]}, {"w": [-1.0]}, "variance of w holds negative"),
        ({"w": [1.0]}, {"w": [float("inf")]}, "variance of w holds negative or non-finite"),
        ({"w": [1.0]}, {"w": [1.0, 2.0]}, "variance of w has no mean of the same shape"),
        ({}, {"w": [1.0]}, "variance of w has no mean"),
    ],
)
def test_rejects_invalid_posterior(values, variances, message):
    tensors = ({name: torch.tensor(numbers) for name, numbers in lists.items()} for lists in (values, variances))
    with pytest.raises(InputError, match=message):
        Posterior(*tensors)


def test_rejects_a_posterior_of_another_network():
    network = torch.nn.Linear(2, 2)
    whole = dict(network.state_dict())
    with pytest.raises(InputError, match=r"bias"):
        Posterior({"weight": whole["weight"]}, {}).load_into(network)
    with pytest.raises(InputError, match=r"weight has shape \(1, 2\) in the posterior and \(2, 2\)"):
        Posterior(whole | {"weight": torch.zeros(1, 2)}, {}).load_into(network)
    with pytest.raises(InputError, match="holds the tensor other, which the network lacks"):
        Posterior(whole | {"other": torch.zeros(1)}, {}).load_into(network)


def test_rejects_missing_and_damaged_posterior_files(tmp_path):
    with pytest.raises(InputError, match="There is no posterior"):
        read_posterior(tmp_path / "posterior.safetensors")
    (tmp_path / "posterior.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(CorruptFileError, match="not a complete safetensors file"):
        read_posterior(tmp_path / "posterior.safetensors")


@pytest.mark.parametrize("budget", [0.0, -1.0, float("inf"), float("nan")])
def test_rejects_invalid_budgets(budget):
    with pytest.raises(InputError, match="above 0"):
        CompressSettings(budget=budget)
    with pytest.raises(InputError, match="NaN"):
        CompressSettings(threshold=float("nan"))
