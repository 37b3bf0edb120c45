"""Import a program in normal form into Relax.

TVM's importer reads the program. For some operators TVM's conversion gives other numbers than PyTorch, so this module
replaces it: tanh, which is inexact for small numbers; rounding to the half-precision types; gathers, which TVM does not
bound; tests for NaN; and maxima and minima of infinities.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias, cast

from ...errors import BayespressError, InputError, reason_of
from ...optional import require
from .fixed_shapes import tensor_type

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node
    from tvm.ir import Expr, ExprWithOp, IRModule, PrimType
    from tvm.relax.frontend.torch.base_fx_graph_translator import BaseFXGraphImporter
    from tvm.te import Tensor

_Convert: TypeAlias = "Callable[[Node, BaseFXGraphImporter], Expr]"


def imported(program: ExportedProgram) -> IRModule:
    """Convert a program in normal form (see normalise.normalised) to Relax; each layer is still one operator.

    Raises InputError with TVM's message if TVM rejects an operator.
    """
    require("tvm")
    from tvm import relax
    from tvm.relax import transform
    from tvm.relax.frontend.torch import from_exported_program

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = from_exported_program(
                program, keep_params_as_input=True, unwrap_unit_return_tuple=True, run_ep_decomposition=False,
                custom_convert_map=_conversions(),
            )  # fmt: skip
        module, _ = relax.frontend.detach_params(module)
        passes = [
            transform.DecomposeOpsForInference(), transform.CanonicalizeBindings(), transform.DeadCodeElimination()
        ]  # fmt: skip
        for transformation in passes:
            module = transformation(module)
    except Exception as error:
        raise refused_by_tvm(error) from error
    return module


def refused_by_tvm(error: BaseException) -> InputError:
    """Convert any exception from TVM to one sentence. TVM raises dozens of types."""
    return InputError(f"TVM cannot compile this network ({type(error).__name__}: {reason_of(error)}); "
                      "replace the operator that this message names.")  # fmt: skip


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """Convert exceptions that TVM raises inside the block to InputError."""
    try:
        yield
    except (BayespressError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise refused_by_tvm(error) from error


@functools.cache
def _conversions() -> dict[str, _Convert]:
    return {
        "index_select.default": _index_select,
        "tanh.default": _tanh,
        "_to_copy.default": _to_copy,
        "isnan.default": _isnan,
        "amax.default": _extreme("max"),
        "amin.default": _extreme("min"),
    }


def _only_argument(node: Node, importer: BaseFXGraphImporter) -> Expr:
    arguments: tuple[Expr] = importer.retrieve_args(node)
    return arguments[0]


def _index_select(node: Node, importer: BaseFXGraphImporter) -> Expr:
    from tvm import relax

    arguments: tuple[Expr, int, Expr] = importer.retrieve_args(node)
    x, axis, index = arguments
    return importer.block_builder.emit(relax.op.take(x, index, axis, mode="clip"))


def _extreme(name: str) -> _Convert:
    """A conversion of the maximum ("max") or minimum ("min") over dimensions.

    TVM's own reduction starts from the largest finite number, so it is wrong if all elements are infinite.
    """

    def convert(node: Node, importer: BaseFXGraphImporter) -> Expr:
        from tvm import relax, te, tirx, topi

        arguments: tuple[Expr, list[int], bool] = importer.retrieve_args(node)
        x, axes, keep = arguments
        dtype = str(tensor_type(x).dtype)
        if not dtype.startswith("float"):
            extreme = relax.op.max if name == "max" else relax.op.min
            return importer.block_builder.emit(extreme(x, axes, keepdims=keep))
        start = float("-inf" if name == "max" else "inf")
        combine = tirx.max if name == "max" else tirx.min
        reducer = te.comm_reducer(lambda a, b: combine(a, b), lambda dtype: tirx.const(start, dtype), name=name)

        def reduce(data: Tensor) -> Tensor:
            reduced = {axis: te.reduce_axis((0, data.shape[axis]), f"k{axis}") for axis in axes}
            kept = [extent for axis, extent in enumerate(data.shape) if axis not in reduced]

            def element(*indices: Expr) -> Expr:
                remaining = list(indices)
                index = [reduced[axis] if axis in reduced else remaining.pop(0) for axis in range(len(data.shape))]
                return reducer(data(*index), axis=list(reduced.values()))

            result = te.compute(kept, element, name=name)
            if not keep:
                return result
            return topi.reshape(result, [1 if axis in reduced else extent for axis, extent in enumerate(data.shape)])

        return importer.block_builder.emit_te(reduce, x, primfunc_name_hint=name)

    return convert


def _tanh(node: Node, importer: BaseFXGraphImporter) -> Expr:
    """Compute tanh by a quotient of polynomials; TVM's own form, by exponentials, is inexact for small numbers."""
    from tvm import relax, topi

    x = _only_argument(node, importer)
    if str(tensor_type(x).dtype) != "float32":
        return importer.block_builder.emit(relax.op.tanh(x))
    return importer.block_builder.emit_te(topi.fast_tanh, x, primfunc_name_hint="tanh")


