"""Every command with an unwritable standard output (full, closed, a pipe without a reader) or a full disk."""

from __future__ import annotations

import json
import resource
import signal

import numpy as np
import pytest
from forked_command import ForkedCommand, names_below
from safetensors.numpy import save_file

from bayespress import codec
from bayespress.cli.run import run

pytestmark = pytest.mark.xdist_group("unwritable")

NETWORK = """
import torch
from torch import nn

def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))

def data():
    images = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return images[:30], torch.arange(30) % 3, images[30:], torch.arange(10) % 3
"""
TRAIN = ["train", "--model", "streams_net:network", "--data", "streams_net:data", "--batch-size", "10"]
ROW = {"label": "compiled", "runs": 9, "median_us": 2.0, "p10_us": 1.0, "p90_us": 3.0, "ratio": 1.0}
REPORT = {"name": "net", "cpu": "a processor", "rows": [ROW], "devices": []}
# The standard output of each command, and the files that exist when it is written.
COMMANDS = {
    "train": ([*TRAIN, "--epochs", "1", "-o", "new"], "new/run.json"),
    "train-json": ([*TRAIN, "--epochs", "1", "-o", "new", "--json"], "new/run.json"),
    "compress": (["compress", "run", "--trust-code", "-o", "new"], "new/packed.json"),
    "compress-file": (["compress", "w.safetensors", "-o", "new.bpz"], "new.bpz"),
    "decode": (["decode", "w.bpz", "-o", "new.npz"], "new.npz"),
    "inspect": (["inspect", "w.bpz"], None),
    "verify": (["verify", "w.bpz"], None),
    "bench": (["bench", "--import", "bench.json", "-o", "new.json"], "new.json"),
    "report": (["report", "run", "-o", "new.html"], "new.html"),
    "sign": (["sign", "--new-key", "new.pem"], "new.pem"),
    "targets": (["targets"], None),
    **{f"{name}-help": ([name, "--help"], None) for name in ("build", "demo", "search")},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    (folder / "streams_net.py").write_text(NETWORK)
    tensors = [codec.RawTensor(f"tensor.{number}", np.ones(30, np.float32)) for number in range(600)]
    (folder / "w.bpz").write_bytes(codec.encode(tensors))
    save_file({"w": np.ones((9, 9), np.float32)}, folder / "w.safetensors")
    (folder / "bench.json").write_text(json.dumps(REPORT))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        run([*TRAIN, "--epochs", "1", "-o", "run"])
    return folder


@pytest.mark.parametrize("stdout", ["/dev/full", "closed", "unread"])
@pytest.mark.parametrize("name", COMMANDS)
def test_an_unwritable_standard_output(name, stdout, place, tmp_path):
    arguments, made = COMMANDS[name]
    before = names_below(place)
    command = ForkedCommand(arguments, place, tmp_path / "logs", stdout=stdout)
    code, errors = command.end()
    new = names_below(place) - before
    for path in sorted(new, reverse=True):
        (place / path).rmdir() if (place / path).is_dir() else (place / path).unlink()
    lines = [line for line in errors.splitlines() if not line.startswith(("· ", "! "))]
    if stdout == "unread":
        assert (code, lines) == (141, [])
    else:
        words = "tandard output is closed" if stdout == "closed" else "standard output cannot be used (No space left"
        assert code == 2, errors
        (line,) = lines
        assert words in line
    if stdout == "closed":
        assert not new, "it is told before any work"
    elif made is not None:
        assert made in new, "what was made before the last words is kept"
    assert not [path for path in new if ".bayespress" in path]


@pytest.mark.parametrize("name", [name for name, (_, made) in COMMANDS.items() if made and name != "train-json"])
def test_a_full_disk(name, place, tmp_path):
    """A limit on file sizes makes writes fail as on a full disk."""
    arguments, _ = COMMANDS[name]
    before = names_below(place)
    run_here(place, arguments)  # measures the sizes of the outputs
    made = {path: (place / path).read_bytes() for path in names_below(place) - before if (place / path).is_file()}
    for limit in (0, max(map(len, made.values())) * 2 // 3):
        overwrite = [] if name == "sign" else ["--overwrite"]
        command = ForkedCommand(
            [*arguments, *overwrite],
            place,
            tmp_path / "logs",
            before=lambda limit=limit: files_up_to(limit),
            stdout="/dev/null",
        )
        if name == "sign":
            for path in made:
                (place / path).unlink(missing_ok=True)
        code, errors = command.end()
        assert code == 2, errors
        (line,) = [line for line in errors.splitlines() if not line.startswith(("· ", "! "))]
        assert line.startswith("bayespress: ")
        assert "cannot be written" in line or "cannot be used" in line, line
        assert "; " in line
        if name == "sign":
            assert names_below(place) == before
        else:
            assert {path: (place / path).read_bytes() for path in made} == made, "the earlier output is whole"
            assert not [path for path in names_below(place) if ".bayespress" in path]
    for path in sorted(names_below(place) - before, reverse=True):
        (place / path).rmdir() if (place / path).is_dir() else (place / path).unlink()


def run_here(place, arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.syspath_prepend(str(place))
        run(list(arguments))


def files_up_to(limit):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
