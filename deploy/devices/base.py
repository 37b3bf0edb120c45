"""What a device is to the rest: a place where a bundle's runner is run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...packed_format import WEIGHTS
from ..bundle.format import Bundle, TargetEntry
from .failures import failure_of
from .process import Limits, run_program, short
from .report import PLAIN_RUN, TIME_LIMIT, RunnerReport, RunRequest, accepted, parse_report

MOST_THREADS = 64  # BP_MAX_THREADS of runtime/bayespress.h
_LARGEST_REPORT = 1 << 30  # of a runner that we built ourselves


@dataclass(frozen=True)
class Unavailable:
    """Why a device cannot run a bundle here, as one sentence.

    no_target  because the bundle was not built for it
    """

    reason: str
    no_target: bool = False


class Device(Protocol):
    """One transport to one kind of machine."""

    @property
    def name(self) -> str:
        """What the command line calls it."""
        ...

    @property
    def description(self) -> str:
        """For reports."""
        ...

    @property
    def most_threads(self) -> int:
        """On how many threads it may be asked to run a batch; 0 when it runs one example at a time."""
        ...

    def unavailable(self, bundle: Bundle) -> Unavailable | None:
        """None when `run` can be tried."""
        ...

    def run(self, bundle: Bundle, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """What the runner reports for the inputs in a raw float32 file.

        Raises CheckFailedError when it fails, exceeds the request's time or prints another thing than its report,
        MissingToolError when the device went away, InputError for a request that this device cannot do.
        """
        ...


def target_for(bundle: Bundle, machine: str) -> TargetEntry | None:
    """The bundle's first target for a kind of processor, as `uname -m` names it; one for Linux before one for Android,
    whose 32-bit objects are of another ABI, and a static one before the host's own.
    """
    same = {"armv8l": "armv7l", "arm64": "aarch64"}.get(machine, machine)
    found = [(name, entry) for name, entry in bundle.manifest.targets.items() if entry.machine == same]
    found.sort(key=lambda item: (item[0] == "host", item[1].android))
    return found[0][1] if found else None


def without_target(bundle: Bundle, machine: str) -> Unavailable | None:
    """Why a kind of processor cannot run the bundle; None when it can."""
    if target_for(bundle, machine) is not None:
        return None
    return Unavailable(
        f"the bundle has no target for its processor, {short(machine)}; build it with one of `bayespress targets`",
        no_target=True,
    )


def runner_command(bundle: Bundle, target: TargetEntry, inputs: Path, request: RunRequest) -> list[str]:
    """The runner of a target here, with its files. Paths are absolute, so that none is taken as an option."""
    files = (bundle.folder / target.runner, bundle.folder / WEIGHTS, inputs)
    return [*(str(path.resolve()) for path in files), *request.arguments()]


def run_here(
    command: Sequence[str], name: str, bundle: Bundle, inputs: Path, request: RunRequest, **of_failure: str
) -> RunnerReport:
    """Run a runner on this machine and take its report; see Device.run for the errors.

    of_failure  passed to failure_of
    """
    examples = example_count(bundle, inputs)
    finished = run_program(command, name, request.limits(bundle, examples))
    if finished.status != 0:
        raise failure_of(name, finished, **of_failure)
    return accepted(finished.output, name, bundle, examples, request)


def run_runner(command: Sequence[str | Path], seconds: float = TIME_LIMIT) -> RunnerReport:
    """Run a runner that belongs to no bundle, by its whole command, and take its report; errors as in Device.run."""
    finished = run_program(command, "host", Limits(seconds, _LARGEST_REPORT))
    if finished.status != 0:
        raise failure_of("host", finished)
    return parse_report(finished.output, "host")


def example_count(bundle: Bundle, inputs: Path) -> int:
    """How many inputs of the network a raw float32 file holds."""
    return inputs.stat().st_size // (4 * max(1, math.prod(bundle.manifest.input_shape)))
