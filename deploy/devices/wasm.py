"""WebAssembly in this machine's wasmtime: a processor that is the same everywhere, and here a real one."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import CheckFailedError, InputError
from ...handover import WEIGHTS
from ..bundle import Bundle, TargetEntry
from ..tools import require
from .base import Unavailable, parse

_MACHINE = "wasm32"


class WebAssembly:
    """Runs a bundle's runner for WASI."""

    name = "wasm"
    description = "WebAssembly runner in wasmtime"

    def unavailable(self, bundle: Bundle) -> Unavailable | None:
        """None when wasmtime is installed and the bundle has a target for it."""
        if self._target(bundle) is None:
            return Unavailable(f"the bundle has no target for {_MACHINE}", no_target=True)
        if find_spec("wasmtime") is None:
            return Unavailable("wasmtime is not installed (pip install wasmtime)")
        return None

    def run(self, bundle: Bundle, inputs: Path, arguments: Sequence[str] = ()) -> dict[str, Any]:
        """See Device.run. Raises InputError for several threads, which WASI has not."""
        if "--threads" in arguments and arguments[list(arguments).index("--threads") + 1] != "1":
            raise InputError("Device wasm has one thread; leave --threads out.")
        wasmtime = require("wasmtime")
        target = self._target(bundle)
        if target is None:
            raise ValueError(f"no target for {_MACHINE}")  # `unavailable` says so before
        engine = wasmtime.Engine()
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
            said, complaint = Path(scratch) / "said", Path(scratch) / "complaint"
            wasi = wasmtime.WasiConfig()
            wasi.argv = ["runner", f"/bundle/{WEIGHTS}", f"/inputs/{inputs.name}", *arguments]
            wasi.preopen_dir(str(bundle.folder), "/bundle")
            wasi.preopen_dir(str(inputs.parent), "/inputs")
            wasi.stdout_file, wasi.stderr_file = str(said), str(complaint)
            store = wasmtime.Store(engine)
            store.set_wasi(wasi)
            try:
                module = wasmtime.Module.from_file(engine, str(bundle.folder / target.runner))
                linker.instantiate(store, module).exports(store)["_start"](store)
            except wasmtime.ExitTrap as end:
                if end.code != 0:
                    words = complaint.read_text().strip().removeprefix("runner: ") or f"it ended with status {end.code}"
                    raise CheckFailedError(f"The runner failed: {words}") from None
            except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
                raise CheckFailedError(f"The runner could not be run ({str(error).splitlines()[0]}).") from None
            return parse(said.read_text())

    def _target(self, bundle: Bundle) -> TargetEntry | None:
        return next((entry for entry in bundle.manifest.targets.values() if entry.machine == _MACHINE), None)
