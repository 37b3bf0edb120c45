"""What is asked of a device, and the report that comes back: JSON in lines that begin with a marker.

A device is not trusted. The marker separates the report from whatever else a shell, an emulator or a driver prints,
before it, between its lines and after it (runtime/runner_report.h). The JSON must follow the schema below, be finite,
and agree with the request.
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

TIME_LIMIT = 300.0  # seconds of one run, where nobody says otherwise
MARKER = b"bayespress-report-1 "  # as in runner_report.h; the number changes with the schema

Text = Annotated[str, Field(max_length=10_000), AfterValidator(printable)]
Count = Annotated[int, Field(ge=0, le=2**63)]
Nanoseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Output = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RunRequest(_Strict):
    """What a runner is to do.

    outputs  print the outputs of all inputs; without, only the first is run
    repeat   timed runs of the first input; 0 times nothing
    warmup   runs before those
    layers   also time each kernel
    threads  also time all inputs as one batch on so many threads; 0 does not
    digests  also print a CRC-32 of each decoded tensor
    facts    also print what the system reports of the machine
    instructions  also count the instructions of one run of the first input, on devices that can; for networks of some
             milliseconds
    seconds  longest that it may take
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
    """Nanoseconds of single runs: least, percentiles, and how many runs they are of."""

    repeat: Annotated[int, Field(ge=1)]
    min: Nanoseconds
    p10: Nanoseconds
    median: Nanoseconds
    p90: Nanoseconds
    p99: Nanoseconds

    @model_validator(mode="after")
    def _ordered(self) -> RunTimes:
        if not self.min <= self.p10 <= self.median <= self.p90 <= self.p99:
            raise ValueError("the percentiles do not ascend")
        return self


class KernelTime(_Strict):
    """Mean nanoseconds of one kernel."""

    kernel: Text
    mean_ns: Nanoseconds


class BatchTimes(_Strict):
    """Nanoseconds of whole batches on several threads."""

    examples: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=1)]
    repeat: Annotated[int, Field(ge=1)]
    min: Nanoseconds
    median: Nanoseconds


class GpuFacts(_Strict):
    """The OpenCL device that was used, and how long it took to open it and to load the weights."""

    name: Text
    precision: Literal["float32", "float16"]
    from_cache: bool
    open_ns: Count
    load_ns: Count


class MachineFacts(_Strict):
    """What the system reports about the machine; None where it reports nothing."""

    peak_kb: Count | None
    cpu: Text | None
    hardware: Text | None
    part: Text | None
    governor: Text | None
    temperature_c: Annotated[float, Field(ge=-300, le=100_000, allow_inf_nan=False)] | None


class RunnerReport(_Strict):
    """All that a runner printed. What was not asked for is None, or empty.

    outputs     one row an example; None for what is not finite
    instructions  of one run; counted by the device and not by the runner
    gpu_reason  why there is no GPU where one was asked for
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
        """Outputs (examples, outputs); NaN for what is not finite."""
        with np.errstate(over="ignore"):
            return np.array(self.outputs, np.float64).astype(np.float32)


def parse_report(printed: bytes, name: str) -> RunnerReport:
    """The report in what a device printed. Raises CheckFailedError when there is none, or another thing."""
    _, *pieces = printed.split(MARKER)
    if not pieces:
        first = next((line for line in printed.decode(errors="replace").splitlines() if line.strip()), "")
        heard = f" ({short(first, 100)!r} came)" if first else ""
        raise CheckFailedError(
            f"The runner on {name} printed no report{heard}, and one was expected; "
            "build the bundle again with this version."
        )
    line = b"".join(piece.partition(b"\n")[0].rstrip(b"\r") for piece in pieces)
    try:
        return RunnerReport.model_validate_json(line)
    except ValidationError as error:
        raise CheckFailedError(
            f"The runner on {name} printed a report of another shape ({short(reason_of(error))}); "
            "build the bundle again with this version."
        ) from None


def accepted(printed: bytes, name: str, bundle: Bundle, examples: int, request: RunRequest) -> RunnerReport:
    """The report in what a device printed, if it answers the request.

    Raises CheckFailedError as `parse_report` does, and when something is missing or of another number.
    """
    report = parse_report(printed, name)
    for what, got, expected in _counts(report, bundle, examples, request):
        if got != expected:
            raise CheckFailedError(
                f"The runner on {name} printed {got} {what}, and {expected} were expected; build the bundle again."
            )
    return report


def _counts(report: RunnerReport, bundle: Bundle, examples: int, request: RunRequest) -> list[tuple[str, int, int]]:
    width = math.prod(bundle.manifest.output_shape)
    counts = [("rows of outputs", len(report.outputs), examples if request.outputs else 0)]
    counts += [("outputs in a row", len(row), width) for row in report.outputs if len(row) != width][:1]
    wanted = len(bundle.manifest.decoded) if request.digests else 0
    counts.append(("digests of tensors", len(report.digests or ()), wanted))
    counts.append(("lists of times", int(report.run_ns is not None), int(request.repeat > 0)))
    counts.append(("sets of facts", int(report.facts is not None), int(request.facts)))
    counts.append(("counts of instructions", int(report.instructions is not None), 0))  # not the runner's to print
    if report.batch_ns is not None:
        counts.append(("threads", report.batch_ns.threads, request.threads))
        counts.append(("examples in a batch", report.batch_ns.examples, examples))
    return counts
