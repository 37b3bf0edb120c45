"""Likelihoods: log losses against torch.distributions, targets that are taken and refused, and training by each."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.distributions import Bernoulli, Categorical, Independent, Normal

from bayespress.confusion import MOST_CLASSES, Confusion
from bayespress.errors import InputError
from bayespress.testing import LikelihoodContract
from bayespress.train.bayesian import bayesianize
from bayespress.train.data import DataSet, batches, load_data
from bayespress.train.evaluate import evaluate, measure
from bayespress.train.fit import fit
from bayespress.train.likelihoods import (
    Binary,
    CrossEntropy,
    Custom,
    Gaussian,
    MultiLabel,
    PixelCrossEntropy,
    likelihood_of,
    name_of,
)
from bayespress.train.predict import predict_samples


def laplace(outputs, targets):
    return (outputs - targets).abs().sum() / len(outputs)


CASES = {
    "cross-entropy": (CrossEntropy(), (3,), lambda n: torch.arange(n) % 3),
    "gaussian": (Gaussian(sigma=0.7), (2,), lambda n: torch.randn(n, 2)),
    "binary": (Binary(), (1,), lambda n: (torch.arange(n) % 2)[:, None]),
    "multi-label": (MultiLabel(), (4,), lambda n: torch.randint(0, 2, (n, 4))),
    "pixel-cross-entropy": (PixelCrossEntropy(), (3, 2, 5), lambda n: torch.randint(0, 3, (n, 2, 5))),
    "own": (Custom(laplace), (2,), lambda n: torch.randn(n, 2)),
}
DENSITIES = {
    "cross-entropy": lambda f: Categorical(logits=f),
    "gaussian": lambda f: Independent(Normal(f, 0.7), 1),
    "binary": lambda f: Independent(Bernoulli(logits=f), 1),
    "multi-label": lambda f: Independent(Bernoulli(logits=f), 1),
    "pixel-cross-entropy": lambda f: Independent(Categorical(logits=f.movedim(1, -1)), 2),
}


class TestContract(LikelihoodContract):
    """Each likelihood keeps the contract."""

    @pytest.fixture(params=sorted(CASES))
    def case(self, request):
        torch.manual_seed(0)
        return CASES[request.param]

    @pytest.fixture
    def likelihood(self, case):
        return case[0]

    @pytest.fixture
    def shape(self, case):
        return case[1]

    @pytest.fixture
    def targets(self, case):
        return case[2](6)


@pytest.mark.parametrize("name", DENSITIES)
def test_the_log_loss_is_that_of_the_density(name):
    likelihood, shape, targets_of = CASES[name]
    torch.manual_seed(0)
    outputs = torch.randn(6, *shape)
    targets = likelihood.targets(targets_of(6), 6, shape, "It")
    expected = -DENSITIES[name](outputs).log_prob(targets).mean()
    torch.testing.assert_close(likelihood.nll(outputs, targets), expected)


def test_a_teacher_that_is_sure_gives_the_loss_of_its_labels():
    torch.manual_seed(0)
    for name, scale in (
        ("cross-entropy", 60.0),
        ("binary", 60.0),
        ("multi-label", 60.0),
        ("pixel-cross-entropy", 60.0),
    ):
        likelihood, shape, targets_of = CASES[name]
        outputs, targets = torch.randn(6, *shape), likelihood.targets(targets_of(6), 6, shape, "It")
        if "entropy" in name:
            teacher = scale * nn.functional.one_hot(targets, shape[0]).float().movedim(-1, 1)
        else:
            teacher = scale * (2.0 * targets - 1.0)
        torch.testing.assert_close(likelihood.soft_nll(outputs, teacher), likelihood.nll(outputs, targets))
    with pytest.raises(InputError, match="distill"):
        CASES["own"][0].soft_nll(torch.zeros(1, 2), torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("likelihood", "targets", "shape", "words"),
    [
        (CrossEntropy(), torch.randn(4), (3,), ("float32", "gaussian")),
        (CrossEntropy(), torch.tensor([0, 1, 2, 3]), (3,), ("label 3",)),
        (CrossEntropy(), torch.randn(4, 3), (3,), ("one-hot", "multi-label or gaussian")),
        (Gaussian(), torch.randn(4, 3), (2,), ("(4, 3)", "(4, 2)")),
        (Gaussian(), torch.tensor([1.0, math.nan, 0.0, 0.0]), (1,), ("not finite",)),
        (Gaussian(), torch.tensor([True] * 4), (1,), ("bool", "binary")),
        (Gaussian(), torch.randn(3), (1,), ("4 inputs", "(3,)")),
        (Binary(), torch.tensor([0.0, 1.0, 0.5, 1.0]), (1,), ("0.5", "gaussian")),
        (Binary(), torch.zeros(4, 2), (1,), ("(4, 2)", "multi-label")),
        (MultiLabel(), torch.zeros(4, 2), (3,), ("(4, 2)", "(4, 3)")),
        (MultiLabel(), torch.tensor([0, 1, 0, 1]), (3,), ("(4,)", "cross-entropy")),
        (PixelCrossEntropy(), torch.zeros(4, 2, 2), (3, 2, 2), ("float32", "gaussian")),
        (PixelCrossEntropy(), torch.zeros(4, 2, 3).long(), (3, 2, 2), ("(4, 2, 3)", "height")),
        (PixelCrossEntropy(), torch.full((4, 2, 2), 7), (3, 2, 2), ("class 7", "ignore")),
        (MultiLabel(), [["a"]] * 4, (3,), ("list",)),
    ],
)
def test_rejects_invalid_targets(likelihood, targets, shape, words):
    with pytest.raises(InputError) as caught:
        likelihood.targets(targets, 4, shape, "Batch 7")
    assert str(caught.value).startswith("Batch 7 ")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_rejects_invalid_likelihoods():
    for given, options, words in [
        ("gausian", {}, "gaussian"), ("gaussian", {"sigma": -1.0}, "-1.0"), ("gaussian", {"sigmas": 1.0}, "sigmas"),
        (7, {}, "int"), (lambda f, y: f, {"a": 1}, "no options"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=words):
            likelihood_of(given, options)
    with pytest.raises(InputError, match="scalar"):
        Custom(lambda f, y: f - y).nll(torch.zeros(2, 1), torch.zeros(2, 1))


def test_ignored_pixels_count_nowhere():
    outputs, targets = torch.randn(2, 3, 2, 2), torch.randint(0, 3, (2, 2, 2))
    targets[:, 0, 0] = 255
    likelihood = PixelCrossEntropy(ignore=255)
    known = likelihood.targets(targets, 2, (3, 2, 2), "It")
    assert likelihood.tally(outputs, known)[1] == 6
    changed = outputs.clone()
    changed[:, :, 0, 0] += torch.randn(3)
    torch.testing.assert_close(likelihood.nll(changed, known), likelihood.nll(outputs, known))


def trained(network, inputs, targets, likelihood, **settings):
    net, found = bayesianize(network), []
    fit(
        net, batches(inputs, targets, 20, seed=0), batches(inputs, targets, 100), likelihood=likelihood,
        report=found.append, **({"epochs": 12, "learning_rate": 0.02} | settings),
    )  # fmt: skip
    return net, [each.metric for each in found]


def test_regression_lowers_the_rmse():
    torch.manual_seed(0)
    inputs = torch.randn(200, 3)
    targets = inputs @ torch.tensor([1.0, -2.0, 0.5])
    network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    net, rmse = trained(network, inputs, targets, Gaussian(sigma=0.2))
    assert rmse[-1] < 0.5 * rmse[0]
    assert rmse[-1] < 0.5
    with pytest.raises(InputError, match="gaussian"):
        predict_samples(net, inputs[:2], 3)
    assert rmse[-1] == pytest.approx(measure(net.predictive_network(), inputs, targets, Gaussian()), rel=1e-4)


@pytest.mark.parametrize("given", ["binary", "multi-label", "pixel-cross-entropy", "own"])
def test_other_tasks_are_learnt(given):
    torch.manual_seed(0)
    inputs = torch.randn(200, 1, 4, 4)
    if given == "pixel-cross-entropy":
        network: nn.Module = nn.Conv2d(1, 2, 1)
        targets = (inputs[:, 0] > 0).long()
    else:
        width = 4 if given == "multi-label" else 1
        network = nn.Sequential(nn.Flatten(), nn.Linear(16, width))
        targets = (inputs.flatten(1)[:, :width] > 0).float()
    likelihood = (lambda f, y: nn.functional.softplus((1 - 2 * y) * f).sum() / len(f)) if given == "own" else given
    _, figures = trained(network, inputs, targets, likelihood)
    assert figures[-1] < figures[0]
    assert figures[-1] < (0.5 if given == "own" else 12.0)


def test_fit_refuses_float_targets_and_names_the_task():
    with pytest.raises(InputError, match=r"float32.*gaussian"):
        trained(nn.Linear(3, 2), torch.randn(40, 3), torch.randn(40), "cross-entropy")
    with pytest.raises(InputError, match="binary needs one logit"):
        trained(nn.Linear(3, 2), torch.randn(40, 3), torch.ones(40), "binary")


def test_parts_of_a_data_set():
    x, y = torch.randn(50, 3), torch.randn(50)
    data = DataSet("it", (x, y), (x[:5], y[:5]), likelihood="gaussian")
    assert (data.chosen_by, data.reported_on) == ("test", "test")
    seen = data.held_out(0.2)
    assert seen.test is None
    assert (seen.chosen_by, seen.reported_on) == ("validation", "validation")
    assert (len(seen.train.inputs), len(seen.validation.inputs)) == (40, 10)
    own = DataSet("it", (x, y), (x[:5], y[:5]), validation=(x[5:7], y[5:7]), likelihood="gaussian").held_out(0.2)
    assert (len(own.train.inputs), len(own.validation.inputs)) == (50, 2)
    with pytest.raises(InputError, match="neither a test nor a validation part"):
        DataSet("it", (x, y), None, likelihood="gaussian")


OWN = """
import torch
def four():
    x = torch.linspace(-1, 1, 30)[:, None]
    return x, x[:, 0] ** 2, x, x[:, 0] ** 2
