"""Replace the layers that find_layers.py found in a Relax program with calls of the package's kernels."""

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

KERNEL_PREFIX = "bp_"  # prefix of the names of the package's own kernels


def substitute(
    module: IRModule, matches: Sequence[Match], sparse: Sequence[bool], registers: Registers | None
) -> IRModule:
    """Return `module` with the package's kernels in place of the matched layers.

    The weight of a sparse layer becomes four parameters; see `parameter_roles`.

    sparse     for each match, True to use its sparse kernel
    registers  the processor's vector registers; None for a GPU, which has sparse kernels only
    """
    return _Substitution(module, registers).result(list(zip(matches, sparse, strict=True)))


def parameter_roles(name: str) -> tuple[str, str]:
    """Split the name of a sparse weight's array into the weight's variable and the array's role.

    Returns ("", "") for the name of any other parameter.

    >>> parameter_roles("p_fc_weight:rows")
    ('p_fc_weight', 'rows')
    """
    weight, colon, role = name.rpartition(":")
    return (weight, role) if colon else ("", "")


class _Substitution:
    """Builds the new module binding by binding."""

    def __init__(self, module: IRModule, registers: Registers | None) -> None:
        from tvm import relax

        self.module, self.registers = module, registers
        self.builder = relax.BlockBuilder(module)
        self.arrays: dict[str, list[Var]] = {}

    def result(self, matches: Sequence[tuple[Match, bool]]) -> IRModule:
        from tvm import relax

        main = cast("Function", self.module["main"])
        body = body_of(main)
        parameters = self._parameters(
            main,
            {match.layer.parameter: match.layer for match, sparse in matches if sparse and match.layer is not None},
        )
        dense = self.registers is not None
        replaced = [
            (match, sparse) for match, sparse in matches
            if sparse or (dense and (match.layer is None or match.layer.blocked))
        ]  # fmt: skip
        last = {match.bindings[-1].var: (match, sparse) for match, sparse in replaced}
        dropped = {binding.var for match, _ in replaced for binding in match.bindings[:-1]}
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

    def _kernel(self, match: Match, sparse: bool) -> list[VarBinding]:
        """The bindings that replace those of `match`."""
        from tvm import relax

        result, layer = match.bindings[-1].var, match.layer
        if layer is None:
            pooling = cast("Call", match.bindings[-1].value)
            attributes, shape = cast("Pool2DAttrs", pooling.attrs), shape_of(match.input)
            window = window_of(attributes, [int(extent) for extent in attributes.pool_size])
            if window is None:
                raise ValueError("the layout of a matched pooling is not NCHW")
            return [self._call(result, "max_pool", max_pool(shape, window), [match.input])]
        name = layer.parameter.removeprefix("p_").removesuffix("_weight")
        if sparse:
            arguments = [match.input, *self.arrays[layer.parameter], *match.operands]
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
            self._call(result, f"dense_{name}", layer.blocked_kernel(tile), [match.input, packed, *match.operands]),
        ]

    def _call(self, result: Var, name: str, function: BaseFunc, arguments: Sequence[Expr]) -> VarBinding:
        from tvm import relax

        kernel = self.builder.add_func(function, KERNEL_PREFIX + name)
        call = self.builder.normalize(relax.call_tir(kernel, relax.Tuple(arguments), tensor_type(result)))
        return relax.VarBinding(result, call)
