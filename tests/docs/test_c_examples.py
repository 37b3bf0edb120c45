"""The C programs of docs/examples compile without a warning and do what their guides say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import bayespress
from bayespress import codec

ROOT = Path(__file__).parents[2]
EXAMPLES, DECODER = ROOT / "docs/examples", ROOT / "codec/c"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]


def test_decode_bpz_prints_each_tensor(tmp_path: Path):
    program, weights = tmp_path / "decode_bpz", tmp_path / "net.bpz"
    levels = np.array([[2, 0], [0, -1]], np.int32)
    weights.write_bytes(
        codec.encode(
            [
                codec.QuantizedTensor("fc.weight", levels, codec.Grid(0.5)),
                codec.RawTensor("fc.bias", np.array([0.25], np.float32)),
            ]
        )
    )
    sources = [EXAMPLES / "decode_bpz.c", *sorted(DECODER.glob("*.c"))]
    subprocess.run(["cc", *STRICT, "-I", DECODER, *sources, "-o", program], check=True)
    done = subprocess.run([program, weights], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.splitlines()) == ["fc.bias 1 0.25", "fc.weight 4 1"]
    assert subprocess.run([program, tmp_path / "none"], capture_output=True).returncode == 2


@pytest.fixture(scope="module")
def packed() -> bayespress.Packed:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32, 3))
    return bayespress.compress(bayespress.bayesianize(network), torch.randn(4, 1, 6, 6), threshold=20.0)


@pytest.fixture(scope="module")
def bundle(packed: bayespress.Packed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "net.bundle"
    bayespress.build(packed, ["host", "arm64-linux"], path)
    return path


def compiled(compiler: list[str], bundle: Path, target: str, program: Path) -> Path:
    folder = bundle / "targets" / target
    sources = ["-I", folder, EXAMPLES / "run_network.c", folder / "libnetwork.a", "-lm", "-pthread"]
    subprocess.run([*compiler, *STRICT, *sources, "-o", program], check=True)
    return program


def outputs(command: list[str | Path]) -> np.ndarray:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return np.array([line.split() for line in done.stdout.splitlines()], np.float32)


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, torch.Tensor]:
    values = torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    path = tmp_path / "inputs.f32"
    path.write_bytes(values.numpy().tobytes())
    return path, values


def test_run_network_gives_what_pytorch_gives(packed, bundle, inputs, tmp_path):
    program = compiled(["cc"], bundle, "host", tmp_path / "run_network")
    with torch.no_grad():
        expected = packed.network(inputs[1]).numpy()
    np.testing.assert_allclose(outputs([program, bundle / "weights.bpz", inputs[0]]), expected, rtol=1e-4, atol=1e-5)


def test_run_network_for_a_board(packed, bundle, inputs, tmp_path):
    """The guide's cross-compiler, and an emulator in place of the board."""
    qemu = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if qemu is None:
        pytest.skip("qemu-aarch64, which runs programs of 64-bit ARM, is not installed (Debian: qemu-user-static)")
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl"]
    program = compiled(zig, bundle, "arm64-linux", tmp_path / "run_network")
    with torch.no_grad():
        expected = packed.network(inputs[1]).numpy()
    found = outputs([qemu, program, bundle / "weights.bpz", inputs[0]])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_run_network_reports_errors(bundle, inputs, tmp_path):
    program = compiled(["cc"], bundle, "host", tmp_path / "run_network")
    damaged = tmp_path / "damaged.bpz"
    damaged.write_bytes((bundle / "weights.bpz").read_bytes()[:-1] + b"?")
    done = subprocess.run([program, damaged, inputs[0]], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be decoded" in done.stderr
    assert subprocess.run([program, os.devnull], capture_output=True).returncode == 2
