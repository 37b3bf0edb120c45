"""Searches over a recipe's ranges: trials of a small network, resumed, and shared through one storage."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SMALL = """
from torch import nn

def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 10))
"""
RECIPE = """
model = "small_search:network"
[training]
epochs = 2
batch_size = 50
[search]
"training.learning_rate" = { low = 2e-3, high = 2e-2, log = true }
"compress.budget" = { low = 0.01, high = 3.0, log = true }
"training.batch_size" = { choices = [25, 50] }
"""


def run(folder, *arguments, code=0):
    result = subprocess.run([sys.executable, "-m", "bayespress", *map(str, arguments)], cwd=folder,
                            capture_output=True, text=True, check=False)  # fmt: skip
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result


def test_rejects_an_empty_range(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("compress.budget", "compress.log_alpha"))
    result = run(tmp_path, "search", "recipe.toml", "-o", "out", code=2)
    assert "no setting of compression 'log_alpha'" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_search_is_resumed_and_draws_its_curve(tmp_path):
    (tmp_path / "small_search.py").write_text(SMALL)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    first = json.loads(
        run(tmp_path, "search", "recipe.toml", "--trials", 2, "-o", "out", "--trust-code", "--json").stdout
    )
    assert first["trials"] == 2
    second = json.loads(
        run(tmp_path, "search", "recipe.toml", "--trials", 1, "--keep", "-o", "out", "--trust-code", "--json").stdout
    )
    assert second["trials"] == 3
    for best in second["pareto"]:
        assert 0 <= best["metric"] <= 100
        assert best["bytes"] > 100
        assert 2e-3 <= best["settings"]["training.learning_rate"] <= 2e-2
        assert best["settings"]["training.batch_size"] in (25, 50)
    sizes = [best["bytes"] for best in second["pareto"]]
    errors = [best["metric"] for best in second["pareto"]]
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)
    assert (tmp_path / "out" / "pareto.svg").read_text().startswith("<?xml")
    assert sorted(path.name for path in (tmp_path / "out").glob("trial-*")) == ["trial-2"], "only what was to be kept"
    record = json.loads((tmp_path / "out" / "trial-2" / "run" / "run.json").read_text())
    assert record["training"]["epochs"] == 2


def test_rejects_recipes_that_cannot_be_searched(tmp_path):
    (tmp_path / "recipe.toml").write_text('data = "digits"\n')
    assert "has no [search] table" in run(tmp_path, "search", "recipe.toml", code=2).stderr
    (tmp_path / "recipe.toml").write_text('[search]\n"training.epochs" = { low = 3 }\n')
    assert "Search range training.epochs" in run(tmp_path, "search", "recipe.toml", code=2).stderr
    assert "0 trials" in run(tmp_path, "search", "recipe.toml", "--trials", 0, code=2).stderr
    (tmp_path / "recipe.toml").write_text('[search]\n"training.epochs" = { low = 1, high = 2 }\n')
    refused = run(tmp_path, "search", "recipe.toml", "--storage", "nosuch://x", code=2)
    assert not (tmp_path / "search").exists(), "a command that fails leaves nothing behind"
    assert "Storage nosuch://x is not a supported database" in refused.stderr


def test_a_search_replaces_and_removes_no_other_files(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "pareto.svg").write_text("mine")
    (tmp_path / "b" / "trial-0").mkdir(parents=True)
    (tmp_path / "b" / "trial-0" / "thesis.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert "is not a picture of bayespress" in run(tmp_path, "search", "recipe.toml", "-o", "a", code=2).stderr
    assert "trial-0 is of another search" in run(tmp_path, "search", "recipe.toml", "-o", "b", code=2).stderr
    assert "no search wrote" in run(tmp_path, "search", "recipe.toml", "--storage", "recipe.toml", code=2).stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_trial_with_a_nan_loss_fails_and_the_search_continues(tmp_path):
    (tmp_path / "small_search.py").write_text(SMALL)
    (tmp_path / "recipe.toml").write_text(
        'model = "small_search:network"\n[training]\nepochs = 1\n[search]\n'
        '"training.learning_rate" = { choices = [1e30, 1e31] }\n'
    )
    failed = run(tmp_path, "search", "recipe.toml", "--trials", 2, "-o", "out", "--trust-code", code=2)
    for trial in range(2):
        assert f"trial {trial} failed (learning_rate=1e+3" in failed.stderr
    assert "lower the learning rate" in failed.stderr
    assert "No trial came to an end; see the messages above" in failed.stderr
