"""The layers of a network that we have kernels for, and putting these in their place.

This happens on the Relax program as it comes in, where a layer is still one operator. What follows it (biases, folded
batch norms, a residual, a rectifier, pooling) becomes the kernel's epilogue; anything else stays a kernel of its own,
which TVM makes and kernels/dense.py schedules.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .kernels.blocked import Registers, Tile, blocked_convolution, pack, packed_shape, tile_for
from .kernels.epilogue import Epilogue
from .kernels.geometry import ConvolutionGeometry, Window
from .kernels.pool import max_pool
from .kernels.sparse import Entries, sparse_convolution, sparse_dense
from .kernels.sparse_gpu import sparse_convolution_gpu, sparse_dense_gpu

OURS = "bp_"  # what the names of our kernels begin with
_STEPS = {"relax.add": "add", "relax.multiply": "multiply", "relax.subtract": "subtract", "relax.divide": "divide"}
_EITHER_WAY = ("add", "multiply")


@dataclass(frozen=True)
class Stored:
    """What a weight is stored as: how many entries, and of which type their values are on the device.

    values  see Entries
    """

    count: int = 0
    values: str = "float32"


@dataclass(frozen=True)
class Layer:
    """A layer and what is computed behind it.

    parameter   the weight's variable in the program
    shape       of the weight
    stored      its stored weights; none where it does not decode to sparse rows
    batch       examples, or rows of a dense layer's input
    geometry    None of a dense layer
    """

    parameter: str
    shape: tuple[int, ...]
    stored: Stored
    batch: int
    geometry: ConvolutionGeometry | None
    epilogue: Epilogue

    @property
    def entries(self) -> Entries:
        """The stored weights as a kernel takes them: in as few bytes as hold them, unless looking up costs time."""
        last = self.channel_stride * -(-math.prod(self.shape[1:]) // self.inner)
        values = self.stored.values if self.stored.values != "uint8" or self.looks_up else "float32"
        return Entries(self.stored.count, values, "uint16" if last <= 1 << 16 else "int32")

    @property
    def looks_up(self) -> bool:
        """Whether levels that need a table stay levels: a convolution looks each up once for many pixels, and a dense
        layer takes half as long again (benchmarks/lookup.py).
        """
        return self.geometry is not None

    @property
    def outputs(self) -> int:
        """Output channels, or neurons."""
        return self.shape[0]

    @property
    def pixels(self) -> int:
        """Outputs of one channel over the batch."""
        return self.batch * (1 if self.geometry is None else math.prod(self.geometry.outputs))

    @property
    def inner(self) -> int:
        """Elements of a kernel, by which a column number is divided to give its channel."""
        return 1 if self.geometry is None else len(self.geometry.table)

    @property
    def channel_stride(self) -> int:
        """From one input channel's input_offsets to the next's."""
        return 1 if self.geometry is None else self.geometry.channel_stride

    @property
    def table(self) -> tuple[int, ...]:
        """Place of each element of the kernel within its channel."""
        return (0,) if self.geometry is None else self.geometry.table

    @property
    def blocked(self) -> bool:
        """Whether there is a dense kernel of ours; else TVM's is taken."""
        return self.geometry is not None and self.geometry.groups == 1 and self.outputs > 1

    def sparse_kernel(self, *, gpu: bool) -> Any:
        """The PrimFunc over sparse rows."""
        if self.geometry is None:
            product = sparse_dense_gpu if gpu else sparse_dense
            return product(self.batch, self.shape[1], self.outputs, self.entries, self.epilogue)
        convolution = sparse_convolution_gpu if gpu else sparse_convolution
        return convolution(self.batch, self.geometry, self.outputs, self.entries, self.epilogue)

    def blocked_kernel(self, tile: Tile) -> Any:
        """The PrimFunc over a packed weight."""
        if self.geometry is None:
            raise ValueError(f"{self.parameter} is no convolution")
        inputs = (self.geometry.channels, *self.geometry.extents)
        return blocked_convolution(self.batch, inputs, self.geometry.window, self.outputs, tile, self.epilogue)


@dataclass(frozen=True)
class Match:
    """A layer, or pooling alone, and the bindings that its kernel takes the place of; the last holds the result."""

    layer: Layer | None
    input: Any
    operands: tuple[Any, ...]
    bindings: tuple[Any, ...]


DecideLayers = Callable[[Sequence[Layer]], Sequence[bool]]


