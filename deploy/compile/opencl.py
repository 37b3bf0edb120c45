"""Lower a network for a GPU: OpenCL kernels, and a table of their launches in order.

TVM makes the kernels (dlight schedules them for the limits of a device family) and host functions that launch them.
All shapes are fixed, so all launches are known at compile time. The device therefore needs only the kernels' source and
a table of launches, but neither TVM's host functions nor its runtime.
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
from .lower import as_module, fill_plan, main_and_kernels, planned, with_package_kernels
from .plan import Plan, View
from .relax_import import compiling, imported
from .substitute import KERNEL_PREFIX
from .targets import Target

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from tvm import IRModule
    from tvm.ir import BaseFunc, Call, Expr, Var
    from tvm.relax import DataflowVar
    from tvm.s_tir import SBlockRealize
    from tvm.target import Target as TvmTarget
    from tvm.tirx import PrimFunc, Stmt

# The origin of a sub-buffer must be a multiple of the device's CL_DEVICE_MEM_BASE_ADDR_ALIGN. No known device has a
# larger one than this, in bytes.
BUFFER_ALIGNMENT = 512
_AXES = ("x", "y", "z")
# The host's functions, and the kernels of each device target.
_Parts: TypeAlias = "tuple[IRModule, dict[TvmTarget, IRModule]]"
_GROUP = 64  # work items per group in the default schedule
_SPATIAL = 0  # tvm.tirx.IterVar.DataPar


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel.

    views   the kernel's buffers
    items   global work size on each axis, in work items
    group   local work size on each axis, in work items
    layers  names of the layers whose weights it reads, for reports
    once    True if it runs only when weights are loaded
    """

    kernel: str
    views: tuple[View, ...]
    items: tuple[int, int, int]
    group: tuple[int, int, int]
    layers: tuple[str, ...]
    once: bool


@dataclass(frozen=True)
class GpuProgram:
    """A network for a GPU.

    source         OpenCL C of all kernels
    plan           memory of parameters, constants and tensors; its calls are replaced by `launches`
    launches       all launches, in order
    product_dtype  type of the operands of products, "float32" or "float16"
    extension      OpenCL extension that the device must have; None for none
    """

    source: str
    plan: Plan
    launches: tuple[Launch, ...]
    product_dtype: str
    extension: str | None


@compiling()
def lower_opencl(
    program: ExportedProgram, target: Target, stored: Mapping[str, Stored] | None = None,
    choose: DecideLayers | None = None, *, half: bool = False,
) -> GpuProgram:  # fmt: skip
    """Compile `program` for the target's GPU.

    stored, choose  see lower.lower
    half            compute dense products in float16; see half.py

    Raises InputError if TVM cannot make OpenCL kernels for the network.
    """
    require("tvm")
    import tvm

    normal = normalised(program)
    names = normal.names
    gpu = tvm.target.Target({"kind": "opencl", **(target.gpu or {})}, host=tvm.target.Target({"kind": "llvm"}))
    with gpu:
        module, sparse = with_package_kernels(imported(normal.program), names, stored or {}, choose, None)
        module = planned(_with_unique_names(with_half_products(module) if half else module))
    main, functions = main_and_kernels(module)
    plan = Plan(alignment=BUFFER_ALIGNMENT)
    fill_plan(plan, main, names, sparse, ("float16",) if half else ())
    used = {call.kernel for call in plan.calls}
    scheduled = _scheduled(as_module({name: function for name, function in functions.items() if name in used}), gpu)
    kernel_launches, source = _compiled(scheduled, gpu)
    launches = []
    for call in plan.calls:
        function = cast("PrimFunc", scheduled[call.kernel])
        block = cast("SBlockRealize", function.body).block
        by_name = {variable.name: view for variable, view in zip(function.params, call.views, strict=True)}
        intermediates = {buffer.name: buffer for buffer in block.alloc_buffers if buffer.scope() == "global"}
        for kernel, arguments, extents in kernel_launches[call.kernel]:
            for name in arguments:
                if name not in by_name:
                    by_name[name] = _intermediate(plan, intermediates, name, call.kernel)
            items, group = _sizes(extents)
            views = tuple(by_name[name] for name in arguments)
            launches.append(Launch(kernel, views, items, group, call.layers, call.once))
    extension = EXTENSION if half else None
    return GpuProgram(source, plan, tuple(launches), "float16" if half else "float32", extension)


def _with_unique_names(module: IRModule) -> IRModule:
    """The module with a different name for each variable.

    A kernel's arguments are named after the variables, and `lower_opencl` identifies the arguments by name.
    """
    from tvm import relax
    from tvm.relax.expr_functor import PyExprMutator, mutator

    @mutator
    class Names(PyExprMutator):
        """Numbers the intermediate variables."""

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
    """Schedule each function with the first of TVM's rules that applies.

    If TVM cannot compile the result, the function gets the default schedule.
    """
    import tvm
    from tvm.s_tir import dlight

    rules = (
        dlight.gpu.Matmul(), dlight.gpu.GEMV(), dlight.gpu.Reduction(), dlight.gpu.GeneralReduction(),
        dlight.gpu.Fallback(),
    )  # fmt: skip
    functions = {}
    for variable, function in module.functions.items():
        alone = tvm.IRModule({variable: function})
        if variable.name_hint.startswith(KERNEL_PREFIX):
            functions[variable] = function  # the package's kernels bind their work items themselves
            continue
        with gpu:
            scheduled = dlight.ApplyDefaultSchedule(*rules)(alone)
            try:
                _split(scheduled, gpu)
            except (RuntimeError, ValueError):  # TVM has no error type for a schedule that it cannot compile
                # A new module, because the first attempt may have changed `alone`.
                scheduled = _default_schedule(tvm.IRModule({variable: function}))
        functions[variable] = scheduled[variable.name_hint]
    return tvm.IRModule(functions)


