"""Ahead of time: an exported network to a static library, a runner, and for hosts and Android a shared library.

`compile_network` is six steps: lower the network for the processor, with a decision for each layer; compile its
kernels; write the schedule; do the same for the GPU; compile the C; link.
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
    """What a target comes to; all in one folder.

    runner    program that runs and times the network
    archive   static library: kernels, schedule, runtime and decoder
    header    the library's C header
    schedule  the generated C source of the kernels' order, to be read; it is in the library
    library   shared library, for targets that have one
    decisions   dense or sparse, for each layer that could be either
    gpu_decisions  the same on the GPU
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
    """Decides dense or sparse for the layers that lowering finds, and keeps the decisions.

    rule     cost.choose or cost.choose_for_gpu
    kernels  "auto", "dense" or "sparse"
    names    of the network's parameters
    """

    rule: DecideKernels
    kernels: str
    names: Mapping[str, str]
    decisions: Sequence[KernelDecision] = ()

    def __call__(self, layers: Sequence[Layer]) -> list[bool]:
        """Whether each layer runs sparse."""
        places = [self.names[each.parameter].rpartition(".")[0] for each in layers]
        self.decisions = self.rule(layers, places, self.kernels)
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

    scratch  an empty folder for what lies between
    stored   of each parameter that decodes to sparse rows, by its name in the `.bpz`; see stored_weights
    kernels  which layers run sparse; see cost.choose

    Raises InputError for an operator that TVM refuses, MissingToolError without a C compiler.
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
    """The object of the processor's kernels."""
    import tvm

    made = scratch / "kernels.o"
    with compiling(), tvm.transform.PassContext(config={"tirx.disable_assert": True}):
        library = tvm.tirx.build(module, tvm_target(target), pipeline="default")
        library.write_to_file(str(made), "o")
    return made


def _schedule(plan: Plan, sources: CSources, folder: Path, scratch: Path) -> Path:
    """The object of the kernels' order; its source stays in `folder`, to be read."""
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
    """The object of the GPU's programs, the one with products in float16 first where the target has one."""
    halves = (True, False) if sources.target.half else (False,)
    programs = [lower_opencl(program, sources.target, stored, decider, half=half) for half in halves]
    source = folder / GPU_SCHEDULE
    source.write_text(gpu_schedule_source(programs))
    return sources.compile(source, scratch)
