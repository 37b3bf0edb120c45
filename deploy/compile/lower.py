"""Lower an exported network to kernels, a memory plan and an ordered list of kernel calls.

The package uses TVM's compiler, but not TVM's runtime. After static memory planning, the Relax program of a network
with fixed shapes is a list of kernel calls on slices of a few storages. schedule.py writes that list as tables in C.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from ...errors import InputError
from ...optional import require
from ..program.normalise import normalised
from .find_layers import find_layers
from .fixed_shapes import bindings_of, body_of, extents, number, operator_name, tensor_type
from .kernels.blocked import Registers
from .kernels.dense import schedule_kernel
from .kernels.geometry import LANES
from .layers import DecideLayers, Layer, Stored
from .plan import ALIGNMENT, Call, Plan, SparseParameter, View
from .relax_import import compiling, imported
from .substitute import KERNEL_PREFIX, parameter_roles, substitute
from .targets import Target

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from tvm import IRModule
    from tvm.ir import Call as RelaxCall
    from tvm.ir import Expr, GenericConst, GlobalVar, StringImm, Var
    from tvm.relax import Function
    from tvm.runtime import Tensor
    from tvm.s_tir import SBlockRealize
    from tvm.target import Target as TvmTarget
    from tvm.tirx import PrimFunc

# The value of an expression in the planned program: a tensor, several tensors, the offset of a storage, or nothing.
_Value = View | tuple["_Value", ...] | int | None

_FAST_MATH = ("fast-math-reassoc", "fast-math-nsz", "fast-math-contract")
# Element types that a tensor inside the network may have.
_TYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


@compiling()
def lower(
    program: ExportedProgram,
    target: Target,
    stored: Mapping[str, Stored] | None = None,
    choose: DecideLayers | None = None,
) -> tuple[IRModule, Plan]:
    """Return the kernels, as an IRModule of scheduled PrimFuncs, and the plan of their calls.

    stored   for each parameter that decodes to sparse rows, how it is stored, by its name in the `.bpz`
    choose   receives the layers that can run sparse, returns for each whether it does; None to run all dense

    Raises InputError if the network's input or output is not one float32 tensor of fixed shape, or if TVM cannot
    compile the network.
    """
    require("tvm")
    normal = normalised(program)
    names = normal.names
    with tvm_target(target):
        registers = registers_of(target)
        module, sparse = with_package_kernels(imported(normal.program), names, stored or {}, choose, registers)
        module = planned(module)
    main, functions = main_and_kernels(module)
    plan = Plan()
    fill_plan(plan, main, names, sparse)
    used = {call.kernel for call in plan.calls}
    kernels = {
        name: function if name.startswith(KERNEL_PREFIX) else schedule_kernel(function)
        for name, function in functions.items()
        if name in used
    }
    # During loading, the arena holds the column numbers of one sparse weight at a time, 4 bytes each.
    plan.arena = max(plan.arena, 4 * max((layer.stored.count for layer in sparse.values()), default=0))
    plan.scratch = max((_scratch_bytes(kernel) for kernel in kernels.values()), default=0)
    return as_module(kernels), plan


def with_package_kernels(
    module: IRModule, names: Mapping[str, str], stored: Mapping[str, Stored], choose: DecideLayers | None,
    registers: Registers | None,
) -> tuple[IRModule, dict[str, Layer]]:  # fmt: skip
    """Replace layers of the imported module with the package's kernels.

    names      from the program's variables to the parameters' names in the `.bpz`
    registers  see substitute.substitute

    Returns the new module, and the layers that run sparse by their weights' variables.
    """
    known = {variable: stored[name] for variable, name in names.items() if name in stored}
    matches = find_layers(
        cast("Function", module["main"]), known, LANES if registers is None else accumulators(registers)
    )
    layers = [match.layer for match in matches if match.layer is not None and match.layer.stored.count > 0]
    choices = choose(layers) if choose is not None and layers else [False] * len(layers)
    sparse = {layer.parameter: layer for layer, runs_sparse in zip(layers, choices, strict=True) if runs_sparse}
    run_sparse = [match.layer is not None and match.layer.parameter in sparse for match in matches]
    return (substitute(module, matches, run_sparse, registers) if matches else module), sparse


def registers_of(target: Target) -> Registers:
    """The target's vector registers; for the machine that builds, LLVM reports its features."""
    if target.compiler is not None:
        return Registers(*target.registers)
    from tvm.target import codegen

    if platform.machine() in ("aarch64", "arm64"):
        return Registers(4, 32)
    if codegen.target_has_features(["avx512f"], tvm_target(target)):
        return Registers(16, 32)
    return Registers(8 if codegen.target_has_features(["avx2"], tvm_target(target)) else 4, 16)


