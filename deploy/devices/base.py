"""The interface of devices. A device is a machine that receives a bundle and runs its network."""

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
from .report import PLAIN_RUN, TIME_LIMIT, RunnerReport, RunRequest, checked_report, parse_report

MOST_THREADS = 64  # BP_MAX_THREADS of runtime/bayespress.h
_LARGEST_REPORT = 1 << 30  # bytes, from a runner that was built in this process
_BYTES_PER_OUTPUT = 24  # upper bound for one number in the report
_BYTES_OF_REST = 8 << 20  # upper bound for times, kernel names and other text around the report

Progress = Callable[[str], None]


def silent(_step: str) -> None:
    """Discard a line of progress."""


@dataclass(frozen=True)
class Unavailable:
    """The reason why a device cannot run a bundle, as one sentence without a full stop.

    no_target  True if the bundle was not built for this device
    """

    reason: str
    no_target: bool = False


@dataclass(frozen=True)
class Capabilities:
    """The capabilities of a device.

    max_threads          maximum number of threads for a batch; 0 if it runs one example at a time
    emulated             an emulator's times say nothing about the real processor, so none are measured
    counts_instructions  whether it accepts requests with `instructions`
    """

    max_threads: int = MOST_THREADS
    emulated: bool = False
    counts_instructions: bool = False


class Session(ABC):
    """A bundle on a device, ready to run. Close it, or use it as a context manager."""

    @abstractmethod
    def run(self, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """Run the network on a raw little-endian float32 file of shape (n, *input_shape) and return the report.

        Raises CheckFailedError if the network fails, exceeds the request's time limit or prints a report that does not
        match the request, MissingToolError if the device no longer answers, InputError for a request that this device
        does not support.
        """

    def close(self) -> None:
        """Release the session's resources and remove its files from the device."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Device(Protocol):
    """A transport to one kind of machine. Register a new one in registry.py, or name it as module:callable."""

    @property
    def name(self) -> str:
        """The name on the command line."""
        ...

    @property
    def description(self) -> str:
        """A short noun phrase for reports."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """The device's capabilities, known without a connection."""
        ...

    def connect(self, bundle: Bundle, progress: Progress = silent) -> Session | Unavailable:
        """Open a session for this bundle, or return the reason why it cannot run here.

        progress  called with a line of text during runs, about every ten seconds
        """
        ...


def connected(device: Device, bundle: Bundle, progress: Progress = silent) -> Session:
    """Connect to a device that the user named. Raises MissingToolError if it is unavailable."""
    session = device.connect(bundle, progress)
    if isinstance(session, Unavailable):
        raise MissingToolError(f"Device {device.name} cannot be used: {session.reason}.")
    return session


class RunnerSession(Session):
    """Runs a target's runner on this machine.

    launcher  program and options that start the runner (an emulator); empty to start it directly
    gpu       run the target's OpenCL kernels
    remedy    advice for the error message if the runner fails; see failure_of
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
        """The complete command line. Paths are absolute, so the runner cannot read one as an option.

        options  additional options of the launcher
        """
        folder = self._bundle.folder
        files = (folder / self._target.runner, folder / WEIGHTS, inputs)
        flags = runner_flags(request, gpu=self._gpu)
        return [*self._launcher, *options, *(str(path.resolve()) for path in files), *flags]


def limits_of(request: RunRequest, bundle: Bundle, examples: int, progress: Progress) -> Limits:
    """The limits of time and of output size for a run on `examples` inputs."""
    numbers = examples * math.prod(bundle.manifest.output_shape) if request.outputs else 0
    return Limits(request.seconds, _BYTES_OF_REST + _BYTES_PER_OUTPUT * numbers, progress)


def target_for(bundle: Bundle, machine: str) -> TargetEntry | None:
    """The bundle's best target for a processor, named as by `uname -m`; None if there is no target for it.

    A target for Linux is preferred to one for Android, because Android's 32-bit objects use another ABI, and a static
    target is preferred to `host`.
    """
    canonical = {"armv8l": "armv7l", "arm64": "aarch64"}.get(machine, machine)
    candidates = [(name, entry) for name, entry in bundle.manifest.targets.items() if entry.machine == canonical]
    candidates.sort(key=lambda item: (item[0] == "host", item[1].android))
    return candidates[0][1] if candidates else None


def without_target(bundle: Bundle, machine: str) -> Unavailable | None:
    """The reason why a processor cannot run the bundle; None if it can."""
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
    """Run a runner on this machine and return its report; errors as in Session.run.

    of_failure  keyword arguments of failure_of
    """
    examples = example_count(bundle, inputs)
    finished = run_program(command, name, limits_of(request, bundle, examples, progress))
    if finished.status != 0:
        raise failure_of(name, finished, **of_failure)
    return checked_report(finished.output, name, bundle, examples, request)


def run_runner(command: Sequence[str | Path], seconds: float = TIME_LIMIT) -> RunnerReport:
    """Run a runner outside a bundle, by its complete command line, and return its report; errors as in Session.run."""
    finished = run_program(command, "host", Limits(seconds, _LARGEST_REPORT))
    if finished.status != 0:
        raise failure_of("host", finished)
    return parse_report(finished.output, "host")


def example_count(bundle: Bundle, inputs: Path) -> int:
    """The number of network inputs in a raw float32 file."""
    return inputs.stat().st_size // (4 * max(1, math.prod(bundle.manifest.input_shape)))
