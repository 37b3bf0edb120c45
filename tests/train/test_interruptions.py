"""Training that is killed, stopped or runs out of disk: what is left can be gone on with, and a sentence says how."""

from __future__ import annotations

import contextlib
import importlib
import io
import multiprocessing
import os
import random
import shutil
import signal
import struct
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from bayespress.errors import BayespressError, CorruptFileError, InputError
from bayespress.train.checkpoints import LAST, PREVIOUS
from bayespress.train.run import RunRecord
from bayespress.train.training_run import train_run

SOURCE = """
import torch
from torch import nn

def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3))

def data():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(120, 1, 4, 4, generator=generator)
    labels = (images[:, 0, 0, 0] * 3).long()
    return images[:90], labels[:90], images[90:], labels[90:]
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "interrupted_net.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "interrupted_net", raising=False)
    return tmp_path


class Started:
    """Training in a process of its own, forked so that nothing is imported anew; its lines go to files."""

    def __init__(self, epochs, *, before=lambda: None):
        self.out, self.err = Path("out.txt"), Path("err.txt")
        self.out.write_text("")
        self.err.write_text("")
        self.process = multiprocessing.get_context("fork").Process(target=self._train, args=(epochs, before))
        self.process.start()

    def _train(self, epochs, before):
        for path, number in ((self.out, 1), (self.err, 2)):
            os.dup2(os.open(path, os.O_WRONLY), number)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        before()
        folder = Path("run")
        resume = (folder / "run.json").exists()
        try:
            record = RunRecord.read(folder) if resume else record_of(epochs)
            train_run(
                folder, record, resume=resume, live=False, log=lambda text: print(text, flush=True), trust_code=True
            )
        except BayespressError as error:
            print(f"bayespress: {error}", file=sys.stderr, flush=True)
            sys.exit(int(error.exit_code))

    def wait_for(self, beginning):
        """Until a line with this beginning was printed."""
        for _ in range(2000):
            if not self.process.is_alive() or any(
                line.startswith(beginning) for line in self.out.read_text().splitlines()
            ):
                return
            time.sleep(0.01)
        raise AssertionError(self.out.read_text() + self.err.read_text())

    def end(self):
        """Exit code, and what was written to standard error."""
        self.process.join(60)
        return self.process.exitcode, self.err.read_text()


def record_of(epochs=3):
    fields = {"model": "interrupted_net:network", "data": "interrupted_net:data"}
    return RunRecord.checked(fields | {"training": {"epochs": epochs, "batch_size": 10}}, "it")


def posterior(folder):
    return load_file(folder / "posterior.safetensors")


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(place):
    epochs = 40
    train_run(place / "whole", record_of(epochs), live=False)
    chance = random.Random(2)
    for _ in range(6):
        started = Started(epochs)
        started.wait_for("training ")
        time.sleep(chance.uniform(0.0, 0.2))  # an epoch takes hundredths of a second
        started.process.kill()
        assert started.end()[0] == -signal.SIGKILL
    assert Started(epochs).end()[0] == 0
    record = RunRecord.read(place / "run")
    assert record.status == "complete"
    assert [metrics.epoch for metrics in record.metrics] == list(range(epochs))
    assert equal(posterior(place / "run"), posterior(place / "whole"))
    left = {path.name for path in (place / "run" / "checkpoints").iterdir()}
    assert left == {LAST, PREVIOUS, "tensorboard"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_with_a_sentence_and_the_command_that_goes_on(number, place):
    started = Started(5000)
    started.wait_for("epoch 2/")
    os.kill(started.process.pid, number)
    code, err = started.end()
    assert code == 130, err
    assert "the last whole epoch is kept in run" in err.splitlines()[-1]
    assert "`bayespress train --resume run --trust-code`" in err.splitlines()[-1]
    assert "Traceback" not in err


def replace_data(monkeypatch, function):
    monkeypatch.setattr(importlib.import_module("interrupted_net"), "data", function)


def test_ctrl_c_before_the_first_epoch(place, monkeypatch):
    replace_data(monkeypatch, lambda: time.sleep(60))
    started = Started(3)
    started.wait_for("reading ")
    time.sleep(0.2)
    os.kill(started.process.pid, signal.SIGINT)
    code, err = started.end()
    assert code == 130
    assert "before anything was written; give the same command" in err.splitlines()[-1]


def test_a_second_ctrl_c_ends_at_once(place, monkeypatch):
    def stubborn():
        try:
            time.sleep(60)
        finally:
            time.sleep(60)

    replace_data(monkeypatch, stubborn)
    started = Started(3)
    started.wait_for("reading ")
    time.sleep(0.2)
    os.kill(started.process.pid, signal.SIGINT)
    time.sleep(0.2)
    assert started.process.is_alive()
    os.kill(started.process.pid, signal.SIGINT)
    assert started.end()[0] == -signal.SIGINT


class Stop(Exception):  # noqa: N818
    pass


def interrupted(folder, after):
    """A run that ended after so many epochs, as if it had been killed."""

    def log(text):
        if text.startswith(f"epoch {after + 1}/"):
            raise Stop

    with contextlib.suppress(Stop):
        train_run(folder, record_of(6), live=False, log=log)


def resumed(folder):
    logged = []
    train_run(folder, RunRecord.read(folder), resume=True, live=False, log=logged.append, trust_code=True)
    return logged


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda last: last.write_bytes(b""), "last.ckpt is empty"),
        (lambda last: last.write_bytes(last.read_bytes()[:-700]), "is no whole checkpoint, but cut short"),
        (lambda last: last.write_bytes(flipped(last.read_bytes())), "is damaged in its part"),
        (lambda last: last.write_bytes(b"GIF89a"), "is no whole checkpoint, but cut short or another file"),
        (lambda last: torch.save({"state_dict": {}}, last), "is no checkpoint of a training run"),
        (lambda last: torch.save([1, 2], last), "is no checkpoint of a training run"),
        (lambda last: change(last, lambda c: c["state_dict"].pop("net.network.1.bias")), "is of another network"),
        (
            lambda last: change(last, lambda c: c["state_dict"].update({"net.network.1.bias": torch.zeros(9)})),
            "is of another network",
        ),
        (lambda last: last.unlink(), "last.ckpt is missing"),
    ],
)
def test_a_bad_checkpoint_is_named_and_the_one_before_is_taken(spoil, message, place, whole_run):
    shutil.copytree(whole_run / "cut", place / "run")
    spoil(place / "run" / "checkpoints" / LAST)
    logged = resumed(place / "run")
    assert any(message in line and "going on from" in line and PREVIOUS in line for line in logged), logged
    assert equal(posterior(place / "run"), posterior(whole_run / "run"))


def change(path, edit):
    content = torch.load(path, weights_only=True)
    edit(content)
    torch.save(content, path)


def flipped(data):
    """A byte of the largest part changed; parts lie apart, with padding that nobody reads between them."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        largest = max(archive.infolist(), key=lambda part: part.file_size)
    name, extra = struct.unpack_from("<HH", data, largest.header_offset + 26)
    middle = largest.header_offset + 30 + name + extra + largest.file_size // 2
    return data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """An uninterrupted run, and one that was cut after four epochs."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "interrupted_net.py").write_text(SOURCE)
    with contextlib.chdir(folder):
        train_run(folder / "run", record_of(6), live=False)
        interrupted(folder / "cut", 4)
    return folder


def test_without_a_whole_checkpoint_the_remedy_is_named(place, whole_run):
    shutil.copytree(whole_run / "cut", place / "run")
    for name in (LAST, PREVIOUS):
        (place / "run" / "checkpoints" / name).write_bytes(b"x")
    with pytest.raises(CorruptFileError, match=r"last.ckpt is no whole .* remove run/checkpoints, and --resume"):
        resumed(place.joinpath("run").relative_to(place))
    shutil.rmtree(place / "run" / "checkpoints")
    assert any("training from the beginning" in line for line in resumed(place / "run"))
    assert equal(posterior(place / "run"), posterior(whole_run / "run"))


def test_a_run_that_was_killed_before_its_posterior_was_written(place, whole_run):
    shutil.copytree(whole_run / "run", place / "run")
    expected = posterior(place / "run")
    (place / "run" / "posterior.safetensors").unlink()
    resumed(place / "run")
    assert equal(posterior(place / "run"), expected)


def test_an_overwritten_run_does_not_go_on_from_the_old_one(place, whole_run):
    shutil.copytree(whole_run / "run", place / "run")

    def stop_at_once(text):
        if text.startswith("training "):
            raise Stop

    with pytest.raises(Stop):
        train_run(place / "run", record_of(6), live=False, log=stop_at_once)
    assert not (place / "run" / "checkpoints" / LAST).exists()
    assert not (place / "run" / "posterior.safetensors").exists()
    assert any("training from the beginning" in line for line in resumed(place / "run"))


def full_disk(limit):
    """Files may grow to this size only: the system answers writes beyond it as a full disk does."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


