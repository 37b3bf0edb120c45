"""Size of both profiles against entropy and other containers, and decode time against zlib, in one run.

python benchmarks/codec.py              synthetic LeNet-300-100 at five densities
python benchmarks/codec.py net.bpz      the tensors of a file
python benchmarks/codec.py --large      64 million weights at 5 % density: encode, decode to dense and to sparse rows,
                                        against zstd -19 where the package zstandard is installed
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayespress import codec
from bayespress.errors import BayespressError
from bayespress.files import read_bytes

SHAPES = {"fc1.weight": (300, 784), "fc2.weight": (100, 300), "fc3.weight": (10, 100)}


def synthetic(densities: tuple[float, float, float], largest: int = 6) -> list[codec.Tensor]:
    """Levels with Gaussian sizes up to `largest` at random places; the seed is fixed."""
    rng = np.random.default_rng(0)
    tensors: list[codec.Tensor] = []
    for (name, shape), density in zip(SHAPES.items(), densities, strict=True):
        levels = np.zeros(int(np.prod(shape)), dtype=np.int32)
        where = rng.choice(levels.size, round(levels.size * density), replace=False)
        sizes = np.clip(np.abs(np.round(rng.normal(0, 2.5, where.size))), 1, largest)
        levels[where] = (sizes * rng.choice([-1, 1], where.size)).astype(np.int32)
        tensors.append(codec.QuantizedTensor(name, levels.reshape(shape), codec.Grid(0.1)))
    return tensors


def entropy_bytes(levels: NDArray[np.int32]) -> float:
    """Zero-order entropy of the mask of non-zeros, and of the levels where they are."""
    return (_entropy(levels != 0) + _entropy(levels[levels != 0])) / 8


def _entropy(array: NDArray[Any]) -> float:
    counts = np.unique(array, return_counts=True)[1]
    return float(-(counts * np.log2(counts / max(1, array.size))).sum())


def smallest_integers(levels: NDArray[np.int32]) -> NDArray[Any]:
    """The levels in the narrowest signed type that holds them."""
    return levels.astype(np.min_scalar_type(-int(np.abs(levels.astype(np.int64)).max(initial=0)) - 1))


def plain_csr(levels: NDArray[np.int32]) -> int:
    """Bytes of CSR with 32-bit row pointers, 16-bit (or 32-bit) columns and the narrowest values."""
    rows = levels.shape[0] if levels.ndim > 1 else 1
    column = 2 if levels.size <= 65536 * rows else 4
    return 4 * (rows + 1) + int(np.count_nonzero(levels)) * (column + smallest_integers(levels).itemsize)


def npz_bytes(tensors: Sequence[codec.QuantizedTensor]) -> int:
    """Bytes of numpy's compressed archive of the levels in the narrowest types."""
    out = io.BytesIO()
    np.savez_compressed(out, **{tensor.name: smallest_integers(tensor.levels) for tensor in tensors})  # type: ignore[arg-type]
    return len(out.getvalue())


