"""The run directory: written by training, started from, resumed, and drawn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from bayespress.errors import CorruptFileError, InputError
from bayespress.train.data import DataSet
from bayespress.train.report import run_page
from bayespress.train.run import RunRecord
from bayespress.train.training_run import train_run

RECORDS = Path(__file__).parent.parent / "support" / "records"  # as versions before this one wrote them

NETWORK = """
from torch import nn

def network(width=6):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 3))

def convolution():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
"""


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(120, 1, 4, 4, generator=generator)
    labels = (images[:, 0, 0, 0] * 3).long()
    return DataSet("it", (images[:90], labels[:90]), (images[90:], labels[90:]), ("a", "b", "c"), 255.0, "")


@pytest.fixture
def record(tmp_path, monkeypatch):
    (tmp_path / "net_for_run_test.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)

    def make(**fields):
        fields = {"model": "net_for_run_test:network", "training": {"epochs": 3, "batch_size": 20}} | fields
        return RunRecord.checked(fields, "it")

    return make


def test_what_training_leaves(record, data, tmp_path):
    logged = []
    train_run(tmp_path / "run", record(), data=data, live=False, log=logged.append)
    found = RunRecord.read(tmp_path / "run")
    assert found.status == "complete"
    assert [metrics.epoch for metrics in found.metrics] == [0, 1, 2]
    assert set(found.metrics[0].nonzero_by_layer) == {"1", "3"}
    assert 0 <= found.final.metric <= 100
    assert any("epoch 3/3" in line for line in logged)
    posterior, initial = (load_file(tmp_path / "run" / f"{name}.safetensors") for name in ("posterior", "initial"))
    assert set(initial) == {"1.weight", "1.bias", "3.weight", "3.bias"}
    assert set(posterior) == set(initial) | {"1.weight/variance", "3.weight/variance"}


def test_a_run_starts_from_another(record, data, tmp_path):
    train_run(tmp_path / "first", record(), data=data)
    train_run(tmp_path / "second", record(start=str(tmp_path / "first")), data=data)
    before, after = (
        load_file(tmp_path / "first/posterior.safetensors"),
        load_file(tmp_path / "second/initial.safetensors"),
    )
    for name, array in after.items():
        np.testing.assert_array_equal(array, before[name])
    wider = record(model={"name": "net_for_run_test:network", "width": 7}, start=str(tmp_path / "first"))
    with pytest.raises(InputError, match="does not fit the network"):
        train_run(tmp_path / "third", wider, data=data)
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize("model", ["network", "convolution"])
@pytest.mark.parametrize("method", ["sparse-vd", "soft-weight-sharing", "dynamic-network-surgery"])
def test_the_page_of_a_run(model, method, record, data, tmp_path):
    train_run(tmp_path / "run", record(model=f"net_for_run_test:{model}", method=method), data=data)
    page = run_page(tmp_path / "run")
    parts = {section.title: [part.kind for part in section.parts] for section in page.sections}
    assert parts["Weights before and after"] == ["chart", "chart"]
    assert parts["Filters before and after"] == ["picture"]
    assert ("Mixture components" in parts) == (method == "soft-weight-sharing")
    assert parts["Signal-to-noise ratio"] == ["text" if method == "dynamic-network-surgery" else "chart"]
    assert f"by {method}" in page.title
    text = page.html(interactive=False)
    assert text.count("<svg") == sum(kinds.count("chart") for kinds in parts.values())
    assert run_page(tmp_path / "run").html(interactive=False) == text


def test_a_run_that_is_not_finished_has_a_page_too(record, data, tmp_path):
    train_run(tmp_path / "run", record(), data=data)
    (tmp_path / "run" / "posterior.safetensors").unlink()
    fields = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(fields | {"status": "running", "final": None, "metrics": []}))
    page = run_page(tmp_path / "run")
    assert not [part for section in page.sections for part in section.parts if part.kind == "chart"]
    assert "not complete: 0 of 3 epochs" in page.lead
    assert "<script" not in page.html(), "a page without charts needs no script"


def test_rejects_invalid_runs(tmp_path, record, data):
    with pytest.raises(InputError, match="no run directory's record"):
        run_page(tmp_path)
    train_run(tmp_path / "run", record(), data=data)
    (tmp_path / "run" / "posterior.safetensors").write_bytes(b"x")
    with pytest.raises(CorruptFileError, match="not a whole safetensors file"):
        run_page(tmp_path / "run")


def test_a_network_that_does_not_fit_is_refused_before_anything_is_written(record, data, tmp_path):
    two = DataSet("it", data.train, data.test, ("a", "b", "c", "d"))
    with pytest.raises(InputError, match="The network has 3 outputs, and the data has 4 classes"):
        train_run(tmp_path / "run", record(), data=two)
    wide = torch.rand(4, 1, 5, 5), torch.zeros(4).long()
    with pytest.raises(InputError, match=r"cannot take inputs of shape \(1, 5, 5\)"):
        train_run(tmp_path / "run", record(), data=DataSet("it", wide, wide, ("a",), 1.0, ""))
    assert not (tmp_path / "run").exists()


TRICKY = """
import weakref
import torch.nn.functional as F
from torch import nn

