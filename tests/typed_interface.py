"""Code that type checkers must accept. It never runs: `make typecheck` checks it.

Each `type: ignore` is an error that has to be reported: mypy fails on one that is not needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import torch
from torch import Tensor
from torch.utils.data import DataLoader

import bayespress
from bayespress import BayesianNetwork, Packed
from bayespress.workflow.load import LoadedWeights


def training(net: BayesianNetwork, loader: DataLoader[tuple[Tensor, Tensor]]) -> None:
    """Each setting has a type; a compiled network is accepted, and the network inside it is returned."""
    assert_type(bayespress.fit(net, loader, epochs=3, optimizer=torch.optim.AdamW), BayesianNetwork)
    assert_type(bayespress.fit(torch.compile(net), loader, trainer_arguments={"max_steps": 5}), BayesianNetwork)
    bayespress.fit(net, loader, epochs="3")  # type: ignore[arg-type]
    bayespress.fit(net, loader, epoch=3)  # type: ignore[call-arg]


def compressing(net: BayesianNetwork, example: Tensor, path: Path) -> None:
    """The return type of `compress` depends on its argument."""
    assert_type(bayespress.compress(net, example, budget=0.1, retrain=2), Packed)
    assert_type(bayespress.compress(torch.compile(net), example), Packed)
    assert_type(bayespress.compress(path, sparsity=90.0), Packed | LoadedWeights)
    assert_type(bayespress.compress(path, tolerance=0.01, profile="fast"), LoadedWeights)
    assert_type(bayespress.tune(path, max_bytes=2000, rule="magnitude"), Packed)
    bayespress.compress(net, example, budget="low")  # type: ignore[call-overload]
    bayespress.compress(net, example, bugdet=0.1)  # type: ignore[call-overload]
    bayespress.compress(path, example)  # type: ignore[call-overload]
    bayespress.tune(net, example, clusters=2.5)  # type: ignore[arg-type]
