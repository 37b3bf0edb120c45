"""From an exported network to kernels and the order of their calls over one memory plan.

TVM is the compiler here and not the runtime: after static memory planning the Relax program of a network with
fixed shapes is a list of kernel calls on slices of a few storages. That list becomes tables in C (schedule.py).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError, reason_of
from .export import parameter_names
from .kernels import schedule_kernel
from .targets import Target
from .tools import require

_ALIGNMENT = 64
# What a tensor inside the network may hold. Half precision is a matter of its own (the runtime converts nothing).
_TYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


@dataclass(frozen=True)
class View:
    """A tensor in the workspace: byte offset, shape and NumPy's name of its type."""

    offset: int
    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class Call:
    """One kernel call: the kernel's name and its arguments, outputs last."""

    kernel: str
    views: tuple[View, ...]


@dataclass
class Plan:
    """Everything the generated schedule says; offsets are multiples of 64 bytes."""

    parameters: dict[str, View] = field(default_factory=dict)
    constants: list[tuple[npt.NDArray[Any], int]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    input: View = View(0, ())
    output: View = View(0, ())
    memory: int = 0
    scratch: int = 0

    def reserve(self, size: int) -> int:
        """Offset of `size` fresh bytes."""
        offset = self.memory
        self.memory += -(-size // _ALIGNMENT) * _ALIGNMENT
        return offset


def lower(program: Any, target: Target) -> tuple[Any, Plan]:
    """Kernels as an IRModule of scheduled PrimFuncs, and the plan of their calls.

    Raises InputError for a network that takes or gives anything but one float32 tensor of fixed shape.
    """
    require("tvm")
    module = _planned_relax(program, target)
    functions = {variable.name_hint: function for variable, function in module.functions.items()}
    main = functions.pop("main")
    plan = _Walk(main, parameter_names(program)).plan
    used = {call.kernel for call in plan.calls}
    kernels = {name: schedule_kernel(function) for name, function in functions.items() if name in used}
    plan.scratch = max((_scratch_bytes(kernel) for kernel in kernels.values()), default=0)
    return _as_module(kernels), plan


def tvm_target(target: Target) -> Any:
    """The TVM target object, fast-math on: without it dot products stay scalar."""
    import tvm

    attributes: Mapping[str, Any] = target.compiler or {
        "kind": "llvm",
        "mtriple": tvm.get_global_func("target.llvm_get_system_triple")(),
        "mcpu": tvm.get_global_func("target.llvm_get_system_cpu")(),
    }
    return tvm.target.Target({**attributes, "fast-math": True})


def _planned_relax(program: Any, target: Target) -> Any:
    from tvm import relax
    from tvm.relax import transform
    from tvm.relax.frontend.torch import from_exported_program

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = from_exported_program(program, keep_params_as_input=True, unwrap_unit_return_tuple=True)
    except (AssertionError, NotImplementedError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"TVM cannot take this network in: {reason_of(error)}; replace the operator it names."
        ) from error
    module, _ = relax.frontend.detach_params(module)
    passes = [
        transform.DecomposeOpsForInference(), transform.CanonicalizeBindings(), transform.FuseTransposeMatmul(),
        transform.LegalizeOps(), transform.AnnotateTIROpPattern(), transform.FoldConstant(), transform.FuseOps(),
        transform.FuseTIR(), transform.DeadCodeElimination(), transform.RewriteDataflowReshape(),
        transform.ToNonDataflow(), transform.RemovePurityChecking(), transform.CallTIRRewrite(),
        transform.StaticPlanBlockMemory(),
    ]  # fmt: skip
    with tvm_target(target):
        for each in passes:
            module = each(module)
    return module


class _Walk:
    """Reads the planned Relax function binding by binding; `plan` is the result."""

    def __init__(self, main: Any, names: Mapping[str, str]) -> None:
        self.plan = Plan()
        self.values: dict[Any, Any] = {}
        for variable in main.params:
            view = self._fresh(variable)
            self.values[variable] = view
            if variable.name in names:
                self.plan.parameters[names[variable.name]] = view
            else:
                self.plan.input = view
        for block in main.body.blocks:
            for binding in block.bindings:
                self.values[binding.var] = self._value(binding.value)
        output = self._value(main.body.body)
        if not isinstance(output, View) or output.dtype != "float32":
            raise InputError("The network's output has to be one float32 tensor; return its logits alone.")
        self.plan.output = output

    def _fresh(self, variable: Any) -> View:
        if str(variable.ty.dtype) != "float32":
            raise InputError(f"{variable.name} is of type {variable.ty.dtype}, and the network's weights and input "
                             "have to be float32.")  # fmt: skip
        return self._reserve(_integers(variable.ty.shape), "float32")

    def _reserve(self, shape: tuple[int, ...], dtype: str) -> View:
        return View(self.plan.reserve(np.dtype(dtype).itemsize * math.prod(shape)), shape, dtype)

    def _value(self, expression: Any) -> Any:
        from tvm import ir, relax

        if isinstance(expression, relax.Var):
            return self.values[expression]
        if isinstance(expression, relax.Tuple):
            return tuple(self._value(each) for each in expression.fields)
        if isinstance(expression, relax.TupleGetItem):
            return self._value(expression.tuple_value)[expression.index]
        if isinstance(expression, ir.GenericConst):
            return self._constant(expression)
        if isinstance(expression, relax.Call):
            return self._call(expression)
        raise RuntimeError(f"the planned program holds an unexpected {type(expression).__name__}")

    def _constant(self, constant: Any) -> View:
        array = constant.value.numpy()
        view = self._reserve(tuple(array.shape), _checked(array.dtype))
        self.plan.constants.append((array, view.offset))
        return view

    def _call(self, call: Any) -> Any:
        from tvm import ir

        if isinstance(call.op, ir.GlobalVar):
            self.plan.calls.append(Call(call.op.name_hint, tuple(self._value(argument) for argument in call.args)))
            return None
        operator, arguments = call.op.name, call.args
        if operator == "relax.memory.alloc_storage":
            return self.plan.reserve(_integers(arguments[0])[0])
        if operator == "relax.memory.alloc_tensor":
            offset = self._value(arguments[0]) + int(arguments[1].value)
            return View(offset, _integers(arguments[2]), _checked(arguments[3].value))
        if operator == "relax.builtin.alloc_tensor":
            return self._reserve(_integers(arguments[0]), _checked(arguments[1].value))
        if operator == "relax.reshape":
            source = self._value(arguments[0])
            return View(source.offset, _integers(arguments[1]), source.dtype)
        raise RuntimeError(f"the planned program calls {operator}, which the schedule has no words for")


def _integers(shape: Any) -> tuple[int, ...]:
    try:
        return tuple(int(extent) for extent in shape.values)
    except TypeError:
        raise InputError(f"The graph has shape {shape}, which is not fixed; export it for one shape.") from None


def _checked(dtype: Any) -> str:
    if str(dtype) not in _TYPES:
        raise InputError(f"The network computes in {dtype}; supported are {', '.join(_TYPES)}.")
    return str(dtype)


def _scratch_bytes(function: Any) -> int:
    """What a kernel may ask of the allocator: its buffers in memory, each rounded up to the alignment."""
    total = 0
    for buffer in function.body.block.alloc_buffers:
        if buffer.scope() == "global":
            size = np.dtype(str(buffer.dtype)).itemsize * math.prod(int(extent) for extent in buffer.shape)
            total += -(-size // _ALIGNMENT) * _ALIGNMENT
    return total


def _as_module(kernels: Mapping[str, Any]) -> Any:
    import tvm
    from tvm.relax import transform

    return transform.AttachGlobalSymbol()(tvm.IRModule({tvm.ir.GlobalVar(k): f for k, f in kernels.items()}))
