"""Decode forged files with every reader of the codec: all of them must give the same result.

    python tests/codec/agree.py --files 10000000 --reference 300000

Builds tests/codec/c/agree.c, which makes the files (directed ones of sound structure with extreme values, and changed
ones, all with right checksums) and compares the readers of the C library with each other. A part of the files, spread
evenly, comes back here, where Python's readers (decode, stream, open, csr, layout) and the reference decoder must say
the same. Prints numbers, and exits with 1 at the first disagreement, with the file in hexadecimal. The same seed makes
the same files.
"""

from __future__ import annotations

import argparse
import io
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from codec_samples import sample_files
from codec_sources import C_SOURCES, C_TESTS, GOLDEN

from bayespress import codec
from bayespress.codec import reference
from bayespress.codec.native import open_file
from bayespress.errors import BayespressError, CorruptFileError, InputError

LARGEST = 1024  # elements of a file that is decoded here; agree.c has the same
ROUND = 50_000  # files of one run of the program


class DisagreementError(Exception):
    """Two readers differ; the message names them, and the file in hexadecimal."""


@dataclass(frozen=True)
class Shown:
    """A file that agree.c printed, with the result of the C library: for each tensor two statuses and a CRC-32."""

    data: bytes
    status: int
    tensors: list[tuple[int, int, int]]


