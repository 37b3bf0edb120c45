"""What `bench` measured, as the JSON that it writes and reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ...errors import InputError, reason_of
from ...files import read_bytes
from ...html_report import html_table
from ...text import printable

# A report of a network with thousands of kernels on dozens of devices is a fraction of this.
_MOST_BYTES = 16 << 20

# Reports come from other machines: their names are made safe to print where they are read.
Name = Annotated[str, Field(max_length=10_000), AfterValidator(printable)]
Measured = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Latency(_Strict):
    """One contender on this machine: microseconds a run, and how many times the compiled network's median that is."""

    label: Name
    runs: Count
    median_us: Measured
    p10_us: Measured
    p90_us: Measured
    ratio: Measured


class LayerTime(_Strict):
    """One kernel, named by the layers whose weights it reads; mean over many runs."""

    kernel: Name
    mean_us: Measured


class BatchTime(_Strict):
    """Many examples on several threads at once: median of the whole batch."""

    threads: Count
    examples: Count
    median_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class DeviceReport(_Strict):
    """What the runner measured on one device, one example at a time on one thread but for `batches`.

    emulated      times would say nothing and are not there
    load_us       checking and decoding the weights, and what is computed from them once
    first_us      the first run
    instructions  executed by one run, under emulation
    facts that the device does not report are None
    """

    device: Name
    description: Name
    emulated: bool
    cpu: Name | None
    governor: Name | None
    temperature_c: Annotated[float, Field(allow_inf_nan=False)] | None
    peak_kb: Count | None
    workspace_bytes: Count
    load_us: Measured | None = None
    first_us: Measured | None = None
    runs: Count = 0
    min_us: Measured | None = None
    median_us: Measured | None = None
    p90_us: Measured | None = None
    p99_us: Measured | None = None
    instructions: Count | None = None
    layers: list[LayerTime] = []
    batches: list[BatchTime] = []


class BenchReport(_Strict):
    """One network on one or several devices.

    rows       the compiled network beside others in one process of this machine, batch 1, one thread; may be empty
    decode_us  of the weights in this process
    start_ms   from starting the host runner's process to its end: load, decode, all golden inputs once
    """

    name: Name
    cpu: Name
    rows: list[Latency] = []
    decode_us: Measured | None = None
    start_ms: Measured | None = None
    devices: list[DeviceReport] = []

    def __repr__(self) -> str:
        fastest = f", {self.rows[0].median_us:,.1f} µs compiled" if self.rows else ""
        devices = f", {len(self.devices)} devices" if self.devices else ""
        return f"BenchReport({self.name} on {self.cpu}{fastest}{devices})"

    def __str__(self) -> str:
        """As `repr`: pydantic's own lists every field of every device."""
        return repr(self)

    def _repr_html_(self) -> str:
        """A table of the latencies, for notebooks."""
        rows = [
            (row.label, f"{row.median_us:,.1f}", f"{row.p10_us:,.1f} to {row.p90_us:,.1f}", f"{row.ratio:.2f}x")
            for row in self.rows
        ]
        rows += [(each.device, f"{each.median_us:,.1f}", "", "") for each in self.devices if each.median_us is not None]
        return html_table(("", "median, µs", "p10 to p90, µs", "against compiled"), rows, repr(self))

    @classmethod
    def read(cls, path: Path) -> BenchReport:
        """Read a report that `bench -o` or the Android app wrote. Raises InputError when it is not one."""
        data = read_bytes(path, "bench report", _MOST_BYTES)
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            reason = reason_of(error)[:300]
            raise InputError(f"{path} is no bench report ({reason}); write one with bench -o.") from None


def gathered(reports: Sequence[BenchReport]) -> BenchReport:
    """Several reports of one network as one. Raises InputError when they are of different networks."""
    first, *others = reports
    for other in others:
        if other.name != first.name:
            raise InputError(f"The reports are of {first.name} and of {other.name}; gather those of one network.")
    measured = next((report for report in reports if report.rows), first)
    return measured.model_copy(update={"devices": [device for report in reports for device in report.devices]})