def accumulators(registers: Registers) -> int:
    """Number of floats that a sparse kernel accumulates in registers while it reads a channel's weights.

    This is three quarters of the registers, but at most 96: larger tiles waste work on small planes, which do not fill
    them.
    """
    return min(96, registers.count * registers.lanes * 3 // 4 // LANES * LANES)


def tvm_target(target: Target) -> TvmTarget:
    """The TVM target object.

    LLVM may reorder sums, because dot products would not be vectorised otherwise. It may not assume that infinities and
    NaN do not occur: networks use infinities in masks, and LLVM would remove tests for NaN.
    """
    import tvm

    attributes: Mapping[str, object] = target.compiler or {
        "kind": "llvm",
        "mtriple": tvm.get_global_func("target.llvm_get_system_triple")(),
        "mcpu": tvm.get_global_func("target.llvm_get_system_cpu")(),
    }
    return tvm.target.Target({**attributes, **dict.fromkeys(_FAST_MATH, True)})


def planned(module: IRModule) -> IRModule:
    """Run TVM's passes that split the program into kernels and plan the memory of the tensors between them."""
    from tvm.relax import transform

    passes = [
        transform.FuseTransposeMatmul(), transform.LegalizeOps(), transform.AnnotateTIROpPattern(),
        transform.FoldConstant(), transform.FuseOps(), transform.FuseTIR(), transform.DeadCodeElimination(),
        transform.RewriteDataflowReshape(), transform.ToNonDataflow(), transform.RemovePurityChecking(),
        transform.CallTIRRewrite(), transform.StaticPlanBlockMemory(),
    ]  # fmt: skip
    for transformation in passes:
        module = transformation(module)
    return module


def main_and_kernels(module: IRModule) -> tuple[Function, dict[str, PrimFunc]]:
    """Split a planned module into its main function and its kernels by name."""
    functions = {variable.name_hint: function for variable, function in module.functions.items()}
    main = cast("Function", functions.pop("main"))
    return main, cast("dict[str, PrimFunc]", functions)


def fill_plan(
    plan: Plan, main: Function, names: Mapping[str, str], sparse: Mapping[str, Layer], more_types: Sequence[str] = ()
) -> None:
    """Fill an empty plan from the planned Relax function `main`.

    names       from the program's variables to the parameters' names in the `.bpz`
    sparse      the layers that run sparse, by their weights' variables
    more_types  further element types that a tensor may have

    Raises InputError for an unsupported element type, a shape that is not fixed, or more than one output.
    """
    _PlanReader(plan, main, names, sparse, (*_TYPES, *more_types))


class _PlanReader:
    """Reads the planned Relax function binding by binding into `plan`.

    values  the value of each variable read so far
    owners  the parameter, by its name in the `.bpz`, that a tensor was computed from
    """

    def __init__(
        self, plan: Plan, main: Function, names: Mapping[str, str], sparse: Mapping[str, Layer], types: Sequence[str]
    ) -> None:
        self.plan, self.types = plan, types
        self.values: dict[Var, _Value] = {}
        self.owners: dict[View, str] = {}
        arrays: dict[str, dict[str, View]] = {}
        for variable in main.params:
            weight, role = parameter_roles(variable.name)
            view = self._fresh(variable, arena=variable.name not in names and not role)
            self.values[variable] = view
            if role:
                arrays.setdefault(weight, {})[role] = view
                self.owners[view] = names[weight]
            elif variable.name in names:
                self.plan.parameters[names[variable.name]] = view
                self.owners[view] = names[variable.name]
            else:
                self.plan.input = view
        for weight, views in arrays.items():
            layer = sparse[weight]
            self.plan.parameters[names[weight]] = SparseParameter(
                **views, shape=layer.shape, inner=layer.inner, channel_stride=layer.channel_stride, table=layer.table
            )
        body = body_of(main)
        for block in body.blocks:
            for binding in bindings_of(block):
                self.values[binding.var] = self._value(binding.value)
        output = self._value(body.body)
        if not isinstance(output, View) or output.dtype != "float32":
            raise InputError("The network does not return one float32 tensor; change it to return only its logits.")
        self.plan.output = output

    def _fresh(self, variable: Var, *, arena: bool) -> View:
        dtype = str(tensor_type(variable).dtype)
        if dtype != "float32" and not parameter_roles(variable.name)[1]:
            raise InputError(f"{variable.name} has type {dtype}; convert the network's weights and input to float32.")
        return self._reserve(_integers(tensor_type(variable).shape), dtype, arena=arena)

    def _reserve(self, shape: tuple[int, ...], dtype: str, *, arena: bool) -> View:
        size = np.dtype(dtype).itemsize * math.prod(shape)
        return View(self.plan.reserve(size, arena=arena), shape, dtype, arena)

    def _value(self, expression: Expr) -> _Value:
        from tvm import ir, relax

        if isinstance(expression, relax.Var):
            return self.values[expression]
        if isinstance(expression, relax.Tuple):
            return tuple(self._value(field) for field in expression.fields)
        if isinstance(expression, relax.TupleGetItem):
            return cast("tuple[_Value, ...]", self._value(expression.tuple_value))[expression.index]
        if isinstance(expression, ir.GenericConst):
            return self._constant(expression)
        if isinstance(expression, relax.Call):
            return self._call(expression)
        raise RuntimeError(f"the planned program holds an unexpected {type(expression).__name__}")

    def _constant(self, constant: GenericConst) -> View:
        array = cast("Tensor", constant.value).numpy()
        view = self._reserve(tuple(array.shape), self._checked(array.dtype), arena=False)
        self.plan.constants.append((array, view.offset))
        return view

    def _call(self, call: RelaxCall) -> _Value:
        from tvm import ir

        if isinstance(call.op, ir.GlobalVar):
            self._kernel(call)
            return None
        operator, arguments = operator_name(call), call.args
        if operator == "relax.memory.alloc_storage":
            return self.plan.reserve(_integers(arguments[0])[0], arena=True)
        if operator == "relax.memory.alloc_tensor":
            offset = cast("int", self._value(arguments[0])) + number(arguments[1])
            return View(offset, _integers(arguments[2]), self._checked(_text(arguments[3])))
        if operator == "relax.builtin.alloc_tensor":
            return self._reserve(_integers(arguments[0]), self._checked(_text(arguments[1])), arena=True)
        if operator == "relax.reshape":
            source = cast("View", self._value(arguments[0]))
            view = replace(source, shape=_integers(arguments[1]))
            if source in self.owners:
                self.owners.setdefault(view, self.owners[source])
            return view
        raise RuntimeError(f"the planned program calls {operator}, which the schedule cannot express")

    def _checked(self, dtype: object) -> str:
        if str(dtype) not in self.types:
            raise InputError(
                f"The network has a tensor of type {dtype}; convert it to one of the supported types "
                f"{', '.join(_TYPES)}."
            )
        return str(dtype)

    def _kernel(self, call: RelaxCall) -> None:
        """Add a kernel call to the plan.

        If no input depends on the network's input, the output moves to the region of the weights, and the kernel runs
        once, during loading.
        """
        *inputs, output = (cast("View", self._value(argument)) for argument in call.args)
        owners = dict.fromkeys(self.owners[view] for view in inputs if view in self.owners)
        if inputs and not any(view.arena for view in inputs):
            output = self._reserve(output.shape, output.dtype, arena=False)
            self.values[cast("Var", call.args[-1])] = output
            if owners:
                self.owners[output] = next(iter(owners))
        layers = tuple(dict.fromkeys(name.rpartition(".")[0] for name in owners))
        self.plan.calls.append(Call(cast("GlobalVar", call.op).name_hint, (*inputs, output), layers))


def _text(expression: Expr) -> str:
    """The value of a string argument of a call, such as the name of a type."""
    return str(cast("StringImm", expression).value)


def _integers(shape: Expr | None) -> tuple[int, ...]:
    try:
        return extents(shape)
    except TypeError:
        raise InputError(f"The graph has the shape {shape}, which is not fixed; export it for one shape.") from None


def _scratch_bytes(function: PrimFunc) -> int:
    """Bytes that a kernel may allocate while it runs: its buffers, each rounded up to the alignment.

    Buffers of local scope count too: TVM allocates memory for each buffer above a kilobyte, even if LLVM then keeps its
    elements in registers.
    """
    total = 0
    for buffer in cast("SBlockRealize", function.body).block.alloc_buffers:
        size = np.dtype(str(buffer.dtype)).itemsize * math.prod(number(extent) for extent in buffer.shape)
        total += -(-size // ALIGNMENT) * ALIGNMENT
    return total


def as_module(kernels: Mapping[str, PrimFunc]) -> IRModule:
    """Build an IRModule that exports the PrimFuncs under their names."""
    import tvm
    from tvm.relax import transform

    return transform.AttachGlobalSymbol()(tvm.IRModule({tvm.ir.GlobalVar(k): f for k, f in kernels.items()}))
