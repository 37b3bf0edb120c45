"""From an exported network to kernels and the order of their calls over one memory plan.

TVM is the compiler here and not the runtime: after static memory planning the Relax program of a network with
fixed shapes is a list of kernel calls on slices of a few storages. That list becomes tables in C (schedule.py).
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
from .substitute import OURS, parameter_roles, substitute
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

# What an expression of the planned program stands for: a tensor, several, the offset of a storage, nothing.
_Value = View | tuple["_Value", ...] | int | None

_FAST_MATH = ("fast-math-reassoc", "fast-math-nsz", "fast-math-contract")
# What a tensor inside the network may hold.
_TYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


@compiling()
def lower(
    program: ExportedProgram,
    target: Target,
    stored: Mapping[str, Stored] | None = None,
    choose: DecideLayers | None = None,
) -> tuple[IRModule, Plan]:
    """Kernels as an IRModule of scheduled PrimFuncs, and the plan of their calls.

    stored   of each parameter that decodes to sparse rows, by its name in the `.bpz`
    choose   which of the layers that could run sparse shall

    Raises InputError for a network that takes or gives anything but one float32 tensor of fixed shape, and for one that
    TVM cannot compile.
    """
    require("tvm")
    normal = normalised(program)
    names = normal.names
    with tvm_target(target):
        registers = registers_of(target)
        module, sparse = with_our_kernels(imported(normal.program), names, stored or {}, choose, registers)
        module = planned(module)
    main, functions = parted(module)
    plan = Plan()
    walk(main, names, sparse, plan)
    used = {call.kernel for call in plan.calls}
    kernels = {
        name: function if name.startswith(OURS) else schedule_kernel(function)
        for name, function in functions.items()
        if name in used
    }
    # While it loads, the arena holds the columns of one weight at a time, 4 bytes each.
    plan.arena = max(plan.arena, 4 * max((layer.stored.count for layer in sparse.values()), default=0))
    plan.scratch = max((_scratch_bytes(kernel) for kernel in kernels.values()), default=0)
    return as_module(kernels), plan


def with_our_kernels(
    module: IRModule, names: Mapping[str, str], stored: Mapping[str, Stored], choose: DecideLayers | None,
    registers: Registers | None,
) -> tuple[IRModule, dict[str, Layer]]:  # fmt: skip
    """The imported module with our kernels in it, and which layers are sparse, by their weights' variables.

    names      in the `.bpz`, by variable
    registers  see layers.substitute
    """
    known = {variable: stored[name] for variable, name in names.items() if name in stored}
    found = find_layers(
        cast("Function", module["main"]), known, LANES if registers is None else accumulators(registers)
    )
    layers = [each.layer for each in found if each.layer is not None and each.layer.stored.count > 0]
    chosen = choose(layers) if choose is not None and layers else [False] * len(layers)
    sparse = {layer.parameter: layer for layer, take in zip(layers, chosen, strict=True) if take}
    taken = [each.layer is not None and each.layer.parameter in sparse for each in found]
    return (substitute(module, found, taken, registers) if found else module), sparse


def registers_of(target: Target) -> Registers:
    """The target's vectors; of the machine that builds, as LLVM knows it."""
    if target.compiler is not None:
        return Registers(*target.registers)
    from tvm.target import codegen

    if platform.machine() in ("aarch64", "arm64"):
        return Registers(4, 32)
    if codegen.target_has_features(["avx512f"], tvm_target(target)):
        return Registers(16, 32)
    return Registers(8 if codegen.target_has_features(["avx2"], tvm_target(target)) else 4, 16)


