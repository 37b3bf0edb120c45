"""Fixtures of the codec tests: file builders and the C driver."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from codec_files import FileBuilder
from codec_samples import sample_files
from codec_sources import C_SOURCES, C_TESTS, STRICT

Run = Callable[[Sequence[bytes]], list[str]]


@pytest.fixture(scope="session")
def build() -> FileBuilder:
    return FileBuilder()


@pytest.fixture(scope="session")
def samples() -> list[bytes]:
    """Files that together use each layout, mask, kind and code."""
    return sample_files()


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
    """The driver with buffers that end at an unmapped page."""
    return local(tmp_path_factory.mktemp("guarded"), "-O2", "-DGUARDED", "-D_DEFAULT_SOURCE")


@pytest.fixture(scope="session")
def foreign(tmp_path_factory) -> Callable[[str], Run]:
    """The driver for another machine, compiled by Zig and run under qemu."""

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
