"""Measuring a bundle's runner on a device."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...errors import CheckFailedError, InputError
from ..bundle.format import Bundle
from ..devices import Device, RunnerReport, RunRequest, Session, connected
from ..devices.report import TIME_LIMIT
from ..verify.tolerance import check_outputs
from .report import BatchTime, DeviceReport, LayerTime

_FEWEST, _MOST = 20, 100_000  # timed runs
_BATCH_ROUNDS = 5
# All inputs and outputs of a batch are in the device's memory, and the inputs are sent as a file.
_LARGEST_BATCH_BYTES = 1 << 30


def measure(
    bundle: Bundle,
    device: Device,
    seconds: float,
    threads: Sequence[int],
    batches: Sequence[int],
    log: Callable[[str], None],
    time_limit: float = TIME_LIMIT,
) -> DeviceReport:
    """Measure a bundle on one device.

    seconds     approximate measuring time for single runs
    threads     numbers of threads for batches
    batches     numbers of examples in a batch
    time_limit  seconds, in addition to the measuring time, after which a run on the device is stopped

    Raises InputError for threads on a device that runs one example at a time and for a batch of more than 1 GiB,
    MissingToolError if the device is unavailable or no longer answers, CheckFailedError if its runner fails or is
    stopped.
    """
    most = device.capabilities.max_threads
    for count in threads:
        if count > most:
            reasons = {0: "runs one example at a time", 1: "has one thread"}
            reason = reasons.get(most, f"has at most {most} threads")
            raise InputError(f"Device {device.name} {reason}; leave --threads out.")
    for batch in batches if threads else ():
        _check_size(bundle, batch)
    with connected(device, bundle, log) as session, tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
        # The layers are timed in as many runs again, and the warm-up takes a twentieth of them.
        return _measured(
            bundle, device, session, Path(scratch), seconds, threads, batches, log,
            RunRequest(seconds=time_limit + 3 * seconds),
        )  # fmt: skip


def _measured(
    bundle: Bundle,
    device: Device,
    session: Session,
    scratch: Path,
    seconds: float,
    threads: Sequence[int],
    batches: Sequence[int],
    log: Callable[[str], None],
    base: RunRequest,
) -> DeviceReport:
    """See `measure`.

    base  request with the time limit of a run
    """
    log(f"{device.name}: first run")
    examples = bundle.real_inputs()
    one = _write(scratch / "one.f32", examples[:1])
    counts = device.capabilities.counts_instructions
    if counts:
        log(f"{device.name}: counting instructions")
    first = session.run(one, base.model_copy(update={"facts": True, "instructions": counts}))
    half = first.gpu is not None and first.gpu.precision == "float16"
    check_outputs(
        first.output_array(), bundle.golden_outputs()[:1], bundle.golden_tolerance(half=half)[:1],
        f"An output on device {device.name}", half=half,
    )  # fmt: skip
    report = _facts(device, first)
    if device.capabilities.emulated:
        return report
    runs = int(min(_MOST, max(_FEWEST, seconds * 1e9 / max(1.0, first.first_ns))))
    log(f"{device.name}: {runs} runs")
    timed = session.run(one, base.model_copy(update={"repeat": runs, "warmup": max(2, runs // 20), "layers": True}))
    times = timed.run_ns
    if times is None:
        raise CheckFailedError(f"Device {device.name} reported no times; build the bundle again.")
    report.runs = times.repeat
    report.min_us, report.median_us, report.p90_us, report.p99_us = (
        value / 1e3 for value in (times.min, times.median, times.p90, times.p99)
    )
    report.layers = [LayerTime(kernel=layer.kernel, mean_us=layer.mean_ns / 1e3) for layer in timed.layers]
    for batch in batches if threads else ():
        many = _write(scratch / "many.f32", np.resize(examples, (batch, *examples.shape[1:])))
        for count in threads:
            log(f"{device.name}: {batch} examples on {count} threads")
            options = {"outputs": False, "repeat": _BATCH_ROUNDS, "warmup": 0, "threads": count}
            batch_times = session.run(many, base.model_copy(update=options)).batch_ns
            if batch_times is None:
                raise CheckFailedError(f"Device {device.name} reported no time of a batch; build the bundle again.")
            median = max(batch_times.median, 1.0)  # a coarse clock may measure 0
            report.batches.append(BatchTime(threads=count, examples=batch, median_ms=median / 1e6))
    return report


def _check_size(bundle: Bundle, batch: int) -> None:
    numbers = math.prod(bundle.manifest.input_shape) + math.prod(bundle.manifest.output_shape)
    most = _LARGEST_BATCH_BYTES // (4 * max(1, numbers))
    if batch > most:
        raise InputError(
            f"A batch of {batch} examples of this network takes {batch * 4 * numbers:,} bytes; give at most {most} "
            "examples."
        )


def _facts(device: Device, first: RunnerReport) -> DeviceReport:
    facts = first.facts
    if facts is None:
        raise CheckFailedError(f"Device {device.name} reported no facts; build the bundle again.")
    emulated = device.capabilities.emulated
    cpu = facts.cpu or facts.hardware or facts.part
    return DeviceReport(
        device=device.name, description=device.description, emulated=emulated,
        cpu=None if emulated else cpu, governor=facts.governor,
        temperature_c=facts.temperature_c, peak_kb=None if emulated else facts.peak_kb,
        workspace_bytes=first.workspace_bytes, instructions=first.instructions,
        load_us=None if emulated else first.load_ns / 1e3,
        first_us=None if emulated else first.first_ns / 1e3,
    )  # fmt: skip


def _write(path: Path, examples: np.ndarray) -> Path:
    path.write_bytes(np.ascontiguousarray(examples, "<f4").tobytes())
    return path
