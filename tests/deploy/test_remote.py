"""Bundles on boards behind ssh: a real server on loopback with the unusual logins of boards."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bundles import PLAIN_RUN, run_on, with_runner

import bayespress
from bayespress.deploy.bundle.format import GOLDEN_INPUT, opened
from bayespress.deploy.devices import remote
from bayespress.deploy.devices.report import RunRequest
from bayespress.deploy.devices.ssh import Ssh
from bayespress.errors import BayespressError, CheckFailedError, MissingToolError

pytestmark = pytest.mark.xdist_group("deploy")

LOGIN = 'exec sh -c "$SSH_ORIGINAL_COMMAND"\n'


@dataclass(frozen=True)
class Board:
    """An ssh server that the tests start.

    login   the script that stands for its users' login shell
    place   the folder there in which temporary folders are made, in most tests
    """

    port: int
    login: Path
    place: Path

    @property
    def address(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    def left_behind(self) -> list[object]:
        """Files of the package on the board, and running programs."""
        processes = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                folder = str((process / "cwd").readlink())
            except OSError:
                continue
            processes += [process] if folder.startswith(str(self.place)) else []
        return [*self.place.iterdir(), *processes]

    def left_behind_soon(self) -> list[object]:
        """The same after the scripts on the board have had time to end."""
        for _ in range(200):
            if not self.left_behind():
                break
            time.sleep(0.1)
        return self.left_behind()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory) -> Iterator[Board]:
    """An ssh server that accepts one key."""
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
    Path("/run/sshd").mkdir(parents=True, exist_ok=True)  # sshd's privilege separation needs it
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nListenAddress ::1\nForceCommand exec sh {folder}/login\n"
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        f"PasswordAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPidFile {folder}/pid\n"
    )
    process = subprocess.Popen([server, "-D", "-e", "-f", folder / "config"], stderr=(folder / "log").open("w"))
    # ssh reads no configuration path from the environment, so a script with the same name passes it.
    wrappers = folder / "bin"
    wrappers.mkdir()
    (folder / "client").write_text(
        f"Host My-Board\n  HostName ::1\n  Port {port}\nHost my-board\n  HostName 192.0.2.1\n"
    )
    options = f"-F {folder}/client -i {folder}/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    (wrappers / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {options} -o LogLevel=ERROR "$@"\n')
    (wrappers / "ssh").chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{wrappers}:{before}"
    for _ in range(100):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield Board(port, folder / "login", folder / "temporary folder")
    os.environ["PATH"] = before
    process.terminate()
    process.wait()


@pytest.fixture
def board(sshd, monkeypatch) -> Board:
    """The server with a plain login, and an empty temporary folder with a space in its name."""
    sshd.login.write_text(LOGIN)
    shutil.rmtree(sshd.place, ignore_errors=True)
    sshd.place.mkdir()
    monkeypatch.setattr(Ssh, "temporary_folders", (f'"{sshd.place}"',))
    return sshd


def check_on(bundle: Path, address: str):
    return bayespress.verify(bundle, [address]).checks[-1]


def run_at(board: Board, bundle: Path, request: RunRequest = PLAIN_RUN, progress=lambda _step: None):
    with opened(bundle) as it:
        return run_on(board.address, it, bundle / GOLDEN_INPUT, request, progress)


def interrupt_when_there_is(path: Path) -> None:
    """Send SIGINT as soon as a file exists."""

    def wait() -> None:
        while not path.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def test_verify_over_ssh(pristine, sshd, monkeypatch):
    """Uses the real temporary folder of a board."""
    sshd.login.write_text(LOGIN)
    monkeypatch.setattr(remote.secrets, "token_hex", lambda _count: f"test-{os.getpid()}")
    report = bayespress.verify(pristine, [sshd.address])
    assert [check.outcome for check in report.checks] == ["passed"] * 4, report.checks
    assert report.checks[-1].name == f"golden vectors, runner on {sshd.address}"
    assert not Path(f"/tmp/bayespress.test-{os.getpid()}").exists()


@pytest.mark.parametrize(
    "host", ["ssh://{user}@[::1]:{port}", "ssh://[::1]:{port}/", "SSH://{user}@My-Board", "ssh://My-Board"]
)
def test_addresses(pristine, board, host):
    """IPv6, and an alias of the configuration that differs only in case from another alias."""
    address = host.format(user=getpass.getuser(), port=board.port)
    assert check_on(pristine, address).outcome == "passed"
    assert board.left_behind() == []


@pytest.mark.parametrize(
    "login",
    [
        'printf "Welcome to \\033[31m[red]Board"; sh -c "$SSH_ORIGINAL_COMMAND"; echo Bye; exit 7',
        'echo "bayespress-report-1 of old"; sh -c "$SSH_ORIGINAL_COMMAND"; printf "\\377\\376"',
        'echo warning >&2; head -c 200000 /dev/zero; sh -c "$SSH_ORIGINAL_COMMAND"',
        '(sleep 30; echo late) & sh -c "$SSH_ORIGINAL_COMMAND"',
        'HOME={home} exec bash -c "$SSH_ORIGINAL_COMMAND"',
        'HOME={home} exec bash -lc "$SSH_ORIGINAL_COMMAND"',
    ],
)
def test_greetings(pristine, board, login, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    for name in (".bashrc", ".profile", ".bash_logout"):
        (home / name).write_text("echo Welcome from a profile, ' and {; printf '%s' 'no newline'\n")
    board.login.write_text(f"{login.format(home=home) if '{home}' in login else login}\n")
    assert check_on(pristine, board.address).outcome == "passed"
    assert board.left_behind() == []


def test_a_home_folder_with_a_space_is_the_last_choice(pristine, board, tmp_path, monkeypatch):
    home = tmp_path / "Home of J'ürgen $x"
    home.mkdir()
    board.login.write_text(f"HOME='{str(home).replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}' {LOGIN}")
    monkeypatch.setattr(Ssh, "temporary_folders", ("/nowhere", "/proc", '"$HOME"'))
    assert check_on(pristine, board.address).outcome == "passed"
    assert list(home.iterdir()) == []


def test_folders_are_private(pristine, board, tmp_path):
    """While the runner runs, its folder has mode 700 and an unguessable name."""
    board.login.write_text(
        f'case "$SSH_ORIGINAL_COMMAND" in *kill*) (sleep 0.5; ls -ld "{board.place}"/* >>{tmp_path}/seen) & esac\n'
        + LOGIN
    )
    run_at(board, pristine, RunRequest(repeat=2000, seconds=60))
    lines = (tmp_path / "seen").read_text().splitlines() if (tmp_path / "seen").exists() else []
    for line in lines:
        assert line.startswith("drwx------")
        assert len(line.rsplit(".", 1)[1]) == 32


def test_a_failed_run_leaves_no_files_on_the_board(pristine, board, tmp_path):
    (tmp_path / "short.f32").write_bytes(b"123")
    with opened(pristine) as bundle, pytest.raises(CheckFailedError, match=r"inputs.f32 has 3 bytes"):
        run_on(board.address, bundle, tmp_path / "short.f32")
    assert board.left_behind() == []


@pytest.mark.parametrize(
    ("runner", "sentence"),
    [
        ("kill -ILL $$", "stopped at an illegal instruction: the target was built for another processor"),
        ("kill -SEGV $$", "accessed invalid memory"),
        ("kill -KILL $$", "the system ran out of memory"),
        ("printf '\\033[31mbad\\377\\n' >&2; exit 1", "\\x1b[31mbad\ufffd"),
        ("exit 255", "it ended with status 255"),
        ("echo Connection to it was closed >&2; exit 1", "The runner failed on ssh://"),
        ("echo hello", "printed no report (it printed 'hello')"),
        ("head -c 20000000 /dev/zero", "printed more than"),
    ],
)
def test_runners_that_fail(bundle, board, runner, sentence):
    with_runner(bundle, f"#!/bin/sh\n{runner}\n")
    with pytest.raises(BayespressError) as caught:
        run_at(board, bundle)
    assert sentence in str(caught.value)
    assert str(caught.value).isprintable()
    assert board.left_behind() == []


@pytest.mark.parametrize(("number", "bits"), [(183, 64), (40, 32)])
def test_rejects_a_runner_for_another_processor(bundle, board, number, bits):
    header = b"\x7fELF" + bytes([bits // 32, 1, 1]) + bytes(9) + b"\x02\0" + number.to_bytes(2, "little") + bytes(99)
    with_runner(bundle, header)
    with pytest.raises(MissingToolError, match="it is a program for another processor; build for this one"):
        run_at(board, bundle)
    assert board.left_behind() == []


@pytest.mark.parametrize(
    ("fake", "script", "sentence"),
    [
        ("cat", "echo 'cat: write error: No space left on device' >&2; exit 1", "its disk is full; free some space"),
        ("cat", "exit 0", "did not receive the files .they are incomplete.; check the connection"),
        ("head", "exit 0", "did not receive the files"),
        ("chmod", "exit 0", "can run a program in none of the folders .*: programs may not be executed there"),
        ("mkdir", "echo 'mkdir: x: Read-only file system' >&2; exit 1", "its file system is read-only"),
        ("mkdir", "exit 1", "can run a program in none of the folders .*make one of them writable"),
        ("uname", "echo sparc64", "no target for its processor, sparc64"),
        ("uname", "printf '\\033[31mx\\n'", r"no target for its processor, \\x1b\[31mx"),
        ("uname", "exit 3", "cannot be prepared: status 3"),
    ],
)
def test_boards_that_cannot_run_a_bundle(pristine, board, tmp_path, fake, script, sentence):
    """A fake program on the board simulates a full disk, a folder without execution, and similar failures."""
    (tmp_path / fake).write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / fake).chmod(0o755)
    board.login.write_text(f"PATH={tmp_path}:$PATH {LOGIN}")
    with pytest.raises(MissingToolError, match=sentence) as caught:
        bayespress.verify(pristine, [board.address])
    assert str(caught.value).isprintable()
    assert board.left_behind() == []


@pytest.mark.parametrize(
    ("login", "sentence"),
    [
        (
            "echo This account is currently not available.; exit 1",
            "currently not available.; use an account",
        ),
        ("exit 0", "does not answer .ssh ended with status 0.; check the connection"),
        ("kill -9 $PPID", "does not answer"),
        ("head -c 5000000 /dev/zero", "printed more than 1048576 bytes"),
        ("echo bayespress-begin-1; echo; echo bayespress-end-1 x", "does not answer"),
    ],
)
def test_logins_that_run_no_command(pristine, board, login, sentence):
    board.login.write_text(f"{login}\n")
    with pytest.raises(MissingToolError, match=sentence) as caught:
        bayespress.verify(pristine, [board.address])
    assert str(caught.value).isprintable()


def test_a_login_that_hangs(pristine, board, monkeypatch):
    monkeypatch.setattr(remote, "_SHORT_SECONDS", 1.0)
    board.login.write_text("exec sleep 60\n")
    with pytest.raises(MissingToolError, match=r"did not end within 1 seconds .*; check the connection"):
        bayespress.verify(pristine, [board.address])


def test_a_rejected_ssh_key(pristine, board):
    with pytest.raises(MissingToolError, match=r"does not answer \(.*Permission denied.*\); install your key"):
        bayespress.verify(pristine, [board.address.replace(getpass.getuser(), "Nobody%20else%40corp")])


def test_a_remote_runner_is_stopped_at_its_time_limit(bundle, board):
    with_runner(bundle, "#!/bin/sh\nwhile :; do :; done\n")
    steps = []
    with pytest.raises(CheckFailedError, match=r"did not end within 1 seconds .*--time-limit"):
        run_at(board, bundle, RunRequest(seconds=1), steps.append)
    assert board.left_behind_soon() == []


def test_ctrl_c_ends_the_remote_runner(bundle, board, tmp_path):
    with_runner(bundle, f"#!/bin/sh\necho >{tmp_path}/runs\nwhile :; do :; done\n")
    interrupt_when_there_is(tmp_path / "runs")
    with pytest.raises(KeyboardInterrupt):
        run_at(board, bundle)
    assert board.left_behind_soon() == []


def test_a_broken_connection_leaves_no_files_on_the_board(bundle, board, tmp_path):
    """The server's process is killed while a runner runs; the script on the board removes the files."""
    with_runner(bundle, f"#!/bin/sh\necho >{tmp_path}/runs\nsleep 1\n")
    killer = f"until [ -f {tmp_path}/runs ]; do sleep 0.1; done; kill -9 $PPID"
    board.login.write_text(f"({killer}) </dev/null >/dev/null 2>&1 &\n{LOGIN}")
    with pytest.raises(MissingToolError, match="does not answer"):
        run_at(board, bundle)
    board.login.write_text(LOGIN)
    assert board.left_behind_soon() == []


def test_an_address_without_a_server(pristine, board):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(
            MissingToolError, match=r"cannot be used: ssh://127.0.0.1:\d+ does not answer \(.*refused\); check the port"
        ):
            bayespress.verify(pristine, [f"ssh://127.0.0.1:{port}"])


def test_a_missing_ssh_is_reported(pristine, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="ssh is not installed"):
        bayespress.verify(pristine, ["ssh://board"])


@pytest.mark.parametrize("folder", ["a:b", "-x", "with space", "quo'te\"$x"])
def test_unusual_names_of_bundles(pristine, board, tmp_path, folder, monkeypatch):
    shutil.copytree(pristine, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    assert check_on(Path(folder), board.address).outcome == "passed"


def test_bench_over_ssh(pristine, board):
    from bayespress.deploy.measure.bench import bench

    (device,) = bench(pristine, seconds=0.05, devices=[board.address], threads=[1, 2], batches=[8]).devices
    assert device.median_us > 0
    assert [(each.threads, each.examples) for each in device.batches] == [(1, 8), (2, 8)]
    assert board.left_behind() == []