def find_layers(main: Any, stored: Mapping[str, Stored], accumulators: int) -> list[Match]:
    """What of the Relax function `main` we have kernels for, in its order.

    stored        of each parameter that decodes to sparse rows, by its variable's name
    accumulators  floats that fit in the target's registers beside a sparse kernel's operands
    """
    return _Search(main, stored, accumulators).found


def substitute(module: Any, found: Sequence[Match], sparse: Sequence[bool], registers: Registers | None) -> Any:
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

    def __init__(self, module: Any, registers: Registers | None) -> None:
        from tvm import relax

        self.module, self.registers = module, registers
        self.builder = relax.BlockBuilder(module)
        self.arrays: dict[str, list[Any]] = {}

    def result(self, found: Sequence[tuple[Match, bool]]) -> Any:
        from tvm import relax

        main = self.module["main"]
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
        for block in main.body.blocks:
            bindings: list[Any] = []
            for binding in block.bindings:
                if binding.var in last:
                    bindings += self._kernel(*last[binding.var])
                elif binding.var not in dropped:
                    bindings.append(binding)
            blocks.append(type(block)(bindings))
        body = self.builder.normalize(relax.SeqExpr(blocks, main.body.body))
        function = relax.Function(parameters, body, main.ret_ty, attrs=main.attrs)
        self.builder.update_func(self.module.get_global_var("main"), function)
        return self.builder.finalize()

    def _parameters(self, main: Any, sparse: Mapping[str, Layer]) -> list[Any]:
        from tvm import relax

        parameters = []
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

    def _kernel(self, found: Match, sparse: bool) -> list[Any]:
        """The bindings that take the place of those of `found`."""
        from tvm import relax

        result, layer = found.bindings[-1].var, found.layer
        if layer is None:
            attributes, shape = found.bindings[-1].value.attrs, _extents(found.input)
            window = _window(attributes, [int(extent) for extent in attributes.pool_size])
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
        weight = next(variable for variable in self.module["main"].params if variable.name == layer.parameter)
        tile = tile_for(layer.outputs, layer.geometry.outputs, self.registers)
        packed_type = relax.TensorType(packed_shape(layer.shape, tile), "float32")
        packed = relax.DataflowVar(f"{name}_packed", packed_type)
        return [
            self._call(packed, f"pack_{name}", pack(layer.shape, tile), [weight]),
            self._call(result, f"dense_{name}", layer.blocked_kernel(tile), [found.input, packed, *found.operands]),
        ]

    def _call(self, result: Any, name: str, function: Any, arguments: list[Any]) -> Any:
        from tvm import relax

        kernel = self.builder.add_func(function, OURS + name)
        call = self.builder.normalize(relax.call_tir(kernel, relax.Tuple(arguments), result.ty))
        return relax.VarBinding(result, call)


