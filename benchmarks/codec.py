"""Size of both profiles against entropy and other containers, and speed against zlib, zstd and NNCodec, in one run.

python benchmarks/codec.py              synthetic LeNet-300-100 at five densities, and a synthetic VGG
python benchmarks/codec.py net.bpz      the tensors of a file
python benchmarks/codec.py --large      64 million weights at 5 % density: encode, decode to dense and to sparse rows,
                                        against zstd -19 where the package zstandard is installed
python benchmarks/codec.py --memory     2 GB of weights from a safetensors file: the peak of compressing and decoding

With --nncodec PYTHON, an interpreter that has nncodec (see nncodec_peer.py), it stands beside all of them.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from raw_results import RawResults, add_json_option

from bayespress import codec
from bayespress.errors import BayespressError
from bayespress.files import read_bytes

SHAPES = {"fc1.weight": (300, 784), "fc2.weight": (100, 300), "fc3.weight": (10, 100)}


def synthetic(
    densities: Sequence[float], shapes: dict[str, tuple[int, int]] = SHAPES, largest: int = 6
) -> list[codec.Tensor]:
    """Levels with Gaussian sizes up to `largest` at random places; the seed is fixed."""
    rng = np.random.default_rng(0)
    tensors: list[codec.Tensor] = []
    for (name, shape), density in zip(shapes.items(), densities, strict=True):
        levels = np.zeros(int(np.prod(shape)), dtype=np.int32)
        where = rng.choice(levels.size, round(levels.size * density), replace=False)
        sizes = np.clip(np.abs(np.round(rng.normal(0, 2.5, where.size))), 1, largest)
        levels[where] = (sizes * rng.choice([-1, 1], where.size)).astype(np.int32)
        tensors.append(codec.QuantizedTensor(name, levels.reshape(shape), codec.Grid(0.1)))
    return tensors


def vgg_like() -> list[codec.Tensor]:
    """The shapes of a VGG for CIFAR-10, at densities that fall as layers widen, rows and columns of unequal use."""
    rng = np.random.default_rng(1)
    widths = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    densities = (0.5, 0.2, 0.2, 0.15, 0.1, 0.06, 0.05, 0.02, 0.01, 0.005, 0.004, 0.003, 0.003)
    tensors: list[codec.Tensor] = []
    inputs = 3
    for index, (width, density) in enumerate(zip(widths, densities, strict=True)):
        use = rng.lognormal(0, 1, (width, 1, 1)) * rng.lognormal(0, 1, (1, inputs, 1)) * np.ones((1, 1, 9))
        alive = rng.random(use.shape) < np.minimum(1, density * use / use.mean())
        sizes = np.rint(rng.laplace(0, 1.5, use.shape)) + rng.choice([-1, 1], use.shape)
        levels = np.where(alive, sizes, 0).astype(np.int32).reshape(width, inputs, 3, 3)
        tensors.append(codec.QuantizedTensor(f"features.{index}.weight", levels, codec.Grid(0.02)))
        inputs = width
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


def report(
    title: str, tensors: Sequence[codec.Tensor], seconds: float, results: RawResults, nncodec: str | None = None
) -> None:
    """Print one set's lines."""
    sizes = {}
    for profile in codec.PROFILES:
        data = codec.encode(tensors, profile=profile)
        sizes[profile] = len(data)
        _report(f"{title}, {profile}", tensors, data, seconds, results)
    print(f"  fast against small                  {sizes['fast'] / sizes['small']:6.3f}")
    if nncodec is not None:
        quantized = [tensor for tensor in tensors if isinstance(tensor, codec.QuantizedTensor)]
        if peer := nncodec_of(nncodec, quantized):
            ours = {profile: len(codec.encode(quantized, profile=profile)) for profile in codec.PROFILES}
            fast = codec.encode(quantized, profile="fast")
            speed = peer["seconds"] / _fastest(lambda: codec.decode(fast))
            results.add(
                f"{title}, NNCodec", size_bytes=peer["bytes"], decode_seconds=peer["seconds"], our_bytes=ours,
                fast_speed_ratio=speed,
            )  # fmt: skip
            print(f"  NNCodec: {peer['bytes']:,} bytes; small against it {ours['small'] / peer['bytes']:.3f}, "
                  f"fast {ours['fast'] / peer['bytes']:.3f}; fast decodes {speed:.1f}x as fast")  # fmt: skip


