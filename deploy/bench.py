"""Latency on this machine: every contender in one process, one thread, interleaved, median and spread."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from .. import codec
from ..errors import InputError, reason_of
from ..files import read_bytes
from ..handover import NETWORK, ORIGINAL, WEIGHTS
from .bundle import GOLDEN_INPUT, GRAPH, Bundle, opened
from .export import fill_weights, load_program, onnx_graph, parameter_names
from .sessions import CompiledNetwork, onnx_session
from .tools import require

_ROUNDS = 20
_STARTS = 9
COMPILED = "compiled"


class Latency(BaseModel):
    """One contender: microseconds a run, and how many times the compiled network's median that is."""

    model_config = ConfigDict(extra="forbid")

    label: str
    runs: int
    median_us: float
    p10_us: float
    p90_us: float
    ratio: float


class BenchReport(BaseModel):
    """Everything measured on one machine, batch 1, one thread."""

    model_config = ConfigDict(extra="forbid")

    name: str
    cpu: str
    rows: list[Latency]
    decode_us: float
    start_ms: float

    @classmethod
    def read(cls, path: Path) -> BenchReport:
        """Read a report that `bench -o` wrote. Raises InputError when it is not one."""
        try:
            return cls.model_validate_json(read_bytes(path, "bench report"))
        except ValidationError as error:
            raise InputError(f"{path} is no bench report ({reason_of(error)}); write one with bench -o.") from None


def bench(
    bundle: Path,
    packed: Path | None = None,
    seconds: float = 2.0,
    progress: Callable[[str], None] | None = None,
) -> BenchReport:
    """Measure a bundle's host build against ONNX Runtime and PyTorch.

    packed   packed directory: adds PyTorch, and the network before compression
    seconds  time spent on each contender

    Raises InputError when the bundle has no host build for this machine or `packed` is of another network, and
    CorruptFileError when a file was changed.
    """
    if not 0.0 < seconds <= 3600.0:
        raise InputError(f"{seconds} seconds cannot be measured for; give between 0 and 3600.")
    tell = progress or (lambda _step: None)
    with opened(bundle) as opened_bundle:
        if difference := opened_bundle.first_difference():
            raise InputError(difference)
        return _bench(opened_bundle, packed, seconds, tell)


def _bench(bundle: Bundle, packed: Path | None, seconds: float, tell: Callable[[str], None]) -> BenchReport:
    target = bundle.manifest.targets.get("host")
    if target is None or target.library is None or target.machine != platform.machine():
        raise InputError(f"The bundle has no host build for {platform.machine()}; build it here with -t host.")
    example = np.ascontiguousarray(bundle.golden_inputs()[:1])
    weights = bundle.read(WEIGHTS)
    tell("loading")
    compiled = CompiledNetwork(bundle.folder / target.library, weights)
    decoded = {tensor.name: tensor.values() for tensor in codec.decode(weights)}
    shrunk = onnx_session(fill_weights(bundle.read(GRAPH), decoded))
    contenders: dict[str, Callable[[], object]] = {
        COMPILED: lambda: compiled.run(example),
        "ONNX Runtime, shrunk": lambda: shrunk.run(None, {"input": example}),
    }
    if packed is None:
        return _measure(bundle, contenders, compiled, seconds, tell)
    if read_bytes(packed / WEIGHTS, "weights file") != weights:
        raise InputError(f"{packed} holds other weights than the bundle; build the bundle from it.")
    torch = require("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        contenders |= _torch_contenders(packed, example)
        return _measure(bundle, contenders, compiled, seconds, tell)
    finally:
        torch.set_num_threads(threads)


def _torch_contenders(packed: Path, example: np.ndarray) -> dict[str, Callable[[], object]]:
    torch = require("torch")
    tensor = torch.from_numpy(example)
    contenders: dict[str, Callable[[], object]] = {}

    def pytorch(program: object) -> Callable[[], object]:
        module = program.module()  # type: ignore[attr-defined]

        def run() -> object:
            with torch.inference_mode():
                return module(tensor)

        return run

    contenders["PyTorch, shrunk"] = pytorch(load_program(packed / NETWORK))
    if (packed / ORIGINAL).is_file():
        original = load_program(packed / ORIGINAL)
        weights = {name: original.state_dict[name].detach().numpy() for name in parameter_names(original).values()}
        session = onnx_session(fill_weights(onnx_graph(original), weights))
        contenders["ONNX Runtime, original"] = lambda: session.run(None, {"input": example})
        contenders["PyTorch, original"] = pytorch(original)
    return contenders


def _measure(
    bundle: Bundle,
    contenders: dict[str, Callable[[], object]],
    compiled: CompiledNetwork,
    seconds: float,
    tell: Callable[[str], None],
) -> BenchReport:
    times: dict[str, list[int]] = {label: [] for label in contenders}
    for run in contenders.values():
        for _ in range(20):
            run()
    for number in range(_ROUNDS):
        tell(f"round {number + 1} of {_ROUNDS}") if number % 10 == 0 else None
        for label, run in contenders.items():
            _run_for(run, seconds / _ROUNDS, times[label])
    base = float(np.median(times[COMPILED]))
    rows = [
        Latency(
            label=label,
            runs=len(taken),
            median_us=float(np.median(taken)) / 1e3,
            p10_us=float(np.percentile(taken, 10)) / 1e3,
            p90_us=float(np.percentile(taken, 90)) / 1e3,
            ratio=float(np.median(taken)) / base,
        )
        for label, taken in times.items()
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
    """Median wall time from starting the runner's process to its end: load, decode, all golden inputs once."""
    target = bundle.manifest.targets["host"]
    command = [bundle.folder.resolve() / target.runner, bundle.folder / WEIGHTS, bundle.folder / GOLDEN_INPUT]
    taken = []
    for _ in range(_STARTS):
        before = time.perf_counter_ns()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        taken.append(time.perf_counter_ns() - before)
    return float(np.median(taken)) / 1e6


def cpu_name() -> str:
    """The processor's model as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
