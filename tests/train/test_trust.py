"""Code that a file names is run only where the user names it too, or trusts the file."""

from __future__ import annotations

import os
import sys

import pytest
import torch

from bayespress.cli.run import run as run_command
from bayespress.errors import BayespressError, CorruptFileError, InputError
from bayespress.train.data import DataSet
from bayespress.train.report import run_page
from bayespress.train.run import RunRecord
from bayespress.train.training_run import train_run
from bayespress.train.trust import check_code, code_names
from bayespress.workflow.compression import compress_run

MODULE = """
from pathlib import Path
import torch
from torch import nn

(Path(__file__).parent / "ran").touch()

def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))

def data():
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0, 0, 0] * 3).long()
    return x[:30], y[:30], x[30:], y[30:]
"""
NAMES = {"model": "trust_for_test:network", "data": "trust_for_test:data"}
RECIPE = """
model = "trust_for_test:network"
data = "trust_for_test:data"
[training]
epochs = 1
[search]
"training.learning_rate" = { low = 1e-4, high = 1e-2, log = true }
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a stranger's module in it, to stand in; `ran` is there once the module was imported."""
    (tmp_path / "trust_for_test.py").write_text(MODULE)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "trust_for_test", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("trust_for_test", None)


@pytest.fixture
def command(capfd):
    """Run a command in this process, as far as __main__ leaves it alone: its exit code and standard error."""

    def run(*arguments):
        try:
            code, message = run_command([str(each) for each in arguments]), ""
        except BayespressError as error:
            code, message = error.exit_code, f"{error}\n"
        return int(code), capfd.readouterr().err + message

    return run


def foreign_run(folder, status="running", **fields):
    record = RunRecord.checked({"training": {"epochs": 1}} | NAMES | fields, "it")
    record.status = status
    record.write(folder)
    return folder


def assert_refused(result, here, name="trust_for_test:network"):
    code, message = result
    assert code == 2, message
    assert name in message
    assert "--trust-code" in message
    assert message.count("\n") == 1, message
    assert not (here / "ran").exists()


def test_a_recipe_file_names_no_code(here, command):
    assert_refused(command("train", "--recipe", "recipe.toml", "-o", "run"), here)
    assert_refused(command("train", "--recipe", "recipe.toml", "--data", "digits", "-o", "run"), here)
    assert_refused(
        command("train", "--recipe", "recipe.toml", "--model", NAMES["model"], "-o", "run"), here, NAMES["data"]
    )
    assert_refused(command("search", "recipe.toml", "--trials", "1", "-o", "search"), here)
    assert not (here / "run").exists()


def test_a_search_range_names_no_code(here, command):
    (here / "recipe.toml").write_text(
        '[training]\nepochs = 1\n[search]\n"model.name" = { choices = ["lenet-300-100", "trust_for_test:network"] }\n'
    )
    assert_refused(command("search", "recipe.toml", "--trials", "1", "-o", "search"), here)


def test_a_run_directory_names_no_code(here, command):
    run = foreign_run(here / "run")
    assert_refused(command("train", "--resume", run), here)
    assert_refused(command("compress", foreign_run(here / "done", "complete")), here)
    with pytest.raises(InputError, match=r"trust_code=True"):
        compress_run(here / "done", here / "packed")
    with pytest.raises(InputError, match=r"trust_for_test:network"):
        train_run(run, RunRecord.read(run), resume=True)
    data_only = foreign_run(here / "data", "complete", model="lenet-300-100")
    assert_refused(command("compress", data_only), here, NAMES["data"])
    method = foreign_run(here / "method", "complete", model="vgg", data="digits", method="trust_for_test:method")
    assert_refused(command("compress", method), here, "trust_for_test:method")


def test_a_report_imports_nothing(here):
    assert "trust_for_test:network" in run_page(foreign_run(here / "run")).html()
    assert not (here / "ran").exists()


def test_code_that_the_user_names_or_trusts_is_run(here, command):
    names = ("--model", NAMES["model"], "--data", NAMES["data"])
    assert command("train", "--recipe", "recipe.toml", *names, "-o", "named")[0] == 0
    assert (here / "ran").exists()
    sets = ("--set", "model=trust_for_test:network", "--set", 'data.name="trust_for_test:data"')
    assert command("train", "--recipe", "recipe.toml", *sets, "-o", "set")[0] == 0
    assert command("train", "--recipe", "recipe.toml", "--trust-code", "-o", "trusted")[0] == 0
    assert command("compress", "named", "--trust-code", "-o", "packed")[0] == 0
    assert (here / "packed" / "weights.bpz").is_file()
    record = RunRecord.read(here / "named")
    record.status = "running"
    record.write(here / "named")
    code, message = command("train", "--resume", "named", *names)
    assert code == 0, message


def test_training_says_how_its_run_is_compressed(here, capfd):
    names = ["--model", NAMES["model"], "--data", NAMES["data"]]
    run_command(["train", *names, "--epochs", "30", "--learning-rate", "0.05"])
    assert "--trust-code" in capfd.readouterr().out


def test_names_that_are_no_code():
    plain = RunRecord.checked({"model": "vgg", "data": "folder:/pictures"}, "it")
    assert code_names(plain) == {}
    check_code(plain, "it")
    evil = RunRecord.checked({"model": "os:\x1b[31msystem", "data": "folder:x"}, "it")
    with pytest.raises(InputError, match=r"os:\\x1b\[31msystem"):
        check_code(evil, "it")


def test_checkpoints_are_not_unpickled(here, tmp_path):
    """A checkpoint is a pickle; of a stranger's, only tensors and plain values are read."""

    class Touch:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "touched"),)

    x = torch.rand(40, 1, 4, 4)
    data = DataSet("it", *[(x, (x[:, 0, 0, 0] * 3).long())] * 2, ("a", "b", "c"), 1.0, "")
    fields = {"model": NAMES["model"], "training": {"epochs": 2}}
    train_run(tmp_path / "run", RunRecord.checked(fields, "it"), data=data, live=False)
    record = RunRecord.read(tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    held = torch.load(checkpoint, weights_only=True)
    torch.save(held | {"evil": Touch()}, checkpoint)
    record.training.epochs = 3
    (checkpoint.parent / "previous.ckpt").unlink()
    with pytest.raises(CorruptFileError, match=r"last.ckpt cannot be read as a checkpoint"):
        train_run(tmp_path / "run", record, data=data, live=False, resume=True, trust_code=True)
    assert not (tmp_path / "touched").exists()
