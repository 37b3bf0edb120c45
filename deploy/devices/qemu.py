"""Other processors, emulated by qemu-user: an emulator can check outputs but its times are meaningless."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..bundle.format import Bundle
from ..bundle.manifest import TargetEntry
from .base import Capabilities, Progress, RunnerSession, Session, Unavailable, limits_of, silent
from .failures import failure_of
from .process import run_program
from .report import PLAIN_RUN, RunnerReport, RunRequest

_CAPABILITIES = Capabilities(emulated=True, counts_instructions=True)


@dataclass(frozen=True)
class QemuUser:
    """Runs a bundle's runner for one processor.

    name     name of the device
    machine  the processor's name in targets
    program  qemu's name for the processor
    options  command-line options of qemu
    """

    name: str
    machine: str
    program: str
    options: tuple[str, ...] = ()
    capabilities: ClassVar[Capabilities] = _CAPABILITIES

    @property
    def description(self) -> str:
        """See Device.description."""
        return f"{self.machine} runner under qemu-{self.program}"

    def path(self) -> str | None:
        """The emulator's path; None if it is not installed."""
        paths = map(shutil.which, (f"qemu-{self.program}-static", f"qemu-{self.program}"))
        return next((path for path in paths if path), None)

    def connect(self, bundle: Bundle, progress: Progress = silent) -> Session | Unavailable:
        """See Device.connect."""
        target = self._target(bundle)
        if target is None:
            return Unavailable(f"the bundle has no target for {self.machine}; build one for it", no_target=True)
        if (path := self.path()) is None:
            return Unavailable(f"qemu-{self.program} is not installed (Debian: apt install qemu-user-static)")
        return _QemuSession(self.name, bundle, target, progress, launcher=(path, *self.options))

    def _target(self, bundle: Bundle) -> TargetEntry | None:
        """The first target for this processor except `host`."""
        entries = bundle.manifest.targets.items()
        return next((entry for name, entry in entries if name != "host" and entry.machine == self.machine), None)


class _QemuSession(RunnerSession):
    def run(self, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """See Session.run. A request that counts instructions starts three runs; its time limit applies to each."""
        report = super().run(inputs, request)
        return report.model_copy(update={"instructions": self._instructions(inputs, request)})

    def _instructions(self, inputs: Path, request: RunRequest) -> int | None:
        """Instructions of one run on the first input: the count for two runs minus the count for one."""
        if not request.instructions:
            return None
        counts = [self._count(inputs, request.model_copy(update={"repeat": n, "warmup": 0})) for n in (1, 2)]
        return counts[1] - counts[0]

    def _count(self, inputs: Path, request: RunRequest) -> int:
        # With these options qemu executes and logs single instructions.
        command = self.command(inputs, request, "-singlestep", "-d", "exec,nochain")
        finished = run_program(command, self._name, limits_of(request, self._bundle, 1, self._progress))
        if finished.status != 0:
            raise failure_of(self._name, finished)
        return finished.error_lines


# `-cpu max` enables every extension that a target may use.
ARM64 = QemuUser("qemu-arm64", "aarch64", "aarch64", ("-cpu", "max"))
ARMV7 = QemuUser("qemu-armv7", "armv7l", "arm", ("-cpu", "max"))
RISCV64 = QemuUser("qemu-riscv64", "riscv64", "riscv64")