def accumulators(registers: Registers) -> int:
    """Floats that a sparse kernel holds while it walks through a channel's weights: three quarters of the registers,
    but no more than 96, as more only make small planes waste what they do not fill.
    """
    return min(96, registers.count * registers.lanes * 3 // 4 // LANES * LANES)


def tvm_target(target: Target) -> TvmTarget:
    """The TVM target object. Sums may be reordered, without which dot products stay scalar; but infinities and NaN
    count, as masks are made of them, and LLVM would take the question whether a number is NaN for answered.
    """
    import tvm

    attributes: Mapping[str, object] = target.compiler or {
        "kind": "llvm",
        "mtriple": tvm.get_global_func("target.llvm_get_system_triple")(),
        "mcpu": tvm.get_global_func("target.llvm_get_system_cpu")(),
    }
    return tvm.target.Target({**attributes, **dict.fromkeys(_FAST_MATH, True)})


def planned(module: IRModule) -> IRModule:
    """Kernels, and memory for everything between them."""
    from tvm.relax import transform

    passes = [
        transform.FuseTransposeMatmul(), transform.LegalizeOps(), transform.AnnotateTIROpPattern(),
        transform.FoldConstant(), transform.FuseOps(), transform.FuseTIR(), transform.DeadCodeElimination(),
        transform.RewriteDataflowReshape(), transform.ToNonDataflow(), transform.RemovePurityChecking(),
        transform.CallTIRRewrite(), transform.StaticPlanBlockMemory(),
    ]  # fmt: skip
    for each in passes:
        module = each(module)
    return module


def parted(module: IRModule) -> tuple[Function, dict[str, PrimFunc]]:
    """The planned program, and the kernels that it calls by their names."""
    functions = {variable.name_hint: function for variable, function in module.functions.items()}
    main = cast("Function", functions.pop("main"))
    return main, cast("dict[str, PrimFunc]", functions)


def walk(
    main: Function, names: Mapping[str, str], sparse: Mapping[str, Layer], plan: Plan, more_types: Sequence[str] = ()
) -> None:
    """Enter the planned Relax function `main` in an empty plan.

    names       of the parameters in the `.bpz`, by their variables
    sparse      the layers that run sparse, by their weights' variables
    more_types  that a tensor may hold
    """
    _Walk(main, names, sparse, plan, (*_TYPES, *more_types))


class _Walk:
    """Reads the planned Relax function binding by binding into `plan`."""

    def __init__(
        self, main: Function, names: Mapping[str, str], sparse: Mapping[str, Layer], plan: Plan, types: Sequence[str]
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
            raise InputError("The network's output has to be one float32 tensor; return its logits alone.")
        self.plan.output = output

    def _fresh(self, variable: Var, *, arena: bool) -> View:
        dtype = str(tensor_type(variable).dtype)
        if dtype != "float32" and not parameter_roles(variable.name)[1]:
            raise InputError(f"{variable.name} is of type {dtype}, and the network's weights and input "
                             "have to be float32.")  # fmt: skip
        return self._reserve(_integers(tensor_type(variable).shape), dtype, arena=arena)

    def _reserve(self, shape: tuple[int, ...], dtype: str, *, arena: bool) -> View:
        size = np.dtype(dtype).itemsize * math.prod(shape)
        return View(self.plan.reserve(size, arena=arena), shape, dtype, arena)

    def _value(self, expression: Expr) -> _Value:
        from tvm import ir, relax

        if isinstance(expression, relax.Var):
            return self.values[expression]
        if isinstance(expression, relax.Tuple):
            return tuple(self._value(each) for each in expression.fields)
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
        raise RuntimeError(f"the planned program calls {operator}, which the schedule has no words for")

    def _checked(self, dtype: object) -> str:
        if str(dtype) not in self.types:
            raise InputError(f"The network computes in {dtype}; supported are {', '.join(_TYPES)}.")
        return str(dtype)

    def _kernel(self, call: RelaxCall) -> None:
        """Note a call. What follows from the weights alone moves to their region, to be computed once."""
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
    """A type's name among the arguments of a call."""
    return str(cast("StringImm", expression).value)


def _integers(shape: Expr | None) -> tuple[int, ...]:
    try:
        return extents(shape)
    except TypeError:
        raise InputError(f"The graph has shape {shape}, which is not fixed; export it for one shape.") from None


def _scratch_bytes(function: PrimFunc) -> int:
    """What a kernel may ask of the allocator: its buffers, each rounded up to the alignment.

    Even what is meant for registers: above a kilobyte TVM asks for memory, and LLVM moves it to registers all the same.
    """
    total = 0
    for buffer in cast("SBlockRealize", function.body).block.alloc_buffers:
        size = np.dtype(str(buffer.dtype)).itemsize * math.prod(number(extent) for extent in buffer.shape)
        total += -(-size // ALIGNMENT) * ALIGNMENT
    return total


def as_module(kernels: Mapping[str, PrimFunc]) -> IRModule:
    """PrimFuncs by their names as an IRModule, which exports them."""
    import tvm
    from tvm.relax import transform

    return transform.AttachGlobalSymbol()(tvm.IRModule({tvm.ir.GlobalVar(k): f for k, f in kernels.items()}))
