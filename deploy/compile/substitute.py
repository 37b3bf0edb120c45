"""Putting our kernels in the place of the layers that were found in a Relax program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from .fixed_shapes import bindings_of, body_of, shape_of, tensor_type
from .kernels.blocked import Registers, pack, packed_shape, tile_for
from .kernels.pool import max_pool
from .layers import Layer, Match, window_of

if TYPE_CHECKING:
    from tvm.ir import BaseFunc, Call, Expr, IRModule, Var
    from tvm.relax import Function, VarBinding
    from tvm.relax.op.op_attrs import Pool2DAttrs

OURS = "bp_"  # what the names of our kernels begin with


def substitute(
    module: IRModule, found: Sequence[Match], sparse: Sequence[bool], registers: Registers | None
) -> IRModule:
    """`module` with our kernels: sparse ones where asked for, else dense ones.

    A sparse weight becomes four parameters, see `parameter_roles`.

    registers  the processor's; None for a GPU, on which we have sparse kernels alone
    """
    return _Substitution(module, registers).result(list(zip(found, sparse, strict=True)))


def parameter_roles(name: str) -> tuple[str, str]:
    """A parameter's name taken apart into the weight's variable and the role of the array; ("", "") of a dense one."""
    weight, colon, role = name.rpartition(":")
    return (weight, role) if colon else ("", "")


class _Substitution:
    """Builds the new module binding by binding."""

    def __init__(self, module: IRModule, registers: Registers | None) -> None:
        from tvm import relax

        self.module, self.registers = module, registers
        self.builder = relax.BlockBuilder(module)
        self.arrays: dict[str, list[Var]] = {}

    def result(self, found: Sequence[tuple[Match, bool]]) -> IRModule:
        from tvm import relax

        main = cast("Function", self.module["main"])
        body = body_of(main)
        parameters = self._parameters(
            main, {each.layer.parameter: each.layer for each, sparse in found if sparse and each.layer is not None}
        )
        dense = self.registers is not None
        taken = [
            (each, sparse) for each, sparse in found
            if sparse or (dense and (each.layer is None or each.layer.blocked))
        ]  # fmt: skip
        last = {each.bindings[-1].var: (each, sparse) for each, sparse in taken}
        dropped = {binding.var for each, _ in taken for binding in each.bindings[:-1]}
        blocks = []
        for block in body.blocks:
            bindings: list[VarBinding] = []
            for binding in bindings_of(block):
                if binding.var in last:
                    bindings += self._kernel(*last[binding.var])
                elif binding.var not in dropped:
                    bindings.append(binding)
            blocks.append(type(block)(bindings))
        normal = self.builder.normalize(relax.SeqExpr(blocks, body.body))
        function = relax.Function(parameters, normal, main.ret_ty, attrs=main.attrs)
        self.builder.update_func(self.module.get_global_var("main"), function)
        return self.builder.finalize()

    def _parameters(self, main: Function, sparse: Mapping[str, Layer]) -> list[Var]:
        from tvm import relax

        parameters: list[Var] = []
        for variable in main.params:
            if variable.name not in sparse:
                parameters.append(variable)
                continue
            layer = sparse[variable.name]
            entries = layer.entries
            sizes = {
                "values": (entries.count, entries.values),
                "input_offsets": (entries.count, entries.input_offsets),
                "rows": (layer.outputs + 1, "int32"),
                "value_table": (entries.value_table_size, "float32"),
            }
            self.arrays[variable.name] = [
                relax.Var(f"{variable.name}:{role}", relax.TensorType((size,), dtype))
                for role, (size, dtype) in sizes.items()
            ]
            parameters += self.arrays[variable.name]
        return parameters

    def _kernel(self, found: Match, sparse: bool) -> list[VarBinding]:
        """The bindings that take the place of those of `found`."""
        from tvm import relax

        result, layer = found.bindings[-1].var, found.layer
        if layer is None:
            pooling = cast("Call", found.bindings[-1].value)
            attributes, shape = cast("Pool2DAttrs", pooling.attrs), shape_of(found.input)
            window = window_of(attributes, [int(extent) for extent in attributes.pool_size])
            if window is None:
                raise ValueError("pooling of another layout was found")
            return [self._call(result, "max_pool", max_pool(shape, window), [found.input])]
        name = layer.parameter.removeprefix("p_").removesuffix("_weight")
        if sparse:
            arguments = [found.input, *self.arrays[layer.parameter], *found.operands]
            kernel = layer.sparse_kernel(gpu=self.registers is None)
            return [self._call(result, f"sparse_{name}", kernel, arguments)]
        if layer.geometry is None or self.registers is None:
            raise ValueError(f"{name} has no dense kernel")
        main = cast("Function", self.module["main"])
        weight = next(variable for variable in main.params if variable.name == layer.parameter)
        tile = tile_for(layer.outputs, layer.geometry.outputs, self.registers)
        packed_type = relax.TensorType(packed_shape(layer.shape, tile), "float32")
        packed = relax.DataflowVar(f"{name}_packed", packed_type)
        return [
            self._call(packed, f"pack_{name}", pack(layer.shape, tile), [weight]),
            self._call(result, f"dense_{name}", layer.blocked_kernel(tile), [found.input, packed, *found.operands]),
        ]

    def _call(self, result: Var, name: str, function: BaseFunc, arguments: Sequence[Expr]) -> VarBinding:
        from tvm import relax

        kernel = self.builder.add_func(function, OURS + name)
        call = self.builder.normalize(relax.call_tir(kernel, relax.Tuple(arguments), tensor_type(result)))
        return relax.VarBinding(result, call)
