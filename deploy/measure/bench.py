"""Latency of a bundle. On this machine all contenders run alternately in one process on one thread; on other devices
the bundle's runner measures itself.

Each contender is configured as by its users. ONNX Runtime gets the graph that torch.onnx.export writes by default
(batch norms folded, weights as constants), all of its graph optimisations, and bound buffers. PyTorch runs operator by
operator (without torch.compile), in inference mode, and without the wrapper that torch.export adds to a network.
"""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ... import codec
from ...errors import InputError, unknown_name
from ...files import StrPath, read_bytes
from ...optional import needs, require
from ...packed_format import NETWORK, ORIGINAL, WEIGHTS
from ..bundle.format import GOLDEN_INPUT, GRAPH, Bundle, opened
from ..bundle.sign import check_signature, public_key
from ..devices import device_named
from ..devices.base import MOST_THREADS
from ..devices.failures import failure_of
from ..devices.process import Limits, run_program
from ..devices.report import TIME_LIMIT
from ..program.export import fill_weights, load_program, plain_onnx
from ..verify.checks import check_time_limit
from ..verify.sessions import CompiledNetwork, eager_runner, onnx_failures, onnx_runner, onnx_session
from ..verify.tolerance import check_outputs
from .device import measure
from .report import BenchReport, Latency

_ROUNDS = 20
_LARGEST_OUTPUT = 1 << 30  # bytes
_STARTS = 9
_LARGEST_BATCH = 1 << 20  # examples
COMPILED = "compiled"
PEERS = ("onnxruntime", "torch")


@needs("deploy")
def bench(
    bundle: StrPath,
    packed: StrPath | None = None,
    seconds: float = 2.0,
    progress: Callable[[str], None] | None = None,
    *,
    devices: Sequence[str] = ("host",),
    compare: Sequence[str] = PEERS,
    threads: Sequence[int] = (),
    batches: Sequence[int] = (256,),
    key: StrPath | None = None,
    time_limit: float = TIME_LIMIT,
) -> BenchReport:
    """Measure a bundle on devices, and on this machine in comparison with ONNX Runtime and PyTorch.

    packed      packed directory of the bundle; adds PyTorch, and the network before compression, to the comparison
    seconds     measuring time for each contender and for each device
    progress    called with a line of text before each step
    devices     names or addresses; the comparison runs if "host" is one of them
    compare     runtimes to compare with, a subset of ("onnxruntime", "torch")
    threads     numbers of threads; if not empty, batches are measured with each of them
    batches     numbers of examples in a batch
    key         public key in PEM; the bundle must be signed by its owner
    time_limit  seconds, in addition to the measuring time, after which a run on a device is stopped

    Raises InputError if the bundle has no host build for this machine or `packed` belongs to another network,
    CorruptFileError if a file was changed, MissingToolError if a device is unavailable, and CheckFailedError if a
    contender does not compute the golden output.

    >>> import pathlib, tempfile, torch, bayespress
    >>> net = bayespress.bayesianize(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)))
    >>> packed = bayespress.compress(net, torch.randn(8, 4), threshold=20.0)
    >>> bundle = pathlib.Path(tempfile.mkdtemp(), "net.bundle")
    >>> manifest = bayespress.build(packed, ["host"], bundle)
    >>> report = bayespress.bench(bundle, seconds=0.05)
    >>> [row.label for row in report.rows][:1], report.rows[0].median_us > 0
    (['compiled'], True)
    """
    bundle = Path(bundle)
    packed, key = (None if each is None else Path(each) for each in (packed, key))
    if not 0.0 < seconds <= 3600.0:
        raise InputError(f"A measuring time of {seconds} seconds is out of range; give between 0 and 3600.")
    check_time_limit(time_limit)
    for peer in compare:
        if peer not in PEERS:
            raise unknown_name("runtime to compare with", peer, PEERS)
    small_enough = all(1 <= batch <= _LARGEST_BATCH for batch in batches)
    if not batches or not small_enough or any(not 1 <= count <= MOST_THREADS for count in threads):
        raise InputError(
            f"A batch of {', '.join(map(str, batches)) or 'no'} examples on {', '.join(map(str, threads)) or 'no'} "
            f"threads cannot be measured; give 1 to {_LARGEST_BATCH} examples and 1 to {MOST_THREADS} threads."
        )
    chosen = [device_named(name) for name in dict.fromkeys(devices)]
    log = progress or (lambda _step: None)
    with opened(bundle) as opened_bundle:
        if key is not None:
            check_signature(opened_bundle, public_key(key), key.name)
        if difference := opened_bundle.first_difference():
            raise InputError(difference)
        on_host = any(device.name == "host" for device in chosen)
        report = (
            _bench(opened_bundle, packed, seconds, log, compare)
            if on_host
            else BenchReport(name=opened_bundle.manifest.name, cpu=cpu_name())
        )
        report.devices = [
            measure(opened_bundle, device, seconds, threads, batches, log, time_limit) for device in chosen
        ]
        return report


