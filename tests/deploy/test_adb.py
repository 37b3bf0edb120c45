"""Bundles on phones, with a fake adb that behaves like old and new versions of adb."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from bundles import run_on, with_runner

import bayespress
from bayespress.deploy.bundle.format import GOLDEN_INPUT, opened
from bayespress.errors import BayespressError, MissingToolError

pytestmark = pytest.mark.xdist_group("deploy")

# `phones` is the list that `adb devices` prints, `noise` the text before it. `old` simulates adb before Android 7: it
# returns no exit statuses, mixes errors into the output, and ends lines like a terminal.
STAND_IN = r"""#!{python}
import os, shutil, subprocess, sys
root, words = {root!r}, sys.argv[1:]
have = lambda name: os.path.exists(root + "/" + name)
read = lambda name: open(root + "/" + name).read() if have(name) else ""
open(root + "/log", "a").write(" ".join(words) + "\n")
if words == ["devices"]:
    sys.stdout.write(read("noise") + "List of devices attached\n" + read("phones") + "\n")
    sys.exit(1 if have("fails") else 0)
assert words[0] == "-s", words
if words[1] + "\tdevice" not in read("phones"):
    sys.exit("adb: device '" + words[1] + "' not found")
words = words[2:]
if words[0] == "push":
    source, there = words[1:]
    if have("full"):
        sys.exit("adb: error: failed to copy: couldn't write file: No space left on device")
    shutil.copy(source, there.replace("/data/local/tmp", root + "/tmp"))
    print(source + ": 1 file pushed. 3.1 MB/s")
    if have("unplug"):
        open(root + "/phones", "w").close()
elif words[0] == "shell":
    command = ["sh", "-c", words[1].replace("/data/local/tmp", root + "/tmp")]
    together = subprocess.STDOUT if have("old") else subprocess.PIPE
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=together)
    printed = done.stdout.replace(root.encode() + b"/tmp", b"/data/local/tmp")
    sys.stdout.buffer.write(printed.replace(b"\n", b"\r\n") if have("old") else printed)
    sys.stderr.buffer.write(done.stderr or b"")
    sys.exit(0 if have("old") else done.returncode)
"""


@pytest.fixture
def phone(tmp_path, monkeypatch) -> Path:
    """A folder that represents the phone's storage."""
    root = tmp_path / "phone"
    (tmp_path / "bin").mkdir()
    (root / "tmp").mkdir(parents=True)
    program = tmp_path / "bin" / "adb"
    program.write_text(STAND_IN.format(python=sys.executable, root=str(root)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (root / "phones").write_text("SERIAL\tdevice\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    return root


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", ["adb", "adb:SERIAL"])
def test_verify_on_a_phone(pristine, phone, name, old):
    (phone / "old").touch() if old else None
    (phone / "noise").write_text("* daemon not running; starting now at tcp:5037\n* daemon started successfully\n")
    report = bayespress.verify(pristine, [name])
    assert [check.outcome for check in report.checks] == ["passed"] * 4, report.checks
    assert not list((phone / "tmp").iterdir()), "the phone was not cleaned up"
    assert "push" in (phone / "log").read_text()


@pytest.mark.parametrize("serial", ["192.168.1.5:5555", "[fd00::5]:5555"])
def test_phones_on_the_network(pristine, phone, serial):
    (phone / "phones").write_text(f"SERIAL\tunauthorized\n{serial}\tdevice\n")
    assert bayespress.verify(pristine, [f"adb:{serial}"]).passed
    assert f"-s {serial} shell" in (phone / "log").read_text()


def test_the_serial_of_the_environment(pristine, phone, monkeypatch):
    (phone / "phones").write_text("OTHER\tdevice\nSERIAL\tdevice\n")
    monkeypatch.setenv("ANDROID_SERIAL", "SERIAL")
    assert bayespress.verify(pristine, ["adb"]).passed


@pytest.mark.parametrize(
    ("phones", "name", "sentence"),
    [
        ("", "adb", "adb sees no phone; connect one, and enable USB debugging"),
        ("", "adb:SERIAL", "adb sees no phone 'SERIAL', only an empty list of phones; connect one"),
        ("A\tdevice\nB\tdevice\n", "adb", r"sees 2 phones: A \(device\), B \(device\); name one of them, as in adb:A"),
        ("A\tdevice\nB\toffline\n", "adb", r"sees 2 phones: A \(device\), B \(offline\); name one"),
        ("A\tdevice\n", "adb:B", r"adb sees no phone 'B', only A \(device\); name one of these"),
        ("A\tunauthorized\n", "adb", "Phone A is not authorised: unlock it and allow USB debugging"),
        ("A\tauthorizing\n", "adb:A", "Phone A is being authorised"),
        ("A\toffline\n", "adb", "Phone A is offline: plug it in again"),
        ("A\trecovery\n", "adb", "Phone A is in recovery mode: restart it"),
        ("A\tsideload\n", "adb", "Phone A is in sideload mode"),
        ("A\tbootloader\n", "adb", "Phone A is in its boot loader"),
        ("A\tfrobnicating \x1b[31m\n", "adb", r"Phone A is in state 'frobnicating \\\\x1b\[31m': restart it"),
        (
            "????????????\tno permissions (user in plugdev group; are your udev rules wrong?); see [http://x]\n",
            "adb",
            r"Phone \?+ may not be used by this user: install the udev rules",
        ),
        ("????????????    no permissions\n", "adb", "may not be used by this user"),
    ],
)
def test_rejects_phones_that_are_not_ready(pristine, phone, phones, name, sentence):
    (phone / "phones").write_text(phones)
    with pytest.raises(MissingToolError, match=sentence) as caught:
        bayespress.verify(pristine, [name])
    assert str(caught.value).isprintable()
    assert "Device" in str(caught.value)


def test_an_adb_without_a_list_of_phones(pristine, phone):
    (phone / "noise").write_text("adb: failed to check server version: cannot connect to daemon\n")
    (phone / "fails").touch()
    with pytest.raises(MissingToolError, match=r"adb does not list its phones .*run `adb kill-server`"):
        bayespress.verify(pristine, ["adb"])


def test_a_phone_that_is_disconnected_during_a_run(pristine, phone):
    (phone / "unplug").touch()
    with opened(pristine) as bundle, pytest.raises(MissingToolError, match=r"adb does not answer .*'SERIAL' not found"):
        run_on("adb", bundle, pristine / GOLDEN_INPUT)


def test_a_phone_with_full_storage(pristine, phone):
    (phone / "full").touch()
    with opened(pristine) as bundle, pytest.raises(MissingToolError, match="its disk is full; free some space there"):
        run_on("adb", bundle, pristine / GOLDEN_INPUT)
    assert not list((phone / "tmp").iterdir())


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("runner", "sentence"),
    [
        ("kill -ILL $$", "stopped at an illegal instruction"),
        ("echo 'runner: the weights are wrong.' >&2; exit 1", "The runner failed on adb: the weights are wrong."),
        ("echo hello", "printed no report"),
    ],
)
def test_runners_that_fail(bundle, phone, runner, sentence, old):
    (phone / "old").touch() if old else None
    with opened(with_runner(bundle, f"#!/bin/sh\n{runner}\n")) as it, pytest.raises(BayespressError) as caught:
        run_on("adb", it, bundle / GOLDEN_INPUT)
    assert sentence in str(caught.value)
    assert not list((phone / "tmp").iterdir())


def test_a_missing_adb_is_reported(pristine, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="adb is not installed"):
        bayespress.verify(pristine, ["adb"])
