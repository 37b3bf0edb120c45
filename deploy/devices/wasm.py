"""WebAssembly in this machine's wasmtime: a processor that is the same everywhere, and here a real one."""

from __future__ import annotations

import sys
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path

from ...errors import InputError
from ...optional import require
from ...packed_format import WEIGHTS
from ..bundle.format import Bundle, TargetEntry
from .base import Unavailable, run_here
from .report import PLAIN_RUN, RunnerReport, RunRequest

_MACHINE = "wasm32"


class WebAssembly:
    """Runs a bundle's runner for WASI, in a process of its own: a program that never ends can be ended."""

    name = "wasm"
    description = "WebAssembly runner in wasmtime"
    most_threads = 1

    def unavailable(self, bundle: Bundle) -> Unavailable | None:
        """None when wasmtime is installed and the bundle has a target for it."""
        if self._target(bundle) is None:
            return Unavailable(f"the bundle has no target for {_MACHINE}; build it with -t wasm32-wasi", no_target=True)
        if find_spec("wasmtime") is None:
            return Unavailable("wasmtime is not installed (pip install wasmtime)")
        return None

    def run(self, bundle: Bundle, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """See Device.run. Raises InputError for several threads, which WASI has not."""
        if request.threads > self.most_threads:
            raise InputError("Device wasm has one thread; leave --threads out.")
        require("wasmtime")
        target = self._target(bundle)
        if target is None:
            raise ValueError(f"no target for {_MACHINE}")  # `unavailable` says so before
        folder, source = bundle.folder.resolve(), inputs.resolve()
        words = [f"/bundle/{WEIGHTS}", f"/inputs/{source.name}", *request.arguments()]
        with as_file(files("bayespress.deploy.devices") / "wasi_process.py") as script:
            # -P: the modules beside the script are no modules of its own.
            command = [sys.executable, "-P", str(script), str(folder / target.runner), str(folder), str(source.parent)]
            return run_here([*command, *words], self.name, bundle, inputs, request)

    def _target(self, bundle: Bundle) -> TargetEntry | None:
        return next((entry for entry in bundle.manifest.targets.values() if entry.machine == _MACHINE), None)