def nncodec_of(python: str, tensors: Sequence[codec.QuantizedTensor]) -> dict[str, Any] | None:
    """Bytes and decoding seconds of the same levels under NNCodec, or a line that says why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "levels.npz"
        np.savez(path, **{tensor.name: np.atleast_1d(tensor.levels) for tensor in tensors})  # type: ignore[arg-type]
        peer = Path(__file__).with_name("nncodec_peer.py")
        try:
            done = subprocess.run([python, str(peer), str(path), str(Path(folder) / "bitstream.nnc")],
                                  capture_output=True, text=True, check=False)  # fmt: skip
        except OSError as error:
            print(f"  NNCodec: {python} cannot be run ({error.strerror})")
            return None
        if done.returncode:
            print(f"  NNCodec: {done.stderr.strip().splitlines()[-1]}")
            return None
        return dict(json.loads(done.stdout.splitlines()[-1]))


def _report(title: str, tensors: Sequence[codec.Tensor], data: bytes, seconds: float, results: RawResults) -> None:
    quantized = [tensor for tensor in tensors if isinstance(tensor, codec.QuantizedTensor)]
    raw = sum(4 * tensor.array.size for tensor in tensors if isinstance(tensor, codec.RawTensor))
    entropy = raw + sum(entropy_bytes(tensor.levels) for tensor in quantized)
    print(f"{title}: {len(data):,} bytes")
    figures: dict[str, float] = {"size_bytes": len(data)}
    if entropy:
        figures["entropy_bytes"] = entropy
        print(f"  against entropy of mask and levels  {len(data) / entropy:6.3f}   ({entropy:,.1f} bytes)")
    if quantized:
        npz, csr = raw + npz_bytes(quantized), raw + sum(plain_csr(tensor.levels) for tensor in quantized)
        figures |= {"npz_bytes": npz, "csr_bytes": csr}
        print(f"  against npz of the levels           {len(data) / npz:6.3f}   ({npz:,} bytes)")
        print(f"  against plain CSR                   {len(data) / csr:6.3f}   ({csr:,} bytes)")
    packed = zlib.compress(b"".join(tensor.values().tobytes() for tensor in tensors), 9)
    times = interleaved({"decode": lambda: codec.decode(data), "zlib": lambda: zlib.decompress(packed)}, seconds)
    ours, theirs = (1e6 * statistics.median(times[name]) for name in ("decode", "zlib"))
    low, high = 1e6 * np.percentile(times["decode"], [10, 90])
    results.add(title, **figures, decode_seconds=ours / 1e6, zlib_seconds=theirs / 1e6)
    print(f"  decode against zlib of the float32  {ours / theirs:6.3f}   ({ours:,.0f} us, p10 {low:,.0f}, "
          f"p90 {high:,.0f}; zlib {theirs:,.0f} us)")  # fmt: skip


def large(results: RawResults, weights: int = 64_000_000, density: float = 0.05, nncodec: str | None = None) -> None:
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
            results.add(profile, size_bytes=path.stat().st_size, encode_seconds=encode, dense_seconds=dense,
                        sparse_rows_seconds=rows, weights=weights, nonzero=where.size)  # fmt: skip
            print(
                f"  {profile:5} {path.stat().st_size:12,} bytes   encode {1000 * gigabytes / encode:6.0f} MB/s   "
                f"dense {gigabytes / dense:5.2f} GB/s   sparse rows {where.size / rows / 1e6:6.1f} M non-zeros/s",
                flush=True,
            )
    if nncodec is not None and (peer := nncodec_of(nncodec, [tensor])):
        print(f"  NNCodec {peer['bytes']:10,} bytes   dense {gigabytes / peer['seconds']:5.2f} GB/s")
    try:
        import zstandard
    except ImportError:
        print("  zstd: the package zstandard is not installed")
        return
    plain = tensor.values().tobytes()
    packed = zstandard.ZstdCompressor(level=19).compress(plain)
    seconds = _fastest(lambda: zstandard.ZstdDecompressor().decompress(packed))
    results.add("zstd -19", size_bytes=len(packed), dense_seconds=seconds)
    print(f"  zstd  {len(packed):12,} bytes   dense {gigabytes / seconds:5.2f} GB/s")


def memory(results: RawResults, tensors: int = 16, elements: int = 1 << 25) -> None:
    """Print the peak memory of compressing a safetensors file of 2 GB, and of decoding the result by tensor."""
    with tempfile.TemporaryDirectory() as folder:
        names = [Path(folder) / name for name in ("net.safetensors", "net.bpz")]
        _peak("import sys, numpy as np; from safetensors.numpy import save_file; rng = np.random.default_rng(0); "
              f"save_file({{str(i): rng.standard_normal({elements}, dtype=np.float32) for i in range({tensors})}}, "
              "sys.argv[1])", *names)  # fmt: skip
        print(f"{names[0].stat().st_size / 1e9:.2f} GB in {tensors} tensors")
        base = _peak("import torch, safetensors, bayespress.codec", *names)
        print(f"  imports alone   {base:6.0f} MB")
        results.add("imports alone", peak_megabytes=base)
        for profile in codec.PROFILES:
            peak = _peak("import sys, pathlib; from bayespress.compress.quantize_file import compress_file; "
                         "compress_file(*map(pathlib.Path, sys.argv[1:3]), 0.01, "
                         f"profile={profile!r})", *names)  # fmt: skip
            results.add(f"compress, {profile}", peak_megabytes=peak, size_bytes=names[1].stat().st_size)
            print(f"  compress, {profile:5} {peak:6.0f} MB   to {names[1].stat().st_size / 1e9:.2f} GB", flush=True)
        peak = _peak("import sys; from bayespress import codec; "
                     "[None for _ in codec.stream(open(sys.argv[2], 'rb'), max_elements=2**40)]", *names)  # fmt: skip
        print(f"  stream          {peak:6.0f} MB")
        results.add("stream", peak_megabytes=peak)


def _peak(program: str, *arguments: Path) -> float:
    """Megabytes that a fresh interpreter needed at most to run a program."""
    tail = "; import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    command = [sys.executable, "-c", program + tail, *map(str, arguments)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]) / 1e6


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
    parser.add_argument("--memory", action="store_true", help="peak memory on 2 GB of weights")
    parser.add_argument("--nncodec", metavar="PYTHON", help="an interpreter that has nncodec, to compare with")
    parser.add_argument("--seconds", type=float, default=1.0, help="of timing for each set")
    add_json_option(parser)
    options, results = parser.parse_args(), RawResults()
    try:
        if options.file is not None:
            tensors = codec.decode(read_bytes(options.file, ".bpz file"))
            report(str(options.file), tensors, options.seconds, results, options.nncodec)
            results.write(options.json)
            return 0
    except BayespressError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    if options.memory:
        memory(results)
        results.write(options.json)
        return 0
    if options.large:
        large(results, nncodec=options.nncodec)
        results.write(options.json)
        return 0
    report("LeNet-300-100, 1 %, 4 %, 40 %", synthetic((0.01, 0.04, 0.4)), options.seconds, results, options.nncodec)
    for density in (0.01, 0.05, 0.1, 0.5):
        report(f"LeNet-300-100, {density:.0%}", synthetic((density,) * 3), options.seconds, results, options.nncodec)
    for density in (0.01, 0.05, 0.1, 0.5):
        square = synthetic((density,), {"weight": (1000, 1000)})
        report(f"1000 x 1000, {density:.0%}", square, options.seconds, results, options.nncodec)
    report("VGG, synthetic", vgg_like(), options.seconds, results, options.nncodec)
    results.write(options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
