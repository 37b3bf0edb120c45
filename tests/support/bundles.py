"""Bundles that are changed and sealed anew, as somebody who built them so would hand them on."""

from __future__ import annotations

import stat
from pathlib import Path

from bayespress.deploy.bundle.format import MANIFEST, opened, seal


def with_runner(bundle: Path, program: str | bytes) -> Path:
    """The bundle with another program as its host runner."""
    with opened(bundle) as it:
        manifest = it.manifest
    runner = bundle / manifest.targets["host"].runner
    runner.write_bytes(program if isinstance(program, bytes) else program.encode())
    runner.chmod(runner.stat().st_mode | stat.S_IXUSR)
    (bundle / MANIFEST).unlink()
    seal(bundle, manifest)
    return bundle
