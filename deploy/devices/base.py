"""What a device is to the rest: a place that a bundle is brought to, and where its network is run."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from ...errors import MissingToolError
from ...packed_format import WEIGHTS
from ..bundle.format import Bundle
from ..bundle.manifest import TargetEntry
from .failures import failure_of
from .flags import runner_flags
from .process import Limits, run_program, short
from .report import PLAIN_RUN, TIME_LIMIT, RunnerReport, RunRequest, accepted, parse_report

MOST_THREADS = 64  # BP_MAX_THREADS of runtime/bayespress.h
_LARGEST_REPORT = 1 << 30  # of a runner that we built ourselves
_BYTES_OF_OUTPUT = 24  # of one number in the report, at most
_BYTES_OF_REST = 8 << 20  # of times, names of kernels and noise around the report

Progress = Callable[[str], None]


def silent(_step: str) -> None:
    """Progress that nobody asked for."""


@dataclass(frozen=True)
class Unavailable:
    """Why a device cannot run a bundle here, as one sentence.

    no_target  because the bundle was not built for it
    """

    reason: str
    no_target: bool = False


@dataclass(frozen=True)
class Capabilities:
    """What a device can do.

    max_threads          on how many threads it may be asked to run a batch; 0 when it runs one example at a time
    emulated             its times mean nothing, so none are measured
    counts_instructions  it takes requests with `instructions`
    """

    max_threads: int = MOST_THREADS
    emulated: bool = False
    counts_instructions: bool = False


class Session(ABC):
    """A bundle on a device, ready to run. Close it, or use it as a context manager."""

    @abstractmethod
    def run(self, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """The report on the inputs in a raw float32 file, (n, *input_shape), little-endian.

        Raises CheckFailedError when the network fails, exceeds the request's time or reports another thing than was
        asked for, MissingToolError when the device went away, InputError for a request that this device cannot do.
        """

    def close(self) -> None:
        """Release what the session holds; nothing of it is left on the device."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Device(Protocol):
    """One transport to one kind of machine. A new one is registered in registry.py, or named as module:callable."""

    @property
    def name(self) -> str:
        """What the command line calls it."""
        ...

    @property
    def description(self) -> str:
        """For reports."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do, known before it is connected to."""
        ...

    def connect(self, bundle: Bundle, progress: Progress = silent) -> Session | Unavailable:
        """A session for this bundle, or why there can be none.

        progress  called with a line of text now and then during runs
        """
        ...


def connected(device: Device, bundle: Bundle, progress: Progress = silent) -> Session:
    """A session on a device that the user named. Raises MissingToolError when there can be none."""
    session = device.connect(bundle, progress)
    if isinstance(session, Unavailable):
        raise MissingToolError(f"Device {device.name} cannot be used: {session.reason}.")
    return session


class RunnerSession(Session):
    """Runs a target's runner on this machine, by a command that begins with `launcher`.

    gpu     run its OpenCL kernels
    remedy  of a runner that failed; see failure_of
    """

    def __init__(
        self,
        name: str,
        bundle: Bundle,
        target: TargetEntry,
        progress: Progress,
        *,
        launcher: Sequence[str] = (),
        gpu: bool = False,
        remedy: str | None = None,
    ) -> None:
        self._name, self._bundle, self._target, self._progress = name, bundle, target, progress
        self._launcher, self._gpu, self._remedy = launcher, gpu, remedy

    def run(self, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """See Session.run."""
        return run_here(
            self.command(inputs, request), self._name, self._bundle, inputs, request, self._progress,
            **({} if self._remedy is None else {"remedy": self._remedy}),
        )  # fmt: skip

    def command(self, inputs: Path, request: RunRequest, *options: str) -> list[str]:
        """The whole command. Paths are absolute, so that none is taken as an option.

        options  further ones of the launcher
        """
        folder = self._bundle.folder
        files = (folder / self._target.runner, folder / WEIGHTS, inputs)
        flags = runner_flags(request, gpu=self._gpu)
        return [*self._launcher, *options, *(str(path.resolve()) for path in files), *flags]


def limits_of(request: RunRequest, bundle: Bundle, examples: int, progress: Progress) -> Limits:
    """Time, and bytes of a report on so many examples."""
    numbers = examples * math.prod(bundle.manifest.output_shape) if request.outputs else 0
    return Limits(request.seconds, _BYTES_OF_REST + _BYTES_OF_OUTPUT * numbers, progress)


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


def run_here(
    command: Sequence[str],
    name: str,
    bundle: Bundle,
    inputs: Path,
    request: RunRequest,
    progress: Progress,
    **of_failure: str,
) -> RunnerReport:
    """Run a runner on this machine and take its report; see Session.run for the errors.

    of_failure  passed to failure_of
    """
    examples = example_count(bundle, inputs)
    finished = run_program(command, name, limits_of(request, bundle, examples, progress))
    if finished.status != 0:
        raise failure_of(name, finished, **of_failure)
    return accepted(finished.output, name, bundle, examples, request)


def run_runner(command: Sequence[str | Path], seconds: float = TIME_LIMIT) -> RunnerReport:
    """Run a runner that belongs to no bundle, by its whole command, and take its report; errors as in Session.run."""
    finished = run_program(command, "host", Limits(seconds, _LARGEST_REPORT))
    if finished.status != 0:
        raise failure_of("host", finished)
    return parse_report(finished.output, "host")


def example_count(bundle: Bundle, inputs: Path) -> int:
    """How many inputs of the network a raw float32 file holds."""
    return inputs.stat().st_size // (4 * max(1, math.prod(bundle.manifest.input_shape)))
