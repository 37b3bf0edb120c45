"""This machine."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...handover import WEIGHTS
from ..bundle import Bundle, TargetEntry
from .base import Unavailable, run_runner, target_for


class Host:
    """Runs the bundle's `host` target, or else another one for this kind of processor."""

    name = "host"
    description = "host runner"

    def unavailable(self, bundle: Bundle) -> Unavailable | None:
        """None when the bundle has a target for this kind of processor."""
        if self._target(bundle) is not None:
            return None
        if (foreign := bundle.manifest.targets.get("host")) is not None:
            return Unavailable(f"its host target is for {foreign.machine}, and this machine is {platform.machine()}")
        return Unavailable("the bundle has no target `host`", no_target=True)

    def run(self, bundle: Bundle, inputs: Path, arguments: Sequence[str] = ()) -> dict[str, Any]:
        """See Device.run."""
        target = self._target(bundle)
        if target is None:
            raise ValueError("no target for this machine")  # `unavailable` says so before
        runner = bundle.folder / target.runner
        return run_runner([runner.resolve(), bundle.folder / WEIGHTS, inputs, *arguments])

    def _target(self, bundle: Bundle) -> TargetEntry | None:
        own = bundle.manifest.targets.get("host")
        if own is not None:
            return own if own.machine == platform.machine() else None
        return target_for(bundle, platform.machine()) if platform.system() == "Linux" else None
