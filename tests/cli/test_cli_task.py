"""`train --task` and the following commands for a regression."""

from __future__ import annotations

import json

import pytest

from bayespress.cli.run import run
from bayespress.errors import InputError

MODULE = """
import torch
from torch import nn

def network():
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1))

def data():
    x = torch.randn(150, 3, generator=torch.Generator().manual_seed(0))
    return x[:100], x[:100].sum(1), x[100:], x[100:].sum(1)

def huber(outputs, targets):
    return nn.functional.huber_loss(outputs[:, 0], targets)
"""
TRAIN = ["train", "--model", "task_for_cli:network", "--data", "task_for_cli:data", "--epochs", "3", "-o", "run"]


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "task_for_cli.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_regression_from_the_command_line(module, capsys):
    assert run([*TRAIN, "--task", "gaussian", "--set", "task.sigma=0.3"]) == 0
    shown = capsys.readouterr().out
    assert "test RMSE" in shown
    assert "test error" not in shown
    kept = json.loads((module / "run" / "run.json").read_text())
    assert kept["task"] == {"name": "gaussian", "options": {"sigma": 0.3}}
    assert kept["measured_by"] == {"name": "RMSE", "unit": "", "lower_is_better": True}
    assert run(["compress", "run", "-o", "packed", "--trust-code"]) == 0
    assert "test RMSE" in capsys.readouterr().out


def test_a_user_loss_from_the_command_line(module, capsys):
    assert run([*TRAIN, "--task", "task_for_cli:huber", "--json"]) == 0
    kept = json.loads(capsys.readouterr().out)
    assert kept["task"]["name"] == "task_for_cli:huber"
    assert kept["measured_by"]["unit"] == "nats"
    with pytest.raises(InputError, match="names code"):
        run(["compress", "run", "-o", "packed"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ("float32", "gaussian")),
        (["--task", "gausian"], ("gausian", "gaussian")),
        (["--task", "gaussian", "--set", "task.sigma=0"], ("sigma", "above 0")),
        (["--task", "gaussian", "--set", "task.sigm=1"], ("sigm", "did you mean sigma")),
        (["--task", "pixel-cross-entropy"], ("pixel-cross-entropy", "gaussian")),
    ],
)
def test_rejects_invalid_tasks(module, options, words):
    with pytest.raises(InputError) as caught:
        run([*TRAIN, *options])
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert not (module / "run" / "run.json").exists()
