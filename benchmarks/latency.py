"""Latency of compiled networks against ONNX Runtime and PyTorch, interleaved in this process.

    python benchmarks/latency.py packed/lenet [more packed directories] [--seconds 3] [--batch 8192]
    python benchmarks/latency.py --networks vgg,resnet-18

A packed directory comes from `bayespress compress`; with --batch, so many examples at once on two threads each. The
networks are random: VGG with 5 % of its weights against itself in full, ResNet-18 with all of its own. Prints medians,
spread and ratios, the compiled network being 1, and the bytes and multiply-adds that a run cannot do without.

Contenders run what their users would: ONNX Runtime what torch.onnx.export writes by default (batch norms folded), with
input and output bound; PyTorch in inference mode, operator by operator; converters take that ONNX file or the exported
program. Nothing of a contender but its run is timed, and all outputs are compared before.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from peers import peers
from raw_results import RawResults, add_json_option
from torch import nn

from bayespress import codec
from bayespress.cli.bench import latency_table
from bayespress.cli.console import show, step, table
from bayespress.deploy.builder.build import build
from bayespress.deploy.builder.packed_network import stored_weights
from bayespress.deploy.bundle.format import opened
from bayespress.deploy.compile.aot import compile_network
from bayespress.deploy.compile.targets import target_named
from bayespress.deploy.measure.bench import bench
from bayespress.deploy.program.export import fill_weights, load_program, onnx_graph, parameter_names, plain_onnx
from bayespress.deploy.verify.sessions import CompiledNetwork, onnx_runner, onnx_session
from bayespress.train.models import build_model

THREADS = 2
_TURN_SECONDS = 3e-3


class ResidualBlock(nn.Module):
    """Two padded convolutions and what goes around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.around = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.around(x))


class ResNet18(nn.Module):
    """The shape of He et al. 2015's network for ImageNet, batch norms folded."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.pool = nn.Conv2d(3, 64, 7, 2, 3), nn.MaxPool2d(3, 2, 1)
        blocks, inputs = [], 64
        for outputs, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
            blocks.append(ResidualBlock(inputs, outputs, stride))
            inputs = outputs
        self.body, self.head = nn.Sequential(*blocks), nn.Linear(512, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.pool(torch.relu(self.stem(x)))).mean((2, 3)))


def interleaved(contenders: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Seconds of each call, taken in turns for `seconds` each.

    A turn is some milliseconds, of which the first calls do not count: those find in the caches what others left there.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    calls = {}
    for name, run in contenders.items():
        run()
        before = time.perf_counter()
        run()
        calls[name] = max(1, int(_TURN_SECONDS / (time.perf_counter() - before)))
    while sum(times[next(iter(times))]) < seconds:
        for name, run in contenders.items():
            for _ in range(calls[name] // 10):
                run()
            for _ in range(calls[name]):
                before = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - before)
    return times


def check_same(contenders: dict[str, Callable[[], object]]) -> None:
    """Stop unless all give the outputs of the first: who computes something else cannot be compared."""
    outputs = {label: np.asarray(run(), np.float32).ravel().copy() for label, run in contenders.items()}
    first = next(iter(outputs.values()))
    for label, output in outputs.items():
        if output.shape != first.shape or not np.abs(output - first).max() <= 1e-3 * np.abs(first).max():
            raise RuntimeError(f"{label} computes something else")


def show_times(title: str, times: dict[str, list[float]], results: RawResults) -> None:
    """Medians and ratios, into `results` too; the first is 1."""
    base = statistics.median(next(iter(times.values())))
    rows = [
        (
            name,
            f"{1e3 * statistics.median(taken):,.3f}",
            f"{1e3 * np.percentile(taken, 10):,.3f} to {1e3 * np.percentile(taken, 90):,.3f}",
            f"{statistics.median(taken) / base:.2f}x",
        )
        for name, taken in times.items()
    ]
    show(table(title, ("", "median ms", "p10 to p90", "relative to compiled"), rows))
    for name, taken in times.items():
        p10, median, p90 = (float(each) for each in np.percentile(taken, [10, 50, 90]))
        results.add(
            f"{title}: {name}", runs=len(taken), p10_seconds=p10, median_seconds=median, p90_seconds=p90,
            ratio=median / base,
        )  # fmt: skip


def random_network(name: str) -> tuple[nn.Module, torch.Tensor, float]:
    """Network, example, and the share of its weights that the compiled one keeps."""
    torch.manual_seed(0)
    if name == "vgg":
        return build_model("vgg").eval(), torch.randn(1, 3, 32, 32), 0.05
    return ResNet18().eval(), torch.randn(1, 3, 224, 224), 1.0


def compressed(network: nn.Module, share: float) -> dict[str, np.ndarray]:
    """Weights with a random `share` of each layer's left."""
    generator = np.random.default_rng(0)
    return {
        name: np.where(generator.random(value.shape) < share, value.numpy(), 0.0).astype(np.float32)
        if value.ndim > 1
        else value.numpy()
        for name, value in network.state_dict().items()
        if value.is_floating_point()
    }