def _bench(
    bundle: Bundle, packed: Path | None, seconds: float, log: Callable[[str], None], compare: Sequence[str]
) -> BenchReport:
    target = bundle.manifest.targets.get("host")
    if target is None or target.library is None or target.machine != platform.machine():
        raise InputError(f"The bundle has no host build for {platform.machine()}; build it here with -t host.")
    example = np.ascontiguousarray(bundle.real_inputs()[:1])
    weights = bundle.read(WEIGHTS)
    log("loading")
    compiled = CompiledNetwork(bundle.folder / target.library, weights)
    contenders: dict[str, Callable[[], object]] = {COMPILED: lambda: compiled.run(example)}
    if "onnxruntime" in compare:
        decoded = {tensor.name: tensor.values() for tensor in codec.decode(weights)}
        graph = fill_weights(bundle.read(GRAPH), decoded)
        with onnx_failures():
            contenders["ONNX Runtime, shrunk"] = onnx_runner(onnx_session(graph), example)
    if packed is None:
        _check(bundle, contenders)
        return _measure(bundle, contenders, compiled, seconds, log)
    if read_bytes(packed / WEIGHTS, "weights file") != weights:
        raise InputError(f"{packed} holds other weights than the bundle; build the bundle from this directory.")
    require("torch")
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        contenders |= _packed_contenders(packed, example, compare)
        _check(bundle, contenders)
        return _measure(bundle, contenders, compiled, seconds, log)
    finally:
        torch.set_num_threads(threads)


def _check(bundle: Bundle, contenders: dict[str, Callable[[], object]]) -> None:
    """Raise CheckFailedError unless every contender with the shrunk network computes the golden output.

    The times of a wrong network would be meaningless.
    """
    expected, allowed = bundle.golden_outputs()[:1], bundle.golden_tolerance()[:1]
    for label, run in contenders.items():
        if not label.endswith("original"):
            with onnx_failures() if label.startswith("ONNX Runtime") else contextlib.nullcontext():
                outputs = np.asarray(run(), np.float32)
            check_outputs(outputs, expected, allowed, f"An output of {label}")


def _packed_contenders(packed: Path, example: np.ndarray, compare: Sequence[str]) -> dict[str, Callable[[], object]]:
    contenders: dict[str, Callable[[], object]] = {}
    if "torch" in compare:
        contenders["PyTorch, shrunk"] = eager_runner(load_program(packed / NETWORK), example)
    if not (packed / ORIGINAL).is_file():
        return contenders
    original = load_program(packed / ORIGINAL)
    if "onnxruntime" in compare:
        graph = plain_onnx(original)
        with onnx_failures():
            contenders["ONNX Runtime, original"] = onnx_runner(onnx_session(graph), example)
    if "torch" in compare:
        contenders["PyTorch, original"] = eager_runner(original, example)
    return contenders


def _measure(
    bundle: Bundle,
    contenders: dict[str, Callable[[], object]],
    compiled: CompiledNetwork,
    seconds: float,
    log: Callable[[str], None],
) -> BenchReport:
    times: dict[str, list[int]] = {label: [] for label in contenders}
    for run in contenders.values():
        for _ in range(20):
            run()
    for number in range(_ROUNDS):
        log(f"round {number + 1} of {_ROUNDS}") if number % 10 == 0 else None
        for label, run in contenders.items():
            _run_for(run, seconds / _ROUNDS, times[label])
    base = float(np.median(times[COMPILED]))
    rows = [
        Latency(
            label=label,
            runs=len(nanoseconds),
            median_us=float(np.median(nanoseconds)) / 1e3,
            p10_us=float(np.percentile(nanoseconds, 10)) / 1e3,
            p90_us=float(np.percentile(nanoseconds, 90)) / 1e3,
            ratio=float(np.median(nanoseconds)) / base,
        )
        for label, nanoseconds in times.items()
    ]
    decode: list[int] = []
    _run_for(compiled.load, min(seconds, 0.5), decode)
    return BenchReport(
        name=bundle.manifest.name,
        cpu=cpu_name(),
        rows=rows,
        decode_us=float(np.median(decode)) / 1e3,
        start_ms=_start_ms(bundle),
    )


def _run_for(run: Callable[[], object], seconds: float, times: list[int]) -> None:
    end = time.perf_counter_ns() + int(seconds * 1e9)
    while True:
        before = time.perf_counter_ns()
        run()
        after = time.perf_counter_ns()
        times.append(after - before)
        if after >= end:
            return


def _start_ms(bundle: Bundle) -> float:
    """Median wall time of the runner's process in milliseconds: start, load, decode, run all golden inputs once."""
    target = bundle.manifest.targets["host"]
    command = [bundle.folder.resolve() / target.runner, bundle.folder / WEIGHTS, bundle.folder / GOLDEN_INPUT]
    times = []
    for _ in range(_STARTS):
        before = time.perf_counter_ns()
        finished = run_program(command, "host", Limits(TIME_LIMIT, _LARGEST_OUTPUT))
        times.append(time.perf_counter_ns() - before)
        if finished.status != 0:
            raise failure_of("host", finished)
    return float(np.median(times)) / 1e6


def cpu_name() -> str:
    """The system's name for the processor model."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
