"""Ctrl-C and SIGTERM in `build`, and in `bench` and `verify` while a runner hangs; the runner must end too."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import time

import pytest
from forked_command import ForkedCommand, names_below

from bayespress.deploy.bundle.format import opened, seal
from bayespress.deploy.bundle.manifest import MANIFEST

pytestmark = pytest.mark.xdist_group("deploy")
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture
def hanging(bundle, tmp_path):
    """A bundle whose runner starts a child and hangs, and the file to which both write their process numbers."""
    with opened(bundle) as it:
        manifest = it.manifest
    runner, started = bundle / manifest.targets["host"].runner, tmp_path / "started"
    logged = f"echo $$ $! >{started}.part; mv {started}.part {started}"
    runner.write_text(f"#!/bin/sh\n(trap '' INT TERM; exec sleep 300) &\n{logged}\nwait\n")
    runner.chmod(runner.stat().st_mode | stat.S_IXUSR)
    (bundle / MANIFEST).unlink()
    seal(bundle, manifest)
    return bundle, started


def is_running(number: int) -> bool:
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8") as stream:  # noqa: PTH123 - the kernel's
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize("command", [["bench", "--compare", "none", "-o", "new/out.json"], ["verify", "-d", "host"]])
def test_a_hanging_runner_ends_with_the_command(number, command, hanging, tmp_path, monkeypatch):
    bundle, started = hanging
    (tmp_path / "temporary").mkdir()
    (tmp_path / "place").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    forked = ForkedCommand(
        [command[0], bundle, *command[1:]], tmp_path / "place", tmp_path / "logs", before=forget_temporary_folder
    )
    end = time.monotonic() + 60
    while not started.exists() and forked.process.is_alive() and time.monotonic() < end:
        time.sleep(0.02)
    numbers = [int(each) for each in started.read_text().split()]
    assert all(map(is_running, numbers))
    forked.send(number)
    assert forked.sentence(CODES[number]).startswith("bayespress: Interrupted; ")
    end = time.monotonic() + 10  # the kernel needs some time to end a killed process
    while any(map(is_running, numbers)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(is_running, numbers))
    assert names_below(tmp_path / "place") == set()
    assert names_below(tmp_path / "temporary") == set()


def forget_temporary_folder() -> None:
    """Clear tempfile's cached folder, which the test's process chose."""
    import tempfile

    tempfile.tempdir = None


@pytest.mark.parametrize("words", ["· reading the network", "· compiling for host", "· exporting ONNX"])
def test_build(words, packed, tmp_path, monkeypatch):
    # In a process of its own: a copy of one in which compilers have run threads can wait for these threads for ever.
    (tmp_path / "temporary").mkdir()
    (tmp_path / "place").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    source, errors = packed("mlp"), tmp_path / "errors"
    before = names_below(source)
    with errors.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "bayespress", "build", str(source), "-t", "host", "-o", "new/net.bundle"],
            cwd=tmp_path / "place", stdout=subprocess.DEVNULL, stderr=stream,
        )  # fmt: skip
    end = time.monotonic() + 120
    while words not in errors.read_text() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, errors.read_text()
    (sentence,) = [line for line in errors.read_text().splitlines() if line.startswith("bayespress: ")]
    assert sentence.startswith("bayespress: Interrupted; ")
    assert names_below(tmp_path / "place") == set()
    assert names_below(tmp_path / "temporary") == set()
    assert names_below(source) == before