def quantized(name: str, value: np.ndarray, largest: int = 127) -> codec.QuantizedTensor:
    """On a grid with levels up to `largest` on either side, where what was not 0 stays so."""
    grid = codec.Grid(float(np.abs(value).max()) / largest)
    levels = np.rint(value / grid.step)
    return codec.QuantizedTensor(name, np.where(levels == 0, np.sign(value), levels).astype(np.int8), grid)


def measure_network(name: str, seconds: float, results: RawResults) -> None:
    """One random network, batch 1, one thread."""
    network, example, share = random_network(name)
    program = torch.export.export(network, (example,), strict=False)
    full = set(parameter_names(program).values())
    kept = {key: value for key, value in compressed(network, share).items() if key in full}
    tensors: list[codec.Tensor] = [
        quantized(key, value) if value.ndim > 1 else codec.RawTensor(key, value) for key, value in kept.items()
    ]
    weights = codec.encode(tensors, profile="fast")
    entries = {each.name: int(np.count_nonzero(each.values())) for each in tensors if each.values().ndim > 1}
    stored = stored_weights(tensors)
    with tempfile.TemporaryDirectory() as scratch:
        step(f"compiling {name}")
        (Path(scratch) / "between").mkdir()
        made = compile_network(program, target_named("host"), Path(scratch) / "made", Path(scratch) / "between", stored)
        if made.library is None:
            raise RuntimeError("no library for this machine")
        compiled = CompiledNetwork(made.library, weights)
    x = np.ascontiguousarray(example.numpy())
    model = plain_onnx(program)
    same = onnx_runner(
        onnx_session(fill_weights(onnx_graph(program), {tensor.name: tensor.values() for tensor in tensors})), x
    )
    expected = same().ravel()
    difference = np.abs(compiled.run(x) - expected).max() / np.abs(expected).max()
    contenders: dict[str, Callable[[], object]] = {
        "compiled": lambda: compiled.run(x),
        "ONNX Runtime, original": onnx_runner(onnx_session(model), x),
    }
    contenders |= {f"{label}, original": run for label, run in peers(model, program, x).items()}
    check_same({label: run for label, run in contenders.items() if label != "compiled"})
    sparse = sum(decision.kernel == "sparse" for decision in made.decisions)
    show_times(f"{name}, {100 * share:.0f} % of the weights, batch 1", interleaved(contenders, seconds), results)
    show(
        f"largest difference from ONNX Runtime on the same weights, in parts of the largest output, {difference:.1e}; "
        f"{sparse} layers run sparse"
    )
    show_roofline(network, example, entries, compiled, x)