def interleaved(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Seconds of each call, the calls taking turns for the time given."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return times


def report(title: str, tensors: Sequence[codec.Tensor], seconds: float) -> None:
    """Print one set's lines."""
    for profile in codec.PROFILES:
        _report(f"{title}, {profile}", tensors, codec.encode(tensors, profile=profile), seconds)


def _report(title: str, tensors: Sequence[codec.Tensor], data: bytes, seconds: float) -> None:
    quantized = [tensor for tensor in tensors if isinstance(tensor, codec.QuantizedTensor)]
    raw = sum(4 * tensor.array.size for tensor in tensors if isinstance(tensor, codec.RawTensor))
    entropy = raw + sum(entropy_bytes(tensor.levels) for tensor in quantized)
    print(f"{title}: {len(data):,} bytes")
    if entropy:
        print(f"  against entropy of mask and levels  {len(data) / entropy:6.3f}   ({entropy:,.1f} bytes)")
    if quantized:
        npz, csr = raw + npz_bytes(quantized), raw + sum(plain_csr(tensor.levels) for tensor in quantized)
        print(f"  against npz of the levels           {len(data) / npz:6.3f}   ({npz:,} bytes)")
        print(f"  against plain CSR                   {len(data) / csr:6.3f}   ({csr:,} bytes)")
    packed = zlib.compress(b"".join(tensor.values().tobytes() for tensor in tensors), 9)
    times = interleaved({"decode": lambda: codec.decode(data), "zlib": lambda: zlib.decompress(packed)}, seconds)
    ours, theirs = (1e6 * statistics.median(times[name]) for name in ("decode", "zlib"))
    low, high = 1e6 * np.percentile(times["decode"], [10, 90])
    print(f"  decode against zlib of the float32  {ours / theirs:6.3f}   ({ours:,.0f} us, p10 {low:,.0f}, "
          f"p90 {high:,.0f}; zlib {theirs:,.0f} us)")  # fmt: skip


def large(weights: int = 64_000_000, density: float = 0.05) -> None:
    """Print speeds on one large tensor: best of three, since the first call of each finds its memory not yet there."""
    rng = np.random.default_rng(0)
    levels = np.zeros(weights, dtype=np.int32)
    where = np.flatnonzero(rng.random(weights) < density)
    sizes = np.clip(np.abs(np.rint(rng.normal(0, 2.5, where.size))), 1, 6)
    levels[where] = (sizes * rng.choice([-1, 1], where.size)).astype(np.int32)
    tensor = codec.QuantizedTensor("w", levels.reshape(-1, 8000), codec.Grid(0.1))
    gigabytes = 4e-9 * weights
    print(f"{weights:,} weights at {density:.0%}, one thread, best of three")
    with tempfile.TemporaryDirectory() as folder:
        for profile in codec.PROFILES:
            encode = _fastest(lambda chosen=profile: codec.encode([tensor], profile=chosen))
            path = Path(folder) / f"{profile}.bpz"
            path.write_bytes(codec.encode([tensor], profile=profile))
            archive = codec.open(path)
            dense, rows = _fastest(lambda a=archive: a.array("w")), _fastest(lambda a=archive: a.csr("w"))
            print(
                f"  {profile:5} {path.stat().st_size:12,} bytes   encode {1000 * gigabytes / encode:6.0f} MB/s   "
                f"dense {gigabytes / dense:5.2f} GB/s   sparse rows {where.size / rows / 1e6:6.1f} M non-zeros/s",
                flush=True,
            )
    try:
        import zstandard
    except ImportError:
        print("  zstd: the package zstandard is not installed")
        return
    plain = tensor.values().tobytes()
    packed = zstandard.ZstdCompressor(level=19).compress(plain)
    seconds = _fastest(lambda: zstandard.ZstdDecompressor().decompress(packed))
    print(f"  zstd  {len(packed):12,} bytes   dense {gigabytes / seconds:5.2f} GB/s")


def _fastest(call: Callable[[], object]) -> float:
    """Seconds of the best of three calls."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="a .bpz file whose tensors to take")
    parser.add_argument("--large", action="store_true", help="speeds on 64 million weights")
    parser.add_argument("--seconds", type=float, default=1.0, help="of timing for each set")
    options = parser.parse_args()
    try:
        if options.file is not None:
            report(str(options.file), codec.decode(read_bytes(options.file, ".bpz file")), options.seconds)
            return 0
    except BayespressError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    if options.large:
        large()
        return 0
    report("LeNet-300-100, 1 %, 4 %, 40 %", synthetic((0.01, 0.04, 0.4)), options.seconds)
    for density in (0.01, 0.05, 0.1, 0.5):
        report(f"LeNet-300-100, {density:.0%}", synthetic((density,) * 3), options.seconds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
