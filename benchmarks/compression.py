"""How long compression takes, and in how much memory, for a network with a random posterior.

    OMP_NUM_THREADS=1 python benchmarks/compression.py [--model vgg] [--density 5] [--profile small]

A random part of each layer's weights is kept, and every fourth unit is noise altogether. Asked are 2 minutes and 2 GB
for VGG's 15 million weights, and 30 s for a LeNet. Beside it stands what zlib makes of the same float32 weights, pruned
alike: the time that anyone would spend, and its size.
"""

from __future__ import annotations

import argparse
import resource
import time
import zlib

import torch
from raw_results import RawResults, add_json_option

from bayespress.compress.pipeline import compress_network
from bayespress.compress.posterior import Posterior
from bayespress.compress.settings import CompressSettings
from bayespress.train.models import build_model

_SHAPES = {"vgg": (3, 32, 32), "wrn-16-4": (3, 32, 32)}


def random_posterior(network: torch.nn.Module, density: float) -> Posterior:
    """Weights as they are, of which `density` percent are known to a tenth and the others not at all."""
    generator = torch.Generator().manual_seed(0)
    values = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    variances = {}
    for name, tensor in values.items():
        if tensor.ndim > 1:
            noise = torch.rand(tensor.shape, generator=generator) > density / 100.0
            if len(tensor) > 10:
                noise[::4] = True
            variances[name] = torch.where(noise, 1e3, 0.01) * tensor.square() + 1e-12
    return Posterior(values, variances)


def main() -> None:
    """Compress and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vgg")
    parser.add_argument("--density", type=float, default=5.0, help="percent of the weights that are kept")
    parser.add_argument("--profile", default="small")
    add_json_option(parser)
    options, results = parser.parse_args(), RawResults()
    torch.manual_seed(0)
    network = build_model(options.model).eval()
    posterior = random_posterior(network, options.density)
    example = torch.rand(16, *_SHAPES.get(options.model, (1, 28, 28)))
    marks: list[tuple[str, float]] = []
    began = time.perf_counter()
    packed = compress_network(
        network, posterior, example, CompressSettings(profile=options.profile, budget=0.3, rate_weight=0.01),
        progress=lambda name: marks.append((name, time.perf_counter())),
    )  # fmt: skip
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    ends = [when for _, when in marks[1:]] + [ended]
    for (name, when), end in zip(marks, ends, strict=True):
        print(f"{name:12}{end - when:8.1f} s")
        results.add(name, seconds=end - when)
    pruned = b"".join(
        tensor.masked_fill(posterior.log_alpha(name) > 3, 0.0).numpy().tobytes() if name in posterior.variances else b""
        for name, tensor in posterior.values.items()
    )
    start = time.perf_counter()
    size = len(zlib.compress(pruned, 9))
    peer = time.perf_counter() - start
    print(f"{options.model}: {packed.original_parameters:,} parameters, {packed.steps[-1].nonzero:,} left")
    print(f"compressed in {ended - began:.1f} s, at most {peak:.2f} GB: {len(packed.weights):,} bytes")
    print(f"zlib -9 of the pruned float32 weights: {peer:.1f} s, {size:,} bytes")
    results.add(
        options.model, parameters=packed.original_parameters, nonzero=packed.steps[-1].nonzero, seconds=ended - began,
        peak_gigabytes=peak, size_bytes=len(packed.weights), zlib_seconds=peer, zlib_bytes=size,
    )  # fmt: skip
    results.write(options.json)
    print(f"ratio to zlib: {(ended - began) / peer:.2f} of the time, {len(packed.weights) / size:.3f} of the size")


if __name__ == "__main__":
    main()