class _Search:
    """Walks the bindings once; `found` is the result."""

    def __init__(self, main: Any, stored: Mapping[str, Stored], accumulators: int) -> None:
        from tvm import relax

        self.stored, self.accumulators = stored, accumulators
        self.parameters = {variable: variable.name for variable in main.params}
        bindings = [binding for block in main.body.blocks for binding in block.bindings]
        self.users: dict[Any, list[Any]] = {}
        self.bound = {binding.var: binding for binding in bindings}
        self.uses: Counter[Any] = Counter([main.body.body])
        for binding in bindings:
            for variable in relax.analysis.free_vars(binding.value):
                self.uses[variable] += 1
                self.users.setdefault(variable, []).append(binding)
        self.taken: set[Any] = set()
        self.found: list[Match] = []
        for binding in bindings:
            found = None if binding.var in self.taken else self._layer(binding) or self._pool(binding)
            if found is not None:
                self.found.append(found)
                self.taken.update(each.var for each in found.bindings)

    def _layer(self, binding: Any) -> Match | None:
        name = _operator(binding.value)
        if name == "relax.nn.conv2d":
            x, weight = binding.value.args
            window = _window(binding.value.attrs, _extents(weight)[2:])
            if window is None or not self._own(weight):
                return None
            batch, channels, *extents = _extents(x)
            groups = int(binding.value.attrs.groups)
            geometry = ConvolutionGeometry(channels, (extents[0], extents[1]), groups, window, self.accumulators)
            return self._found(weight, batch, geometry, x, (binding,))
        if name == "relax.matmul":
            x, turned = binding.value.args
            turn = self.bound.get(turned)
            if turn is None or _operator(turn.value) != "relax.permute_dims" or self.uses[turned] != 1:
                return None
            weight = turn.value.args[0]
            if self._own(weight) and len(_extents(weight)) == 2 and len(_extents(x)) == 2:
                return self._found(weight, _extents(x)[0], None, x, (turn, binding))
        return None

    def _pool(self, binding: Any) -> Match | None:
        """Pooling by maximum that stands alone."""
        if _operator(binding.value) != "relax.nn.max_pool2d":
            return None
        attributes = binding.value.attrs
        window = _window(attributes, [int(extent) for extent in attributes.pool_size])
        if window is None or not _plain_pool(attributes, window):
            return None
        return Match(None, binding.value.args[0], (), (binding,))

    def _own(self, weight: Any) -> bool:
        """Whether a weight is a parameter that nobody else reads."""
        return self.uses[weight] == 1 and weight in self.parameters

    def _found(
        self, weight: Any, batch: int, geometry: ConvolutionGeometry | None, x: Any, bindings: tuple[Any, ...]
    ) -> Match:
        shape = _extents(weight)
        plane = () if geometry is None else geometry.outputs
        epilogue, operands, behind = self._tail(bindings[-1], (batch, shape[0], *plane))
        name = self.parameters[weight]
        layer = Layer(name, shape, self.stored.get(name, Stored()), batch, geometry, epilogue)
        return Match(layer, x, tuple(operands), (*bindings, *behind))

    def _tail(self, binding: Any, outputs: tuple[int, ...]) -> tuple[Epilogue, list[Any], list[Any]]:
        steps: list[str] = []
        operands: list[Any] = []
        behind: list[Any] = []
        clip: tuple[float, float] | None = None
        pool: Window | None = None
        convolution = len(outputs) == 4
        while (following := self._only_user(binding.var)) is not None and following.var not in self.taken:
            call, before = following.value, binding.var
            name = _operator(call)
            if name in _STEPS and clip is None and pool is None:
                operand = _operand(call, before, _STEPS[name])
                if operand is None or not _fits(operand, outputs):
                    break
                steps.append(_STEPS[name])
                operands.append(operand)
            elif name in ("relax.nn.relu", "relax.clip") and clip is None:
                clip = (0.0, math.inf) if name == "relax.nn.relu" else _bounds(call)
            elif name == "relax.nn.max_pool2d" and convolution and pool is None:
                pool = _window(call.attrs, [int(extent) for extent in call.attrs.pool_size])
                if pool is None or not _plain_pool(call.attrs, pool):
                    pool = None
                    break
            else:
                break
            behind.append(following)
            binding = following
        return Epilogue(tuple(steps), tuple(map(_extents, operands)), clip, pool), operands, behind

    def _only_user(self, variable: Any) -> Any:
        users = self.users.get(variable, [])
        return users[0] if len(users) == 1 and self.uses[variable] == 1 else None


def _operator(value: Any) -> str:
    return str(getattr(getattr(value, "op", None), "name", ""))


def _extents(expression: Any) -> tuple[int, ...]:
    return tuple(int(extent) for extent in expression.ty.shape)


def _window(attributes: Any, kernel: Sequence[int]) -> Window | None:
    """None for a layout that is not channels first."""
    if str(getattr(attributes, "data_layout", None) or attributes.layout) != "NCHW":
        return None
    strides, dilation = ([int(n) for n in each] for each in (attributes.strides, attributes.dilation))
    above, left, below, right = (int(n) for n in attributes.padding)
    return Window(
        (kernel[0], kernel[1]), (strides[0], strides[1]), (above, left), (below, right), (dilation[0], dilation[1])
    )


def _plain_pool(attributes: Any, window: Window) -> bool:
    """Whether each window is without holes and meets the input."""
    borders = zip(window.before, window.after, window.kernel, strict=True)
    met = all(max(before, after) < kernel for before, after, kernel in borders)
    return met and window.dilation == (1, 1) and not attributes.ceil_mode


def _operand(call: Any, before: Any, step: str) -> Any:
    """The other operand; None where the order is the wrong one, or both are the same."""
    left, right = call.args
    if left.same_as(before) and not right.same_as(before):
        return right
    return left if right.same_as(before) and step in _EITHER_WAY and not left.same_as(before) else None


def _fits(operand: Any, outputs: tuple[int, ...]) -> bool:
    """Whether there is one number for each output, or for each channel along its axis."""
    from tvm import relax

    if not isinstance(operand, relax.Var):
        return False
    shape, channels = _extents(operand), outputs[1]
    if len(outputs) == 4:
        return shape in (outputs, (1, channels, 1, 1))
    return shape in (outputs, (channels,), (1, channels))


def _bounds(call: Any) -> tuple[float, float]:
    low, high = (float(getattr(each.value, "value", each.value)) for each in call.args[1:])
    return low, high