def build(folder: Path, *flags: str, compiler: str = "gcc") -> Path:
    """Compile agree.c and return its path."""
    program = folder / "agree"
    sources = [str(C_TESTS / "agree.c"), *map(str, sorted(C_SOURCES.glob("*.c")))]
    command = [compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", *flags, f"-I{C_SOURCES}", *sources]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def corpus() -> bytes:
    """Valid files, in the form that the program reads."""
    golden = [bytes.fromhex(path.read_text()) for path in sorted(GOLDEN.glob("*.hex"))]
    return b"".join(struct.pack("<I", len(data)) + data for data in [*golden, *sample_files()])


def shown(output: bytes) -> Iterator[Shown]:
    """The files in the program's output."""
    at = 0
    while at < len(output):
        (size,) = struct.unpack_from("<I", output, at)
        data = output[at + 4 : at + 4 + size]
        at += 4 + size
        status, count = output[at], output[at + 1]
        tensors = [struct.unpack_from("<BBI", output, at + 2 + 6 * index) for index in range(count)]
        at += 2 + 6 * count
        yield Shown(data, status, tensors)


def answer(read: Callable[[], list[codec.Tensor]]) -> list[codec.Tensor] | type[BayespressError]:
    """The tensors that a reader returns, or the type of the error that it raises."""
    try:
        return read()
    except CorruptFileError:
        return CorruptFileError
    except InputError:
        return InputError


def described(tensors: list[codec.Tensor]) -> list[tuple[object, ...]]:
    """Everything in which two readers must agree."""
    return [
        (
            tensor.name,
            tensor.shape,
            tensor.values().tobytes(),
            tensor.levels.tobytes() if isinstance(tensor, codec.QuantizedTensor) else None,
        )
        for tensor in tensors
    ]


def check_csr(archive: codec.Archive, tensors: list[codec.Tensor]) -> bool:
    """Whether sparse rows have the same contents as the tensors."""
    for tensor in tensors:
        if not isinstance(tensor, codec.QuantizedTensor):
            continue
        rows = tensor.shape[0] if len(tensor.shape) > 1 else 1
        if rows > LARGEST:  # of no columns; their row pointers are more than the limit allows
            continue
        row_pointer, columns, values = archive.csr(tensor.name)
        matrix = np.zeros((rows, tensor.levels.size // max(1, rows)), dtype=np.float32)
        matrix[np.repeat(np.arange(rows), np.diff(row_pointer.astype(np.int64))), columns] = values
        if len(row_pointer) != rows + 1 or matrix.tobytes() != tensor.values().tobytes():
            return False
    return True


def check(one: Shown) -> str:
    """Compare the Python readers, the C library and the reference; return the common result."""

    def need(condition: bool, what: str) -> None:
        if not condition:
            raise DisagreementError(f"{what}: {one.data.hex()}")

    def opened() -> codec.Archive:
        return codec.Archive(open_file(one.data, LARGEST))

    expected = answer(lambda: reference.decode(one.data, max_elements=LARGEST))
    readers = {
        "decode": lambda: codec.decode(one.data, max_elements=LARGEST),
        "stream": lambda: list(codec.stream(io.BytesIO(one.data), max_elements=LARGEST)),
        "open": lambda: list(opened().values()),
    }
    for name, read in readers.items():
        found = answer(read)
        if isinstance(expected, list) and isinstance(found, list):
            need(described(found) == described(expected), f"{name} and the reference: values")
        elif name == "stream":
            # A stream may meet a limit, or a fault, before the end of the file that decides it for the others.
            need(not isinstance(found, list) and not isinstance(expected, list), "stream and the reference")
        else:
            need(found is expected, f"{name} and the reference")
    layout = answer(lambda: list(codec.layout(one.data, max_elements=LARGEST).tensors))  # type: ignore[arg-type]
    need(isinstance(layout, list) == isinstance(expected, list), "layout and the reference")
    refused = one.status != 0 or any(values != 0 for _, values, _ in one.tensors)
    if expected is InputError:
        return "over the limit"
    need(refused == (expected is CorruptFileError), "the C library and the reference")
    if not isinstance(expected, list):
        return "refused"
    for tensor, (_, _, crc) in zip(expected, one.tensors, strict=True):
        need(zlib.crc32(tensor.values().astype("<f4").tobytes()) == crc, "the C library and the reference: values")
    need(check_csr(opened(), expected), "csr and the reference")
    return "decoded"


def run_round(program: Path, every: int, seed: int, files: int) -> tuple[Counter[str], list[int]]:
    """Run the program once and compare what it prints. Raises DisagreementError."""
    command = [str(program), str(seed), str(files), str(every)]
    done = subprocess.run(command, input=corpus(), capture_output=True, check=False)
    if done.returncode != 0:
        raise DisagreementError(done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}")
    found: Counter[str] = Counter()
    for one in shown(done.stdout):
        try:
            found[check(one)] += 1
        except DisagreementError:
            raise
        except Exception as error:
            raise DisagreementError(f"a reader raises {error!r}: {one.data.hex()}") from error
    return found, [int(word) for word in done.stderr.split()]


def agree(
    program: Path, files: int, reference_files: int, *, seed: int = 1, workers: int = 1, report: Callable[[str], None]
) -> Counter[str]:
    """Run all rounds; return the number of files by result. Raises DisagreementError."""
    every = max(1, files // reference_files) if reference_files else 0
    total: Counter[str] = Counter()
    sizes = [min(ROUND, files - start) for start in range(0, files, ROUND)]
    seeds = [seed * 1_000_003 + index for index in range(len(sizes))]
    with ProcessPoolExecutor(workers) as pool:
        for index, (python, numbers) in enumerate(pool.map(partial(run_round, program, every), seeds, sizes), 1):
            total += Counter(dict(zip(("files", "files opened", "tensors", "tensors decoded"), numbers, strict=True)))
            total += Counter({f"reference: {key}": count for key, count in python.items()})
            if index % 10 == 0 or index == len(sizes):
                report(", ".join(f"{key} {count}" for key, count in sorted(total.items())))
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--files", type=int, default=1_000_000, help="files in all (default: %(default)s)")
    parser.add_argument("--reference", type=int, default=30_000, help="for the reference (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another one makes other files (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--sanitize", action="store_true", help="build with clang's address and undefined sanitizers")
    options = parser.parse_args()
    sanitizers = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"] if options.sanitize else []
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder), *sanitizers, compiler="clang" if options.sanitize else "gcc")
        try:
            agree(
                program, options.files, options.reference, seed=options.seed, workers=options.workers,
                report=lambda line: print(line, flush=True),
            )  # fmt: skip
        except DisagreementError as error:
            print(f"A disagreement: {error}")
            return 1
    print("No disagreement.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
