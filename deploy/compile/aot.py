"""Compile an exported network ahead of time to a static library, a runner and, for hosts and Android, a shared library.

`compile_network` has six steps: lower the network for the processor and choose a kernel for each layer; compile the
kernels; write the schedule; repeat these steps for the GPU; compile the C sources; link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..program.normalise import normalised
from .cost import DecideKernels, KernelDecision, choose, choose_for_gpu
from .layers import Layer, Stored
from .link import HEADER, CSources, c_sources, link_archive, link_runner, link_shared
from .lower import lower, tvm_target
from .opencl import lower_opencl
from .relax_import import compiling
from .schedule import gpu_schedule_source, schedule_source
from .targets import Target

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from tvm import IRModule

    from .plan import Plan

RUNNER = "runner"
ARCHIVE = "libnetwork.a"
SCHEDULE = "schedule.c"
GPU_SCHEDULE = "gpu_schedule.c"
LIBRARY = "libnetwork.so"


@dataclass(frozen=True)
class Compiled:
    """The files compiled for a target, all in one folder, and the choice of kernels.

    runner         program that runs and times the network
    archive        static library: kernels, schedule, runtime and decoder
    header         C header of the library
    schedule       generated C source with the order of the kernel calls, for reading; the library contains it compiled
    library        shared library; None if the target has none
    decisions      dense or sparse, for each layer that can be either
    gpu_decisions  the same for the GPU; empty without one
    """

    runner: Path
    archive: Path
    header: Path
    schedule: Path
    library: Path | None
    decisions: Sequence[KernelDecision]
    gpu_decisions: Sequence[KernelDecision]


@dataclass
class Decider:
    """Chooses dense or sparse kernels for the layers that lowering finds, and stores the decisions.

    rule     cost.choose or cost.choose_for_gpu
    kernels  "auto", "dense" or "sparse"
    names    from the program's variables to the parameters' names in the `.bpz`
    """

    rule: DecideKernels
    kernels: str
    names: Mapping[str, str]
    decisions: Sequence[KernelDecision] = ()

    def __call__(self, layers: Sequence[Layer]) -> list[bool]:
        """For each layer, True if it runs sparse."""
        layer_names = [self.names[layer.parameter].rpartition(".")[0] for layer in layers]
        self.decisions = self.rule(layers, layer_names, self.kernels)
        return [decision.kernel == "sparse" for decision in self.decisions]


def compile_network(
    program: ExportedProgram,
    target: Target,
    folder: Path,
    scratch: Path,
    stored: Mapping[str, Stored],
    kernels: str = "auto",
) -> Compiled:
    """Compile `program` for `target` into `folder`.

    scratch  an empty folder for intermediate files
    stored   for each parameter that decodes to sparse rows, how it is stored, by its name in the `.bpz`; see
             stored_weights
    kernels  which layers run sparse; see cost.choose

    Raises InputError if TVM rejects an operator, MissingToolError if there is no C compiler.
    """
    names = normalised(program).names
    on_cpu, on_gpu = Decider(choose, kernels, names), Decider(choose_for_gpu, kernels, names)
    module, plan = lower(program, target, stored, on_cpu)
    objects = [_compiled_kernels(module, target, scratch)]
    folder.mkdir(parents=True, exist_ok=True)
    with c_sources(target) as sources:
        sources.copy_headers(folder)
        objects.append(_schedule(plan, sources, folder, scratch))
        if target.gpu is not None:
            objects.append(_gpu_schedule(program, stored, on_gpu, sources, folder, scratch))
        objects += sources.library_objects(scratch)
        link_archive(objects, folder / ARCHIVE)
        link_runner(sources, folder / ARCHIVE, folder / RUNNER)
        if target.shared:
            link_shared(sources, objects, scratch, folder / LIBRARY)
    return Compiled(
        runner=folder / RUNNER,
        archive=folder / ARCHIVE,
        header=folder / HEADER,
        schedule=folder / SCHEDULE,
        library=folder / LIBRARY if target.shared else None,
        decisions=on_cpu.decisions,
        gpu_decisions=on_gpu.decisions,
    )


def _compiled_kernels(module: IRModule, target: Target, scratch: Path) -> Path:
    """Compile the processor's kernels to an object file."""
    import tvm

    compiled = scratch / "kernels.o"
    with compiling(), tvm.transform.PassContext(config={"tirx.disable_assert": True}):
        library = tvm.tirx.build(module, tvm_target(target), pipeline="default")
        library.write_to_file(str(compiled), "o")
    return compiled


def _schedule(plan: Plan, sources: CSources, folder: Path, scratch: Path) -> Path:
    """Compile the order of kernel calls to an object file; its C source stays in `folder` for reading."""
    source = folder / SCHEDULE
    source.write_text(schedule_source(plan))
    return sources.compile(source, scratch)


def _gpu_schedule(
    program: ExportedProgram,
    stored: Mapping[str, Stored],
    decider: Decider,
    sources: CSources,
    folder: Path,
    scratch: Path,
) -> Path:
    """Compile the GPU programs to one object file; the program with float16 products, if any, is first."""
    halves = (True, False) if sources.target.half else (False,)
    programs = [lower_opencl(program, sources.target, stored, decider, half=half) for half in halves]
    source = folder / GPU_SCHEDULE
    source.write_text(gpu_schedule_source(programs))
    return sources.compile(source, scratch)