class Reads(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(16, 6), nn.Linear(6, 3)
    def forward(self, x):
        return F.linear(self.a(x.flatten(1)), self.b.weight, self.b.bias)

class Weak(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(16, 6), nn.Linear(6, 3)
        self.last = weakref.ref(self.b)
    def forward(self, x):
        return self.last()(self.a(x.flatten(1)))

class Pair(Reads):
    def forward(self, x):
        return super().forward(x), x

class Lost(Reads):
    def forward(self, x):
        return {}["missing\\nkey"]

class Counts(Reads):
    calls = 0
    def get_extra_state(self):
        return {"calls": self.calls}
    def set_extra_state(self, state):
        self.calls = state["calls"]
    def forward(self, x):
        self.calls += 1
        return self.b(self.a(x.flatten(1)))

class Late(Reads):
    def forward(self, x):
        return self.a(x.flatten(1))[:, :3].log() if self.training else self.a(x.flatten(1))[:, :3]

def raises():
    raise OSError(28, "No space left on device")
"""


def test_layers_that_are_read_past_stay_deterministic_and_the_error_is_of_what_is_written(record, data, tmp_path):
    (tmp_path / "tricky_for_run_test.py").write_text(TRICKY)
    logged = []
    train_run(tmp_path / "run", record(model="tricky_for_run_test:Reads"), data=data, live=False, log=logged.append)
    assert any(line.startswith("b is kept deterministic: the network reads its weight past") for line in logged)
    posterior = load_file(tmp_path / "run" / "posterior.safetensors")
    assert "a.weight/variance" in posterior
    assert "b.weight/variance" not in posterior


def test_extra_state_is_resumed_and_its_change_is_told(record, data, tmp_path):
    (tmp_path / "tricky_for_run_test.py").write_text(TRICKY)
    logged = []
    train_run(tmp_path / "run", record(model="tricky_for_run_test:Counts"), data=data, live=False, log=logged.append)
    assert any(line.startswith("_extra_state changed in training and is not kept") for line in logged)
    assert "_extra_state" not in load_file(tmp_path / "run" / "posterior.safetensors")
    started = record(model="tricky_for_run_test:Counts", start=str(tmp_path / "run"))
    train_run(tmp_path / "next", started, data=data, live=False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Weak", "A copy of the model does not use its own layer b"),
        ("Pair", "gives a tuple, and a tensor is needed, one logit a class"),
        ("Lost", r"cannot take inputs of shape \(1, 4, 4\) \(KeyError"),
        ("raises", "The model tricky_for_run_test:raises raised OSError: .*No space left on device"),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused_before_anything_is_written(name, message, record, data, tmp_path):
    (tmp_path / "tricky_for_run_test.py").write_text(TRICKY)
    with pytest.raises(InputError, match=message) as caught:
        train_run(tmp_path / "run", record(model=f"tricky_for_run_test:{name}"), data=data, live=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_looks_like_one(record, data, tmp_path):
    (tmp_path / "tricky_for_run_test.py").write_text(TRICKY)
    with pytest.raises(InputError, match="The loss became nan in epoch 0"):
        train_run(tmp_path / "run", record(model="tricky_for_run_test:Late"), data=data, live=False)
    assert RunRecord.read(tmp_path / "run").status == "running"
    assert not (tmp_path / "run" / "posterior.safetensors").exists()


def test_what_is_held_out_is_always_the_same_part(data):
    first, second = data.held_out(0.2), data.held_out(0.2)
    assert len(first.validation.inputs) == 18
    assert len(first.train.inputs) == 72
    assert torch.equal(first.validation.inputs, second.validation.inputs)
    whole = torch.cat([first.train.inputs, first.validation.inputs]).flatten(1).sum(1).sort().values
    torch.testing.assert_close(whole, data.train.inputs.flatten(1).sum(1).sort().values)
    with pytest.raises(InputError, match="is empty"):
        data.held_out(0.0)


def test_rejects_a_record_of_version_1(tmp_path):
    shutil.copy(RECORDS / "run-version-1.json", tmp_path / "run.json")
    with pytest.raises(InputError, match=r"version 1, .*version 2; train again"):
        RunRecord.read(tmp_path)


def test_rejects_invalid_records(tmp_path):
    for text, offending in (
        ("{", "the whole file"),
        ('{"version": "2"}', "version"),
        ('{"version": 2, "surplus": 1}', "surplus"),
    ):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(InputError, match=rf"not a run's record: {offending}.*; train again"):
            RunRecord.read(tmp_path)
