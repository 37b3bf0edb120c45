"""This machine."""

from __future__ import annotations

import platform
from pathlib import Path

from ..bundle.format import Bundle, TargetEntry
from .base import MOST_THREADS, Unavailable, run_here, runner_command, target_for
from .process import short
from .report import PLAIN_RUN, RunnerReport, RunRequest


class Host:
    """Runs the bundle's `host` target, or else another one for this kind of processor."""

    name = "host"
    description = "host runner"
    most_threads = MOST_THREADS

    def unavailable(self, bundle: Bundle) -> Unavailable | None:
        """None when the bundle has a target for this kind of processor."""
        if self._target(bundle) is not None:
            return None
        if (foreign := bundle.manifest.targets.get("host")) is not None:
            return Unavailable(
                f"its host target is for {short(foreign.machine)}, and this machine is {platform.machine()}"
            )
        return Unavailable("the bundle has no target `host`; build it with -t host", no_target=True)

    def run(self, bundle: Bundle, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """See Device.run."""
        target = self._target(bundle)
        if target is None:
            raise ValueError("no target for this machine")  # `unavailable` says so before
        return run_here(runner_command(bundle, target, inputs, request), self.name, bundle, inputs, request)

    def _target(self, bundle: Bundle) -> TargetEntry | None:
        own = bundle.manifest.targets.get("host")
        if own is not None:
            return own if own.machine == platform.machine() else None
        return target_for(bundle, platform.machine()) if platform.system() == "Linux" else None
