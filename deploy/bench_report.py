"""What `bench` measured, as the JSON that it writes and reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import InputError, reason_of
from ..files import read_bytes


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Latency(_Strict):
    """One contender on this machine: microseconds a run, and how many times the compiled network's median that is."""

    label: str
    runs: int
    median_us: float
    p10_us: float
    p90_us: float
    ratio: float


class LayerTime(_Strict):
    """One kernel, named by the layers whose weights it reads; mean over many runs."""

    kernel: str
    mean_us: float


class BatchTime(_Strict):
    """Many examples on several threads at once: median of the whole batch."""

    threads: int
    examples: int
    median_ms: float


class DeviceReport(_Strict):
    """What the runner measured on one device, one example at a time on one thread but for `batches`.

    emulated      times would say nothing and are not there
    load_us       checking and decoding the weights, and what is computed from them once
    first_us      the first run
    instructions  executed by one run, under emulation
    facts that the device does not tell are None
    """

    device: str
    description: str
    emulated: bool
    cpu: str | None
    governor: str | None
    temperature_c: float | None
    peak_kb: int | None
    workspace_bytes: int
    load_us: float | None = None
    first_us: float | None = None
    runs: int = 0
    min_us: float | None = None
    median_us: float | None = None
    p90_us: float | None = None
    p99_us: float | None = None
    instructions: int | None = None
    layers: list[LayerTime] = []
    batches: list[BatchTime] = []


class BenchReport(_Strict):
    """One network on one or several devices.

    rows       the compiled network beside others in one process of this machine, batch 1, one thread; may be empty
    decode_us  of the weights in this process
    start_ms   from starting the host runner's process to its end: load, decode, all golden inputs once
    """

    name: str
    cpu: str
    rows: list[Latency] = []
    decode_us: float | None = None
    start_ms: float | None = None
    devices: list[DeviceReport] = []

    @classmethod
    def read(cls, path: Path) -> BenchReport:
        """Read a report that `bench -o` or the Android app wrote. Raises InputError when it is not one."""
        try:
            return cls.model_validate_json(read_bytes(path, "bench report"))
        except ValidationError as error:
            raise InputError(f"{path} is no bench report ({reason_of(error)}); write one with bench -o.") from None


def gathered(reports: Sequence[BenchReport]) -> BenchReport:
    """Several reports of one network as one. Raises InputError when they are of different networks."""
    first, *others = reports
    for other in others:
        if other.name != first.name:
            raise InputError(f"The reports are of {first.name} and of {other.name}; gather those of one network.")
    measured = next((report for report in reports if report.rows), first)
    return measured.model_copy(update={"devices": [device for report in reports for device in report.devices]})
