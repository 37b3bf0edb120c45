"""A program for WASI in wasmtime; run as a script, which needs nothing of this package.

    python -P wasi_process.py PROGRAM BUNDLE_FOLDER INPUTS_FOLDER ARGUMENT...

The program sees the two folders as /bundle and /inputs. The exit status is the program's own; 1 and a line on standard
error where it broke.
"""

from __future__ import annotations

import sys
from importlib import import_module


def main(program: str, bundle: str, inputs: str, *arguments: str) -> int:
    """Run it, and give its exit status."""
    wasmtime = import_module("wasmtime")
    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    wasi = wasmtime.WasiConfig()
    wasi.argv = ["runner", *arguments]
    for folder, seen in ((bundle, "/bundle"), (inputs, "/inputs")):
        try:
            wasi.preopen_dir(folder, seen, fs_mutable=False)
        except TypeError:  # of a release that cannot forbid writing
            wasi.preopen_dir(folder, seen)
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    store = wasmtime.Store(engine)
    store.set_wasi(wasi)
    try:
        module = wasmtime.Module.from_file(engine, program)
        linker.instantiate(store, module).exports(store)["_start"](store)
    except wasmtime.ExitTrap as end:
        return int(end.code)
    except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
        print(f"runner: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
