"""The output of `dir(bayespress)` and `help(bayespress)`; every example in a docstring runs."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import pydoc
import subprocess
import sys
import typing
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import nn

import bayespress
from bayespress.compress.settings import CompressOptions
from bayespress.train.settings import FitOptions

FUNCTIONS = ("bayesianize", "bench", "build", "compress", "fit", "inspect", "load", "predict_samples", "report", "tune",
             "verify")  # fmt: skip
TYPES = ("BayesianNetwork", "BenchReport", "CompressSettings", "FitSettings", "Manifest", "Packed", "Posterior",
         "Prediction", "VerifyReport")  # fmt: skip


def test_dir_shows_every_public_name():
    assert {*FUNCTIONS, *TYPES, "codec"} <= set(dir(bayespress))
    assert {name for name in dir(bayespress) if not name.startswith("_")} == set(bayespress.__all__)


@pytest.mark.parametrize("name", [*FUNCTIONS, *TYPES])
def test_public_names_have_signatures_and_documents(name):
    public = getattr(bayespress, name)
    assert len(inspect.getdoc(public) or "") > 40
    parameters = inspect.signature(public).parameters
    assert parameters, f"{name} shows no parameters"
    assert list(parameters) != ["args", "kwargs"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_an_example(name):
    assert ">>>" in (inspect.getdoc(getattr(bayespress, name)) or "")


@pytest.mark.parametrize(
    ("function", "settings"),
    [("compress", "CompressSettings"), ("tune", "CompressSettings"), ("fit", "FitSettings")],
)
def test_signatures_list_each_setting_with_its_default(function, settings):
    parameters = inspect.signature(getattr(bayespress, function)).parameters
    for field in dataclasses.fields(getattr(bayespress, settings)):
        shown = parameters[field.name]
        assert (shown.kind, shown.default, shown.annotation) == (shown.KEYWORD_ONLY, field.default, field.type)
    assert not [each for each in parameters.values() if each.kind is each.VAR_KEYWORD]


@pytest.mark.parametrize(
    ("options", "settings"), [(CompressOptions, bayespress.CompressSettings), (FitOptions, bayespress.FitSettings)]
)
def test_typed_options_are_the_fields_of_the_settings(options, settings):
    assert typing.get_type_hints(options) == typing.get_type_hints(settings)
    assert not options.__required_keys__


@pytest.mark.parametrize(
    ("kind", "arguments", "offending"),
    [
        ("network", {"tolerance": 0.1}, "tolerance="),
        ("network", {"data_dir": "data"}, "data_dir="),
        ("run", {"threads": 2}, "threads="),
        ("run", {"evaluate": lambda _network: 1.0}, "evaluate="),
        ("weights", {"trust_code": True}, "trust_code="),
        ("weights", {"likelihood": "gaussian"}, "likelihood="),
    ],
)
def test_rejects_arguments_for_another_kind_of_input(kind, arguments, offending, trained, tmp_path):
    torch.save({"weight": torch.randn(4, 3)}, tmp_path / "net.pt")
    (tmp_path / "run").mkdir()
    given = {"network": (trained, torch.randn(2, 6)), "run": (tmp_path / "run",), "weights": (tmp_path / "net.pt",)}
    with pytest.raises(bayespress.InputError, match=offending) as caught:
        bayespress.compress(*given[kind], **arguments)
    assert "leave it out" in str(caught.value)


def test_help_teaches():
    shown = pydoc.plain(pydoc.render_doc(bayespress))  # what help() prints
    for name in (*FUNCTIONS, *TYPES):
        assert f"{name}(" in shown or f"class {name}" in shown, f"help(bayespress) does not show {name}"
    assert "bayespress.build(packed" in shown


DOCUMENTED = (
    "bayespress.api", "bayespress.errors", "bayespress.metric", "bayespress.signatures", "bayespress.train.evaluate",
    "bayespress.train.compiled",
    "bayespress.train.data.dataset", "bayespress.train.likelihoods", "bayespress.train.likelihoods.bernoulli",
    "bayespress.train.likelihoods.cross_entropy", "bayespress.train.likelihoods.custom",
    "bayespress.train.likelihoods.gaussian", "bayespress.train.likelihoods.pixels",
    "bayespress.train.bayesian", "bayespress.train.fit",
    "bayespress.train.predict", "bayespress.compress.packed", "bayespress.deploy.measure.bench",
    "bayespress.deploy.verify.verify", "bayespress.codec.encode", "bayespress.deploy.compile.targets",
)  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_in_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    result = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_compress_stays_the_function_when_its_package_is_imported():
    program = (
        "import bayespress, bayespress.compress.settings\nfrom bayespress import compress\n"
        "from bayespress.compress.settings import CompressSettings\nassert compress is bayespress.compress\n"
        "assert callable(compress) and compress.__module__ == 'bayespress.api'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.fixture
def trained():
    torch.manual_seed(0)
    return bayespress.bayesianize(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)))


def test_a_network_through_compress_build_and_load(trained, tmp_path):
    inputs = torch.randn(8, 6)
    packed = bayespress.compress(trained, inputs, threshold=20.0, budget=0.01)
    packed.write(str(tmp_path / "packed"), name="small")
    expected = packed.network(inputs).detach().numpy()
    opened = bayespress.load(str(tmp_path / "packed"))
    assert (opened.name, opened.runs_on) == ("small", "PyTorch")
    np.testing.assert_allclose(opened(inputs), expected, rtol=1e-5, atol=1e-6)
    manifest = bayespress.build(
        tmp_path / "packed", ["host"], str(tmp_path / "b.bundle"), name="named", labels=["a", "b", "c"]
    )
    assert (manifest.name, manifest.labels) == ("named", ("a", "b", "c"))
    compiled = bayespress.load(tmp_path / "b.bundle")
    assert compiled.runs_on == "compiled code"
    np.testing.assert_allclose(compiled(inputs), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(bayespress.InputError, match=r"\(8, 5\)"):
        compiled(inputs[:, :5])
    for shown in (packed, manifest):
        assert len(repr(shown)) < 120
        assert "<table" in shown._repr_html_()
    assert bayespress.inspect(tmp_path / "b.bundle").size == len(packed.weights)


def test_labels_that_do_not_fit(trained, tmp_path):
    packed = bayespress.compress(trained, torch.randn(8, 6), threshold=20.0)
    with pytest.raises(bayespress.InputError, match="2 labels"):
        bayespress.build(packed, ["host"], tmp_path / "b.bundle", labels=["a", "b"])
    assert not (tmp_path / "b.bundle").exists()


def test_compress_takes_a_file_of_weights(tmp_path):
    torch.save({"weight": torch.randn(20, 30)}, tmp_path / "net.pt")
    weights = bayespress.compress(tmp_path / "net.pt", tolerance=0.05)
    assert weights["weight"].shape == (20, 30)
    assert bayespress.load(tmp_path / "net.bpz")["weight"].tobytes() == weights["weight"].tobytes()
    with pytest.raises(bayespress.InputError, match="retrain"):
        bayespress.compress(tmp_path / "net.pt", retrain=3)


def test_tune_finds_the_smallest_file_for_an_error(trained, tmp_path):
    inputs = torch.randn(16, 6)
    with torch.no_grad():
        exact = trained.point_network()(inputs)

    def distance(network: nn.Module) -> float:
        with torch.no_grad():
            return min(99.0, 100 * float((network(inputs) - exact).abs().max()))

    packed = bayespress.tune(
        trained,
        inputs,
        max_error=50.0,
        trials=4,
        evaluate=distance,
        storage=str(tmp_path / "search.db"),
        rule="magnitude",
    )
    assert packed.choice is not None
    assert len(packed.choice.points) == 4
    assert packed.choice.metric <= 50.0
    with pytest.raises(bayespress.InputError, match="one goal"):
        bayespress.tune(trained, inputs, max_error=1.0, max_bytes=10, evaluate=distance)
    with pytest.raises(bayespress.InputError, match="evaluate"):
        bayespress.tune(trained, inputs, max_error=1.0)


def test_unknown_settings_name_a_near_one(trained):
    for call in (
        lambda: bayespress.compress(trained, torch.randn(2, 6), budgets=1.0),
        lambda: bayespress.tune(trained, torch.randn(2, 6), budgets=1.0, evaluate=lambda _network: 1.0),
    ):
        with pytest.raises(bayespress.InputError, match=r"'budgets' \(did you mean budget\?\)"):
            call()
    with pytest.raises(bayespress.InputError, match="did you mean learning_rate"):
        bayespress.FitSettings.of(learning_rte=1.0)
    with pytest.raises(bayespress.InputError, match="did you mean sparse-vd"):
        bayespress.bayesianize(nn.Linear(2, 2), method="sparse-dv")
