"""Golden vectors: examples first, then zeros, extremes and noise; what a network cannot take is left out and told."""

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


def test_what_they_are():
    x = torch.rand(20, 3, 5)
    found = golden_vectors(nn.Flatten(), x)
    assert found.real == MOST_EXAMPLES
    assert found.notes == ()
    assert torch.equal(found.inputs[: found.real], x[: found.real])
    made_up = found.inputs[found.real :]
    assert len(made_up) == 4
    assert (made_up[0] == 0).all()
    assert made_up.abs().max() >= 7 * x.abs().max(), "extremes"
    assert torch.equal(found.outputs, found.inputs.flatten(1))


def test_the_same_each_time():
    x = torch.randn(2, 4)
    assert torch.equal(golden_vectors(nn.Identity(), x).inputs, golden_vectors(nn.Identity(), x).inputs)


def test_extremes_that_overflow_are_left_out():
    found = golden_vectors(Forward(lambda x: torch.exp(x * 30.0)), torch.ones(2, 3))
    assert torch.isfinite(found.outputs).all()
    assert found.real == 2
    assert len(found.notes) == 2
    assert "4 to 8" in found.notes[0]
    assert "Forward gives NaN" in found.notes[0]


def test_zeros_that_divide():
    found = golden_vectors(Forward(lambda x: x / x.sum(1, keepdim=True)), torch.ones(2, 3))
    assert "The input of zeros is no golden input" in found.notes[0]


def test_inputs_that_a_network_does_not_take():
    """Words as floats: only examples are words."""
    embedding = nn.Embedding(10, 2)
    found = golden_vectors(Forward(lambda x: embedding(x.long()).flatten(1)), torch.tensor([[1.0, 9.0], [3.0, 4.0]]))
    assert found.real == 2
    assert any("does not take it (index out of range in self)" in note for note in found.notes)
    assert any((found.inputs[index] == 0).all() for index in range(2, len(found.inputs))), "zeros are words"


def test_an_example_of_no_finite_output_is_left_out():
    found = golden_vectors(Forward(torch.log), torch.tensor([[1.0], [0.0], [2.0]]))
    assert found.real == 2
    assert "Example 1 is no golden input" in found.notes[0]


def test_a_forward_that_writes_into_its_input():
    x = torch.ones(2, 3)
    found = golden_vectors(Forward(lambda x: x.mul_(2.0) + 0.0), x)
    assert torch.equal(found.inputs[:2], torch.ones(2, 3))
    assert torch.equal(x, torch.ones(2, 3))


@pytest.mark.parametrize(
    ("function", "examples", "message"),
    [
        (torch.log, -torch.ones(2, 1), "Forward gives NaN or infinite values for every example; mend"),
        (lambda x: x, torch.ones(2, 1, dtype=torch.int64), "examples of int64; a network of float32 inputs"),
        (lambda x: x, torch.ones(2, 1).double(), "examples of float64; a network of float32 inputs"),
        (lambda x: x, torch.tensor([[1.0], [float("nan")]]), "Example 1 for Forward holds NaN or infinite values"),
        (lambda x: x, torch.ones(0, 3), r"no examples for Forward in a tensor of shape \(0, 3\)"),
        (lambda x: x > 0, torch.ones(2, 1), "Forward gives bool; end its forward in float32"),
        (lambda x: (x, x), torch.ones(2, 1), "Forward gives a tuple; a network of one float32 tensor"),
        (lambda x: x.sum(), torch.ones(2, 1), r"Forward gives shape \(\) for one example"),
        (lambda x: x[x > 0][None], torch.tensor([[1.0, 1.0], [1.0, -1.0]]), r"shape \(2,\) for one example and \(1,\)"),
        (lambda x: 1 // 0, torch.ones(2, 1), "The network Forward raised ZeroDivisionError: "),
    ],
)
def test_networks_and_examples_that_are_refused(function, examples, message):
    with pytest.raises(InputError, match=message):
        golden_vectors(Forward(function), examples)


def test_examples_without_elements_and_of_huge_size():
    assert golden_vectors(nn.Flatten(), torch.ones(2, 0)).real == 2
    found = golden_vectors(Forward(lambda x: x * 1e-30), torch.full((2, 3), 3e38))
    assert torch.isfinite(found.inputs).all()