def _to_copy(node: Node, importer: BaseFXGraphImporter) -> Expr:
    """Convert to another type. For float16 and bfloat16, only round: the program keeps such numbers in float32."""
    from tvm import relax, te

    x = _only_argument(node, importer)
    dtype = str(node.kwargs["dtype"]).removeprefix("torch.")
    rounds = {"bfloat16": _to_bfloat16, "float16": _to_float16}
    if dtype in rounds:
        rule = rounds[dtype]
        round_all = lambda data: te.compute(data.shape, lambda *at: rule(data(*at)), name="rounded")  # noqa: E731
        return importer.block_builder.emit_te(round_all, x, primfunc_name_hint="round")
    if str(tensor_type(x).dtype) == dtype:
        return x
    return importer.block_builder.emit(relax.op.astype(x, dtype))


def _isnan(node: Node, importer: BaseFXGraphImporter) -> Expr:
    from tvm import te

    x = _only_argument(node, importer)
    test_all = lambda data: te.compute(data.shape, lambda *at: _is_nan(data(*at)), name="is_nan")  # noqa: E731
    return importer.block_builder.emit_te(test_all, x, primfunc_name_hint="isnan")


def _is_nan(value: ExprWithOp) -> ExprWithOp:
    """Whether a number is NaN, tested by its bits: TVM assumes that each number equals itself."""
    from tvm import tirx

    wide = str(cast("PrimType", value.ty).dtype) == "float64"
    dtype = "uint64" if wide else "uint32"
    infinity, magnitude = (0x7FF0000000000000, 0x7FFFFFFFFFFFFFFF) if wide else (0x7F800000, 0x7FFFFFFF)
    return (tirx.reinterpret(dtype, value) & tirx.const(magnitude, dtype)) > tirx.const(infinity, dtype)


def _rounded_bits(value: ExprWithOp, dropped: int) -> ExprWithOp:
    """Round away the last `dropped` bits of a float32, to nearest, ties to even."""
    from tvm import tirx

    bits = tirx.reinterpret("uint32", value)
    constant: Callable[[int], ExprWithOp] = lambda number: tirx.const(number, "uint32")  # noqa: E731
    odd = (bits >> constant(dropped)) & constant(1)
    kept = (bits + constant((1 << (dropped - 1)) - 1) + odd) & constant(0xFFFFFFFF ^ ((1 << dropped) - 1))
    return tirx.reinterpret("float32", kept)


def _to_bfloat16(value: ExprWithOp) -> ExprWithOp:
    from tvm import tirx

    return tirx.Select(_is_nan(value), value, _rounded_bits(value, 16))


def _to_float16(value: ExprWithOp) -> ExprWithOp:
    """Round to float16: 10 bits of mantissa from 2^-14 on, multiples of 2^-24 below, infinite from 65520 on."""
    from tvm import tirx

    number: Callable[[float], ExprWithOp] = lambda constant: tirx.const(constant, "float32")  # noqa: E731
    size = tirx.abs(value)
    small = tirx.nearbyint(value * number(2.0**24)) * number(2.0**-24)
    rounded = tirx.Select(size < number(2.0**-14), small, _rounded_bits(value, 13))
    infinite = tirx.Select(value > number(0.0), number(float("inf")), number(float("-inf")))
    return tirx.Select(_is_nan(value), value, tirx.Select(size >= number(65520.0), infinite, rounded))
