"""A child process that runs a WASI program in wasmtime.

    python -P -m bayespress.deploy.devices.wasi_process JOB.json

The job is a WasiJob. The exit status is the program's own, or 1 with a line on standard error if wasmtime cannot load
the program or the program traps.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .jobs import WasiJob

if TYPE_CHECKING:
    import wasmtime


def main(job: WasiJob) -> int:
    """Run the program and return its exit status."""
    import wasmtime

    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    wasi = wasmtime.WasiConfig()
    wasi.argv = ["runner", *job.arguments]
    for folder, guest_path in ((job.bundle, "/bundle"), (job.inputs, "/inputs")):
        try:
            wasi.preopen_dir(str(folder), guest_path, fs_mutable=False)
        except TypeError:  # a release of wasmtime without read-only folders
            wasi.preopen_dir(str(folder), guest_path)
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    store = wasmtime.Store(engine)
    store.set_wasi(wasi)
    try:
        module = wasmtime.Module.from_file(engine, str(job.program))
        start = linker.instantiate(store, module).exports(store)["_start"]
        cast("wasmtime.Func", start)(store)
    except wasmtime.ExitTrap as trap:
        return int(trap.code)
    except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
        print(f"runner: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(WasiJob.read(Path(sys.argv[1]))))
