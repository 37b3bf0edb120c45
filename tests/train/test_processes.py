"""Two processes on the CPU train as one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

SMALL = """
import torch
from torch import nn

def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 12), nn.ReLU(), nn.Linear(12, 10))
"""


def train(folder, out, *extra):
    (folder / "small.py").write_text(SMALL)
    command = [sys.executable, "-m", "bayespress", "train", "--model", "small:network", "--method", "deep-compression",
               "--epochs", "3", "--batch-size", "25", "--set", "method.prior_precision=0", "-o", out,
               *extra]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if key not in ("LOCAL_RANK", "NODE_RANK")}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads((folder / out / "run.json").read_text()), load_file(folder / out / "posterior.safetensors")


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    """A method without noise, whose gradients the two can share out exactly; 1,437 examples, so that parts differ."""
    record, alone = train(tmp_path, "alone")
    shared_record, shared = train(tmp_path, "shared", "--devices", "2", "--strategy", "ddp")
    assert shared_record["status"] == "complete"
    assert len(shared_record["metrics"]) == 3
    assert shared_record["final"]["metric"] == pytest.approx(record["final"]["metric"], abs=0.6)
    for ours, theirs in zip(shared_record["metrics"], record["metrics"], strict=True):
        assert ours["nll"] == pytest.approx(theirs["nll"], abs=0.01)
        assert ours["metric"] == pytest.approx(theirs["metric"], abs=0.6)
    assert set(alone) == set(shared)
    for name, expected in alone.items():
        # A weight at the very threshold may fall on either side of it.
        assert np.mean(np.abs(shared[name] - expected) > 1e-3) < 0.005, name
