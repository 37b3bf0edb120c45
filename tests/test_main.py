"""Every failure of a command gives one sentence and the right exit code."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from bayespress import codec
from bayespress.errors import (
    CheckFailedError,
    ExitCode,
    InputError,
    Interrupted,
    MissingToolError,
    in_one_sentence,
)

PLAIN = {**os.environ, "PYTHONDEVMODE": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("main")
    tensors = [codec.RawTensor(f"tensor.{number}", np.ones(30, np.float32)) for number in range(600)]
    (place / "w.bpz").write_bytes(codec.encode(tensors))
    return place


def shell(folder, command, **environment):
    """Run `command` in bash; $B is bayespress."""
    environment = {**PLAIN, "B": f"{sys.executable} -m bayespress", **environment}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )  # fmt: skip


def one_sentence(result, code):
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("bayespress: ")
    return lines[0]


WRITING = ("inspect w.bpz", "inspect w.bpz --json", "verify w.bpz", "targets --json", "--help", "--version")


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("command", WRITING)
def test_a_full_standard_output_is_reported(folder, command, unbuffered):
    assert "standard output cannot be used (No space left on device)" in one_sentence(
        shell(folder, f"$B {command} > /dev/full 2> >(grep -v '^·' >&2)", PYTHONUNBUFFERED=unbuffered), 2
    )


def test_a_closed_standard_output_is_reported_before_any_work(folder):
    assert "Standard output is closed" in one_sentence(shell(folder, "$B decode w.bpz -o x.npz >&-"), 2)
    assert not (folder / "x.npz").exists()


def test_runs_with_closed_standard_error_or_input(folder):
    for closed in ("2>&-", "<&-", "2>/dev/full"):
        result = shell(folder, f"$B inspect w.bpz --json {closed}")
        assert result.returncode == 0
        assert result.stdout.startswith("{"), "messages do not get into the output"
    assert shell(folder, "$B inspect none 2>&-").returncode == 2
    assert shell(folder, "$B inspect none 2>/dev/full").returncode == 2


def test_a_closed_pipe_ends_the_command_without_a_message(folder):
    for command in ("inspect w.bpz", "inspect w.bpz --json", "targets --help"):
        result = shell(folder, f"$B {command} | true; echo ${{PIPESTATUS[0]}}")
        assert int(result.stdout) == ExitCode.NO_READER
        assert result.stderr == ""
    result = shell(folder, "$B verify none 2>&1 >/dev/null | true; echo ${PIPESTATUS[0]}")
    assert int(result.stdout) == ExitCode.BAD_INPUT


def test_a_removed_current_folder_is_reported(folder):
    result = shell(folder, "mkdir gone; cd gone; rmdir ../gone; $B decode ../w.bpz -o x.npz")
    assert "The current folder was removed" in one_sentence(result, 2)


PROGRAM = """
import sys
sys.argv[0] = "bayespress"
import bayespress.cli.inspect as command
from bayespress import codec
def fail(*arguments, **keywords):
    {body}
