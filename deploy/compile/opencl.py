"""The network on a mobile GPU: OpenCL kernels, and the table of launches that runs them in order.

TVM makes the kernels (dlight schedules, by the limits of a family of devices) and a host function that launches each.
Shapes are fixed, so every launch is known while compiling: what the device needs is the source of the kernels and a
table, and neither TVM's host functions nor its runtime.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from ...errors import InputError
from ...optional import require
from ..program.normalise import normalised
from .fixed_shapes import number, operator_name
from .half import EXTENSION, with_half_products
from .layers import DecideLayers, Stored
from .lower import as_module, parted, planned, walk, with_our_kernels
from .plan import Plan, View
from .relax_import import compiling, imported
from .substitute import OURS
from .targets import Target

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from tvm import IRModule
    from tvm.ir import BaseFunc, Call, Expr, Var
    from tvm.relax import DataflowVar
    from tvm.s_tir import SBlockRealize
    from tvm.target import Target as TvmTarget
    from tvm.tirx import PrimFunc, Stmt

# Origins of sub-buffers have to be multiples of a device's CL_DEVICE_MEM_BASE_ADDR_ALIGN: at most so many bytes on
# those that are known.
BUFFER_ALIGNMENT = 512
_AXES = ("x", "y", "z")
# The host's part, and those of the devices.
_Parts: TypeAlias = "tuple[IRModule, dict[TvmTarget, IRModule]]"
_GROUP = 64  # work items of a group, where nothing better is known
_SPATIAL = 0  # tvm.tirx.IterVar.DataPar


@dataclass(frozen=True)
class Launch:
    """One kernel started: its buffers, and how many work items in groups of how many; once: when weights are loaded."""

    kernel: str
    views: tuple[View, ...]
    items: tuple[int, int, int]
    group: tuple[int, int, int]
    layers: tuple[str, ...]
    once: bool


@dataclass(frozen=True)
class GpuProgram:
    """OpenCL C, and what is launched over which memory.

    precision  that products are computed in
    extension  of OpenCL that the device has to have for it
    """

    source: str
    plan: Plan
    launches: tuple[Launch, ...]
    precision: str
    extension: str | None


@compiling()
def lower_opencl(
    program: ExportedProgram, target: Target, stored: Mapping[str, Stored] | None = None,
    choose: DecideLayers | None = None, *, half: bool = False,
) -> GpuProgram:  # fmt: skip
    """Compile `program` for the target's GPU.

    stored, choose  see lower.lower
    half            compute dense products in float16; see half.py

    Raises InputError for a network that TVM finds no OpenCL kernels for.
    """
    require("tvm")
    import tvm

    normal = normalised(program)
    names = normal.names
    gpu = tvm.target.Target({"kind": "opencl", **(target.gpu or {})}, host=tvm.target.Target({"kind": "llvm"}))
    with gpu:
        module, sparse = with_our_kernels(imported(normal.program), names, stored or {}, choose, None)
        module = planned(_with_names_of_their_own(with_half_products(module) if half else module))
    main, functions = parted(module)
    plan = Plan(alignment=BUFFER_ALIGNMENT)
    walk(main, names, sparse, plan, ("float16",) if half else ())
    used = {call.kernel for call in plan.calls}
    scheduled = _scheduled(as_module({name: function for name, function in functions.items() if name in used}), gpu)
    started, source = _compiled(scheduled, gpu)
    launches = []
    for call in plan.calls:
        function = cast("PrimFunc", scheduled[call.kernel])
        block = cast("SBlockRealize", function.body).block
        named = {variable.name: view for variable, view in zip(function.params, call.views, strict=True)}
        between = {buffer.name: buffer for buffer in block.alloc_buffers if buffer.scope() == "global"}
        for kernel, arguments, extents in started[call.kernel]:
            for name in arguments:
                if name not in named:
                    named[name] = _between(plan, between, name, call.kernel)
            items, group = _sizes(extents)
            views = tuple(named[name] for name in arguments)
            launches.append(Launch(kernel, views, items, group, call.layers, call.once))
    extension = EXTENSION if half else None
    return GpuProgram(source, plan, tuple(launches), "float16" if half else "float32", extension)


def _with_names_of_their_own(module: IRModule) -> IRModule:
    """The module with no two variables of one name.

    Kernels take their arguments' names from them, and by these we know which is which.
    """
    from tvm import relax
    from tvm.relax.expr_functor import PyExprMutator, mutator

    @mutator
    class Names(PyExprMutator):
        """Numbers the variables between."""

        def __init__(self, module: IRModule) -> None:
            super().__init__(module)
            self.fresh: dict[Var, Var] = {}

        def visit_dataflow_var_def_(self, var: DataflowVar) -> Var:
            self.fresh[var] = relax.DataflowVar(f"between{len(self.fresh)}", var.ty)
            return self.fresh[var]

        def visit_dataflow_var_(self, op: DataflowVar) -> Expr:
            return self.fresh[op]

    names = Names(module)
    main = cast("BaseFunc", names.visit_expr(module["main"]))
    names.builder_.update_func(module.get_global_var("main"), main)
    return names.builder_.get()


def _scheduled(module: IRModule, gpu: TvmTarget) -> IRModule:
    """Each function by the first of TVM's rules that fits, or plainly where TVM cannot compile what comes of it."""
    import tvm
    from tvm.s_tir import dlight

    rules = (
        dlight.gpu.Matmul(), dlight.gpu.GEMV(), dlight.gpu.Reduction(), dlight.gpu.GeneralReduction(),
        dlight.gpu.Fallback(),
    )  # fmt: skip
    functions = {}
    for variable, function in module.functions.items():
        alone = tvm.IRModule({variable: function})
        if variable.name_hint.startswith(OURS):
            functions[variable] = function  # which comes with its work items
            continue
        with gpu:
            scheduled = dlight.ApplyDefaultSchedule(*rules)(alone)
            try:
                _split(scheduled, gpu)
            except (RuntimeError, ValueError):  # TVM has no type of its own for this
                scheduled = _plainly(tvm.IRModule({variable: function}))  # the first try may have changed `alone`
        functions[variable] = scheduled[variable.name_hint]
    return tvm.IRModule(functions)


