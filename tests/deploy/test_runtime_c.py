"""The C runtime outside Python: strict warnings, sanitizers, damaged weights."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from c_symbols import declared, exported, version
from runner_output import report_in

import bayespress
from bayespress import codec
from bayespress.deploy.builder.packed_network import stored_weights
from bayespress.deploy.compile.aot import compile_network
from bayespress.deploy.compile.targets import target_named
from bayespress.deploy.program.export import load_program

ROOT = Path(__file__).resolve().parents[2]
RUNTIME, CODEC = ROOT / "deploy" / "runtime", ROOT / "codec" / "c"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Werror"]

pytestmark = pytest.mark.xdist_group("deploy")


@pytest.fixture(scope="module")
def gcc():
    found = shutil.which("gcc")
    if found is None:
        pytest.skip("gcc, whose warnings and sanitizers this test asks for, is not installed")
    return found


@pytest.fixture(scope="module")
def between(packed, tmp_path_factory):
    """A folder with the intermediate files of a build: kernels.o and made/schedule.c."""
    scratch = tmp_path_factory.mktemp("between")
    program, weights = load_program(packed("padded") / "network.pt2"), (packed("padded") / "weights.bpz").read_bytes()
    stored = stored_weights(codec.decode(weights))
    made = compile_network(program, target_named("host"), scratch / "made", scratch, stored, "sparse")
    assert {decision.kernel for decision in made.decisions} == {"sparse"}
    return scratch


@pytest.fixture(scope="module")
def sanitized(gcc, between):
    """The runner compiled with the address and undefined-behaviour sanitizers, except TVM's kernels."""
    program = between / "sanitized"
    decoder = [str(path) for path in sorted(CODEC.glob("*.c")) if path.name != "encode.c"]
    done = subprocess.run(
        [gcc, *STRICT, "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{RUNTIME}",
         f"-I{CODEC}", *(str(RUNTIME / f"{name}.c") for name in ("runtime", "scratch", "weights", "threads", "runner")),
         str(between / "made" / "schedule.c"), *decoder,
         str(between / "kernels.o"), "-lm", "-pthread", "-o", str(program)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    def run(weights: bytes, inputs: bytes) -> subprocess.CompletedProcess[str]:
        (between / "w.bpz").write_bytes(weights)
        (between / "x.f32").write_bytes(inputs)
        files = [str(between / "w.bpz"), str(between / "x.f32")]
        command = [str(program), *files, "--repeat", "3", "--layers", "--threads", "2", "--digests", "--facts"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    return run


@pytest.fixture(scope="module")
def case(packed):
    """Weights, inputs as bytes, and PyTorch's outputs."""
    from safetensors.numpy import load_file

    golden = load_file(packed("padded") / "golden.safetensors")
    return (packed("padded") / "weights.bpz").read_bytes(), golden["input"].tobytes(), golden["output"]


def test_valid_weights_under_the_sanitizers(sanitized, case):
    weights, inputs, expected = case
    result = sanitized(weights, inputs)
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(report_in(result.stdout)["outputs"], expected, atol=1e-4)


def test_damaged_weights_under_the_sanitizers(sanitized, case):
    """Bit flips, truncation and forgeries with a valid checksum give one message or the weights of a valid file."""
    weights, inputs, _ = case
    rng = np.random.default_rng(5)
    damaged = [weights[:-1], weights + b"\0", b"", weights[: len(weights) // 2]]
    for _ in range(20):
        at, bit = int(rng.integers(len(weights))), 1 << int(rng.integers(8))
        damaged.append(weights[:at] + bytes([weights[at] ^ bit]) + weights[at + 1 :])
    for data in damaged:
        result = sanitized(data, inputs)
        assert result.returncode == 1, result.stderr
        assert result.stderr.startswith("runner: the .bpz file cannot be decoded"), result.stderr
    codes = set()
    for _ in range(40):
        body = bytearray(weights[:-4])
        body[int(rng.integers(4, len(body)))] = int(rng.integers(256))
        result = sanitized(bytes(body) + zlib.crc32(body).to_bytes(4, "little"), inputs)
        codes.add(result.returncode)
        assert "ERROR: AddressSanitizer" not in result.stderr
        assert "runtime error" not in result.stderr
    assert codes == {0, 1}


def altered(weights: bytes, change) -> bytes:
    """The same tensors with every weight of two or more axes changed."""
    tensors = codec.decode(weights)
    return codec.encode([change(tensor) if len(tensor.shape) > 1 else tensor for tensor in tensors])


def test_sparse_kernels_accept_fewer_entries_and_reject_more(sanitized, case):
    """A tensor with more entries than compiled, or without a grid of small levels, is rejected."""
    weights, inputs, _ = case
    fewer = altered(weights, lambda t: codec.QuantizedTensor(t.name, (t.levels // 2).astype(np.int32), t.value_map))
    assert sanitized(fewer, inputs).returncode == 0
    refused = {
        "more": lambda t: codec.QuantizedTensor(t.name, np.ones_like(t.levels), t.value_map),
        "larger": lambda t: codec.QuantizedTensor(t.name, (t.levels * 1000).astype(np.int32), t.value_map),
        "codebook": lambda t: codec.QuantizedTensor(
            t.name, (t.levels != 0).astype(np.int32), codec.Codebook(np.array([0, 1], "f4"))
        ),
        "raw": lambda t: codec.RawTensor(t.name, t.values()),
    }
    for name, change in refused.items():
        result = sanitized(altered(weights, change), inputs)
        assert result.returncode == 1, name
        assert result.stderr.startswith("runner: the .bpz file is not of this network"), (name, result.stderr)


def test_what_the_library_exports(pristine):
    """Exactly the names of bayespress.h, so that a bundle's library does not clash with the program that loads it."""
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm (Debian: binutils), which lists a library's symbols, is not installed")
    folder = pristine / "targets" / "host"
    assert exported(nm, "-D", folder / "libnetwork.so") == declared([RUNTIME / "bayespress.h"], "bp_")
    archive = exported(nm, folder / "libnetwork.a")
    assert {name for name in archive if name.startswith("bp_")} == declared([RUNTIME / "bayespress.h"], "bp_")


def test_the_header_has_the_version_of_the_package():
    assert version(RUNTIME / "bayespress.h", "BAYESPRESS") == bayespress.__version__


@pytest.mark.parametrize("name", ["gpu.c", "gpu_open.c", "kernel_cache.c", "opencl.c", "rpc.c", "threads.c"])
def test_the_optional_parts_compile_without_a_warning(gcc, name, tmp_path):
    command = [
        gcc,
        *STRICT,
        "-O2",
        f"-I{RUNTIME}",
        f"-I{CODEC}",
        "-c",
        str(RUNTIME / name),
        "-o",
        str(tmp_path / "it.o"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
