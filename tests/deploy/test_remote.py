"""Bundles on other machines: a real ssh server on loopback, and a stand-in for adb, as no phone is here."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bayespress
from bayespress.deploy.bundle import GOLDEN_INPUT, opened
from bayespress.deploy.devices import device_named
from bayespress.errors import CheckFailedError, InputError, MissingToolError

pytestmark = pytest.mark.xdist_group("deploy")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    """The address of an ssh server of our own, that takes one key."""
    server = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    for program, package in ((server, "openssh-server"), (shutil.which("ssh"), "openssh-client")):
        if program is None:
            pytest.skip(f"{package}, through which bundles go to a board, is not installed")
    folder = tmp_path_factory.mktemp("sshd")
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    Path("/run/sshd").mkdir(parents=True, exist_ok=True)  # sshd's privilege separation asks for it
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        f"PasswordAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPidFile {folder}/pid\n"
        "Subsystem sftp internal-sftp\n"
    )
    process = subprocess.Popen([server, "-D", "-e", "-f", folder / "config"], stderr=(folder / "log").open("w"))
    # ssh itself takes no configuration from the environment: programs of the same name in front of it do.
    wrappers = folder / "bin"
    wrappers.mkdir()
    for name in ("ssh", "scp"):
        options = f"-i {folder}/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        (wrappers / name).write_text(f'#!/bin/sh\nexec {shutil.which(name)} {options} "$@"\n')
        (wrappers / name).chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{wrappers}:{before}"
    for _ in range(100):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"ssh://{getpass.getuser()}@127.0.0.1:{port}"
    os.environ["PATH"] = before
    process.terminate()
    process.wait()


def left_behind():
    return sorted(Path("/tmp").glob("bayespress.??????"))


def test_verify_over_ssh(pristine, sshd):
    before = left_behind()
    report = bayespress.verify(pristine, [sshd])
    assert [check.outcome for check in report.checks] == ["passed"] * 4, report.checks
    assert report.checks[-1].name == f"golden vectors, runner on {sshd}"
    assert left_behind() == before


def test_a_failing_runner_leaves_nothing_behind(pristine, sshd, tmp_path):
    before = left_behind()
    (tmp_path / "short.f32").write_bytes(b"123")
    with opened(pristine) as bundle, pytest.raises(CheckFailedError, match=r"inputs.f32 has 3 bytes"):
        device_named(sshd).run(bundle, tmp_path / "short.f32")
    assert left_behind() == before


def test_nobody_at_the_address(pristine, sshd):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(MissingToolError, match=r"cannot be used: ssh://127.0.0.1:\d+ does not answer \(.*refused"):
            bayespress.verify(pristine, [f"ssh://127.0.0.1:{port}"])


@pytest.mark.parametrize(
    "name", ["ssh://", "ssh://-oProxyCommand=x", "ssh://host:port", "ssh://u:secret@host", "ssh://h/x"]
)
def test_addresses_that_are_none(pristine, name):
    with pytest.raises(InputError, match=r"is no ssh device: .*; write it as ssh://user@board|holds a password"):
        bayespress.verify(pristine, [name])


@pytest.mark.parametrize("name", ["adb:", "adb:-e"])
def test_serials_that_are_none(pristine, name):
    with pytest.raises(InputError, match="is no phone; write it as adb or adb:SERIAL"):
        bayespress.verify(pristine, [name])


STAND_IN = """#!{python}
# Does what adb does with one phone, SERIAL, whose /data/local/tmp is a folder here; logs how it is called.
import os, shutil, subprocess, sys
root, words = {root!r}, sys.argv[1:]
open(root + "/log", "a").write(" ".join(words) + "\\n")
if words[0] == "-s":
    if words[1] != "SERIAL":
        sys.exit("error: device '" + words[1] + "' not found")
    words = words[2:]
if os.path.exists(root + "/unplugged"):
    sys.exit("error: no devices/emulators found")
if words[0] == "push":
    for source in words[1:-1]:
        shutil.copy(source, words[-1].replace("/data/local/tmp", root))
        if os.path.exists(root + "/unplug-after-push"):
            open(root + "/unplugged", "w").close()
elif words[0] == "shell":
    command = ["sh", "-c", words[1].replace("/data/local/tmp", root)]
    done = subprocess.run(command, capture_output=True, text=True)
    sys.stdout.write(done.stdout.replace(root, "/data/local/tmp"))
    sys.stderr.write(done.stderr)
    sys.exit(done.returncode)
"""


@pytest.fixture
def phone(tmp_path, monkeypatch):
    """A folder that stands for the phone's."""
    root = tmp_path / "phone"
    (tmp_path / "bin").mkdir()
    root.mkdir()
    program = tmp_path / "bin" / "adb"
    program.write_text(STAND_IN.format(python=sys.executable, root=str(root)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    return root


@pytest.mark.parametrize("name", ["adb", "adb:SERIAL"])
def test_verify_on_a_phone(pristine, phone, name):
    report = bayespress.verify(pristine, [name])
    assert [check.outcome for check in report.checks] == ["passed"] * 4, report.checks
    assert not list(phone.glob("bayespress.*")), "the phone was not cleaned up"
    assert "push" in (phone / "log").read_text()


def test_a_phone_that_is_not_there(pristine, phone):
    with pytest.raises(MissingToolError, match=r"adb:OTHER does not answer \(error: device 'OTHER' not found\)"):
        bayespress.verify(pristine, ["adb:OTHER"])


def test_a_phone_that_is_unplugged_in_the_middle(pristine, phone):
    (phone / "unplug-after-push").touch()
    with opened(pristine) as bundle, pytest.raises(MissingToolError, match=r"adb does not answer .*no devices"):
        device_named("adb").run(bundle, pristine / GOLDEN_INPUT)


def test_no_adb(pristine, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="adb is not installed"):
        bayespress.verify(pristine, ["adb"])
