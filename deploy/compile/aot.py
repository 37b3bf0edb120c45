"""Ahead of time: an exported network to a static library, a runner, and for the host a shared library."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from ..program.normalise import normalised
from .android import link_for_android
from .cost import Choice, ChooseKernels, choose, choose_for_gpu
from .layers import ChooseLayers, Layer, Stored
from .lower import lower, tvm_target
from .opencl import lower_opencl
from .relax_import import compiling
from .schedule import gpu_schedule_source, schedule_source
from .targets import Target
from .toolchain import archiver, c_compiler, run_tool

RUNNER = "runner"
ARCHIVE = "libnetwork.a"
HEADER = "bayespress.h"
SCHEDULE = "schedule.c"
GPU_HEADER = "bayespress_gpu.h"
GPU_SCHEDULE = "gpu_schedule.c"
LIBRARY = "libnetwork.so"
VERSION_SCRIPT = "exported.map"

_ENCODER = "encode.c"  # of the codec's sources the one that a device does without
# Sections of their own, so that the linker can leave out what nobody calls; position-independent, so that the static
# library may go into an app's shared one.
_FLAGS = ("-std=c99", "-O2", "-g0", "-ffunction-sections", "-fdata-sections", "-fPIC")


@functools.cache
def _same_for_all(compiler: tuple[str, ...], sources: tuple[Path, ...]) -> dict[str, bytes]:
    """Objects of the sources that are the same for every network, compiled once a process for each target."""
    with tempfile.TemporaryDirectory(prefix="bayespress-") as folder:
        objects = {source: Path(folder) / f"{source.stem}.o" for source in sources}
        for source, made in objects.items():
            run_tool([*compiler, "-c", source, "-o", made])
        return {made.name: made.read_bytes() for made in objects.values()}


@dataclass(frozen=True)
class Compiled:
    """What a target comes to; all in one folder.

    runner    program that runs and times the network
    archive   static library: kernels, schedule, runtime and decoder
    header    the library's C header
    schedule  the generated C source of the kernels' order, to be read; it is in the library
    library   shared library, for targets that have one
    choices   dense or sparse, for each layer that could be either
    gpu_choices  the same on the GPU
    """

    runner: Path
    archive: Path
    header: Path
    schedule: Path
    library: Path | None
    choices: Sequence[Choice]
    gpu_choices: Sequence[Choice]


def compile_network(
    program: Any, target: Target, folder: Path, scratch: Path, stored: Mapping[str, Stored], kernels: str = "auto"
) -> Compiled:
    """Compile `program` for `target` into `folder`.

    scratch  an empty folder for what lies between
    stored   of each parameter that decodes to sparse rows, by its name in the `.bpz`; see build.stored_weights
    kernels  which layers run sparse; see cost.choose
    """
    import tvm

    choices: list[Choice] = []
    gpu_choices: list[Choice] = []
    names = normalised(program).names

    def decided_by(rule: ChooseKernels, into: list[Choice]) -> ChooseLayers:
        def decide(layers: Sequence[Layer]) -> list[bool]:
            into[:] = rule(layers, [names[each.parameter].rpartition(".")[0] for each in layers], kernels)
            return [choice.kernel == "sparse" for choice in into]

        return decide

    module, plan = lower(program, target, stored, decided_by(choose, choices))
    compiled_kernels = scratch / "kernels.o"
    with compiling(), tvm.transform.PassContext(config={"tirx.disable_assert": True}):
        library = tvm.tirx.build(module, tvm_target(target), pipeline="default")
        library.write_to_file(str(compiled_kernels), "o")
    folder.mkdir(parents=True, exist_ok=True)
    made = Compiled(
        folder / RUNNER, folder / ARCHIVE, folder / HEADER, folder / SCHEDULE,
        folder / LIBRARY if target.shared else None, choices, gpu_choices,
    )  # fmt: skip
    made.schedule.write_text(schedule_source(plan))
    package = files("bayespress.deploy")
    with as_file(package / "runtime") as runtime, as_file(package / ".." / "codec" / "c") as codec:
        shutil.copyfile(runtime / HEADER, made.header)
        # What a shared library offers is listed in its version script, which can only choose among what is visible.
        visibility = "default" if target.shared else "hidden"
        compiler: list[str | Path] = [
            *c_compiler(target.triple), *target.flags, *_FLAGS, f"-fvisibility={visibility}",
            "-I", runtime, "-I", codec, *(["-DBP_THREAD_KEYS"] if target.android else []),
        ]  # fmt: skip
        run_tool([*compiler, "-c", made.schedule, "-o", scratch / "schedule.o"])
        objects: list[Path] = [compiled_kernels, scratch / "schedule.o"]
        with_gpu: list[str] = []
        if target.gpu is not None:
            with_gpu = ["-DBP_WITH_GPU"]
            shutil.copyfile(runtime / GPU_HEADER, folder / GPU_HEADER)
            programs = [
                lower_opencl(program, target, stored, decided_by(choose_for_gpu, gpu_choices), half=half)
                for half in ((True, False) if target.half else (False,))
            ]
            (folder / GPU_SCHEDULE).write_text(gpu_schedule_source(programs))
            run_tool([*compiler, "-c", folder / GPU_SCHEDULE, "-o", scratch / "gpu_schedule.o"])
            objects.append(scratch / "gpu_schedule.o")
        ours = ["runtime.c", "scratch.c", "weights.c", "threads.c"]
        if with_gpu:
            ours += ["gpu.c", "gpu_open.c", "kernel_cache.c", "opencl.c"]
        decoder = sorted(path for path in codec.glob("*.c") if path.name != _ENCODER)
        sources: tuple[Path, ...] = (*(runtime / name for name in ours), *decoder)
        for name, data in _same_for_all(tuple(map(str, compiler)), sources).items():
            objects.append(scratch / name)
            objects[-1].write_bytes(data)
        run_tool([*archiver(), "rcs", made.archive, *objects])
        static: list[str | Path] = [] if target.triple is None else ["-static"]
        run_tool(
            [*compiler, *static, *with_gpu, "-s", "-Wl,--gc-sections", runtime / "runner.c", made.archive, "-lm",
             "-pthread", *(["-ldl"] if with_gpu else []),
             "-o", made.runner]
        )  # fmt: skip
        if made.library is not None and target.android:
            link_for_android(compiler, target.machine, objects, runtime / VERSION_SCRIPT, scratch, made.library)
        elif made.library is not None:
            run_tool(
                [*compiler, "-shared", "-s", f"-Wl,--version-script={runtime / VERSION_SCRIPT}", *objects, "-lm",
                 "-pthread", "-ldl", "-o", made.library]
            )  # fmt: skip
    return made
