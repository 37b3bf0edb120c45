"""What a device is to the rest: a place where a bundle's runner is run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...errors import CheckFailedError
from ..bundle import Bundle, TargetEntry

_TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Unavailable:
    """Why a device cannot run a bundle here, as one sentence.

    no_target  because the bundle was not built for it
    """

    reason: str
    no_target: bool = False


class Device(Protocol):
    """One transport to one kind of machine."""

    @property
    def name(self) -> str:
        """What the command line calls it."""
        ...

    @property
    def description(self) -> str:
        """For reports."""
        ...

    def unavailable(self, bundle: Bundle) -> Unavailable | None:
        """None when `run` can be tried."""
        ...

    def run(self, bundle: Bundle, inputs: Path, arguments: Sequence[str] = ()) -> dict[str, Any]:
        """The runner's JSON for the inputs in a raw float32 file. Raises CheckFailedError when it fails."""
        ...


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
    return Unavailable(f"the bundle has no target for its processor, {machine}", no_target=True)


def run_runner(command: Sequence[str | Path]) -> dict[str, Any]:
    """Run a runner here and parse what it prints. Raises CheckFailedError with its own sentence when it fails."""
    try:
        result = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CheckFailedError(f"The runner could not be run ({error}).") from None
    if result.returncode != 0:
        said = result.stderr.strip().removeprefix("runner: ") or f"it ended with status {result.returncode}"
        raise CheckFailedError(f"The runner failed: {said}")
    return parse(result.stdout)


def parse(text: str) -> dict[str, Any]:
    """A runner's JSON. Raises CheckFailedError when it is something else."""
    try:
        parsed: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError:
        raise CheckFailedError("The runner printed something other than its JSON.") from None
    return parsed