def _default_schedule(module: IRModule) -> IRModule:
    """Schedule one kernel per block, and one work item per output of the block."""
    from tvm import s_tir

    schedule = s_tir.Schedule(module)
    for function in module.functions:
        schedule.work_on(function.name_hint)
        for block in schedule.get_child_blocks(schedule.get_sblock("root")):
            # The loops of reductions are innermost. An axis of extent 1 has no loop.
            reductions = sum(
                int(axis.iter_type) != _SPATIAL and number(axis.dom.extent) > 1
                for axis in schedule.get(block).iter_vars
            )
            loops = schedule.get_loops(block)
            outer, inner = schedule.split(schedule.fuse(*loops[: len(loops) - reductions]), [None, _GROUP])
            schedule.bind(outer, "blockIdx.x")
            schedule.bind(inner, "threadIdx.x")
    return schedule.mod


def _split(module: IRModule, gpu: TvmTarget) -> _Parts:
    """Split a module into the host's functions and the devices' kernels."""
    import tvm

    # `import tvm.tirx.build` would return the function of this name instead of the module.
    build = importlib.import_module("tvm.tirx.build")
    with gpu:
        pipeline, _, _ = tvm.tirx.get_tir_pipeline("default")
        parts: _Parts = build.split_host_device_mods(pipeline(tvm.tirx.transform.BindTarget(gpu)(module)))
    return parts


# For each function, its launches: the kernel, the names of its buffers, extents by launch axis.
_KernelLaunches: TypeAlias = "dict[str, list[tuple[str, list[str], dict[str, int]]]]"


def _compiled(module: IRModule, gpu: TvmTarget) -> tuple[_KernelLaunches, str]:
    """Compile the module. Returns the launches of each function, and the OpenCL C of all kernels."""
    import tvm

    host, devices = _split(module, gpu)
    kernels = {
        variable.name_hint: cast("PrimFunc", function)
        for device in devices.values()
        for variable, function in device.functions.items()
    }
    launches: _KernelLaunches = {variable.name_hint: [] for variable in module.functions}
    for variable, function in host.functions.items():
        for call in _kernel_calls(cast("PrimFunc", function).body):
            name, *arguments = [getattr(argument, "value", argument) for argument in call.args]
            kernel = kernels[str(name)]
            axes = [str(axis) for axis in cast("Sequence[object]", kernel.attrs["tirx.kernel_launch_params"])]
            extents = dict(zip(axes, map(number, cast("list[Expr]", arguments[-len(axes) :])), strict=True))
            buffers = [parameter.name.removesuffix("_ptr") for parameter in kernel.params]
            launches[variable.name_hint].append((str(name), buffers[: len(arguments) - len(axes)], extents))
    for name, calls in launches.items():
        if not calls:
            raise InputError(f"TVM cannot make an OpenCL kernel for {name}; build for a CPU target.")
    library = tvm.tirx.build(module, gpu, pipeline="default")
    return launches, str(library.imports[0].inspect_source())


def _kernel_calls(body: Stmt) -> list[Call]:
    """The kernel launches of a host function, in order."""
    import tvm_ffi
    from tvm.ir import Call

    kernel_calls: list[Call] = []

    def visit(call: Call) -> None:
        if operator_name(call) == "tirx.call_ffi_kernel":
            kernel_calls.append(call)

    tvm_ffi.structural_walk(body, (Call, visit), order="post")
    return kernel_calls


def _intermediate(plan: Plan, buffers: dict[str, Var], name: str, kernel: str) -> View:
    """Reserve memory for a buffer that one kernel of a function writes and a later one reads."""
    if name not in buffers:
        raise InputError(f"The OpenCL kernel of {kernel} reads {name}, which nothing computes; build for a CPU target.")
    buffer = buffers[name]
    shape, dtype = tuple(number(extent) for extent in buffer.shape), str(buffer.dtype)
    return View(plan.reserve(np.dtype(dtype).itemsize * math.prod(shape), arena=True), shape, dtype)


def _sizes(extents: dict[str, int]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Convert TVM's blocks and threads to OpenCL's global and local work sizes on each axis."""
    groups, threads = ([extents.get(f"{kind}.{axis}", 1) for axis in _AXES] for kind in ("blockIdx", "threadIdx"))
    x, y, z = (block * thread for block, thread in zip(groups, threads, strict=True))
    return (x, y, z), (threads[0], threads[1], threads[2])
