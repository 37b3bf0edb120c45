"""Golden vectors hold examples, zeros, extremes and noise; inputs on which the network fails are left out and noted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bayespress.compress.golden import MOST_EXAMPLES, golden_vectors
from bayespress.errors import InputError


class Forward(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_examples_come_first_and_generated_inputs_after_them():
    x = torch.rand(20, 3, 5)
    found = golden_vectors(nn.Flatten(), x)
    assert found.real == MOST_EXAMPLES
    assert found.notes == ()
    assert torch.equal(found.inputs[: found.real], x[: found.real])
    generated = found.inputs[found.real :]
    assert len(generated) == 4
    assert (generated[0] == 0).all()
    assert generated.abs().max() >= 7 * x.abs().max(), "extremes"
    assert torch.equal(found.outputs, found.inputs.flatten(1))


def test_golden_vectors_are_repeatable():
    x = torch.randn(2, 4)
    assert torch.equal(golden_vectors(nn.Identity(), x).inputs, golden_vectors(nn.Identity(), x).inputs)


def test_extremes_that_overflow_are_left_out():
    found = golden_vectors(Forward(lambda x: torch.exp(x * 30.0)), torch.ones(2, 3))
    assert torch.isfinite(found.outputs).all()
    assert found.real == 2
    assert len(found.notes) == 2
    assert "4 to 8" in found.notes[0]
    assert "Forward returns NaN" in found.notes[0]


def test_zeros_that_cause_a_division_by_zero_are_left_out():
    found = golden_vectors(Forward(lambda x: x / x.sum(1, keepdim=True)), torch.ones(2, 3))
    assert "The input of zeros is not a golden input" in found.notes[0]


def test_generated_inputs_on_which_a_network_fails_are_left_out():
    """The inputs are word indices as floats. Only the examples and zeros are valid indices."""
    embedding = nn.Embedding(10, 2)
    found = golden_vectors(Forward(lambda x: embedding(x.long()).flatten(1)), torch.tensor([[1.0, 9.0], [3.0, 4.0]]))
    assert found.real == 2
    assert any("fails on it (index out of range in self)" in note for note in found.notes)
    assert any((found.inputs[index] == 0).all() for index in range(2, len(found.inputs))), "zeros are valid indices"


def test_an_example_without_finite_outputs_is_left_out():
    found = golden_vectors(Forward(torch.log), torch.tensor([[1.0], [0.0], [2.0]]))
    assert found.real == 2
    assert "Example 1 is not a golden input" in found.notes[0]


def test_a_forward_that_writes_into_its_input():
    x = torch.ones(2, 3)
    found = golden_vectors(Forward(lambda x: x.mul_(2.0) + 0.0), x)
    assert torch.equal(found.inputs[:2], torch.ones(2, 3))
    assert torch.equal(x, torch.ones(2, 3))


@pytest.mark.parametrize(
    ("function", "examples", "message"),
    [
        (torch.log, -torch.ones(2, 1), "Forward returns NaN or infinite values for every example; correct"),
        (lambda x: x, torch.ones(2, 1, dtype=torch.int64), "examples for Forward are int64; give float32"),
        (lambda x: x, torch.ones(2, 1).double(), "examples for Forward are float64; give float32"),
        (lambda x: x, torch.tensor([[1.0], [float("nan")]]), "Example 1 for Forward holds NaN or infinite values"),
        (lambda x: x, torch.ones(0, 3), r"examples for Forward have shape \(0, 3\)"),
        (lambda x: x > 0, torch.ones(2, 1), "Forward returns bool; end its forward in float32"),
        (lambda x: (x, x), torch.ones(2, 1), "Forward returns a tuple; return one float32 tensor"),
        (lambda x: x.sum(), torch.ones(2, 1), r"Forward returns shape \(\) for one example"),
        (lambda x: x[x > 0][None], torch.tensor([[1.0, 1.0], [1.0, -1.0]]), r"shape \(2,\) for one example and \(1,\)"),
        (lambda x: 1 // 0, torch.ones(2, 1), "The network Forward raised ZeroDivisionError: "),
    ],
)
def test_rejects_invalid_networks_and_examples(function, examples, message):
    with pytest.raises(InputError, match=message):
        golden_vectors(Forward(function), examples)


def test_examples_without_elements_and_of_huge_size():
    assert golden_vectors(nn.Flatten(), torch.ones(2, 0)).real == 2
    found = golden_vectors(Forward(lambda x: x * 1e-30), torch.full((2, 3), 3e38))
    assert torch.isfinite(found.inputs).all()
