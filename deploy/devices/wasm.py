"""The device `wasm`: WebAssembly in wasmtime, compiled for this machine's processor, so its times are real."""

from __future__ import annotations

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from ...errors import InputError
from ...packed_format import WEIGHTS
from ..bundle.format import Bundle
from ..bundle.manifest import TargetEntry
from .base import Capabilities, Progress, Session, Unavailable, run_here, silent
from .flags import runner_flags
from .jobs import WasiJob
from .report import PLAIN_RUN, RunnerReport, RunRequest

_MACHINE = "wasm32"


class WebAssembly:
    """Runs a bundle's WASI runner in a process of its own, so that a program which never ends can be stopped."""

    name = "wasm"
    description = "WebAssembly runner in wasmtime"
    capabilities = Capabilities(max_threads=1)

    def connect(self, bundle: Bundle, progress: Progress = silent) -> Session | Unavailable:
        """See Device.connect."""
        entries = bundle.manifest.targets.values()
        target = next((entry for entry in entries if entry.machine == _MACHINE), None)
        if target is None:
            return Unavailable(f"the bundle has no target for {_MACHINE}; build it with -t wasm32-wasi", no_target=True)
        if find_spec("wasmtime") is None:
            return Unavailable("wasmtime is not installed (pip install wasmtime)")
        return _WasmSession(bundle, target, progress)


class _WasmSession(Session):
    def __init__(self, bundle: Bundle, target: TargetEntry, progress: Progress) -> None:
        self._bundle, self._target, self._progress = bundle, target, progress

    def run(self, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """See Session.run. Raises InputError for several threads, because WASI has none."""
        if request.threads > WebAssembly.capabilities.max_threads:
            raise InputError(f"Device wasm has one thread, not {request.threads}; leave --threads out.")
        folder, source = self._bundle.folder.resolve(), inputs.resolve()
        job = WasiJob(
            program=folder / self._target.runner,
            bundle=folder,
            inputs=source.parent,
            arguments=(f"/bundle/{WEIGHTS}", f"/inputs/{source.name}", *runner_flags(request)),
        )
        with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
            path = job.write(Path(scratch))
            command = [sys.executable, "-P", "-m", "bayespress.deploy.devices.wasi_process", str(path)]
            return run_here(command, WebAssembly.name, self._bundle, inputs, request, self._progress)
