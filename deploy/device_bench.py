"""Timing a bundle's runner on a device, wherever that is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, MissingToolError
from .bench_report import BatchTime, DeviceReport, LayerTime
from .bundle import Bundle
from .devices.base import Device
from .devices.qemu import QemuUser
from .tolerance import check_outputs

_FEWEST, _MOST = 20, 100_000
_BATCH_ROUNDS = 5


def measure(
    bundle: Bundle,
    device: Device,
    seconds: float,
    threads: Sequence[int],
    batches: Sequence[int],
    tell: Callable[[str], None],
) -> DeviceReport:
    """Measure on one device.

    seconds  spent on single runs, about
    threads  numbers of threads to run batches on
    batches  numbers of their examples

    Raises InputError for threads on a device that runs one example at a time, MissingToolError when the device cannot
    be used or goes away, CheckFailedError when its runner fails.
    """
    if (unavailable := device.unavailable(bundle)) is not None:
        raise MissingToolError(f"Device {device.name} cannot be used: {unavailable.reason}.")
    tell(f"{device.name}: first run")
    with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
        examples = bundle.real_inputs()
        one = _write(Path(scratch) / "one.f32", examples[:1])
        said = device.run(bundle, one, ["--facts"])
        half = (said.get("gpu") or {}).get("precision") == "float16"
        check_outputs(
            np.array(said["outputs"], np.float32), bundle.golden_outputs()[:1], bundle.golden_tolerance(half=half)[:1],
            f"An output on device {device.name}", half=half,
        )  # fmt: skip
        report = _facts(device, said)
        if isinstance(device, QemuUser):
            tell(f"{device.name}: counting instructions")
            report.instructions = device.instructions(bundle, one)
            return report
        runs = int(min(_MOST, max(_FEWEST, seconds * 1e9 / max(1.0, said["first_ns"]))))
        tell(f"{device.name}: {runs} runs")
        said = device.run(bundle, one, ["--repeat", str(runs), "--warmup", str(max(2, runs // 20)), "--layers"])
        times = said["run_ns"]
        report.runs = times["repeat"]
        report.min_us, report.median_us, report.p90_us, report.p99_us = (
            times[key] / 1e3 for key in ("min", "median", "p90", "p99")
        )
        report.layers = [LayerTime(kernel=each["kernel"], mean_us=each["mean_ns"] / 1e3) for each in said["layers"]]
        for batch in batches if threads else ():
            many = _write(Path(scratch) / "many.f32", np.resize(examples, (batch, *examples.shape[1:])))
            for count in threads:
                tell(f"{device.name}: {batch} examples on {count} threads")
                options = ["--repeat", str(_BATCH_ROUNDS), "--warmup", "0", "--threads", str(count)]
                timed = device.run(bundle, many, options).get("batch_ns")
                if timed is None:
                    raise InputError(f"Device {device.name} runs one example at a time; leave --threads out.")
                report.batches.append(BatchTime(threads=count, examples=batch, median_ms=timed["median"] / 1e6))
        return report


def _facts(device: Device, said: dict[str, Any]) -> DeviceReport:
    facts = said["facts"]
    emulated = isinstance(device, QemuUser)
    return DeviceReport(
        device=device.name, description=device.description, emulated=emulated,
        cpu=None if emulated else facts["cpu"] or facts["hardware"] or facts["part"], governor=facts["governor"],
        temperature_c=facts["temperature_c"], peak_kb=None if emulated else facts["peak_kb"],
        workspace_bytes=said["workspace_bytes"], load_us=None if emulated else said["load_ns"] / 1e3,
        first_us=None if emulated else said["first_ns"] / 1e3,
    )  # fmt: skip


def _write(path: Path, examples: np.ndarray) -> Path:
    path.write_bytes(np.ascontiguousarray(examples, "<f4").tobytes())
    return path
