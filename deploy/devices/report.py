"""The request to a device and the device's report: JSON in lines that begin with a marker.

A device is not trusted. The marker separates the report from other output of a shell, an emulator or a driver, which
may come before, between and after the lines of the report (runtime/runner_report.h). The JSON must match the schema
below, contain only finite numbers, and agree with the request.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...errors import CheckFailedError, reason_of
from ...text import printable
from ..bundle.format import Bundle
from .process import short

TIME_LIMIT = 300.0  # default time limit of one run, in seconds
MARKER = b"bayespress-report-1 "  # the same text as in runner_report.h; the number changes with the schema

Text = Annotated[str, Field(max_length=10_000), AfterValidator(printable)]
Count = Annotated[int, Field(ge=0, le=2**63)]
Nanoseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Output = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RunRequest(_Strict):
    """A request to a runner.

    outputs       run all inputs and print their outputs; if False, run only the first input
    repeat        number of timed runs of the first input; 0 measures no times
    warmup        number of untimed runs before the timed ones
    layers        also time each kernel
    threads       also time all inputs as one batch on this number of threads; 0 measures no batch
    digests       also print a CRC-32 of each decoded tensor
    facts         also print the system's information about the machine
    instructions  also count the instructions of one run of the first input, if the device can; this is practical for
                  networks that take some milliseconds
    seconds       time limit of the run
    """

    outputs: bool = True
    repeat: Annotated[int, Field(ge=0)] = 0
    warmup: Annotated[int, Field(ge=0)] = 10
    layers: bool = False
    threads: Annotated[int, Field(ge=0)] = 0
    digests: bool = False
    facts: bool = False
    instructions: bool = False
    seconds: Annotated[float, Field(gt=0)] = TIME_LIMIT


PLAIN_RUN = RunRequest()


class RunTimes(_Strict):
    """Times of single runs in nanoseconds: minimum and percentiles.

    repeat  number of runs
    """

    repeat: Annotated[int, Field(ge=1)]
    min: Nanoseconds
    p10: Nanoseconds
    median: Nanoseconds
    p90: Nanoseconds
    p99: Nanoseconds

    @model_validator(mode="after")
    def _ordered(self) -> RunTimes:
        if not self.min <= self.p10 <= self.median <= self.p90 <= self.p99:
            raise ValueError("the percentiles are not in ascending order")
        return self


class KernelTime(_Strict):
    """Mean time of one kernel in nanoseconds."""

    kernel: Text
    mean_ns: Nanoseconds


class BatchTimes(_Strict):
    """Times of whole batches on several threads, in nanoseconds."""

    examples: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=1)]
    repeat: Annotated[int, Field(ge=1)]
    min: Nanoseconds
    median: Nanoseconds


class GpuFacts(_Strict):
    """The OpenCL device that ran the network, and the times to open it and to load the weights.

    precision   type of the operands of matrix products
    from_cache  whether the compiled kernels came from the cache
    """

    name: Text
    precision: Literal["float32", "float16"]
    from_cache: bool
    open_ns: Count
    load_ns: Count


class MachineFacts(_Strict):
    """The system's information about the machine; None for what it does not report.

    peak_kb  peak memory of the runner in KiB
    """

    peak_kb: Count | None
    cpu: Text | None
    hardware: Text | None
    part: Text | None
    governor: Text | None
    temperature_c: Annotated[float, Field(ge=-300, le=100_000, allow_inf_nan=False)] | None


class RunnerReport(_Strict):
    """The report of a runner. A field that was not requested is None or empty.

    load_ns          time to decode the weights
    workspace_bytes  memory for decoded weights and activations
    first_ns         time of the first run
    outputs          one row per example; None for a value that is not finite
    instructions     instructions of one run, counted by the device, not by the runner
    gpu_reason       why a requested GPU could not be used
    """

    load_ns: Nanoseconds
    workspace_bytes: Count
    first_ns: Nanoseconds
    outputs: list[list[Output | None]] = []
    gpu: GpuFacts | None = None
    gpu_reason: Text | None = None
    digests: list[Annotated[int, Field(ge=0, le=0xFFFFFFFF)]] | None = None
    run_ns: RunTimes | None = None
    layers: list[KernelTime] = []
    batch_ns: BatchTimes | None = None
    facts: MachineFacts | None = None
    instructions: Count | None = None

    def output_array(self) -> npt.NDArray[np.float32]:
        """Outputs of shape (examples, outputs); NaN for a value that is not finite."""
        with np.errstate(over="ignore"):
            return np.array(self.outputs, np.float64).astype(np.float32)


def parse_report(printed: bytes, name: str) -> RunnerReport:
    """Extract the report from the output of a device. Raises CheckFailedError for a missing or an invalid report."""
    _, *pieces = printed.split(MARKER)
    if not pieces:
        first = next((line for line in printed.decode(errors="replace").splitlines() if line.strip()), "")
        received = f" (it printed {short(first, 100)!r})" if first else ""
        raise CheckFailedError(
            f"The runner on {name} printed no report{received}, and one was expected; "
            "build the bundle again with this version."
        )
    line = b"".join(piece.partition(b"\n")[0].rstrip(b"\r") for piece in pieces)
    try:
        return RunnerReport.model_validate_json(line)
    except ValidationError as error:
        raise CheckFailedError(
            f"The runner on {name} printed a report that does not match the schema ({short(reason_of(error))}); "
            "build the bundle again with this version."
        ) from None


def checked_report(printed: bytes, name: str, bundle: Bundle, examples: int, request: RunRequest) -> RunnerReport:
    """Extract the report from the output of a device and check that it answers the request.

    Raises CheckFailedError as `parse_report` does, and if the number of any requested item is wrong.
    """
    report = parse_report(printed, name)
    for items, count, expected in _counts(report, bundle, examples, request):
        if count != expected:
            raise CheckFailedError(
                f"The runner on {name} printed {count} {items}, and {expected} were expected; build the bundle again."
            )
    return report


def _counts(report: RunnerReport, bundle: Bundle, examples: int, request: RunRequest) -> list[tuple[str, int, int]]:
    width = math.prod(bundle.manifest.output_shape)
    counts = [("rows of outputs", len(report.outputs), examples if request.outputs else 0)]
    counts += [("outputs in a row", len(row), width) for row in report.outputs if len(row) != width][:1]
    expected_digests = len(bundle.manifest.decoded) if request.digests else 0
    counts.append(("digests of tensors", len(report.digests or ()), expected_digests))
    counts.append(("lists of times", int(report.run_ns is not None), int(request.repeat > 0)))
    counts.append(("sets of facts", int(report.facts is not None), int(request.facts)))
    counts.append(("counts of instructions", int(report.instructions is not None), 0))  # the device adds it later
    if report.batch_ns is not None:
        counts.append(("threads", report.batch_ns.threads, request.threads))
        counts.append(("examples in a batch", report.batch_ns.examples, examples))
    return counts
