"""Ahead of time: an exported network to a runner, and for the host a shared library."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from .lower import lower, tvm_target
from .schedule import schedule_source
from .targets import Target
from .tools import c_compiler, run_tool

RUNNER = "runner"
LIBRARY = "libnetwork.so"

_ENCODER = "encode.c"  # of the codec's sources the one that a device does without
# Sections of their own, so that the linker can leave out what nobody calls.
_FLAGS = ("-std=c99", "-O2", "-ffunction-sections", "-fdata-sections", "-fvisibility=hidden")


def compile_network(program: Any, target: Target, folder: Path, scratch: Path) -> list[Path]:
    """Compile `program` for `target` and link it into `folder`; the files made there.

    scratch  an empty folder for what lies between
    """
    import tvm

    module, plan = lower(program, target)
    with tvm.transform.PassContext(config={"tirx.disable_assert": True}):
        library = tvm.tirx.build(module, tvm_target(target), pipeline="default")
    kernels = scratch / "kernels.o"
    library.write_to_file(str(kernels), "o")
    schedule = scratch / "schedule.c"
    schedule.write_text(schedule_source(plan))
    folder.mkdir(parents=True, exist_ok=True)
    package = files(__package__ or "bayespress.deploy")
    with as_file(package / "runtime") as runtime, as_file(package / ".." / "codec" / "c") as codec:
        sources: list[str | Path] = [
            schedule,
            runtime / "runtime.c",
            *sorted(path for path in codec.glob("*.c") if path.name != _ENCODER),
            kernels,
        ]
        common: list[str | Path] = [*c_compiler(target.triple), *_FLAGS, "-I", runtime, "-I", codec]
        static: list[str | Path] = [] if target.triple is None else ["-static"]
        made = [folder / RUNNER]
        run_tool(
            [
                *common,
                *static,
                "-s",
                "-Wl,--gc-sections",
                runtime / "runner.c",
                *sources,
                "-lm",
                "-o",
                made[0],
            ]
        )
        if target.shared:
            made.append(folder / LIBRARY)
            exported = runtime / "exported.map"
            run_tool(
                [*common, "-fvisibility=default", "-fPIC", "-shared", "-s", f"-Wl,--version-script={exported}",
                 *sources, "-lm", "-o", made[1]]
            )  # fmt: skip
    return made
