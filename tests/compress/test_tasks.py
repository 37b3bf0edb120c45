"""Networks for tasks other than classification are trained, compressed, retrained, tuned and reported."""

from __future__ import annotations

import json
import re

import pytest
import torch
from torch import nn

import bayespress
from bayespress.cli.compress import steps_table
from bayespress.codec import layout
from bayespress.compress.choose import Goal
from bayespress.compress.report import packed_page
from bayespress.compress.settings import CompressSettings
from bayespress.errors import InputError
from bayespress.metric import ERROR, Metric
from bayespress.packed_format import PackedRecord
from bayespress.train.bayesian import bayesianize
from bayespress.train.data import DataSet, batches
from bayespress.train.evaluate import measure
from bayespress.train.fit import fit
from bayespress.train.likelihoods import Gaussian, likelihood_of
from bayespress.train.report import run_page
from bayespress.train.run import RunRecord
from bayespress.train.training_run import train_run
from bayespress.workflow.compression import Search, compress_run
from bayespress.workflow.recipe_search import search_recipe

MODULE = """
import torch
from torch import nn
from bayespress.train.data import DataSet

def network():
    return nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 1))

def labels():
    return nn.Sequential(nn.Linear(4, 3))

def data():
    x = torch.randn(260, 4, generator=torch.Generator().manual_seed(0))
    y = torch.relu(x[:, 0] - x[:, 1]) + 0.5 * x[:, 2]
    return x[:200], y[:200], x[200:], y[200:]

def parts():
    train, y, test, z = data()
    return DataSet("parts", (train[:150], y[:150]), (test, z), validation=(train[150:], y[150:]), likelihood="gaussian")

def many():
    x, _, test, _ = data()
    return x, (x[:, :3] > 0).float(), test, (test[:, :3] > 0).float()
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "tasks_for_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return "tasks_for_test"


def record(module, **fields):
    training = {"epochs": 15, "batch_size": 20, "learning_rate": 0.02} | fields.pop("training", {})
    fields = {"model": f"{module}:network", "data": f"{module}:data", "training": training} | fields
    return RunRecord.checked(fields, "it")


def test_a_regression_run_is_trained_searched_and_retrained(module, tmp_path):
    run, packed = tmp_path / "run", tmp_path / "packed"
    task = {"name": "gaussian", "sigma": 0.1}
    logged = []
    train_run(run, record(module, task=task, training={"held_out": 0.2}), live=False, log=logged.append)
    found = RunRecord.read(run)
    assert found.measured_by == Metric(name="RMSE")
    assert found.epochs_measured_on == "validation"
    assert found.final.part == "test"
    figures = [each.metric for each in found.metrics]
    assert figures[-1] < 0.5 * figures[0]
    assert any("RMSE" in line for line in logged)
    page = run_page(run).html(interactive=False)
    assert "Test RMSE" in page
    assert "error" not in re.sub(r'title="[^"]*"', "", page.lower()), "but for the glossary's"

    result = compress_run(
        run, packed, CompressSettings(retrain=4, distill=0.3), trust_code=True,
        search=Search(Goal(max_loss=0.1), 4, str(tmp_path / "search.db")),
    )  # fmt: skip
    assert [step.name for step in result.steps][-1] == "retrained"
    written = PackedRecord.read(packed)
    assert (written.measured_by.name, written.part) == ("RMSE", "test")
    assert written.steps[-1].metric < figures[0]
    assert written.choice.goal.startswith("the smallest file with a RMSE of at most")
    assert "error_percent" not in (packed / "packed.json").read_text()
    shown = packed_page(written, layout(result.weights)).html(interactive=False)
    assert "test RMSE" in shown
    assert "test error" not in shown
    assert str(steps_table(written).columns[1].header) == "test RMSE"


def test_retraining_lowers_the_log_loss_of_the_task(module, tmp_path):
    task = {"name": "gaussian", "sigma": 0.1}
    train_run(tmp_path / "run", record(module, task=task), live=False)
    settings = {"budget": 4.0, "rate_weight": 0.05}
    coarse = compress_run(tmp_path / "run", settings=CompressSettings(**settings), trust_code=True)
    retrained = compress_run(
        tmp_path / "run", settings=CompressSettings(**settings, retrain=10, learning_rate=0.05), trust_code=True
    )
    assert retrained.steps[-1].metric < coarse.steps[-1].metric


def test_a_data_set_with_a_validation_part_sets_the_task(module, tmp_path):
    train_run(tmp_path / "run", record(module, data=f"{module}:parts"), live=False)
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    assert kept["task"] == {"name": "gaussian", "options": {"sigma": 1.0}}
    assert kept["epochs_measured_on"] == "validation"
    found = compress_run(tmp_path / "run", trust_code=True, search=Search(Goal(), 3, str(tmp_path / "search.db")))
    assert found.choice.held_out == 50
    assert not any("too low" in note for note in found.notes), "training did not use the validation part"


def test_rejects_labels_that_do_not_fit_the_task_before_training(module, tmp_path):
    with pytest.raises(InputError, match=r"float32.*gaussian"):
        train_run(tmp_path / "run", record(module), live=False)
    with pytest.raises(InputError, match="each label is 0 or 1"):
        train_run(tmp_path / "run", record(module, task="binary"), live=False)
    assert not (tmp_path / "run").exists()


def test_a_multi_label_run_is_compressed(module, tmp_path):
    chosen = record(module, task="multi-label", model=f"{module}:labels", data=f"{module}:many")
    train_run(tmp_path / "run", chosen, live=False)
    found = compress_run(tmp_path / "run", tmp_path / "packed", CompressSettings(retrain=2), trust_code=True)
    assert found.measured_by.title("test") == "test label error, %"
    assert found.steps[-1].metric < 15.0


def test_a_segmentation_network_is_compressed(tmp_path):
    torch.manual_seed(0)
    x = torch.randn(80, 1, 6, 6)
    y = (nn.functional.avg_pool2d(x, 3, 1, 1)[:, 0] > 0).long()
    net = bayesianize(nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 2, 1)))
    loader = batches(x, y, 20, seed=0)
    fit(net, loader, likelihood="pixel-cross-entropy", epochs=20, learning_rate=0.02)
    task = likelihood_of("pixel-cross-entropy")
    packed = bayespress.compress(
        net, x[:4], evaluate=lambda network: measure(network, x, y, task), loader=loader, retrain=2,
        out=tmp_path / "packed",
    )  # fmt: skip
    assert packed.measured_by.name == "pixel error"
    assert packed.steps[-1].metric < 20.0
    assert PackedRecord.read(tmp_path / "packed").output_shape == (2, 6, 6)


def test_tune_measures_with_the_likelihood_of_fit():
    torch.manual_seed(0)
    x = torch.randn(120, 3)
    y = x[:, :1] - 2.0 * x[:, 1:2]
    net = bayesianize(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)))
    fit(net, batches(x, y, 20, seed=0), likelihood=Gaussian(sigma=0.2), epochs=20, learning_rate=0.02)
    packed = bayespress.tune(
        net, x[:4], max_loss=0.2, trials=4, evaluate=lambda network: measure(network, x, y, Gaussian())
    )
    assert packed.measured_by.name == "RMSE"
    assert "%" not in packed.choice.goal
    assert "RMSE" in repr(packed)


def test_rejects_a_search_by_a_metric_of_which_higher_values_are_better():
    with pytest.raises(InputError, match="a higher accuracy is better"):
        Goal(max_error=1.0).check(Metric(name="accuracy", unit="%", lower_is_better=False))
    Goal(max_error=250.0).check(Metric(name="RMSE", unit="m"))
    with pytest.raises(InputError, match="250"):
        Goal(max_error=250.0).check(ERROR)


def test_a_recipe_search_over_a_regression(module, tmp_path):
    (tmp_path / "recipe.toml").write_text(
        f'model = "{module}:network"\ndata = "{module}:data"\n'
        'task = { name = "gaussian", sigma = 0.2 }\n[training]\nepochs = 2\nbatch_size = 50\n'
        '[search]\n"training.learning_rate" = { low = 1e-3, high = 1e-1, log = true }\n'
    )
    logged = []
    found = search_recipe(
        str(tmp_path / "recipe.toml"), tmp_path / "search", trials=2, keep=True, trust_code=True, progress=logged.append
    )
    assert found.measured_by.name == "RMSE"
    assert not any("%" in line for line in logged)
    kept = PackedRecord.read(tmp_path / "search" / "trial-0" / "packed")
    assert kept.part == "validation", "held-out training data must not be called a test set"
    assert RunRecord.read(tmp_path / "search" / "trial-0" / "run").final.part == "validation"


def test_data_in_memory_replace_data_found_by_name(module, tmp_path):
    x = torch.randn(100, 4)
    loss = likelihood_of(lambda outputs, targets: (outputs[:, 0] - targets).abs().mean())
    data = DataSet("it", (x, x[:, 0]), (x[:20], x[:20, 0]), likelihood=loss)
    train_run(tmp_path / "run", record(module), data=data, live=False)
    found = compress_run(tmp_path / "run", settings=CompressSettings(retrain=1), data=data, trust_code=True)
    assert found.measured_by == Metric(name="loss", unit="nats")
