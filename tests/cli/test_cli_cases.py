"""Commands beside what they print: each `.case` file is one command, its exit code and lines that must come out.

$ bayespress …        the command, run in a folder that holds the files of `workplace`
exit N                its exit code
out TEXT, err TEXT    a line that standard output or standard error contains
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bayespress import codec

CASES = sorted((Path(__file__).parent / "cases").glob("*.case"))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """sample.bpz, a sound file; damaged.bpz, one bit of it flipped; cut.bpz; text.bpz; empty, a folder."""
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
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_text('{"version": 7}')
    return folder


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    assert words[0] == "bayespress"
    return subprocess.run(
        [sys.executable, "-m", "bayespress", *words[1:]], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_case(case, workplace):
    first, code, *expected = case.read_text().splitlines()
    before = sorted(workplace.rglob("*"))
    result = run(first.removeprefix("$ "), workplace)
    shown = f"stdout:\n{result.stdout}\nstderr:\n{result.stderr}"
    assert result.returncode == int(code.removeprefix("exit ")), shown
    assert "Traceback" not in result.stderr, shown
    assert expected, "a case without an expected line proves nothing"
    for line in expected:
        stream, _, text = line.partition(" ")
        assert text in {"out": result.stdout, "err": result.stderr}[stream], f"{text!r} is missing\n{shown}"
    if result.returncode != 0:
        assert sorted(workplace.rglob("*")) == before, "a command that failed left something behind"
