"""Commands with their expected output: each `.case` file has commands, exit codes and lines that must be printed.

A command that fails must leave every file as it was.

$ bayespress …        the command, run in a folder that holds the files of `workplace`
exit N                its exit code
out TEXT, err TEXT    a line that standard output or standard error contains
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from forked_command import ForkedCommand
from safetensors.numpy import save_file

# Packages of the heavy commands, imported once for all of them.
import bayespress.compress.pipeline
import bayespress.train.training_run  # noqa: F401
from bayespress import codec

# These commands import torch and Lightning, which takes seconds, so they run in a fork of this process.
HEAVY = ("train", "compress", "search", "demo")
CASES = sorted((Path(__file__).parent / "cases").glob("*.case"))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """sample.bpz, a valid file; damaged.bpz, the same with one flipped bit; cut.bpz; text.bpz; empty, a folder."""
    folder = tmp_path_factory.mktemp("workplace")
    levels = np.zeros((4, 6), np.int32)
    levels[1, 2], levels[3, 5] = 3, -1
    tensors = [
        codec.QuantizedTensor("fc.weight", levels, codec.Grid(0.5)),
        codec.RawTensor("fc.bias", np.arange(4, dtype=np.float32)),
    ]
    data = codec.encode(tensors)
    (folder / "sample.bpz").write_bytes(data)
    (folder / "damaged.bpz").write_bytes(data[:20] + bytes([data[20] ^ 1]) + data[21:])
    (folder / "cut.bpz").write_bytes(data[:-3])
    (folder / "text.bpz").write_text("this is not a weight file")
    (folder / "empty").mkdir()
    (folder / "folder.npz").mkdir()
    (folder / "thesis").mkdir()
    (folder / "thesis" / "chapter.txt").write_text("a year of work")
    (folder / "thesis.svg").write_text("<?xml version='1.0'?><svg/>")
    (folder / "link.npz").symlink_to("thesis/chapter.txt")
    (folder / "loop.bpz").symlink_to("loop.bpz")
    os.mkfifo(folder / "pipe.bpz")
    (folder / "nothing.bin").touch()
    with (folder / "huge.bpz").open("wb") as stream:
        stream.write(data[:4])
        stream.truncate(1 << 40)
    names = ("[red]w", "a[/b]", "<script>", "$x_1^2$", ":smile:")
    tensors = [codec.RawTensor(name, np.ones(4, np.float32)) for name in names]
    (folder / "names.bpz").write_bytes(codec.encode(tensors))
    (folder / "odd #%25?.bpz").write_bytes(data)
    save_file({"w": np.linspace(-1, 1, 100, dtype=np.float32)}, folder / "net.safetensors")
    (folder / "report.json").write_text(
        '{"name": "n", "cpu": "c", "rows": [], "decode_us": null, "start_ms": null, "devices": []}'
    )
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_text('{"version": 7}')
    return folder


def run(command: str, folder: Path, logs: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    assert words[0] == "bayespress"
    if words[1] in HEAVY:
        forked = ForkedCommand(words[1:], folder, logs)
        code, errors = forked.end()
        return subprocess.CompletedProcess(words, code, forked.out.read_text(), errors)
    return subprocess.run(
        [sys.executable, "-m", "bayespress", *words[1:]], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_case(case, workplace, tmp_path):
    for each in re.split(r"^\$ ", case.read_text(), flags=re.M)[1:]:
        check(each.splitlines(), workplace, tmp_path)


def contents(folder):
    return {
        path: path.read_bytes() if path.is_file() and path.stat().st_size < 1 << 30 else path.lstat().st_mode
        for path in folder.rglob("*")
    }


def check(lines, workplace, logs):
    command, code, *expected = lines
    before = contents(workplace)
    result = run(command, workplace, logs)
    shown = f"stdout:\n{result.stdout}\nstderr:\n{result.stderr}"
    assert result.returncode == int(code.removeprefix("exit ")), shown
    assert "Traceback" not in result.stderr, shown
    assert expected, "a case without an expected line proves nothing"
    for line in expected:
        stream, _, text = line.partition(" ")
        assert text in {"out": result.stdout, "err": result.stderr}[stream], f"{text!r} is missing\n{shown}"
    if result.returncode != 0:
        assert contents(workplace) == before, "a command that failed changed something or left something behind"