def _plainly(module: IRModule) -> IRModule:
    """One kernel a block and one work item an output of it."""
    from tvm import s_tir

    schedule = s_tir.Schedule(module)
    for function in module.functions:
        schedule.work_on(function.name_hint)
        for block in schedule.get_child_blocks(schedule.get_sblock("root")):
            # Loops of sums are the inner ones; an axis of one element may have no loop at all.
            sums = sum(
                int(axis.iter_type) != _SPATIAL and number(axis.dom.extent) > 1
                for axis in schedule.get(block).iter_vars
            )
            loops = schedule.get_loops(block)
            outer, inner = schedule.split(schedule.fuse(*loops[: len(loops) - sums]), [None, _GROUP])
            schedule.bind(outer, "blockIdx.x")
            schedule.bind(inner, "threadIdx.x")
    return schedule.mod


def _split(module: IRModule, gpu: TvmTarget) -> _Parts:
    """The host's part, and the devices'."""
    import tvm

    # A function of the same name hides the module from an ordinary import.
    build = importlib.import_module("tvm.tirx.build")
    with gpu:
        pipeline, _, _ = tvm.tirx.get_tir_pipeline("default")
        parts: _Parts = build.split_host_device_mods(pipeline(tvm.tirx.transform.BindTarget(gpu)(module)))
    return parts


Started = dict[str, list[tuple[str, list[str], dict[str, int]]]]


def _compiled(module: IRModule, gpu: TvmTarget) -> tuple[Started, str]:
    """What each function starts (kernel, its buffers' names, extents by launch axis), and the source of all kernels."""
    import tvm

    host, devices = _split(module, gpu)
    kernels = {
        variable.name_hint: cast("PrimFunc", function)
        for device in devices.values()
        for variable, function in device.functions.items()
    }
    started: Started = {variable.name_hint: [] for variable in module.functions}
    for variable, function in host.functions.items():
        for call in _kernel_calls(cast("PrimFunc", function).body):
            name, *arguments = [getattr(argument, "value", argument) for argument in call.args]
            kernel = kernels[str(name)]
            axes = [str(axis) for axis in cast("Sequence[object]", kernel.attrs["tirx.kernel_launch_params"])]
            extents = dict(zip(axes, map(number, cast("list[Expr]", arguments[-len(axes) :])), strict=True))
            buffers = [parameter.name.removesuffix("_ptr") for parameter in kernel.params]
            started[variable.name_hint].append((str(name), buffers[: len(arguments) - len(axes)], extents))
    for name, calls in started.items():
        if not calls:
            raise InputError(f"TVM makes no OpenCL kernel of {name}; build for a CPU target.")
    library = tvm.tirx.build(module, gpu, pipeline="default")
    return started, str(library.imports[0].inspect_source())


def _kernel_calls(body: Stmt) -> list[Call]:
    """Kernel launches of a host function, in their order."""
    import tvm_ffi
    from tvm.ir import Call

    found: list[Call] = []

    def visit(call: Call) -> None:
        if operator_name(call) == "tirx.call_ffi_kernel":
            found.append(call)

    tvm_ffi.structural_walk(body, (Call, visit), order="post")
    return found


def _between(plan: Plan, buffers: dict[str, Var], name: str, kernel: str) -> View:
    """Memory for what one kernel of a function leaves to the next."""
    if name not in buffers:
        raise InputError(f"The OpenCL kernel of {kernel} takes {name}, which nobody gives; build for a CPU target.")
    buffer = buffers[name]
    shape, dtype = tuple(number(extent) for extent in buffer.shape), str(buffer.dtype)
    return View(plan.reserve(np.dtype(dtype).itemsize * math.prod(shape), arena=True), shape, dtype)


def _sizes(extents: dict[str, int]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Work items and the size of a group on each axis, of TVM's blocks and threads."""
    groups, threads = ([extents.get(f"{kind}.{axis}", 1) for axis in _AXES] for kind in ("blockIdx", "threadIdx"))
    x, y, z = (block * thread for block, thread in zip(groups, threads, strict=True))
    return (x, y, z), (threads[0], threads[1], threads[2])
