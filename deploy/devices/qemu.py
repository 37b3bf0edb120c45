"""Foreign processors emulated by qemu-user: right or wrong can be told here, fast or slow cannot."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import MissingToolError
from ..bundle.format import Bundle, TargetEntry
from .base import MOST_THREADS, Unavailable, run_here, runner_command
from .failures import failure_of
from .process import run_program
from .report import PLAIN_RUN, RunnerReport, RunRequest


@dataclass(frozen=True)
class QemuUser:
    """Runs a bundle's runner for one kind of processor.

    name     of the device
    machine  the kind of processor, as targets call it
    program  qemu's name for it
    options  of qemu
    most_threads  see Device
    """

    name: str
    machine: str
    program: str
    options: tuple[str, ...] = ()
    most_threads: int = MOST_THREADS

    @property
    def description(self) -> str:
        """For reports."""
        return f"{self.machine} runner under qemu-{self.program}"

    def path(self) -> str | None:
        """The emulator's path, or None when it is not installed."""
        found = map(shutil.which, (f"qemu-{self.program}-static", f"qemu-{self.program}"))
        return next((path for path in found if path), None)

    def unavailable(self, bundle: Bundle) -> Unavailable | None:
        """None when the emulator is installed and the bundle has a target for this processor."""
        if self._target(bundle) is None:
            return Unavailable(f"the bundle has no target for {self.machine}; build one for it", no_target=True)
        if self.path() is None:
            return Unavailable(self._not_installed())
        return None

    def run(self, bundle: Bundle, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """See Device.run."""
        return run_here(self._command(bundle, inputs, request), self.name, bundle, inputs, request)

    def instructions(self, bundle: Bundle, inputs: Path, request: RunRequest = PLAIN_RUN) -> int:
        """Instructions of one run on the input, by the difference between two and one of them.

        qemu is asked to take one instruction at a time and to log each, so this is for networks of some milliseconds.
        The time of the request holds for each of the two. Errors as in Device.run.
        """
        counts = [self._count(bundle, inputs, replace(request, repeat=repeat, warmup=0)) for repeat in (1, 2)]
        return counts[1] - counts[0]

    def _count(self, bundle: Bundle, inputs: Path, request: RunRequest) -> int:
        options = ("-singlestep", "-d", "exec,nochain")
        command = self._command(bundle, inputs, request, *options)
        finished = run_program(command, self.name, request.limits(bundle, 1))
        if finished.status != 0:
            raise failure_of(self.name, finished)
        return finished.error_lines

    def _command(self, bundle: Bundle, inputs: Path, request: RunRequest, *options: str) -> list[str]:
        target, program = self._target(bundle), self.path()
        if target is None:
            raise ValueError(f"no target for {self.machine}")  # `unavailable` says so before
        if program is None:
            raise MissingToolError(f"{self._not_installed()}.")
        return [program, *self.options, *options, *runner_command(bundle, target, inputs, request)]

    def _not_installed(self) -> str:
        return f"qemu-{self.program} is not installed (Debian: apt install qemu-user-static)"

    def _target(self, bundle: Bundle) -> TargetEntry | None:
        """The first target for this processor that is not the host's own."""
        entries = bundle.manifest.targets.items()
        return next((entry for name, entry in entries if name != "host" and entry.machine == self.machine), None)


# With every extension that a target may ask for.
ARM64 = QemuUser("qemu-arm64", "aarch64", "aarch64", ("-cpu", "max"))
ARMV7 = QemuUser("qemu-armv7", "armv7l", "arm", ("-cpu", "max"))
RISCV64 = QemuUser("qemu-riscv64", "riscv64", "riscv64")
