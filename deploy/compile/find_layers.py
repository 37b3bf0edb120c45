"""Find the layers of a Relax program that the package's own kernels can compute.

The search reads the imported program, in which each layer is still one operator. Operators that follow a layer (bias,
folded batch norm, residual, ReLU, max pooling) become the kernel's epilogue. TVM makes a separate kernel for each other
operator, and kernels/dense.py schedules it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, SupportsFloat, cast

from .fixed_shapes import bindings_of, body_of, operator_name, shape_of
from .kernels.epilogue import Epilogue
from .kernels.geometry import ConvolutionGeometry, Window
from .layers import Layer, Match, Stored, window_of

if TYPE_CHECKING:
    from tvm.ir import Call, Expr, GenericConst, Var
    from tvm.relax import Function, VarBinding
    from tvm.relax.op.op_attrs import Conv2DAttrs, Pool2DAttrs

_STEPS = {"relax.add": "add", "relax.multiply": "multiply", "relax.subtract": "subtract", "relax.divide": "divide"}
_COMMUTATIVE = ("add", "multiply")


def find_layers(main: Function, stored: Mapping[str, Stored], accumulators: int) -> list[Match]:
    """Find the supported layers of the Relax function `main`, in program order.

    stored        for each parameter that decodes to sparse rows, how it is stored, by its variable's name
    accumulators  number of floats that a sparse kernel can accumulate in the target's registers
    """
    return _Search(main, stored, accumulators).matches


class _Search:
    """Visits the bindings once; `matches` is the result."""

    def __init__(self, main: Function, stored: Mapping[str, Stored], accumulators: int) -> None:
        from tvm import relax

        self.stored, self.accumulators = stored, accumulators
        self.parameters: dict[Expr, str] = {variable: variable.name for variable in main.params}
        body = body_of(main)
        bindings = [binding for block in body.blocks for binding in bindings_of(block)]
        self.users: dict[Expr, list[VarBinding]] = {}
        self.bound: dict[Expr, VarBinding] = {binding.var: binding for binding in bindings}
        self.uses: Counter[Expr] = Counter([body.body])
        for binding in bindings:
            for variable in relax.analysis.free_vars(binding.value):
                self.uses[variable] += 1
                self.users.setdefault(variable, []).append(binding)
        self.matched: set[Var] = set()
        self.matches: list[Match] = []
        for binding in bindings:
            match = None if binding.var in self.matched else self._layer(binding) or self._pool(binding)
            if match is not None:
                self.matches.append(match)
                self.matched.update(replaced.var for replaced in match.bindings)

    def _layer(self, binding: VarBinding) -> Match | None:
        name, call = operator_name(binding.value), cast("Call", binding.value)
        if name == "relax.nn.conv2d":
            x, weight = call.args
            attributes = cast("Conv2DAttrs", call.attrs)
            window = window_of(attributes, shape_of(weight)[2:])
            if window is None or not self._is_exclusive_parameter(weight):
                return None
            batch, channels, *extents = shape_of(x)
            groups = int(attributes.groups)
            geometry = ConvolutionGeometry(channels, (extents[0], extents[1]), groups, window, self.accumulators)
            return self._match(weight, batch, geometry, x, (binding,))
        if name == "relax.matmul":
            x, transposed = call.args
            transpose = self.bound.get(transposed)
            if transpose is None or operator_name(transpose.value) != "relax.permute_dims":
                return None
            if self.uses[transposed] != 1:
                return None
            weight = cast("Call", transpose.value).args[0]
            if self._is_exclusive_parameter(weight) and len(shape_of(weight)) == 2 and len(shape_of(x)) == 2:
                return self._match(weight, shape_of(x)[0], None, x, (transpose, binding))
        return None

    def _pool(self, binding: VarBinding) -> Match | None:
        """Max pooling that does not follow a layer."""
        if operator_name(binding.value) != "relax.nn.max_pool2d":
            return None
        call = cast("Call", binding.value)
        attributes = cast("Pool2DAttrs", call.attrs)
        window = window_of(attributes, [int(extent) for extent in attributes.pool_size])
        if window is None or not _plain_pool(attributes, window):
            return None
        return Match(None, call.args[0], (), (binding,))

    def _is_exclusive_parameter(self, weight: Expr) -> bool:
        """Whether a weight is a parameter that only one operator reads."""
        return self.uses[weight] == 1 and weight in self.parameters

    def _match(
        self, weight: Expr, batch: int, geometry: ConvolutionGeometry | None, x: Expr, bindings: tuple[VarBinding, ...]
    ) -> Match:
        shape = shape_of(weight)
        plane = () if geometry is None else geometry.outputs
        epilogue, operands, following = self._epilogue(bindings[-1], (batch, shape[0], *plane))
        name = self.parameters[weight]
        layer = Layer(name, shape, self.stored.get(name, Stored()), batch, geometry, epilogue)
        return Match(layer, x, tuple(operands), (*bindings, *following))

    def _epilogue(self, binding: VarBinding, outputs: tuple[int, ...]) -> tuple[Epilogue, list[Expr], list[VarBinding]]:
        """The operators after `binding` that an epilogue can compute: the epilogue, its operands, their bindings.

        outputs  shape of the layer's result
        """
        steps: list[str] = []
        operands: list[Expr] = []
        absorbed: list[VarBinding] = []
        clip: tuple[float, float] | None = None
        pool: Window | None = None
        convolution = len(outputs) == 4
        while (following := self._only_user(binding.var)) is not None and following.var not in self.matched:
            call, previous = cast("Call", following.value), binding.var
            name = operator_name(call)
            if name in _STEPS and clip is None and pool is None:
                operand = _operand(call, previous, _STEPS[name])
                if operand is None or not _fits(operand, outputs):
                    break
                steps.append(_STEPS[name])
                operands.append(operand)
            elif name in ("relax.nn.relu", "relax.clip") and clip is None:
                clip = (0.0, math.inf) if name == "relax.nn.relu" else _bounds(call)
            elif name == "relax.nn.max_pool2d" and convolution and pool is None:
                attributes = cast("Pool2DAttrs", call.attrs)
                pool = window_of(attributes, [int(extent) for extent in attributes.pool_size])
                if pool is None or not _plain_pool(attributes, pool):
                    pool = None
                    break
            else:
                break
            absorbed.append(following)
            binding = following
        return Epilogue(tuple(steps), tuple(map(shape_of, operands)), clip, pool), operands, absorbed

    def _only_user(self, variable: Var) -> VarBinding | None:
        users = self.users.get(variable, [])
        return users[0] if len(users) == 1 and self.uses[variable] == 1 else None


def _plain_pool(attributes: Pool2DAttrs, window: Window) -> bool:
    """Whether each window has no dilation and overlaps the input."""
    borders = zip(window.before, window.after, window.kernel, strict=True)
    overlaps = all(max(before, after) < kernel for before, after, kernel in borders)
    return overlaps and window.dilation == (1, 1) and not attributes.ceil_mode


def _operand(call: Call, previous: Var, step: str) -> Expr | None:
    """The operand that is not `previous`; None if both are `previous`, or if their order matters and is reversed."""
    left, right = call.args
    if left.same_as(previous) and not right.same_as(previous):
        return right
    return left if right.same_as(previous) and step in _COMMUTATIVE and not left.same_as(previous) else None


def _fits(operand: Expr, outputs: tuple[int, ...]) -> bool:
    """Whether the operand has one number per output, or one per output channel."""
    from tvm import relax

    if not isinstance(operand, relax.Var):
        return False
    shape, channels = shape_of(operand), outputs[1]
    if len(outputs) == 4:
        return shape in (outputs, (1, channels, 1, 1))
    return shape in (outputs, (channels,), (1, channels))


def _bounds(call: Call) -> tuple[float, float]:
    values = (cast("GenericConst", each).value for each in call.args[1:])
    low, high = (float(cast("SupportsFloat", getattr(value, "value", value))) for value in values)
    return low, high
