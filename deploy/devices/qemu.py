"""A 64-bit ARM processor emulated by qemu-user: right or wrong can be told here, fast or slow cannot."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...handover import WEIGHTS
from ..bundle import Bundle
from .base import Unavailable, run_runner

_PROGRAMS = ("qemu-aarch64-static", "qemu-aarch64")
_TARGET = "arm64-linux"


def qemu_program() -> str | None:
    """The emulator's path, or None when it is not installed."""
    return next((found for found in map(shutil.which, _PROGRAMS) if found), None)


class QemuArm64:
    """Runs the bundle's `arm64-linux` target."""

    name = "qemu-arm64"
    description = "arm64-linux runner under qemu-aarch64"

    def unavailable(self, bundle: Bundle) -> Unavailable | None:
        """None when the emulator is installed and the bundle has the target."""
        if _TARGET not in bundle.manifest.targets:
            return Unavailable(f"the bundle has no target `{_TARGET}`")
        if qemu_program() is None:
            return Unavailable("qemu-aarch64 is not installed (Debian: apt install qemu-user-static)")
        return None

    def run(self, bundle: Bundle, inputs: Path, arguments: Sequence[str] = ()) -> dict[str, Any]:
        """See Device.run."""
        runner = bundle.folder / bundle.manifest.targets[_TARGET].runner
        return run_runner([str(qemu_program()), runner, bundle.folder / WEIGHTS, inputs, *arguments])