def show_roofline(
    network: nn.Module, example: torch.Tensor, entries: dict[str, int], compiled: CompiledNetwork, x: np.ndarray
) -> None:
    """What has to be done: a multiply-add for each stored weight and output pixel, and the weights read once."""
    macs = 0

    def count(name: str, out: torch.Tensor) -> None:
        nonlocal macs
        pixels = out.shape[2:].numel() if out.ndim > 2 else 1
        macs += entries.get(f"{name}.weight", 0) * pixels

    hooks = [
        module.register_forward_hook(lambda _module, _inputs, out, name=name: count(name, out))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        network(example)
    for hook in hooks:
        hook.remove()
    taken = statistics.median(interleaved({"compiled": lambda: compiled.run(x)}, 0.5)["compiled"])
    stored = 3 * sum(entries.values())  # a level and a place of 16 bits
    show(
        f"needs {macs / 1e6:,.1f} million multiply-adds and {stored / 1e6:,.1f} MB of weights and places; "
        f"does {macs / taken / 1e9:,.1f} thousand million a second, {stored / taken / 1e9:,.1f} GB/s"
    )


def measure_peers(packed: Path, bundle: Path, seconds: float, results: RawResults) -> None:
    """Other runtimes for phones, where they are installed, on the network before and after compression."""
    with opened(bundle) as there:
        library = there.manifest.targets["host"].library
        if library is None:
            raise RuntimeError("no library for this machine")
        compiled = CompiledNetwork(there.folder / library, there.read("weights.bpz"))
        x = np.ascontiguousarray(there.real_inputs()[:1])
    contenders: dict[str, Callable[[], object]] = {"compiled": lambda: compiled.run(x)}
    for label, name in (("shrunk", "network.pt2"), ("original", "original.pt2")):
        program = load_program(packed / name)
        model = plain_onnx(program)
        found = peers(model, program, x)
        check_same({"ONNX Runtime": onnx_runner(onnx_session(model), x)} | found)
        contenders |= {f"{peer}, {label}": run for peer, run in found.items()}
    if len(contenders) > 1:
        show_times("other runtimes, batch 1, one thread", interleaved(contenders, seconds), results)


def measure_batch(packed: Path, batch: int, seconds: float, results: RawResults) -> None:
    """A packed directory's network and a built-in one of its name, many examples at once, two threads each."""
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "network.bundle"
        manifest = build(packed, ["host"], bundle, progress=step)
        with opened(bundle) as there:
            library = there.manifest.targets["host"].library
            if library is None:
                raise RuntimeError("no library for this machine")
            compiled = CompiledNetwork(there.folder / library, there.read("weights.bpz"))
            examples = np.ascontiguousarray(np.resize(there.real_inputs(), (batch, *there.manifest.input_shape)))
    contenders: dict[str, Callable[[], object]] = {"compiled": lambda: compiled.run_batch(examples, THREADS)}
    # A packed directory's graphs are of one example; of the original, random weights take the same time.
    original = torch.export.export(build_model(manifest.name).eval(), (torch.from_numpy(examples),), strict=False)
    contenders["ONNX Runtime, original"] = onnx_runner(onnx_session(plain_onnx(original), THREADS), examples)
    show_times(f"{manifest.name}, batch {batch}, {THREADS} threads each", interleaved(contenders, seconds), results)


def main() -> None:
    """Build each packed directory for the host and measure it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packed", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each contender")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--networks", default="", help="of vgg and resnet-18")
    add_json_option(parser)
    arguments, results = parser.parse_args(), RawResults()
    torch.set_num_threads(1)
    for packed in arguments.packed:
        if arguments.batch > 1:
            measure_batch(packed, arguments.batch, arguments.seconds, results)
            continue
        with tempfile.TemporaryDirectory() as scratch:
            bundle = Path(scratch) / "network.bundle"
            manifest = build(packed, ["host"], bundle, progress=step)
            report = bench(bundle, packed, seconds=arguments.seconds, progress=step)
            measure_peers(packed, bundle, arguments.seconds, results)
        show(f"{manifest.name}, {manifest.packed_bytes:,} bytes", latency_table(report))
        results.add(f"{manifest.name}: bench", size_bytes=manifest.packed_bytes, **report.model_dump(mode="json"))
        start = f"start of the process to the last golden output {report.start_ms:.1f} ms"
        show(f"load and decode {report.decode_us:.0f} µs; {start}")
    for name in filter(None, arguments.networks.split(",")):
        measure_network(name, arguments.seconds, results)
    results.write(arguments.json)


if __name__ == "__main__":
    main()
