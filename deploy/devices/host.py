"""This machine."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...handover import WEIGHTS
from ..bundle import Bundle
from .base import Unavailable, run_runner


class Host:
    """Runs the bundle's `host` target."""

    name = "host"
    description = "host runner"

    def unavailable(self, bundle: Bundle) -> Unavailable | None:
        """None when the bundle has a `host` target for this kind of processor."""
        target = bundle.manifest.targets.get("host")
        if target is None:
            return Unavailable("the bundle has no target `host`", no_target=True)
        if target.machine != platform.machine():
            return Unavailable(f"its host target is for {target.machine}, and this machine is {platform.machine()}")
        return None

    def run(self, bundle: Bundle, inputs: Path, arguments: Sequence[str] = ()) -> dict[str, Any]:
        """See Device.run."""
        runner = bundle.folder / bundle.manifest.targets["host"].runner
        return run_runner([runner.resolve(), bundle.folder / WEIGHTS, inputs, *arguments])
