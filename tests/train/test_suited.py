"""Settings that nobody has set suit the data, and a network that has learnt nothing is called so."""

from __future__ import annotations

import json

import pytest
import torch

from bayespress.cli.run import run
from bayespress.train.evaluate import constant_error
from bayespress.train.likelihoods import CrossEntropy, Gaussian
from bayespress.train.recipe import Training
from bayespress.train.run import FinalRecord
from bayespress.train.suited import FEW, suited


def test_a_small_training_set_changes_what_nobody_has_set():
    assert suited(Training(), FEW) == Training()
    assert suited(Training(), 1500).batch_size == 25
    given = Training(batch_size=100, learning_rate=1e-3, warmup_end=0.3)
    assert suited(given, 1500) == given
    assert suited(Training(warmup_start=0.6, warmup_end=0.9), 1500).warmup_end == 0.9


def test_the_error_of_a_constant_answer():
    targets = torch.tensor([0, 1, 1, 2])
    assert constant_error(targets, CrossEntropy()) == 50.0
    assert constant_error(targets.float(), Gaussian()) is None
    assert FinalRecord(metric=48.0, nonzero_percent=1.0, constant=50.0).at_chance
    assert not FinalRecord(metric=10.0, nonzero_percent=1.0, constant=50.0).at_chance
    assert not FinalRecord(metric=10.0, nonzero_percent=1.0).at_chance


@pytest.mark.parametrize(("rate", "learnt"), [("0.002", True), ("1e-9", False)])
def test_a_run_at_chance_level_says_so(tmp_path, monkeypatch, capsys, rate, learnt):
    monkeypatch.chdir(tmp_path)
    assert (
        run(["train", "--epochs", "2", "--learning-rate", rate, "--warmup-start", "1", "--warmup-end", "1", "-o", "r"])
        == 0
    )
    printed = capsys.readouterr()
    assert ("Next: bayespress compress" in printed.out) == learnt
    assert ("chance level" in printed.err) == (not learnt)
    record = json.loads((tmp_path / "r" / "run.json").read_text())
    assert record["training"]["batch_size"] == 25
    assert (record["final"]["metric"] < 50) == learnt
