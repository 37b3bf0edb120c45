"""The device `host`: this machine."""

from __future__ import annotations

import platform

from ..bundle.format import Bundle
from ..bundle.manifest import TargetEntry
from .base import Capabilities, Progress, RunnerSession, Session, Unavailable, silent, target_for
from .process import short


class Host:
    """Runs the bundle's `host` target or, if there is none, another target for this processor."""

    name = "host"
    description = "host runner"
    capabilities = Capabilities()

    def connect(self, bundle: Bundle, progress: Progress = silent) -> Session | Unavailable:
        """See Device.connect."""
        target = self._target(bundle)
        if target is not None:
            return RunnerSession(self.name, bundle, target, progress)
        if (foreign := bundle.manifest.targets.get("host")) is not None:
            return Unavailable(
                f"the bundle's host target is for {short(foreign.machine)}, and this machine is {platform.machine()}"
            )
        return Unavailable("the bundle has no target `host`; build it with -t host", no_target=True)

    def _target(self, bundle: Bundle) -> TargetEntry | None:
        own = bundle.manifest.targets.get("host")
        if own is not None:
            return own if own.machine == platform.machine() else None
        return target_for(bundle, platform.machine()) if platform.system() == "Linux" else None
