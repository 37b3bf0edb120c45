"""What the codec's tests share: file builders and the C driver."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from codec_sources import C_SOURCES, C_TESTS, STRICT

from bayespress import codec
from bayespress.codec.bits import BitFields, varint

Run = Callable[[Sequence[bytes]], list[str]]


def seal(body: bytes) -> bytes:
    """The body with its checksum."""
    return body + zlib.crc32(body).to_bytes(4, "little")


def pack(fields: BitFields) -> bytes:
    """Bits as bytes, independent of the C writer."""
    text = "".join(f"{n:b}".zfill(w)[-w:] for n, w in zip(fields.numbers, fields.widths, strict=True) if w)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


class FileBuilder:
    """Hand-built files, field by field, correct in all that a test does not spoil."""

    def record(self, *, kind=1, name=b"w", shape=(2, 3), nonzero=1, value_map=None, payload=b"") -> bytes:
        head = bytes([kind << 4 | len(shape), len(name)]) + name + b"".join(varint(extent) for extent in shape)
        if kind != 0:
            head += varint(nonzero)
        if value_map is None:
            value_map = {
                0: b"",
                1: np.float32(0.1).tobytes(),
                2: b"\1" + np.float32(2).tobytes(),
                3: b"\0\x3f",
            }[kind]
        return head + value_map + payload

    def file(self, *records: bytes, count: int | None = None) -> bytes:
        body = b"BPZ\2" + varint(len(records) if count is None else count)
        return seal(body + b"".join(varint(len(record)) + record for record in records))

    def bits(self, *fields: tuple[int, int] | int) -> bytes:
        """Fields as (number, width); a bare number is an exponential Golomb number of order 0."""
        out = BitFields()
        for item in fields:
            if isinstance(item, int):
                out.put_golomb(item)
            else:
                out.put(*item)
        return pack(out)


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
    groups = [
        [
            codec.QuantizedTensor("fc.weight", sparse, codec.Grid(0.1)),
            codec.RawTensor("fc.bias", np.float32([1, -2])),
        ],
        [
            codec.QuantizedTensor("struck", struck, codec.Grid(0.5)),
            codec.QuantizedTensor("perm", permutation, book),
        ],
        [
            codec.QuantizedTensor("dense", dense, codec.Grid(0.3)),
            codec.QuantizedTensor("ä", np.abs(dense), book),
        ],
        [
            codec.QuantizedTensor("wide", wide.astype(np.int32), codec.Grid(1e-9)),
            codec.QuantizedTensor("scalar", np.array(-7, dtype=np.int32), codec.Grid(2.0)),
            codec.QuantizedTensor("empty", np.zeros((3, 0), dtype=np.int32), codec.Grid(1.0)),
            codec.QuantizedTensor("zero", np.zeros((300, 100), dtype=np.int32), book),
        ],
        [],
    ]
    return [codec.encode(group, profile=profile) for profile in ("fast", "small") for group in groups]


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


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory) -> Run:
    """The driver under the address and undefined-behaviour sanitizers."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("gcc, whose sanitizers this test runs under, is not installed")
    program = tmp_path_factory.mktemp("sanitized") / "driver"
    compile_driver([gcc, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], program)
    return runner([str(program)])


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
        compile_driver([sys.executable, "-m", "ziglang", "cc", "-target", target, "-static"], program)
        return runner([emulator, str(program)])

    return make
