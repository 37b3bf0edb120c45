"""A method, and a data set, of a user's own: nothing of the package names them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from map_method import Map
from torch import nn

import bayespress
from bayespress.cli.run import run
from bayespress.errors import InputError
from bayespress.testing import DataContract, MethodContract
from bayespress.train.data import load_data
from bayespress.train.methods import method_named


class TestMap(MethodContract):
    """Maximum a posteriori keeps the contract of methods."""

    @pytest.fixture
    def method(self):
        return Map(prior_precision=2.0)


class TestDigits(DataContract):
    """A built-in source keeps the contract of data sets."""

    @pytest.fixture(scope="class")
    def data(self):
        return load_data("digits", None)


def test_a_method_is_named_by_module_and_class():
    assert method_named("map_method:Map", prior_precision=3.0) == Map(3.0)
    assert bayespress.bayesianize(nn.Linear(3, 2), "map_method:Map").method == Map()
    with pytest.raises(InputError, match=r"'prior_precison' .*did you mean prior_precision"):
        method_named("map_method:Map", prior_precison=3.0)
    with pytest.raises(InputError, match=r"0\.0; it must be above 0"):
        method_named("map_method:Map", prior_precision=0.0)
    with pytest.raises(InputError, match=r"Method json:dumps .*frozen dataclass"):
        method_named("json:dumps")


def test_training_and_compressing_by_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["train", "--method", "map_method:Map", "--set", "method.prior_precision=20.0", "--epochs", "2"]
    assert run([*command, "-o", "run", "--json"]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["method"] == {"name": "map_method:Map", "options": {"prior_precision": 20.0}}
    settings = ["--rule", "magnitude", "--sparsity", "50", "--quantizer", "size"]
    with pytest.raises(InputError, match=r"map_method:Map.*--trust-code"):
        run(["compress", "run", *settings])
    assert run(["compress", "run", *settings, "--trust-code", "-o", "packed", "--json"]) == 0
    assert bayespress.inspect(tmp_path / "packed").size < 200_000
    network = bayespress.load(tmp_path / "packed")
    assert np.isfinite(network(np.full((1, *network.input_shape), 0.5))).all()
