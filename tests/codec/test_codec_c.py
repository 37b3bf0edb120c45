"""The C sources outside Python: freestanding, under sanitizers, and on other machines."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from codec_bad_adaptive import BAD_ADAPTIVE
from codec_bad_files import BAD_FILES
from codec_bad_streams import BAD_STREAMS
from codec_files import parts_of, sealed
from codec_sources import C_SOURCES, STRICT

from bayespress import codec
from bayespress.codec import reference
from bayespress.errors import CorruptFileError


def expected(data: bytes) -> str:
    """The line that the driver must print for a valid file, computed with the reference decoder."""
    words = ["0"]
    for tensor in reference.decode(data):
        statuses = "9/0" if isinstance(tensor, codec.RawTensor) else "0/0"
        words.append(f"{statuses}/{fnv1a(tensor.values().astype('<f4').tobytes()):016x}")
    return " ".join(words)


def fnv1a(data: bytes) -> int:
    value = 14695981039346656037
    for byte in data:
        value = (value ^ byte) * 1099511628211 % 2**64
    return value


def mutations(whole: bytes, count: int, seed: int) -> list[bytes]:
    """Damaged files with matching checksums, so that the checks after them are reached."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        parts = parts_of(whole)
        for _ in range(int(rng.integers(1, 5))):
            which = int(rng.integers(len(parts)))
            body, first = parts[which], 4 if which == 0 else 0
            at = int(rng.integers(first, len(body) + 1)) if len(body) > first + 1 else first
            action = int(rng.integers(3))
            if action == 0 and at < len(body):
                body[at] = int(rng.integers(256))
            elif action == 1 and at < len(body) and len(body) > first + 2:
                del body[at]
            else:
                body.insert(at, int(rng.integers(256)))
        made.append(sealed(parts))
    return made


def test_the_sources_compile_freestanding_and_ask_for_memcpy_and_memset_only(tmp_path):
    gcc, nm = shutil.which("gcc"), shutil.which("nm")
    if gcc is None or nm is None:
        pytest.skip("gcc and nm, which this test asks, are not installed")
    undefined, defined = set(), set()
    for source in sorted(C_SOURCES.glob("*.c")):
        out = tmp_path / f"{source.stem}.o"
        freestanding = ["-ffreestanding", "-fno-stack-protector", "-nostdlib"]
        done = subprocess.run([gcc, *STRICT, "-O2", *freestanding, "-c", str(source), "-o", str(out)],
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        for line in subprocess.run([nm, str(out)], capture_output=True, text=True, check=True).stdout.splitlines():
            *_, kind, symbol = line.split()
            (undefined if kind == "U" else defined).add(symbol)
            assert kind not in "bBdDC", f"{source.name} has the writable global {symbol}"
    assert undefined - defined <= {"memcpy", "memset", "_GLOBAL_OFFSET_TABLE_"}
    assert all(symbol.startswith(("bpz_", "bpzi_")) for symbol in defined if symbol.startswith(("bpz", "Bpz")))


def test_good_files_under_the_sanitizers(sanitized, samples):
    assert sanitized(samples) == [expected(data) for data in samples]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_forged_files_under_the_sanitizers(sanitized, samples, seed):
    forged = [data for whole in samples for data in mutations(whole, 400, seed)]
    lines = sanitized(forged)
    assert len(lines) == len(forged)
    accepted = 0
    for data, line in zip(forged, lines, strict=True):
        opened, *tensors = line.split()
        if "skipped" in tensors:
            continue
        refused = opened != "0" or any(not word.startswith(("0/0/", "9/0/")) for word in tensors)
        try:
            want = expected(data)
        except CorruptFileError:
            assert refused, line
            continue
        assert line == want
        accepted += 1
    assert 0 < accepted < len(forged)


def test_buffers_that_end_at_an_unmapped_page(guarded, samples):
    assert guarded(samples) == [expected(data) for data in samples]
    forged = [data for whole in samples for data in mutations(whole, 100, 9)]
    assert len(guarded(forged)) == len(forged)


def test_the_decoder_is_small_on_a_phone(tmp_path):
    """Code and constants of everything but the encoder, for aarch64: both profiles under 30 kB."""
    pytest.importorskip("ziglang", reason="ziglang, the cross compiler, is not installed")
    size = 0
    for source in sorted(C_SOURCES.glob("*.c")):
        if source.name != "encode.c":
            out = tmp_path / f"{source.stem}.o"
            command = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl", "-O2", "-std=c99"]
            subprocess.run([*command, "-c", str(source), "-o", str(out)], check=True)
            size += loaded_bytes(out.read_bytes())
    assert 5_000 < size < 30_000


def loaded_bytes(elf: bytes) -> int:
    """Bytes of the loaded sections (SHF_ALLOC) of a 64-bit little-endian object, without unwind tables."""
    (table,) = struct.unpack_from("<Q", elf, 40)
    entry, count, names_at = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + entry * index) for index in range(count)]
    names = headers[names_at][4]
    total = 0
    for name, _, flags, _, _, size in headers:
        start = names + name
        if flags & 2 and not elf[start : elf.index(0, start)].startswith((b".eh_frame", b".ARM")):
            total += size
    return total


def test_noise_and_cuts_under_the_sanitizers(sanitized, samples):
    rng = np.random.default_rng(3)
    files = [rng.bytes(int(size)) for size in rng.integers(0, 80, 500)]
    files += [b"BPZ\2" + body + zlib.crc32(b"BPZ\2" + body).to_bytes(4, "little") for body in files]
    files += [whole[:size] for whole in samples for size in range(len(whole))]
    files += [b"BPZ\2\0" + zlib.crc32(b"BPZ\2\0").to_bytes(4, "little")]
    lines = sanitized(files)
    assert lines[-1] == "0"
    assert all(line.split()[0] != "0" for line in lines[:500])


@pytest.mark.parametrize(
    "machine", ["aarch64", *(pytest.param(name, marks=pytest.mark.slow) for name in ("arm", "s390x"))]
)
def test_other_machines_decode_the_same(foreign, guarded, samples, build, machine):
    """aarch64 stands for phones, arm for older ones with 32 bits, and s390x for big-endian machines."""
    run = foreign(machine)
    assert run(samples) == [expected(data) for data in samples]
    bad = [make(build) for _, make in (BAD_FILES | BAD_STREAMS | BAD_ADAPTIVE).values()]
    assert run(bad) == guarded(bad)


def test_bad_files_under_the_sanitizers(sanitized, build):
    for line in sanitized([make(build) for _, make in (BAD_FILES | BAD_STREAMS | BAD_ADAPTIVE).values()]):
        opened, *tensors = line.split()
        assert opened != "0" or any(not word.startswith(("0/0/", "9/0/")) for word in tensors), line
