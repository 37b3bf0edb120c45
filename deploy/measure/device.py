"""Timing a bundle's runner on a device, wherever that is."""

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

_FEWEST, _MOST = 20, 100_000
_BATCH_ROUNDS = 5
# Inputs and outputs of a batch lie in the device's memory whole, and its inputs go there through a file.
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
    """Measure on one device.

    seconds  spent on single runs, about
    threads  numbers of threads to run batches on
    batches  numbers of their examples
    time_limit  seconds, beyond those to measure for, after which a run on the device is stopped

    Raises InputError for threads on a device that runs one example at a time and for a batch of more than a gibibyte,
    MissingToolError when the device cannot be used or goes away, CheckFailedError when its runner fails or is stopped.
    """
    most = device.capabilities.max_threads
    for count in threads:
        if count > most:
            has = {0: "runs one example at a time", 1: "has one thread"}
            reason = has.get(most, f"has at most {most} threads")
            raise InputError(f"Device {device.name} {reason}; leave --threads out.")
    for batch in batches if threads else ():
        _check_size(bundle, batch)
    with connected(device, bundle, log) as session, tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
        # Layers are timed by as many runs again, and warming up takes a twentieth of them.
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
    asked: RunRequest,
) -> DeviceReport:
    """See `measure`; `asked` has the time that one run may take."""
    log(f"{device.name}: first run")
    examples = bundle.real_inputs()
    one = _write(scratch / "one.f32", examples[:1])
    counts = device.capabilities.counts_instructions
    if counts:
        log(f"{device.name}: counting instructions")
    first = session.run(one, asked.model_copy(update={"facts": True, "instructions": counts}))
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
    timed = session.run(one, asked.model_copy(update={"repeat": runs, "warmup": max(2, runs // 20), "layers": True}))
    times = timed.run_ns
    if times is None:
        raise CheckFailedError(f"Device {device.name} reported no times; build the bundle again.")
    report.runs = times.repeat
    report.min_us, report.median_us, report.p90_us, report.p99_us = (
        value / 1e3 for value in (times.min, times.median, times.p90, times.p99)
    )
    report.layers = [LayerTime(kernel=each.kernel, mean_us=each.mean_ns / 1e3) for each in timed.layers]
    for batch in batches if threads else ():
        many = _write(scratch / "many.f32", np.resize(examples, (batch, *examples.shape[1:])))
        for count in threads:
            log(f"{device.name}: {batch} examples on {count} threads")
            options = {"outputs": False, "repeat": _BATCH_ROUNDS, "warmup": 0, "threads": count}
            batch_times = session.run(many, asked.model_copy(update=options)).batch_ns
            if batch_times is None:
                raise CheckFailedError(f"Device {device.name} reported no time of a batch; build the bundle again.")
            median = max(batch_times.median, 1.0)  # a coarse clock may say 0
            report.batches.append(BatchTime(threads=count, examples=batch, median_ms=median / 1e6))
    return report


def _check_size(bundle: Bundle, batch: int) -> None:
    numbers = math.prod(bundle.manifest.input_shape) + math.prod(bundle.manifest.output_shape)
    most = _LARGEST_BATCH_BYTES // (4 * max(1, numbers))
    if batch > most:
        raise InputError(
            f"A batch of {batch} examples of this network takes {batch * 4 * numbers:,} bytes; give at most {most}."
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
