"""Ctrl-C, SIGTERM and SIGHUP during a command give one sentence and the exit code, and leave no files behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from forked_command import ForkedCommand, names_below

# Packages that the commands need, imported once for all forked processes.
import bayespress.compress.choose
import bayespress.compress.pipeline
import bayespress.train.training_run  # noqa: F401
from bayespress.cli.run import run

pytestmark = pytest.mark.xdist_group("interruptions")

SOURCE = """
import os, time
import torch
from torch import nn

class Slow(nn.Module):
    def forward(self, x):
        time.sleep(float(os.environ.get("SLOW_NET", 0)))
        return x

def network():
    return nn.Sequential(nn.Flatten(), Slow(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3))

def data():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(120, 1, 4, 4, generator=generator)
    labels = (images[:, 0, 0, 0] * 3).long()
    return images[:90], labels[:90], images[90:], labels[90:]
"""
RECIPE = """
model = "slow_net:network"
data = "slow_net:data"
[training]
epochs = 1
batch_size = 45
[search]
"training.learning_rate" = { low = 2e-3, high = 2e-2, log = true }
"""
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
by_signal = pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)


@pytest.fixture
def place(tmp_path, monkeypatch):
    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "slow_net.py").write_text(SOURCE)
    (folder / "recipe.toml").write_text(RECIPE)
    monkeypatch.delitem(sys.modules, "slow_net", raising=False)
    return folder


@by_signal
def test_interrupts_a_separate_process(number, tmp_path):
    # The process prints a line when it is inside a call that a signal interrupts.
    program = (
        "import sys, time\nsys.argv = ['bayespress', 'inspect', 'w.bpz']\n"
        "import bayespress.cli.inspect\nfrom bayespress import codec\n"
        "codec.layout = lambda *_: (print('at work', flush=True), time.sleep(60))\n"
        "from bayespress.__main__ import main\nmain()\n"
    )
    from bayespress import codec

    (tmp_path / "w.bpz").write_bytes(codec.encode([]))
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "at work\n"
    process.send_signal(number)
    process.send_signal(number) if number != signal.SIGINT else None  # as `timeout` sends it twice
    _, errors = process.communicate(timeout=30)
    assert process.returncode == CODES[number]
    assert errors == (
        "bayespress: Interrupted; outputs are written completely or not at all, so no output is incomplete; start "
        "again with: bayespress inspect w.bpz\n"
    )


def test_sighup_is_ignored_under_nohup(tmp_path):
    done = subprocess.run(
        ["nohup", sys.executable, "-c", "import os, signal, sys; sys.argv = ['bayespress', '--version']\n"
         "from bayespress.__main__ import _STOP, main; _STOP.install(); os.kill(os.getpid(), signal.SIGHUP); main()"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("bayespress ")


def test_search(place, tmp_path):
    command = ForkedCommand(
        ["search", "recipe.toml", "--trust-code", "--trials", 50, "-o", "out"], place, tmp_path / "logs"
    )
    command.wait_for("· trial 1:")
    command.send(signal.SIGTERM)
    sentence = command.sentence(143)
    assert "1 finished trial is kept in out/search.db; continue with: bayespress search recipe.toml" in sentence
    assert names_below(place) == {"slow_net.py", "recipe.toml", "out", "out/search.db"}


def test_train(place, tmp_path):
    options = ["--model", "slow_net:network", "--data", "slow_net:data", "--batch-size", 45, "--epochs", 100_000]
    command = ForkedCommand(["train", *options, "-o", "run"], place, tmp_path / "logs")
    command.wait_for("· epoch 2/")
    command.send(signal.SIGTERM)
    command.send(signal.SIGTERM)  # as `timeout` does
    assert "go on with `bayespress train --resume run --trust-code`" in command.sentence(143)
    assert not [name for name in names_below(place) if ".bayespress" in name]


def test_an_interrupt_discarded_by_the_network_is_raised_again(place, tmp_path):
    # Some libraries catch every exception, including KeyboardInterrupt. The network sends the signal itself, so that it
    # arrives where it is discarded.
    forward = """
        type(self).calls = getattr(type(self), "calls", 0) + 1
        try:
            if type(self).calls == 10:
                os.kill(os.getpid(), 2)
                time.sleep(1)
        except BaseException:
            print("discarded")"""
    source = SOURCE.replace('\n        time.sleep(float(os.environ.get("SLOW_NET", 0)))', forward)
    assert source != SOURCE
    (place / "slow_net.py").write_text(source)
    options = ["--model", "slow_net:network", "--data", "slow_net:data", "--batch-size", 45, "--epochs", 100_000]
    command = ForkedCommand(["train", *options, "-o", "run"], place, tmp_path / "logs")
    assert "train --resume run --trust-code`" in command.sentence(130)
    assert command.out.read_text() == "discarded\n"


def test_compress_with_a_search(place, tmp_path, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    options = ["--model", "slow_net:network", "--data", "slow_net:data", "--batch-size", 45, "--epochs", 1]
    run(["train", *map(str, options), "--held-out", "0.2", "-o", "run"])
    before = names_below(place)
    monkeypatch.setenv("SLOW_NET", "0.05")
    command = ForkedCommand(
        ["compress", "run", "--trust-code", "--max-error", 90, "--trials", 500, "-o", "packed"],
        place,
        tmp_path / "logs",
    )
    end = time.monotonic() + 60
    while not (place / "run" / "search.db").exists() and command.process.is_alive() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(1)
    command.send(signal.SIGINT)
    assert "continue with: bayespress compress run --trust-code" in command.sentence(130)
    assert names_below(place) - before <= {"run/search.db"}


def test_demo(place, tmp_path):
    command = ForkedCommand(["demo", "--epochs", 1000, "-o", "out"], place, tmp_path / "logs")
    command.wait_for("· epoch 1/")
    command.send(signal.SIGHUP)
    sentence = command.sentence(129)
    assert "the finished steps are kept in out; continue with: bayespress demo --epochs 1000 -o out" in sentence
    assert not [name for name in names_below(place) if ".bayespress" in name]
    assert (place / "out" / "run" / "run.json").is_file()
    assert [path.name for path in (place / "out").iterdir()] == ["run"]
