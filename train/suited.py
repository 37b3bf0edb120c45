"""Settings of training that suit the size of the data set, for what nobody has set."""

from __future__ import annotations

from typing import Any

from .recipe import Training

FEW = 10_000  # examples of a training set; smaller ones get the settings below
# Few examples give few steps an epoch, so batches are smaller; and their KL term weighs more, so it rises more slowly.
# Measured on scikit-learn's digits, see benchmarks/RESULTS.md.
_SUITED_TO_FEW: dict[str, Any] = {"batch_size": 25, "learning_rate": 2e-3, "warmup_end": 0.5}


def suited(training: Training, examples: int) -> Training:
    """The settings with those that nobody has set chosen for a training set of so many examples."""
    if examples >= FEW:
        return training
    unset = {name: value for name, value in _SUITED_TO_FEW.items() if name not in training.model_fields_set}
    if unset.get("warmup_end", 1.0) < training.warmup_start:
        del unset["warmup_end"]
    return training.model_copy(update=unset)
