"""What the codec's tests share: file builders and the C driver."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from codec_files import FileBuilder
from codec_sources import C_SOURCES, C_TESTS, STRICT

from bayespress import codec

Run = Callable[[Sequence[bytes]], list[str]]


@pytest.fixture(scope="session")
def build() -> FileBuilder:
    return FileBuilder()


@pytest.fixture(scope="session")
def samples() -> list[bytes]:
    """Files that together use each layout, mask, kind and code."""
    rng = np.random.default_rng(7)
    sparse = np.where(rng.random((24, 30)) < 0.1, rng.integers(-5, 6, (24, 30)), 0).astype(np.int32)
    struck = sparse.copy()
    struck[::3], struck[:, 10:20] = 0, 0
    permutation = np.eye(40, dtype=np.int32)[rng.permutation(40)]
    dense = rng.integers(-3, 4, (6, 11)).astype(np.int32)
    wide = np.where(rng.random((5, 4, 2, 2)) < 0.5, rng.integers(-(2**31), 2**31 - 1, (5, 4, 2, 2)), 0)
    book = codec.Codebook(np.array([0, -1.5, 0.25, 3], dtype=np.float32))
    long_book = codec.Codebook(np.array([0, -1.1, 0.2, 3], dtype=np.float32))
    small = codec.Minifloat(3, 2, -6)
    far = np.zeros((3, 4000), dtype=np.int32)
    far[:, ::97] = rng.integers(1, 9, far[:, ::97].shape)
    groups = [
        [
            codec.QuantizedTensor("fc.weight", sparse, codec.Grid(0.1)),
            codec.RawTensor("fc.bias", np.float32([1.1, -2])),
        ],
        [
            codec.QuantizedTensor("struck", struck, codec.Grid(0.5)),
            codec.QuantizedTensor("perm", permutation, book),
        ],
        [
            codec.QuantizedTensor("dense", dense, codec.Grid(0.3)),
            codec.QuantizedTensor("ä", np.abs(dense), long_book),
        ],
        [
            codec.QuantizedTensor("wide", wide.astype(np.int32), codec.Grid(1e-9)),
            codec.QuantizedTensor("scalar", np.array(-7, dtype=np.int32), codec.Grid(2.0)),
            codec.QuantizedTensor("empty", np.zeros((3, 0), dtype=np.int32), codec.Grid(1.0)),
            codec.QuantizedTensor("zero", np.zeros((300, 100), dtype=np.int32), book),
        ],
        [
            codec.QuantizedTensor("mini", small.nearest(rng.normal(0, 1, (20, 9))), small),
            codec.QuantizedTensor("far", far, small),
            codec.RawTensor("half", np.float32([0.1, 2, -0.0]).astype(np.float16)),
            codec.RawTensor("brain", np.float32([1e30, -2])),
            codec.RawTensor("whole", np.int8([[1, -128], [0, 127]])),
        ],
        [],
    ]
    profiles = [codec.encode(group, profile=profile) for profile in ("fast", "small") for group in groups]
    return profiles + [codec.encode(group, seekable=True) for group in groups]


def compile_driver(command: Sequence[str], out: Path) -> None:
    sources = [str(path) for path in sorted(C_SOURCES.glob("*.c"))]
    done = subprocess.run(
        [*command, *STRICT, "-O1", f"-I{C_SOURCES}", str(C_TESTS / "driver.c"), *sources, "-o", str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def runner(command: Sequence[str]) -> Run:
    def run(files: Sequence[bytes]) -> list[str]:
        fed = b"".join(struct.pack("<I", len(file)) + file for file in files)
        done = subprocess.run(command, input=fed, capture_output=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().splitlines()

    return run


def local(folder: Path, *flags: str) -> Run:
    """The driver on this machine."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("gcc, which builds the driver, is not installed")
    compile_driver([gcc, *flags], folder / "driver")
    return runner([str(folder / "driver")])


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory) -> Run:
    """The driver under the address and undefined-behaviour sanitizers."""
    flags = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    return local(tmp_path_factory.mktemp("sanitized"), *flags)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory) -> Run:
    """The driver in buffers that end where memory does."""
    return local(tmp_path_factory.mktemp("guarded"), "-O2", "-DGUARDED", "-D_DEFAULT_SOURCE")


@pytest.fixture(scope="session")
def foreign(tmp_path_factory) -> Callable[[str], Run]:
    """The driver on another machine, by Zig's target and under qemu."""

    def make(machine: str) -> Run:
        emulator = shutil.which(f"qemu-{machine}-static")
        if emulator is None:
            pytest.skip(f"qemu-{machine}-static is not installed")
        pytest.importorskip("ziglang", reason="ziglang, the cross compiler, is not installed")
        program = tmp_path_factory.mktemp(machine) / "driver"
        environment = "musleabihf" if machine == "arm" else "musl"
        target = f"{machine}-linux-{environment}"
        compile_driver(
            [sys.executable, "-m", "ziglang", "cc", "-target", target, "-static", "-DGUARDED", "-D_DEFAULT_SOURCE"],
            program,
        )
        return runner([emulator, str(program)])

    return make
