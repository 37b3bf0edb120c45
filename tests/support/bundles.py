"""Changed bundles with a matching manifest, as if they had been built in this form."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from bayespress.deploy.bundle.format import Bundle, opened, seal
from bayespress.deploy.bundle.manifest import MANIFEST
from bayespress.deploy.devices import RunnerReport, RunRequest, connected, device_named

PLAIN_RUN = RunRequest()


def with_runner(bundle: Path, program: str | bytes) -> Path:
    """Replace the bundle's host runner by another program."""
    with opened(bundle) as it:
        manifest = it.manifest
    runner = bundle / manifest.targets["host"].runner
    runner.write_bytes(program if isinstance(program, bytes) else program.encode())
    runner.chmod(runner.stat().st_mode | stat.S_IXUSR)
    (bundle / MANIFEST).unlink()
    seal(bundle, manifest)
    return bundle


def run_on(
    device: str,
    bundle: Bundle,
    inputs: Path,
    request: RunRequest = PLAIN_RUN,
    progress: Callable[[str], None] = lambda _step: None,
) -> RunnerReport:
    """Run a bundle on the device with this name."""
    with connected(device_named(device), bundle, progress) as session:
        return session.run(inputs, request)