@pytest.mark.parametrize("limit", [200, 3000, 12000])
def test_a_full_disk_ends_with_a_sentence(limit, place):
    code, err = Started(3, before=lambda: full_disk(limit)).end()
    assert code == 2, err
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("bayespress: ")]
    assert "cannot be written" in line or "cannot write" in line
    assert Started(3).end()[0] == 0


def test_a_full_disk_names_a_command_that_works(place, monkeypatch):
    """Before the first epoch there is nothing to resume; after the last one there is."""
    from bayespress.train import run

    def full(file):
        def save(tensors, path, metadata):
            if run.INITIAL in str(path) if file == run.INITIAL else metadata:
                raise SafetensorError("No space left on device")
            save_file(tensors, path, metadata=metadata)

        return save

    monkeypatch.setattr(run, "save_file", full(run.INITIAL))
    with pytest.raises(InputError, match=r"initial.* cannot be written .*then give the same command again\.$"):
        train_run(place / "run", record_of(1), live=False)
    monkeypatch.setattr(run, "save_file", full(run.POSTERIOR))
    going_on = r"then go on with `bayespress train --resume .*run --trust-code`\.$"
    with pytest.raises(InputError, match=r"posterior.* cannot be written .*" + going_on):
        train_run(place / "run", record_of(1), live=False)
    monkeypatch.undo()


def test_a_run_directory_that_cannot_be_written(place):
    (place / "run").write_text("a file")
    with pytest.raises(InputError, match=r"run.* cannot be written"):
        train_run(place / "run", record_of(1), live=False)