codec.layout = fail
from bayespress.__main__ import main
main()
"""


def failing(folder, body, **environment):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body), "inspect", "w.bpz"], cwd=folder, capture_output=True,
        text=True, check=False, env={**PLAIN, **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("raise OSError(28, 'No space left on device', 'x.bpz')", 2, "x.bpz cannot be used (No space left on device)"),
        ("raise PermissionError(13, 'Permission denied', 'a\\x1b[31m')", 2, r"a\x1b[31m cannot be used (Permission"),
        ("raise MemoryError", 2, "not enough memory"),
        ("raise RecursionError('maximum')", 2, "nested too deeply"),
        ("'\\udc80'.encode()", 2, "cannot be read or written"),
        ("import no_such_package", 3, "The package no_such_package cannot be imported"),
        ("raise ImportError('no CUDA', name='tvm')", 3, "pip install 'bayespress[deploy]'"),
        ("raise ConnectionResetError(104, 'Connection reset by peer')", 3, "A connection failed"),
        ("raise KeyboardInterrupt", 130, "Interrupted; outputs are written completely or not at all"),
        ("raise BrokenPipeError(32, 'Broken pipe')", 3, "A connection failed"),
        ("raise ZeroDivisionError('x\\ny')", 70, "ZeroDivisionError: x; this is a defect of bayespress"),
        ("assert False", 70, "AssertionError: AssertionError; this is a defect"),
    ],
)
def test_every_exception_becomes_one_sentence(folder, body, code, words):
    assert words in one_sentence(failing(folder, body), code)


def test_the_debug_variable_shows_the_traceback(folder):
    result = failing(folder, "raise ZeroDivisionError('x')", BAYESPRESS_DEBUG="1")
    assert result.returncode == ExitCode.DEFECT
    assert result.stderr.startswith("Traceback")
    assert result.stderr.strip().splitlines()[-1].startswith("bayespress: ZeroDivisionError: x; this is a defect")


def test_ctrl_c_twice_while_a_thread_runs(folder):
    body = (
        "import concurrent.futures, os, signal, time; pool = concurrent.futures.ThreadPoolExecutor(); "
        "pool.submit(time.sleep, 2); os.kill(os.getpid(), signal.SIGINT); time.sleep(9)"
    )
    sentence = one_sentence(failing(folder, body), 130)
    assert sentence.endswith("no output is incomplete; start again with: bayespress inspect w.bpz")


def test_ctrl_c_during_an_import(folder, tmp_path):
    (tmp_path / "typer.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n")
    result = subprocess.run(
        [sys.executable, "-m", "bayespress", "inspect", "w.bpz"], cwd=folder, capture_output=True, text=True,
        check=False, env={**PLAIN, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
    )  # fmt: skip
    one_sentence(result, 130)


def test_errors_of_the_package_are_unchanged():
    for kind, code in ((InputError, 2), (CheckFailedError, 1), (MissingToolError, 3), (Interrupted, 130)):
        error = kind("A sentence.")
        assert in_one_sentence(error) is error
        assert error.exit_code == code


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, 9999])
def test_system_errors_name_the_file_and_a_remedy(number):
    sentence = str(in_one_sentence(OSError(number, os.strerror(number), "a.bin")))
    assert sentence.startswith("a.bin cannot be used (")
    assert "; " in sentence
    assert sentence.endswith(".")


def test_help_names_every_exit_code(capsys):
    from bayespress.cli.app import _EPILOG

    listed = {int(number) for number in re.findall(r"(?:^Exit codes: |, )(\d+) ", _EPILOG)}
    assert listed == set(ExitCode)


@pytest.mark.parametrize("command", [[], ["train"], ["build"], ["sign"]])
def test_the_short_option_of_help(command, capsys):
    from bayespress.cli.run import run

    assert run([*command, "-h"]) == ExitCode.DONE
    assert "Usage: " in capsys.readouterr().out


def test_out_of_memory_errors_of_libraries():
    error = RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory: you tried")
    assert "not enough memory" in str(in_one_sentence(error))


SPECIAL = {
    "pipe": "is a pipe", "/dev/zero": "is a device", "loop": "Too many levels of symbolic links",
    "x" * 300: "File name too long", "none": "There is no", "a\nb": r"at a\nb; check",
}  # fmt: skip


@pytest.mark.parametrize("command", ["inspect", "verify", "decode", "compress", "build", "bench", "report", "sign"])
def test_rejects_devices_and_pipes_without_reading_them(folder, tmp_path, monkeypatch, capsys, command):
    from bayespress.cli.run import run

    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "key.pem").write_text("x")
    more = {"decode": ["-o", "out.npz"], "report": ["-o", "out.html"], "sign": ["--key", "key.pem"]}.get(command, [])
    for name, words in SPECIAL.items():
        with pytest.raises(InputError) as raised:
            run([command, *more, "--", name])
        from bayespress.text import printable

        assert words in printable(raised.value) or command == "sign", printable(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.pem", "loop", "pipe"]


def test_a_signal_that_is_ignored_stays_ignored(folder):
    result = shell(folder, "trap '' INT; $B inspect w.bpz --json")
    assert result.returncode == 0
    assert signal.getsignal(signal.SIGINT) is not None