def absolute(outputs, targets):
    return (outputs[:, 0] - targets).abs().mean()
"""


def test_data_and_losses_of_ones_own_by_name(tmp_path, monkeypatch):
    (tmp_path / "own_task_for_test.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    data = load_data("own_task_for_test:four", likelihood=Gaussian())
    assert data.train.targets.shape == (30, 1)
    assert data.labels == ()
    with pytest.raises(InputError, match="gaussian"):
        load_data("own_task_for_test:four")
    likelihood = likelihood_of("own_task_for_test:absolute")
    assert name_of(likelihood) == "own_task_for_test:absolute"
    assert likelihood.nll(torch.zeros(2, 1), torch.ones(2)).item() == 1.0


@pytest.mark.parametrize(("likelihood", "outputs", "targets", "counts"), [
    (CrossEntropy(), [[2.0, 0, 0], [0, 2, 0], [0, 2, 0]], [0, 1, 2], [[1, 0, 0], [0, 1, 0], [0, 1, 0]]),
    (Binary(), [[1.0], [1.0], [-1.0]], [1, 0, 0], [[1, 1], [0, 1]]),
    (PixelCrossEntropy(ignore=9), [[[[2.0, 2, 0]], [[0, 0, 2]]]], [[[0, 1, 9]]], [[1, 0], [1, 0]]),
])  # fmt: skip
def test_the_confusion_matrix_counts_classes_by_prediction(likelihood, outputs, targets, counts):
    outputs = torch.tensor(outputs)
    found = evaluate(torch.nn.Identity(), outputs, torch.tensor(targets), likelihood)
    assert found.confusion.counts == tuple(map(tuple, counts))
    assert found.confusion.error_percent == pytest.approx(found.metric)


def test_the_confusion_matrix_is_of_all_batches():
    targets = torch.arange(2500) % 3
    outputs = torch.nn.functional.one_hot((targets + (torch.arange(2500) < 100)) % 3).float()
    found = evaluate(torch.nn.Identity(), outputs, targets, CrossEntropy())
    assert sum(map(sum, found.confusion.counts)) == 2500
    assert found.confusion.error_percent == pytest.approx(4.0) == pytest.approx(found.metric)


def test_there_is_no_confusion_matrix_without_classes_or_with_too_many():
    assert evaluate(torch.nn.Identity(), torch.zeros(4, 1), torch.ones(4), Gaussian()).confusion is None
    assert evaluate(torch.nn.Identity(), torch.zeros(4, 2), torch.ones(4, 2), MultiLabel()).confusion is None
    many = torch.zeros(4, MOST_CLASSES + 1)
    assert evaluate(torch.nn.Identity(), many, torch.zeros(4, dtype=torch.long), CrossEntropy()).confusion is None
    with pytest.raises(ValidationError, match="2 rows"):
        Confusion(counts=[[1, 2], [3]])
