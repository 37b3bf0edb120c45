"""Foreign processors emulated by qemu-user: right or wrong can be told here, fast or slow cannot."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import CheckFailedError
from ...handover import WEIGHTS
from ..bundle import Bundle, TargetEntry
from .base import Unavailable, run_runner


@dataclass(frozen=True)
class QemuUser:
    """Runs a bundle's runner for one kind of processor.

    name     of the device
    machine  the kind of processor, as targets call it
    program  qemu's name for it
    options  of qemu
    """

    name: str
    machine: str
    program: str
    options: tuple[str, ...] = ()

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
            return Unavailable(f"the bundle has no target for {self.machine}", no_target=True)
        if self.path() is None:
            return Unavailable(f"qemu-{self.program} is not installed (Debian: apt install qemu-user-static)")
        return None

    def run(self, bundle: Bundle, inputs: Path, arguments: Sequence[str] = ()) -> dict[str, Any]:
        """See Device.run."""
        target = self._target(bundle)
        if target is None:
            raise ValueError(f"no target for {self.machine}")  # `unavailable` says so before
        runner = bundle.folder / target.runner
        command: list[str | Path] = [str(self.path()), *self.options, runner, bundle.folder / WEIGHTS, inputs]
        return run_runner([*command, *arguments])

    def instructions(self, bundle: Bundle, inputs: Path) -> int:
        """Instructions of one run on the input, by the difference between two and one of them.

        qemu is asked to take one instruction at a time and to log each, so this is for networks of some milliseconds.
        """
        counts = [self._count(bundle, inputs, repeat) for repeat in (1, 2)]
        return counts[1] - counts[0]

    def _count(self, bundle: Bundle, inputs: Path, repeat: int) -> int:
        target = self._target(bundle)
        if target is None:
            raise ValueError(f"no target for {self.machine}")  # `unavailable` says so before
        program = [str(self.path()), *self.options, "-singlestep", "-d", "exec,nochain"]
        runner = [str(bundle.folder / target.runner), str(bundle.folder / WEIGHTS), str(inputs)]
        with subprocess.Popen(
            [*program, *runner, "--repeat", str(repeat), "--warmup", "0"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stderr is not None
            count = 0
            while block := process.stderr.read(1 << 20):
                count += block.count(b"\n")
        if process.returncode != 0:
            raise CheckFailedError(f"The runner failed under {self.name} with status {process.returncode}.")
        return count

    def _target(self, bundle: Bundle) -> TargetEntry | None:
        """The first target for this processor that is not the host's own."""
        entries = bundle.manifest.targets.items()
        return next((entry for name, entry in entries if name != "host" and entry.machine == self.machine), None)


# With every extension that a target may ask for.
ARM64 = QemuUser("qemu-arm64", "aarch64", "aarch64", ("-cpu", "max"))
ARMV7 = QemuUser("qemu-armv7", "armv7l", "arm", ("-cpu", "max"))
RISCV64 = QemuUser("qemu-riscv64", "riscv64", "riscv64")
